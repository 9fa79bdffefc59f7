"""Which model fits an image: each probes a small part of it, and one is named."""

from collections.abc import Generator, Sequence
from pathlib import Path

from napari_unet.execution.events import Event
from napari_unet.execution.executors import Executor
from napari_unet.image import Image
from napari_unet.models.library import Model
from napari_unet.planning.object_size import Probing, find_object_size, probe_folders
from napari_unet.planning.planner import Where, begin_plan
from napari_unet.settings import SegmentSettings

# Times as much must be found by a model that is named instead of the first. (On all 77 validation
# images: `cells-phase` finds 4.5 to 25 times as much as `nuclei` in phase contrast, and at most
# 2.1 times as much in others; `benchmarks.accuracy --chosen` counts what is chosen.)
CLEARLY = 3.0
LEAST = 0.02  # of what was probed that its objects cover; less may be a speck


def best_model(
    image: Image, models: Sequence[Model], executor: Executor, where: Where, folder: Path
) -> Generator[Event, None, Model]:
    """Find the model that knows most of what an image shows.

    Parameters
    ----------
    image : Image
        The image.
    models : sequence of Model
        What to choose from; the first is kept where it is sure of what it finds. Each is kept
        unless a later one clearly finds more.
    executor : Executor
        Computes.
    where : Where
        The part of the image that matters.
    folder : Path
        Probability maps are kept beside it while probing.

    Returns
    -------
    Model
        The one whose objects, as large as it is used to and surely found, cover most.
    """
    first = models[0]
    known = yield from _probe(image, first, executor, where, folder)
    if known.sure and known.fit > LEAST:
        return first
    best, most = first, known.fit
    for model in models[1:]:
        fit = (yield from _probe(image, model, executor, where, folder)).fit
        if fit > max(LEAST, CLEARLY * most):
            best, most = model, fit
    return best


def _probe(image: Image, model: Model, executor: Executor, where: Where, folder: Path) -> Probing:
    plan = yield from begin_plan(image, model, SegmentSettings(), where)
    with probe_folders(folder) as folders:
        # the same probe for all, or what they cover could not be compared
        return (yield from find_object_size(plan, image, executor, folders))
