"""The library: the bundled models and the user's folder of models."""

import contextlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import platformdirs

from napari_unet.errors import ModelError
from napari_unet.models.card import SUFFIX, ModelCard, read_card, sha256_of
from napari_unet.models.report import Report
from napari_unet.settings import APPLICATION

DEFAULT = "nuclei"  # comes first wherever models are offered


def bundled_folder() -> Path:
    """Folder of the models that come with the package."""
    return Path(str(files("napari_unet") / "models" / "bundled"))


def user_folder() -> Path:
    """Folder of the person's own models; it may not exist yet."""
    return platformdirs.user_data_path(APPLICATION) / "models"


def model_files() -> dict[str, Path]:
    """Return the path of every model by name, bundled ones first, of them `DEFAULT`."""
    found: dict[str, Path] = {}
    for folder in (bundled_folder(), user_folder()):
        paths = folder.glob(f"*{SUFFIX}")
        for path in sorted(paths, key=lambda path: (path.stem != DEFAULT, path)):
            found.setdefault(path.stem, path)
    return found


def find_model(name: str | Path) -> Path:
    """Return the file of a model given by its name in the library or by its path."""
    path = Path(name)
    if path.suffix == SUFFIX or path.parent != Path():
        if not path.is_file():
            raise ModelError(f"There is no model file at {path}. Check the path.")
        return path
    known = model_files()
    if str(name) not in known:
        raise ModelError(
            f"There is no model called {str(name)!r}; the library has {', '.join(known) or 'none'}."
            " Choose one of those, or give the path of a model file."
        )
    return known[str(name)]


def load_card(name: str | Path) -> ModelCard:
    """Read the card of a model given by name or path."""
    return read_card(find_model(name))


def check_bundled(path: Path) -> None:
    """Raise `ModelError` if a bundled model is not the file that was released."""
    if path.parent != bundled_folder():
        return
    try:
        released = json.loads((bundled_folder() / "sha256.json").read_text())
    except (OSError, ValueError):
        released = {}  # a broken installation: no model of it is the released one
    if released.get(path.name) != sha256_of(path):
        raise ModelError(
            f"The bundled model {path.name} is damaged: its checksum differs from the released "
            "one. Install the plugin again."
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model file and its card.

    Attributes
    ----------
    path : Path
        The file.
    card : ModelCard
        What it is.
    sha : str
        sha256 of the file.
    report : Report or None
        What came of the retraining that was just done; None for a model that was only loaded.
    """

    path: Path
    card: ModelCard
    sha: str
    report: Report | None = None


def load_model(name: str | Path = DEFAULT) -> Model:
    """Find a model by its name in the library or by its path.

    Raises
    ------
    ModelError
        If there is no such model, or its file is damaged.
    """
    path = find_model(name)
    return Model(path, read_card(path), sha256_of(path))


def bundled_models() -> list[Model]:
    """Return the models that come with the package, `DEFAULT` first.

    Raises
    ------
    ModelError
        If one of them is damaged.
    """
    folder = bundled_folder()
    return [load_model(name) for name, path in model_files().items() if path.parent == folder]


def lineage(name: str | Path) -> list[Model]:
    """Return a model, its parent, and so on to the root, each with the file it was found in.

    A parent is known by the sha256 its child noted, also if it has been renamed or duplicated
    since. By its name alone it is found only if no sha256 was noted or if it is a bundled model
    (an update may replace those): another model may have taken the name. The list ends where a
    parent's file is gone; the last card's `parent` tells its name.

    Raises
    ------
    ModelError
        If there is no such model, or its file is damaged.
    """
    found = [load_model(name)]
    while (parent := _parent_of(found[-1].card, {model.path for model in found})) is not None:
        found.append(load_model(parent))
    return found


def _parent_of(card: ModelCard, seen: set[Path]) -> Path | None:
    if not card.parent and not card.parent_sha:
        return None
    cards: dict[Path, ModelCard] = {}
    for path in model_files().values():
        with contextlib.suppress(ModelError):  # a damaged one is nobody's known parent
            if path not in seen:
                cards[path] = read_card(path)
    named = [path for path in cards if path.stem == card.parent]
    if card.parent_sha:
        former = [path for path in cards if card.parent_sha in cards[path].former_shas]
        for path in dict.fromkeys((*named, *former, *cards)):  # the likely ones first
            if path in former or sha256_of(path) == card.parent_sha:
                return path
        named = [path for path in named if path.parent == bundled_folder()]
    return named[0] if named else None
