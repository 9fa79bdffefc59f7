"""Which model fits an image: each probes a small part of it, and one is named."""

import logging
from collections.abc import Generator, Sequence
from pathlib import Path

from napari_unet.execution.events import Event
from napari_unet.execution.executors import Executor
from napari_unet.image import Image
from napari_unet.models.library import Model
from napari_unet.planning.object_size import probe_folders
from napari_unet.planning.planner import Where, begin_plan
from napari_unet.planning.steadiness import steadiness
from napari_unet.planning.told_size import find_size
from napari_unet.settings import SegmentSettings

# More than another model a later one must be steady in an image to be named. The models are in the
# order in which they are to be preferred.
CLEARLY = 0.05
LEAST = 0.02  # of what was probed that objects cover; less may be a speck
log = logging.getLogger(__name__)


def best_model(
    image: Image, models: Sequence[Model], executor: Executor, where: Where, folder: Path
) -> Generator[Event, None, Model]:
    """Find the model that knows most of what an image shows.

    Parameters
    ----------
    image : Image
        The image.
    models : sequence of Model
        What to choose from, in the order of preference; the first is kept where it is sure of what
        it finds. Each is kept unless a later one is clearly steadier.
    executor : Executor
        Computes.
    where : Where
        The part of the image that matters.
    folder : Path
        Probability maps are kept beside it while probing.

    Returns
    -------
    Model
        The one that finds the same objects where the image is enlarged.
    """
    first = models[0]
    best, most = first, 0.0
    for model in models:
        seen = image.for_model(nuclei=model.card.spec.nuclei)
        plan = yield from begin_plan(seen, model, SegmentSettings(), where)
        with probe_folders(folder) as folders:
            probe = yield from find_size(plan, seen, executor, folders)
            if model is first and probe.sure and probe.fit > LEAST:
                return first
            steady = yield from steadiness(probe, seen, executor, folders)
        log.info("%s is steady by %.2f", model.card.name, steady)
        if steady > most + (0 if model is first else CLEARLY):
            best, most = model, steady
    return best
