"""Use case: segment an image. Intent and facts → frozen plan → generator of events → result.

The same generator serves the panel (with the engine), the command line and library calls
(in this process): whoever consumes it may stop at any time, and what is done stays.
"""

import contextlib
import logging
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
from napari_unet.execution.class_map_cache import ClassMapCache
from napari_unet.execution.events import KEEP_ALL, Event, Events, Notice, Started, run
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.patches import PatchesInMemory
from napari_unet.execution.pool import Pool
from napari_unet.execution.run import BlockDone, BlockEvent, Crew, run_blocks
from napari_unet.execution.tasks import Backend
from napari_unet.image import Image, guess_axes
from napari_unet.labels.live_labels import empty_labels
from napari_unet.models.library import Model, load_model
from napari_unet.planning.planner import Where, make_plan
from napari_unet.settings import DecodeSettings, SegmentSettings, validated_settings
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.schedule import Schedule

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
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
        "decode": decoding(plan, settings).model_dump(mode="json"),
        "model": plan.card.name,
        "model_sha256": plan.model_sha,
        "diameter": plan.diameter,
        "zoom": plan.zoom,
        "grey_values": plan.limits,
        "device": plan.device,
        "precision": plan.precision,
        "tile": plan.tile,
        **({"class_names": list(plan.card.class_names)} if plan.card.kind == "classes" else {}),
        "versions": {name: version(name) for name in ("napari-unet-interactive", "torch", "numpy")},
    }


def decoding(plan: SegmentPlan, settings: SegmentSettings) -> DecodeSettings:
    """Return the thresholds to use: the person's, else the card's."""
    return settings.decode or plan.card.decode_for(plan.found or settings.diameter)


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
    from napari_unet.execution.block_worker import ArraySink, Hand, Maker  # noqa: PLC0415  loads torch
    from napari_unet.execution.class_maps import ClassMapStore  # noqa: PLC0415  loads zarr
    from napari_unet.execution.local import LocalBackend  # noqa: PLC0415  loads torch
    from napari_unet.execution.sharing import crew_for  # noqa: PLC0415  loads torch
    from napari_unet.inference.predict import settled  # noqa: PLC0415  loads torch
    from napari_unet.inference.threads import thread_pool  # noqa: PLC0415  loads torch

    opened = image if isinstance(image, Image) else open_image(image, axes)
    found = model if isinstance(model, Model) else load_model(model)
    given = (settings or SegmentSettings()).model_dump()
    chosen = validated_settings(**{**given, "model": found.card.name, **changes})
    notes = Notes(progress)
    labels, where = empty_labels(opened.labels_shape), Where(anchored=True)
    with _folder(None) as folder:
        looker = LocalBackend()
        plan = notes.follow(make_plan(opened, found, chosen, looker, where, folder))
        loaded = looker.predictor_for(plan)
        plan = on(plan, settled(plan.device, plan.precision))
        sink, waiting = ArraySink(labels), PatchesInMemory()
        hand = Hand(opened, Maker(plan, decoding(plan, chosen), waiting, sink, loaded))
        if where.have:
            hand.use(ClassMapStore(folder, plan), where.have)
        ledger = Ledger(plan)
        with thread_pool(plan) as (pool, ahead):
            crew: Crew = Pool(hand, pool, ahead)
            if not where.have:  # else most class maps are there
                waiting_maps = folder.with_name("tiles")
                crew = crew_for(hand, plan, waiting_maps, ledger.missing, (pool, ahead))
            notes.follow(run_blocks(ledger, crew))
    return Segmentation(labels, plan, opened, chosen, tuple(notes.texts), ledger.objects)


def on(plan: SegmentPlan, computing: tuple[str, str]) -> SegmentPlan:
    """Return a plan that says where and in what numbers it is computed, whoever computes it."""
    device, precision = computing
    return replace(plan, device=device, precision=precision)


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

    def follow(self, events: Generator[Event | BlockEvent, None, Kind]) -> Kind:
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
                if isinstance(event, BlockDone) and self.progress:
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
    backend: Backend,
    *,
    where: Where | None = None,
) -> Events:
    """Segment, step by step.

    Parameters
    ----------
    image : Image
        What to segment.
    model : Model
        What to segment with.
    settings : SegmentSettings
        Diameter, thresholds, tile size, device.
    backend : Backend
        Who computes.
    where : Where, optional
        Which part; default everything.

    Yields
    ------
    Event
        `Started` first, then `TileDone` for every block; `Waiting` at least every
        `HEARTBEAT` seconds between them where the backend works elsewhere.
    """
    where = where or Where()
    with _folder(where.cache) as folder:
        plan = yield from make_plan(image, model, settings, backend, where, folder)
        budget = where.cache.budget(folder, plan) if where.cache else KEEP_ALL
        backend.open(plan, folder)
        yield Started(plan, folder, budget)
        schedule = Schedule(plan, plan.blocks(where.centre), where.have, budget)
        yield from run(plan, image, decoding(plan, settings), backend, schedule)


@contextmanager
def _folder(cache: ClassMapCache | None) -> Iterator[Path]:
    """Give a folder of the cache, which is kept, or a temporary one, which is deleted."""
    if cache is not None:
        yield cache.reserve()
        return
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary:
        yield Path(temporary) / "class-maps"
