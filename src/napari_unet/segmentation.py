"""Use case: segment an image. Intent and facts → frozen plan → generator of events → result.

The same generator serves the panel (with the engine), the command line and library calls
(in this process): the consumer may stop at any time, and what is done stays.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.execution.events import KEEP_ALL, Event, Events, Notice, ObjectsFound
from napari_unet.execution.executors import Executor
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.orders import Job
from napari_unet.execution.patches import maps_of, scratch_of
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.execution.run import live_run, written_run
from napari_unet.execution.slide import (
    Logbook,
    SlidePlan,
    SlideRequest,
    Source,
    noted,
    request_slide,
)
from napari_unet.image import Image, guess_axes
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.labels.live_labels import empty_labels
from napari_unet.models.library import Model, load_model
from napari_unet.planning.planner import Where, make_plan
from napari_unet.settings import SegmentSettings, validated_settings
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.tiling.schedule import sharing_pays

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

Kind = TypeVar("Kind")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result of `segment`.

    Attributes
    ----------
    labels : ndarray of uint32
        ``(..., Y, X)`` on the image's grid, 0 = background, one id for each object.
    plan : SegmentPlan
        How it was made: model, diameter, grey-value range.
    image : Image
        What it was made from.
    settings : SegmentSettings
        What was asked for.
    notices : tuple of str
        What the person should know.
    count : int
        Number of objects; 0 for classes.
    """

    labels: NDArray[np.uint32]
    plan: SegmentPlan
    image: Image
    settings: SegmentSettings
    notices: tuple[str, ...] = ()
    count: int = 0

    @cached_property
    def objects(self) -> "pd.DataFrame":
        """One row for each object: id, centroid, area, diameter, mean intensity."""
        from napari_unet.measure import measure  # noqa: PLC0415  loads pandas

        return measure(
            self.labels, self.image, pixel_size=self.image.pixel_size, unit=self.image.unit
        )

    @property
    def record(self) -> dict[str, Any]:
        """How the labels were made, as plain values for metadata and files."""
        return record(self.plan, self.settings)


def record(plan: SegmentPlan, settings: SegmentSettings) -> dict[str, Any]:
    """Return settings, model and versions as plain values."""
    from importlib.metadata import version  # noqa: PLC0415  slow, and rarely needed

    return {
        "settings": settings.model_dump(mode="json"),
        "decode": plan.decoding(settings).model_dump(mode="json"),
        "model": plan.card.name,
        "model_sha256": plan.model_sha,
        "diameter": plan.diameter,
        "zoom": plan.zoom,
        "grey_values": plan.limits,
        "device": plan.device,
        "precision": plan.precision,
        "tile": plan.tile,
        **({} if plan.card.finds_objects else {"class_names": list(plan.card.class_names)}),
        "versions": {name: version(name) for name in ("napari-unet-interactive", "torch", "numpy")},
    }


def segment(
    image: Any,
    model: str | Path | Model = "nuclei",
    *,
    axes: str | None = None,
    settings: SegmentSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
    **changes: Any,
) -> Segmentation:
    """Segment an image in this process.

    Parameters
    ----------
    image : array-like or Image
        NumPy, dask or zarr array of any integer, float or bool type, or an `Image`.
    model : str, Path or Model
        Name in the library, path of a model file, or what `load_model` returned.
    axes : str, optional
        One letter for each dimension, such as "ZYX"; default guessed by `open_image`, which can
        also choose a channel.
    settings : SegmentSettings, optional
        All settings; single ones can be given by name as well, such as ``diameter=24``.
    progress : callable, optional
        Called with the number of tiles done and the number in all.

    Returns
    -------
    Segmentation
        ``result.labels`` uint32 ``(..., Y, X)``; ``result.objects`` one row for each object.

    Raises
    ------
    InputError
        If the image or a setting cannot be used.
    ModelError
        If the model cannot be used.
    """
    from napari_unet.execution.block_worker import ThreadExecutor  # noqa: PLC0415  loads torch

    opened = image if isinstance(image, Image) else open_image(image, axes)
    found = model if isinstance(model, Model) else load_model(model)
    given = (settings or SegmentSettings()).model_dump()
    chosen = validated_settings(**{**given, "model": found.card.name, **changes})
    notes, executor, where = Notes(progress), ThreadExecutor(), Where(anchored=True)
    labels = empty_labels(opened.labels_shape)
    with _folder(None) as folder:
        planning = make_plan(opened, found, _computing_here(chosen), executor, where, folder)
        planned = notes.follow(planning)
        plan, cached, ledger = planned.plan, planned.cached_tiles, Ledger(planned.plan)
        maps = folder if cached else _waiting_maps(plan, ledger.missing, folder.with_name("tiles"))
        decode = plan.decoding(chosen)
        job = Job(plan, decode, opened, maps, kept=bool(cached), labels=labels)
        notes.follow(written_run(job, ledger, cached).events(executor))
    return Segmentation(labels, plan, opened, chosen, tuple(notes.texts), ledger.objects)


def _computing_here(settings: SegmentSettings) -> SegmentSettings:
    """Return the settings with what "auto" means on this computer, for device and precision."""
    from napari_unet.inference.predict import settled  # noqa: PLC0415  loads torch

    device, precision = settled(settings.device, settings.precision)
    return settings.model_copy(update={"device": device, "precision": precision})


def _waiting_maps(plan: SegmentPlan, missing: list[Key], folder: Path) -> Path | None:
    """Return the folder for probability maps, or None where blocks are better apart."""
    return folder if sharing_pays(plan, missing) else None


@dataclass(slots=True)
class Notes:
    """What a person should know of a run that is followed to its end.

    Attributes
    ----------
    progress : callable or None
        Called with the number of blocks done and the number in all.
    texts : list of str
        Every notice, once.
    """

    progress: Callable[[int, int], None] | None = None
    texts: list[str] = field(default_factory=list)

    def follow(self, events: Generator[Event, None, Kind]) -> Kind:
        """Consume events; return what the generator returns."""
        with contextlib.closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    kept: Kind = end.value
                    return kept
                if isinstance(event, Notice) and event.text not in self.texts:
                    self.texts.append(event.text)
                if isinstance(event, ObjectsFound) and self.progress:
                    self.progress(event.done, event.total)


def open_image(array: Any, axes: str | None = None, channel: int | None = None) -> Image:
    """Name the axes of an array.

    Parameters
    ----------
    array : array-like
        Anything with a shape, a type and slicing; a list of numbers is made an array.
    axes : str, optional
        One letter for each dimension; default ``YX``, ``YXC`` for three or four bytes or 16-bit
        values at the end, else leading axes named ``Z``, ``TZ``, ...
    channel : int, optional
        Channel to use; default the average.
    """
    try:
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            array = np.asarray(array)
        dtype = np.dtype(array.dtype)
    except (TypeError, ValueError) as error:  # a list of rows of different lengths, a torch tensor
        raise InputError(
            f"A {type(array).__name__} was given that NumPy cannot read as an image ({error}). "
            "Convert it to a NumPy, dask or zarr array first."
        ) from error
    return Image(array, axes or guess_axes(tuple(array.shape), dtype), channel)


def segment_events(
    image: Image,
    model: Model,
    settings: SegmentSettings,
    executor: Executor,
    *,
    where: Where | None = None,
) -> Events:
    """Segment, step by step; objects come back block by block.

    Parameters
    ----------
    image : Image
        What to segment.
    model : Model
        What to segment with.
    settings : SegmentSettings
        Diameter, thresholds, tile size, device.
    executor : Executor
        Computes.
    where : Where, optional
        Which part; default everything.

    Yields
    ------
    Event
        `Started` first, then `ObjectsFound` for every block; `Waiting` at least every
        `HEARTBEAT` seconds between them where the executor works elsewhere.
    """
    where = where or Where()
    with _folder(where.cache) as folder:
        planned = yield from make_plan(image, model, settings, executor, where, folder)
        plan = planned.plan
        budget = where.cache.budget(folder, plan) if where.cache else KEEP_ALL
        job = Job(plan, plan.decoding(settings), image, folder)
        run = live_run(job, plan.blocks(where.centre), planned.cached_tiles, budget)
        yield from run.events(executor)


def segment_slide(
    source: str | Path | Source,
    output: str | Path,
    model: str | Path | Model = "nuclei",
    *,
    settings: SegmentSettings | None = None,
    client: "Client | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Segment an image file of any size, on this computer or on a cluster.

    Parameters
    ----------
    source : path-like or Source
        Image file or OME-Zarr folder.
    output : path-like
        Folder to write, ending in ``.zarr``. If it holds an unfinished result of the same image,
        model and settings, that is finished.
    model : str, Path or Model
        Name in the library, path of a model file, or what `load_model` returned.
    settings : SegmentSettings, optional
        All settings.
    client : distributed.Client, optional
        A cluster whose workers see image and output under the same path; default: threads here.
    progress : callable, optional
        Called with the number of blocks done and the number in all.

    Returns
    -------
    Segmentation
        ``result.labels`` is the finest level of the folder, uint32 ``(..., Y, X)``, on disk.

    Raises
    ------
    InputError
        If the image or a setting cannot be used, or `output` holds something else.
    ModelError
        If the model cannot be used.
    EngineError
        If the cluster has no workers.
    """
    request = request_slide(source, output, model, settings)
    result = run_slide(request, client=client, progress=progress)
    shutil.rmtree(scratch_of(request.output))
    return result


def run_slide(
    request: SlideRequest,
    *,
    client: "Client | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Segment into a folder, and leave it marked as unfinished.

    Asked for again, there is nothing to do and the same is returned: for a caller who has more to
    do with the result, and may fail.
    """
    from napari_unet.execution.block_worker import ThreadExecutor  # noqa: PLC0415  loads torch

    notes, target, here = Notes(progress), request.output, ThreadExecutor()
    with request.claimed():
        slide = request.resumed() or notes.follow(_begun(request, here, client))
        ledger, logbook = Ledger(slide.plan), Logbook(slide.scratch / "done.jsonl")
        logbook.restore(ledger, slide.patches.intact)
        shutil.rmtree(maps_of(target), ignore_errors=True)  # of a run that was stopped
        shared = None if client else _waiting_maps(slide.plan, ledger.missing, maps_of(target))
        run = written_run(slide.open(request.image, shared), ledger)
        with _executor(slide, here, client) as executor:
            notes.follow(noted(run.events(executor), slide, logbook))
        pyramid = LabelPyramid(target)
        pyramid.note(record(slide.plan, request.settings))
    labels, texts = pyramid.levels[0], tuple(notes.texts)
    return Segmentation(labels, slide.plan, request.image, request.settings, texts, ledger.objects)


def _begun(
    request: SlideRequest, here: Executor, client: "Client | None"
) -> Generator[Event, None, SlidePlan]:
    """Plan, and make the folder."""
    image, model, settings = request.image, request.model, request.settings
    where = Where(request.source.region, apart=client is not None, anchored=True)
    local = settings if client is not None else _computing_here(settings)
    with _folder(None) as probes:
        plan = (yield from make_plan(image, model, local, here, where, probes)).plan
    if client is not None:
        from napari_unet.execution.cluster import computing  # noqa: PLC0415  an extra

        device, precision = computing(client, plan.device, plan.precision)
        plan = replace(plan, device=device, precision=precision)
    return request.begin(plan)


@contextmanager
def _executor(slide: SlidePlan, here: Executor, client: "Client | None") -> Iterator[Executor]:
    """Give the executor: threads of this process, or a cluster."""
    if client is None:
        yield here
        return
    from napari_unet.execution.cluster import cluster_executor  # noqa: PLC0415  an extra

    with cluster_executor(slide, client) as executor:
        yield executor


@contextmanager
def _folder(cache: ProbabilityMapCache | None) -> Iterator[Path]:
    """Give a folder of the cache, which is kept, or a temporary one, which is deleted."""
    if cache is not None:
        yield cache.reserve()
        return
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary:
        yield Path(temporary) / "probability-maps"
