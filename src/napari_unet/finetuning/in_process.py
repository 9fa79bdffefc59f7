"""A retraining in this process, for the command line and library calls."""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from napari_unet.errors import InputError, ModelError
from napari_unet.finetuning.gathering import at_once, gather_all
from napari_unet.image import Image
from napari_unet.models.library import Model, load_model, model_files, user_folder
from napari_unet.models.names import save_name
from napari_unet.models.store import add
from napari_unet.segmentation import open_image
from napari_unet.settings import FinetuneSettings, checked
from napari_unet.training.events import Finished, TrainingStep


def finetune(
    model: str | Path | Model | Sequence[str | Path | Model],
    pairs: Sequence[tuple[Any, ArrayLike]],
    *,
    name: str,
    time_limit: float = 60.0,
    class_names: Sequence[str] = (),
    progress: Callable[[TrainingStep], None] | None = None,
) -> Model:
    """Retrain a model in this process.

    Parameters
    ----------
    model : str, Path or Model, or a sequence of them
        The parent: a name in the library, the path of a model file, or a loaded model. Begin with
        the same parent each time and give all pairs so far. Of several the one goes on that learns
        it best in the first seconds; the new model must beat the first of them. The first learns
        classes.
    pairs : sequence of (image, painted)
        Images as for `segment`; painted arrays ``(..., Y, X)``: 0 = unlabelled, `BACKGROUND` (or
        -1) = background, else the id of an object.
    name : str
        Name of the new model in the library.
    time_limit : float
        Seconds; how long it may take.
    class_names : sequence of str, optional
        Names of classes, background first, if classes were painted (id = class) instead of
        objects; gives a class model for the images' own channels, colour included.
    progress : callable, optional
        Called with a `TrainingStep` after every step.

    Returns
    -------
    Model
        With ``model.report``. If the new model is accepted it is in the library under `name`; if
        too little was held out to judge, it is a file beside the library; if it is refused, the
        parent is returned, which ``model.report.parent`` names in any case.

    Raises
    ------
    InputError
        If there is too little paint, it does not fit its image, or the time cannot be used.
    ModelError
        If the parent cannot be used, or the name is taken.
    """
    from napari_unet.training.finetune import finetune_events  # noqa: PLC0415  loads torch

    settings = checked(FinetuneSettings, time_limit=time_limit)
    given = [model] if isinstance(model, str | Path | Model) else model
    if not given:
        raise InputError("There is no model to begin with. Name one, such as 'nuclei'.")
    parents = [one if isinstance(one, Model) else load_model(one) for one in given]
    if save_name(name).casefold() in {known.casefold() for known in model_files()}:
        raise ModelError(f"There is a model called {name!r} already. Choose another name.")
    opened = [(i if isinstance(i, Image) else open_image(i), p) for i, p in pairs]
    steps = gather_all(opened, parents, lambda _: name, settings, class_names=class_names)
    inputs = replace(at_once(steps), in_use=parents[0])
    user_folder().parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="candidate-", dir=user_folder().parent))
    (plan, windows), *others = inputs.trainings(folder / "new.safetensors")
    events = finetune_events(plan, windows, others=others)
    try:
        for event in events:
            if isinstance(event, Finished):
                return keep(event, inputs.named(event.report.parent), name)
            if progress:
                progress(event)
    finally:
        with contextlib.suppress(OSError):  # not empty: it holds a preview
            folder.rmdir()
    raise AssertionError("the events end with Finished")


def keep(event: Finished, parent: Model, name: str) -> Model:
    """Put an accepted model into the library, leave a preview where it is, drop a refused one."""
    report = event.report
    if report.outcome == "refused":
        event.path.unlink()
        return replace(parent, report=report)
    path = add(event.path, name) if report.outcome == "accepted" else event.path
    return replace(load_model(path), report=report)
