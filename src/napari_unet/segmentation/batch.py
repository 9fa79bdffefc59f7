"""Use case: segment many images one after the other, each into files of its own.

What one image makes impossible is told, and the next one begins. Results that are there are left
alone, so a batch that was stopped goes on when it is asked for again.
"""

import logging
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_unet.errors import UNetError
from napari_unet.execution.events import Event, ObjectsFound, Waiting
from napari_unet.execution.executors import Executor
from napari_unet.execution.patches import patches_of
from napari_unet.image import Image
from napari_unet.io.atomic import claimed
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.results import Target
from napari_unet.io.scratch import Scratch
from napari_unet.models.library import Model
from napari_unet.segmentation.files import check_finishing, finished, is_large, save_result, summary
from napari_unet.segmentation.images import stored_events
from napari_unet.segmentation.result import Notes, Segmentation
from napari_unet.settings import FilterSettings, LinkSettings, SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

log = logging.getLogger(__name__)
UNEXPECTED = "Something unexpected went wrong ({kind}: {text}); the log tells more."
HALF = (
    "{} is there without {}. It may hold corrections; tick Overwrite to make the whole result "
    "anew, or move it."
)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One image of a batch.

    Attributes
    ----------
    name : str
        What it is called on the screen.
    target : Target
        Where its result goes.
    open : callable
        Opens the image; `UNetError` if that is not possible.
    """

    name: str
    target: Target
    open: Callable[[], Image]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What all images of a batch have in common.

    Attributes
    ----------
    model : Model
        Segments.
    settings : SegmentSettings
        Diameter, thresholds and others.
    kinds : tuple of str
        What is written beside the labels; see `napari_unet.io.results.EXPORTS`.
    linking : LinkSettings or None
        How planes are linked; None = each plane stays by itself.
    filters : FilterSettings
        Which objects are left out; default none.
    overwrite : bool
        Whether results that exist are replaced; default they are left alone.
    scratch : Scratch
        Where labels lie until they are whole.
    """

    model: Model
    settings: SegmentSettings
    scratch: Scratch
    kinds: tuple[str, ...] = ("csv",)
    linking: LinkSettings | None = field(default_factory=LinkSettings)
    filters: FilterSettings = field(default_factory=FilterSettings)
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class ItemProgress:
    """How far an image is: tiles done, and all of them; 0 of 0 while it is looked at."""

    number: int
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An image has its result: what was found, and what a person should know."""

    number: int
    text: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemSkipped:
    """An image has a result already."""

    number: int


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """An image has no result, and why."""

    number: int
    text: str


BatchEvent = ItemProgress | ItemDone | ItemSkipped | ItemFailed | Waiting


def batch_events(
    items: Sequence[BatchItem], settings: BatchSettings, executor: Executor
) -> Generator[BatchEvent, None, None]:
    """Segment images one after the other; to stop, close the generator.

    Parameters
    ----------
    items : sequence of BatchItem
        The images.
    settings : BatchSettings
        What they have in common.
    executor : Executor
        Computes.

    Yields
    ------
    BatchEvent
        Of every image its progress, then one of `ItemDone`, `ItemSkipped` and `ItemFailed`.
    """
    for number, item in enumerate(items):
        try:
            yield from _segment(number, item, settings, executor)
        except (UNetError, OSError, MemoryError) as error:
            log.warning("%s: %s", item.target.scene.path, error)
            yield ItemFailed(number, str(error) or type(error).__name__)
        except Exception as error:  # the images after it are not to suffer
            log.exception("%s", item.target.scene.path)
            kind = type(error).__name__
            yield ItemFailed(number, UNEXPECTED.format(kind=kind, text=error))


def _segment(
    number: int, item: BatchItem, settings: BatchSettings, executor: Executor
) -> Iterator[BatchEvent]:
    """Make the result of one image."""
    existing, missing = item.target.existing, item.target.missing(settings.kinds)
    if existing and not settings.overwrite:
        yield ItemFailed(number, _half(existing, missing)) if missing else ItemSkipped(number)
        return
    yield ItemProgress(number)
    image, folder = item.open(), settings.scratch.reserve().with_suffix(".zarr")
    try:
        with claimed(item.target.path):
            check_finishing(image, settings.model.card, settings.linking, settings.filters)
            found = yield from _labelled(number, image, settings, executor, folder)
            result = finished(found, settings.linking, settings.filters)
            save_result(result, item.target, settings.kinds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what is left of it goes with the process
    yield ItemDone(number, summary(result), result.notices)


def _half(existing: list[Path], missing: list[Path]) -> str:
    there, absent = (" and ".join(path.name for path in some) for some in (existing, missing))
    return HALF.format(there, absent)


def _labelled(
    number: int, image: Image, settings: BatchSettings, executor: Executor, folder: Path
) -> Generator[BatchEvent, None, Segmentation]:
    """Segment one image into a folder, and read the labels from there."""
    chosen = settings.settings.model_copy(update={"model": settings.model.card.name})

    def sink(plan: SegmentPlan) -> Path:
        patches_of(folder).mkdir(parents=True, exist_ok=True)
        LabelPyramid.create_for(image, folder, plan.tiles.step)
        return folder

    notes = Notes(texts=[*image.notices])
    events = stored_events(image, settings.model, chosen, executor, sink)
    with closing(events):
        plan, count = yield from _told(number, events, notes)
    stored = LabelPyramid(folder).levels[0]
    labels = stored if is_large(image) else np.asarray(stored[...])
    return Segmentation(labels, plan, image, chosen, tuple(notes.texts), count)


def _told(
    number: int, events: Generator[Event, None, tuple[SegmentPlan, int]], notes: Notes
) -> Generator[BatchEvent, None, tuple[SegmentPlan, int]]:
    """Tell how far a run is; return what the run returns."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            made: tuple[SegmentPlan, int] = end.value
            return made
        notes.hear(event)
        if isinstance(event, ObjectsFound):
            yield ItemProgress(number, event.done, event.total)
        else:
            yield Waiting()
