"""The classes a person paints: their names, their colours, and whether they can be taught."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError, ModelError
from napari_unet.labels.painted import CLASSES, check_enough, painted_ids
from napari_unet.models.card import ModelCard, plain
from napari_unet.models.library import Model, lineage, load_model

BACKGROUND = "background"
FEWEST = 2  # classes, background among them
LONGEST = 40  # characters of a name
# fmt: off
COLOURS = (  # of the classes from 1 on; none is the blue of background strokes
    "#e6194b", "#3cb44b", "#ffe119", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c",
    "#fabebe", "#008080", "#e6beff", "#9a6324", "#800000", "#aaffc3", "#808000",
)
# fmt: on
OTHERS = "#808080"  # ids that are no class


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


def features_of(names: Sequence[str]) -> dict[str, Any]:
    """Return a layer's features, from which napari tells the name under the cursor."""
    return {"index": np.arange(len(names)), "class": np.array(names, object)}


def colour_dict() -> dict[Any, str]:
    """Return the colour of every class, for a layer."""
    return {None: OTHERS, 0: "transparent", **dict(enumerate(COLOURS, 1))}


def check_classes(painted: Sequence[NDArray[np.uint32]], names: Sequence[str]) -> None:
    """Raise `InputError` if painted arrays ``(..., Y, X)`` hold too little, or what is no class."""
    highest = max((int(i) for p in painted for i in painted_ids(p)), default=0)
    if highest >= len(names):
        raise InputError(
            f"Class {highest} is painted, and there are classes from 1 to {len(names) - 1} (at "
            f"most {CLASSES - 1}). Erase it, or paint one of the others over it."
        )
    check_enough(painted, classes=True)


def objects_parent(active: Model) -> Model:
    """Return the model that objects are taught to: itself, or where it finds classes an ancestor.

    Raises
    ------
    InputError
        If no ancestor in the library finds objects.
    """
    if active.card.finds_objects:
        return active
    for card in lineage(active.path)[1:]:
        if card.finds_objects:
            try:
                return load_model(card.name)
            except ModelError:  # its file was given another name by hand
                break
    raise InputError(
        f"{active.card.name!r} finds classes, and objects are painted. Choose a model that finds "
        "objects, or paint classes."
    )
