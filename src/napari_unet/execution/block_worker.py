"""Carries out a run's orders in this process: from pixels to objects, from objects to labels."""

import threading
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, assert_never

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegionFinder
from napari_unet.execution.events import NOT_NUMBERS, TOO_LARGE
from napari_unet.execution.executors import FutureOrders
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.execution.orders import (
    AT_ONCE,
    Answer,
    ComputeBlock,
    DecodeBlock,
    DropMaps,
    DropObjects,
    Job,
    Order,
    PredictTile,
    Rank,
    Ranked,
    Suggest,
    TilePredicted,
    TileStored,
    WriteTile,
)
from napari_unet.execution.patches import Patches, PatchesInFolder, PatchesInMemory, patches_of
from napari_unet.execution.probability_maps import (
    MapsInFolder,
    ProbabilityMaps,
    ProbabilityMapStore,
)
from napari_unet.image import Box
from napari_unet.inference.predict import GAVE_UP, Predictor
from napari_unet.inference.threads import AHEAD, WorkerThreads, threads_for
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.labels.drawing import draw_tile
from napari_unet.labels.watershed import Patch, class_block, decode_block
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.tiling.tiles import Tile


class Sink(Protocol):
    """Where labels are written, tile by tile, by several threads at once."""

    def write(self, plane: tuple[int, ...], box: Box, labels: NDArray[np.uint32]) -> None:
        """Write ``(Y, X)`` over one tile of a plane; nothing is ever written twice."""


@dataclass(frozen=True, slots=True)
class ArraySink:
    """Labels in memory, ``(..., Y, X)``."""

    labels: NDArray[np.uint32]

    def write(self, plane: tuple[int, ...], box: Box, labels: NDArray[np.uint32]) -> None:
        """Write one tile."""
        self.labels[plane][box.slices] = labels


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the results of orders lie.

    Attributes
    ----------
    maps : ProbabilityMaps or None
        Of tiles; None = no block shares any.
    patches : Patches or None
        Where objects wait for their tiles; None = they are handed back.
    sink : Sink or None
        Where labels go.
    """

    maps: ProbabilityMaps | None = None
    patches: Patches | None = None
    sink: Sink | None = None


def storage_of(job: Job) -> Storage:
    """Open what a job names."""
    maps: ProbabilityMaps | None = None
    if job.maps is not None:
        maps = (ProbabilityMapStore if job.kept else MapsInFolder)(job.maps, job.plan)
    if job.labels is None:
        return Storage(maps)
    if isinstance(job.labels, Path):
        patches = PatchesInFolder(patches_of(job.labels))
        return Storage(maps, patches, LabelPyramid(job.labels))
    return Storage(maps, PatchesInMemory(), ArraySink(job.labels))


class BlockWorker:
    """Carries out orders of one job, in any thread.

    Parameters
    ----------
    job : Job
        What to compute.
    storage : Storage, optional
        Where results lie; default: what the job names.
    predictor : Predictor, optional
        The model, if it is loaded already; else it is loaded when it is first needed.
    """

    def __init__(
        self, job: Job, storage: Storage | None = None, predictor: Predictor | None = None
    ) -> None:
        self._job, self.plan = job, job.plan
        self._storage = storage_of(job) if storage is None else storage
        self.predictor, self._loading = predictor, threading.Lock()

    def do(self, order: Order) -> Answer | None:
        """Carry out an order."""
        match order:
            case PredictTile(key, pixels):
                return self._predict(key, self._job.pixels(order) if pixels is None else pixels)
            case ComputeBlock(key, pixels):
                return self._compute(key, self._job.pixels(order) if pixels is None else pixels)
            case DecodeBlock(key):
                return self._decode(key, self._maps.read(key[0], self.plan.window(self._tile(key))))
            case WriteTile(tile):
                self._write(tile)
                return TileStored(tile)
            case _:
                return self._do_at_once(order)

    def _do_at_once(self, order: DropMaps | DropObjects | Suggest | Rank) -> Answer | None:
        """Carry out an order that is quick, or that others must not overtake."""
        match order:
            case DropMaps(keys):
                for key in keys:
                    self._maps.drop(key)
            case DropObjects(keys):
                for key in keys:
                    self._patches.drop(key)
            case Suggest(key, painted):
                self._suggest(key, painted)
            case Rank(count):
                return Ranked(tuple(self._ranked(count)))
            case _:
                assert_never(order)
        return None

    def _tile(self, key: Key) -> Tile:
        return self.plan.tiles.tiles[key[1]]

    @property
    def _maps(self) -> ProbabilityMaps:
        assert self._storage.maps is not None, "the job names a folder for maps"
        return self._storage.maps

    @property
    def _patches(self) -> Patches:
        assert self._storage.patches is not None, "the job names a sink"
        return self._storage.patches

    def _predict(self, key: Key, pixels: NDArray[Any]) -> TilePredicted:
        maps, notes = self._look(self._tile(key), pixels)
        self._maps.put(key, maps)
        return TilePredicted(key, notes)

    def _compute(self, key: Key, pixels: NDArray[Any]) -> BlockResult:
        """Find a block's objects in the pixels ``(C, Y, X)`` of its covering tile's source.

        The network runs on the block and all that its objects may reach into at once. Blocks so
        need nothing of each other, and can be computed anywhere, and again.
        """
        return self._decode(key, *self._look(self.plan.covering(key[1]), pixels))

    def _look(self, tile: Tile, pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return the probability map of a tile, and what the person should know."""
        plan, predictor = self.plan, self._loaded()
        maps = predictor.probability_map(pixels, tile, plan.tiles, plan.limits, plan.further)
        notes = [NOT_NUMBERS] if has_holes(pixels) else []
        if predictor.gave_up:
            notes.append(GAVE_UP)
        return maps, tuple(notes)

    def _loaded(self) -> Predictor:
        with self._loading:
            if self.predictor is None:
                plan = self.plan
                self.predictor = Predictor(Path(plan.model_path), plan.device, plan.precision)
            return self.predictor

    def _decode(
        self, key: Key, maps: NDArray[np.uint8], notes: tuple[str, ...] = ()
    ) -> BlockResult:
        """Find a block's objects in its probability map; they wait until tiles are written."""
        patch = patch_of(self.plan, self._tile(key), maps, self._job.decode)
        if reaches_out(self.plan, self._tile(key), patch):
            notes = (*notes, TOO_LARGE.format(self.plan.diameter))
        ids = patch.count if self.plan.card.finds_objects else 0
        if self._storage.patches is None:
            return BlockResult(key, ids, notes, patch)
        self._storage.patches.put(key, patch)
        return BlockResult(key, ids, notes)

    def _write(self, tile: WritableTile) -> None:
        box = self._tile(tile.key).write
        labels = draw_tile(box, ((offset, self._patches.get(k)) for k, offset in tile.sources))
        if labels.any():
            assert self._storage.sink is not None, "the job names a sink"
            self._storage.sink.write(self.plan.planes[tile.key[0]], box, labels)

    @cached_property
    def _finder(self) -> UncertainRegionFinder:
        return UncertainRegionFinder(self.plan.diameter)

    def _suggest(self, key: Key, painted: NDArray[np.uint8]) -> None:
        window, owned = self.plan.window(self._tile(key)), self.plan.owned(self._tile(key))
        maps = self._maps.read(key[0], window)
        self._finder.add(self.plan.planes[key[0]], window, maps, painted, owned=owned)

    def _ranked(self, count: int) -> list[Any]:
        """Rank what was found since the last ranking."""
        finder = self._finder
        del self._finder
        return list(finder.best(count))


def patch_of(
    plan: SegmentPlan, tile: Tile, maps: NDArray[np.uint8], settings: DecodeSettings
) -> Patch:
    """Make the objects of one block from the probability map ``(M, Y, X)`` over its window."""
    window, owned = plan.window(tile), plan.owned(tile)
    if not plan.card.finds_objects:
        return class_block(maps, window, owned)
    channels = plan.card.map_channels
    return decode_block(maps, window, owned, settings, plan.region, channels)


def reaches_out(plan: SegmentPlan, tile: Tile, patch: Patch) -> bool:
    """Whether an object goes on where the block did not look: the other part is missing then."""
    if not plan.card.finds_objects or not patch.count:
        return False
    seen, there = plan.window(tile), plan.tiles.area
    return any(
        patch.box.start[i] == seen.start[i] > there.start[i]
        or patch.box.stop[i] == seen.stop[i] < there.stop[i]
        for i in (0, 1)
    )


def has_holes(window: NDArray[Any]) -> bool:
    """Whether pixels are not numbers, or infinite."""
    return window.dtype.kind == "f" and not bool(np.isfinite(window).all())


class ThreadExecutor:
    """An `executors.Executor`: threads of this process, for library calls and the command line.

    The model stays loaded from job to job; each job gets threads of its own.
    """

    def __init__(self) -> None:
        self._worker: BlockWorker | None = None
        self._threads: WorkerThreads | None = None
        self._orders: FutureOrders | None = None
        self._done: deque[Answer] = deque()

    def open(self, job: Job) -> None:
        """Prepare for a job, and hire its threads."""
        self.abandon()
        self._worker = BlockWorker(job, None, self.predictor_for(job.plan))
        self._threads = WorkerThreads(threads_for(job.plan))
        live = job.labels is None  # then ids follow the order in which blocks arrive
        self._orders = FutureOrders(self._worker, self._threads.pool, in_order=live)

    def predictor_for(self, plan: SegmentPlan) -> Predictor | None:
        """Return the model a plan needs, if it is loaded."""
        worker = self._worker
        if worker is None or _loaded_by(plan) != _loaded_by(worker.plan):
            return None
        return worker.predictor

    @property
    def ahead(self) -> int:
        """How many orders with pixels are given before their answers are back."""
        assert self._threads is not None, "hired when the job was opened"
        return AHEAD * self._threads.count

    def submit(self, order: Order) -> None:
        """Queue an order."""
        assert self._worker is not None, "an order comes after open"
        assert self._orders is not None, "an order comes after open"
        if not isinstance(order, AT_ONCE):
            self._orders.submit(order)
            return
        answer = self._worker.do(order)
        if answer is not None:
            self._done.append(answer)

    def collect(self, timeout: float) -> list[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        found = list(self._done)
        self._done.clear()
        if self._orders is not None:
            found += self._orders.collect(0 if found else timeout)
        return found

    def abandon(self) -> None:
        """Do nothing more of what was ordered, and let the threads go."""
        if self._orders is not None and self._threads is not None:
            self._orders.abandon()
            self._threads.dismiss(wait=True)
        self._orders = self._threads = None
        self._done.clear()


def _loaded_by(plan: SegmentPlan) -> tuple[str, ...]:
    """Everything that decides what is loaded for a plan."""
    return plan.model_path, plan.model_sha, plan.device, plan.precision
