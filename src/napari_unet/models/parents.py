"""Which models a retraining may begin with: the one in use or its parent, and the bundled ones."""

import logging
from collections.abc import Sequence

from napari_unet.errors import InputError, ModelError
from napari_unet.models.card import ModelCard, plain
from napari_unet.models.library import (
    DEFAULT,
    Model,
    bundled_folder,
    lineage,
    load_model,
    model_files,
)
from napari_unet.network.imported import ImportedSpec

log = logging.getLogger(__name__)
NOT_OURS = (
    "{!r} was imported from BioImage.IO as TorchScript: it segments, and can neither be retrained "
    "nor exported as a package. Choose a model of this plugin, such as {!r}."
)


def refuse_imported(card: ModelCard) -> None:
    """Raise `ModelError` for a network that is not one of ours, so that its weights stay."""
    if isinstance(card.spec, ImportedSpec):
        raise ModelError(NOT_OURS.format(plain(card.name), DEFAULT))


def objects_parent(active: Model) -> Model:
    """Return the model that learns objects: itself, or where it finds classes an ancestor.

    Raises
    ------
    InputError
        If no ancestor in the library finds objects.
    """
    if active.card.finds_objects:
        return active
    for model in lineage(active.path)[1:]:
        if model.card.finds_objects:
            return model
    raise InputError(
        f"{active.card.name!r} finds classes, and objects are painted. Choose a model that finds "
        "objects, or paint classes."
    )


def competitors(parent: Model | None = None) -> list[Model]:
    """Return the models that compete for painted objects: a parent, and the bundled ones.

    Parameters
    ----------
    parent : Model, optional
        Comes first; default the model that is offered first.

    Returns
    -------
    list of Model
        Those that find objects in as many channels as the first.
    """
    first = parent or load_model(DEFAULT)
    found = {first.sha: first}
    for path in model_files().values():
        if path.parent == bundled_folder():
            try:
                model = load_model(path)
            except ModelError as problem:
                log.warning("a damaged model does not compete: %s", problem)
            else:
                found.setdefault(model.sha, model)
    channels = first.card.spec.in_channels
    return [
        one
        for one in found.values()
        if one.card.finds_objects and one.card.spec.in_channels == channels
    ]


def choose_parent(
    active: Model, images: Sequence[str], objects: int, *, session_models: frozenset[str]
) -> tuple[Model, str]:
    """Choose the model to begin with, and say why where a person may wonder.

    A model made of paint is not trained further: its parent is trained anew, with all the paint
    so far. That needs all the paint: where some of its images are neither open nor in the folder,
    it is trained further after all, or what it learned from them would be lost.

    Parameters
    ----------
    active : Model
        The model in use.
    images : sequence of str
        Fingerprints of the images that are painted on now.
    objects : int
        What is painted on them.
    session_models : frozenset of str
        sha256 of models made of this session's paint: there, fewer objects mean that some were
        taken back, not that an image is missing.
    """
    card = active.card
    if not card.images:
        return active, ""
    gone = not set(card.taught_images) <= set(images) or len(images) < card.images
    if gone or (active.sha not in session_models and objects < card.painted_objects):
        return active, (
            f"Not all of what {card.name!r} learned is here, so that model itself learns on. "
            "Open its images too, with what was painted on them, or add their folder, to begin "
            "with the model it was made from."
        )
    parent = _parent(active)
    if parent is None:
        return active, f"What {card.name!r} was made from is gone, so that model itself learns on."
    return parent, ""


def _parent(model: Model) -> Model | None:
    return next(iter(lineage(model.path)[1:]), None)
