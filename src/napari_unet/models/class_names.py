"""Names of the classes that a model tells apart, or that a person paints."""

from collections.abc import Sequence

from napari_unet.labels.painted import CLASSES
from napari_unet.models.card import ModelCard, plain

BACKGROUND = "background"
FEWEST = 2  # classes, background among them
LONGEST = 40  # characters of a name


def default_name(number: int) -> str:
    """Return what a class is called until a person names it."""
    return f"class {number}" if number else BACKGROUND


DEFAULT = tuple(default_name(number) for number in range(3))


def tidy(names: Sequence[str]) -> tuple[str, ...]:
    """Return names fit to be shown, at most `CLASSES`, none of them empty or twice."""
    kept: list[str] = []
    for number, given in enumerate(names[:CLASSES]):
        name = plain(given, LONGEST)
        choices = (name, default_name(number), f"{name} ({number})")
        kept.append(next(n for n in choices if n and n not in kept))
    return tuple(kept)


def names_of(card: ModelCard) -> tuple[str, ...]:
    """Return the names of a class model's classes, background first."""
    count = min(card.spec.classes, CLASSES)
    named = card.class_names if len(card.class_names) == card.spec.classes else ()
    return tidy(named or [default_name(number) for number in range(count)])
