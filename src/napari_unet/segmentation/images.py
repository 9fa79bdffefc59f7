"""An image of any kind: all of it in this process, or step by step with any executor."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.channels import Channel
from napari_unet.errors import InputError
from napari_unet.execution.events import KEEP_ALL, Event, Events
from napari_unet.execution.executors import Executor
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.orders import Job
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.execution.run import live_run, written_run
from napari_unet.image import Image, guess_axes
from napari_unet.io.scratch import temporary_folder
from napari_unet.labels.live_labels import empty_labels
from napari_unet.models.library import Model, load_model
from napari_unet.planning.planner import Where, make_plan
from napari_unet.segmentation.result import Notes, Segmentation
from napari_unet.settings import SegmentSettings, validated_settings
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.tiling.schedule import sharing_pays


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
        also choose a channel, and one of nuclei, by name or number.
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
    notes, labels = Notes(progress), empty_labels(opened.labels_shape)
    notes.texts.extend(opened.notices)
    here = computing_here(chosen)
    plan, count = notes.follow(
        stored_events(opened, found, here, ThreadExecutor(), lambda _: labels)
    )
    return Segmentation(labels, plan, opened, chosen, tuple(notes.texts), count)


def stored_events(
    image: Image,
    model: Model,
    settings: SegmentSettings,
    executor: Executor,
    sink: Callable[[SegmentPlan], NDArray[np.uint32] | Path],
) -> Generator[Event, None, tuple[SegmentPlan, int]]:
    """Segment a whole image, step by step; the labels go to a sink.

    Parameters
    ----------
    image, model, settings
        What to segment, with what, and how.
    executor : Executor
        Computes.
    sink : callable
        Given the plan, returns what takes the labels: an array ``(..., Y, X)`` of this process, or
        the folder of a `LabelPyramid`.

    Returns
    -------
    tuple of SegmentPlan and int
        How it was done, and the number of objects.
    """
    with maps_folder(None) as folder:
        where = Where(anchored=True)
        planned = yield from make_plan(image, model, settings, executor, where, folder)
        plan, cached, ledger = planned.plan, planned.cached_tiles, Ledger(planned.plan)
        maps = folder if cached else waiting_maps(plan, ledger.missing, folder.with_name("tiles"))
        decode, kept = plan.decoding(settings), bool(cached)
        job = Job(plan, decode, image, maps, kept=kept, labels=sink(plan))
        yield from written_run(job, ledger, cached).events(executor)
        return plan, ledger.objects


def computing_here(settings: SegmentSettings) -> SegmentSettings:
    """Return the settings with what "auto" means on this computer, for device and precision."""
    from napari_unet.inference.predict import settled  # noqa: PLC0415  loads torch

    device, precision = settled(settings.device, settings.precision)
    return settings.model_copy(update={"device": device, "precision": precision})


def waiting_maps(plan: SegmentPlan, missing: list[Key], folder: Path) -> Path | None:
    """Return the folder for probability maps, or None where blocks are better apart."""
    return folder if sharing_pays(plan, missing) else None


def open_image(
    array: Any,
    axes: str | None = None,
    channel: Channel | None = None,
    *,
    nuclei: Channel | None = None,
) -> Image:
    """Name the axes of an array.

    Parameters
    ----------
    array : array-like
        Anything with a shape, a type and slicing; a list of numbers is made an array.
    axes : str, optional
        One letter for each dimension; default ``YX``, ``YXC`` for three or four bytes or 16-bit
        values at the end, else leading axes named ``Z``, ``TZ``, ...
    channel : int or str, optional
        Channel to use, from 0; default the average. Of colours also a name: ``"Red"``,
        ``"Green"``, ``"Blue"``, ``"Haematoxylin"`` or ``"Eosin"``.
    nuclei : int or str, optional
        Channel of stained nuclei, for a model that takes them as well; default none.
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
    letters = axes or guess_axes(tuple(array.shape), dtype)
    return Image(array, letters).choosing(channel, nuclei)


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
    with maps_folder(where.cache) as folder:
        planned = yield from make_plan(image, model, settings, executor, where, folder)
        plan = planned.plan
        budget = where.cache.budget(folder, plan) if where.cache else KEEP_ALL
        job = Job(plan, plan.decoding(settings), image, folder)
        run = live_run(job, plan.blocks(where.centre, where.first), planned.cached_tiles, budget)
        yield from run.events(executor)


@contextmanager
def maps_folder(cache: ProbabilityMapCache | None) -> Iterator[Path]:
    """Give a folder of the cache, which is kept, or a temporary one, which is deleted."""
    if cache is not None:
        yield cache.reserve()
        return
    with temporary_folder("napari-unet-") as temporary:
        yield temporary / "probability-maps"
