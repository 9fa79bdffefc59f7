"""A retraining in the engine, for the panel: what happens when a person presses Retrain."""

import shutil
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.client import Engine
from napari_unet.errors import SaveError
from napari_unet.execution.events import Waiting
from napari_unet.finetuning.gathering import gather_all
from napari_unet.finetuning.in_process import keep
from napari_unet.image import Image
from napari_unet.io.training_pairs import Pairs, read_pairs
from napari_unet.journal.identity import identity_of
from napari_unet.labels.painted import check_classes, painted_objects
from napari_unet.models.card import read_card
from napari_unet.models.files import explained
from napari_unet.models.library import Model, load_model, user_folder
from napari_unet.models.names import free_name
from napari_unet.models.parents import choose_parent, competitors, objects_parent
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import FinetuneInputs, Finished, TrainingEvent

ADDED, CLASSES = " retrained", " classes"
LONGEST = 60  # characters of the parent's name in the new one


@dataclass(frozen=True, slots=True, eq=False)
class RetrainRequest:
    """What the panel hands over when the button is pressed.

    Attributes
    ----------
    pairs : sequence of (Image, ndarray of uint32)
        Images, and a copy of what is painted on each, ``(..., Y, X)``.
    active : str
        Name of the model in use.
    session_models : frozenset of str
        sha256 of the models that were made of this session's paint.
    settings : FinetuneSettings
        Time and seed.
    seen : tuple of float or None
        Diameter that the model in use took the objects of each image for, image pixels.
    class_names : tuple of str
        Names of the classes, background first, if classes are painted, not objects.
    remark : str
        What the person is told meanwhile.
    folder : Pairs or None
        Files to learn objects from as well.
    painted_files : frozenset of Path
        Files of the images of `pairs`; those of them in the folder count once, as painted.
    channel : int or None
        The channel to use of files that have several; None = the average.
    nuclei : int or None
        The channel of stained nuclei of files that have several; None = none.
    """

    pairs: Sequence[tuple[Image, NDArray[np.uint32]]]
    active: str
    session_models: frozenset[str]
    settings: FinetuneSettings
    seen: tuple[float | None, ...] = ()
    class_names: tuple[str, ...] = ()
    remark: str = ""
    folder: Pairs | None = None
    painted_files: frozenset[Path] = frozenset()
    channel: int | None = None
    nuclei: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything is cut out; training begins.

    Attributes
    ----------
    parent : Model
        The model it begins with, unless another learns it better.
    remark : str
        Why that one, where a person may wonder; else empty.
    """

    parent: Model
    remark: str


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """The end: the new model is in the library, a preview, or refused; see ``model.report``.

    Attributes
    ----------
    model : Model
        The new model, or the parent where the new one was refused.
    name : str
        Name the new model has, or would get.
    """

    model: Model
    name: str


RetrainEvent = Prepared | TrainingEvent | Waiting | FinetuneResult


def retrain(request: RetrainRequest, engine: Engine) -> Generator[RetrainEvent, None, None]:
    """Gather what was painted, have the engine learn it, and keep what it judges better.

    Raises
    ------
    InputError
        If there is too little paint, or a file of the folder cannot be used.
    TrainingError, EngineError
        If it cannot be learned, or the engine died.
    """
    active, names = load_model(request.active), request.class_names
    pairs = yield from _all_pairs(request)
    paints = [painted for _, painted in pairs]
    if names:
        check_classes(paints, names)
    if names and active.card.finds_objects:
        parent, remark = active, ""  # it was trained on objects, none of them lost
    else:
        active = active if names else objects_parent(active)
        objects = sum(len(painted_objects(painted)) for painted in paints)
        yield Waiting()
        images = [identity_of(image) for image, _ in pairs]
        parent, remark = choose_parent(
            active, images, objects, session_models=request.session_models
        )
    # a model that keeps what it learned of paint that is not here has no rivals
    parents = [parent] if names or remark else competitors(parent)
    added = CLASSES if names else ADDED
    inputs = yield from gather_all(
        pairs,
        parents,
        lambda one: new_name(one.card.name, added),
        request.settings,
        class_names=names,
        seen=request.seen,
    )
    inputs = replace(inputs, in_use=active)
    yield Prepared(parent, f"{request.remark} {remark}".strip())
    yield from _trained(engine, inputs)


def _all_pairs(
    request: RetrainRequest,
) -> Generator[Waiting, None, list[tuple[Image, NDArray[np.uint32]]]]:
    """Read the folder, and return all there is to learn from."""
    pairs = list(request.pairs)
    yield Waiting()  # between steps that take a while, so that it can be cancelled
    if request.folder is not None:
        files = request.folder.excluding(request.painted_files)
        for pair in read_pairs(files, channel=request.channel, nuclei=request.nuclei):
            pairs.append(pair)
            yield Waiting()
    return pairs


def _trained(engine: Engine, inputs: FinetuneInputs) -> Generator[RetrainEvent, None, None]:
    left = False
    with explained("Making room for the new model"):
        user_folder().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="candidate-", dir=user_folder().parent))
    try:
        for event in engine.finetune(inputs, folder / "new.safetensors"):
            if isinstance(event, Finished):
                left = True  # until it is in the library this file is all there is of it
                name = read_card(event.path).name  # it is called after the parent chosen
                model = _kept(event, inputs.in_use or inputs.parent, name)
                left = event.report.outcome == "preview"
                yield FinetuneResult(
                    model, model.card.name if event.report.outcome == "accepted" else name
                )
                return
            yield event
    finally:
        if not left:
            shutil.rmtree(folder, ignore_errors=True)


def _kept(event: Finished, before: Model, name: str) -> Model:
    try:
        return keep(event, before, name)
    except SaveError as error:
        raise SaveError(
            f"{error} The new model is in {event.path}: import it in the panel Models later."
        ) from error


def new_name(parent: str, added: str = ADDED) -> str:
    """Return a free name for a model retrained from another."""
    stem = parent[:LONGEST].rstrip()
    return free_name(stem if added in stem else stem + added)
