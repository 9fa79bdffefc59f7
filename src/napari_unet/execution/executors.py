"""What a run orders, what comes back, and who does it: threads, machines, or the engine."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import Executor as FuturesExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegion
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.image import Image
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan

if TYPE_CHECKING:
    Array = NDArray[Any]
else:
    Array = Any  # pydantic writes and reads all fields but the array


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What an executor prepares for.

    Attributes
    ----------
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    image : Image or None
        What to read; None where nothing is read.
    maps : Path or None
        Where probability maps lie; None = blocks share none.
    kept : bool
        Whether these maps stay, compressed, after the run; else they only wait for their blocks.
    labels : ndarray of uint32, Path or None
        The sink: an array ``(..., Y, X)``, or an OME-Zarr folder; None = each block's objects come
        back to whoever runs the plan, such as a live layer.
    """

    plan: SegmentPlan
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    image: Image | None = None
    maps: Path | None = None
    kept: bool = True
    labels: NDArray[np.uint32] | Path | None = None

    def pixels(self, order: "PredictTile | ComputeBlock") -> NDArray[Any]:
        """Read the pixels ``(C, Y, X)`` that an order is about."""
        assert self.image is not None, "only a job with an image is given such orders"
        (plane, number), plan = order.key, self.plan
        own = isinstance(order, PredictTile)
        return plan.read(
            self.image, plane, plan.tiles.tiles[number] if own else plan.covering(number)
        )


@dataclass(frozen=True, slots=True, eq=False)
class PredictTile:
    """Compute and keep the probability map of a tile.

    Attributes
    ----------
    key : Key
        The tile.
    array : ndarray or None
        Its pixels ``(C, Y, X)``; None = the executor reads them.
    """

    key: Key
    array: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ComputeBlock:
    """Find a block's objects in pixels: the network runs on all that is decoded with the block.

    Such blocks wait for no neighbour, and their probability maps are not kept.

    Attributes
    ----------
    key : Key
        The block.
    array : ndarray or None
        Its pixels ``(C, Y, X)``; None = the executor reads them.
    """

    key: Key
    array: Array | None = None


@dataclass(frozen=True, slots=True)
class DecodeBlock:
    """Find a block's objects in probability maps that are there."""

    key: Key


@dataclass(frozen=True, slots=True)
class WriteTile:
    """Write a tile of the result."""

    tile: WritableTile


@dataclass(frozen=True, slots=True)
class DropMaps:
    """Forget the probability maps of tiles."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class DropObjects:
    """Forget the objects of blocks."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Suggest:
    """Look for uncertain regions in a block.

    Attributes
    ----------
    key : Key
        The block.
    array : ndarray of uint8
        ``(Y, X)`` over the block's window, what is painted; 0 = nothing.
    """

    key: Key
    array: Array


@dataclass(frozen=True, slots=True)
class Rank:
    """Rank what was found in the blocks since the last ranking, and keep the first `count`."""

    count: int


Order = (
    PredictTile | ComputeBlock | DecodeBlock | WriteTile | DropMaps | DropObjects | Suggest | Rank
)
AT_ONCE = DropMaps | DropObjects | Suggest | Rank  # quick, or one after the other


@dataclass(frozen=True, slots=True)
class TilePredicted:
    """The probability map of a tile is kept.

    Attributes
    ----------
    key : Key
        The tile.
    notes : tuple of str
        What the person should know, in sentences.
    """

    key: Key
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TileStored:
    """A tile of the result is in the sink."""

    tile: WritableTile


@dataclass(frozen=True, slots=True)
class Ranked:
    """The regions where the model is least sure, best first."""

    spots: tuple[UncertainRegion, ...]


Answer = TilePredicted | BlockResult | TileStored | Ranked


class Executor(Protocol):
    """Carries out orders, several at a time."""

    @property
    def ahead(self) -> int:
        """How many orders with pixels are given before their answers are back."""

    def open(self, job: Job) -> None:
        """Prepare for a job; orders of an earlier one are dropped."""

    def submit(self, order: Order) -> None:
        """Queue an order."""

    def collect(self, timeout: float) -> Sequence[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""

    def abandon(self) -> None:
        """Do nothing more of what was ordered."""


class Work(Protocol):
    """Carries out one order; `block_worker.BlockWorker`, or one that stands for it."""

    def do(self, order: Order) -> Answer | None:
        """Carry out an order."""


class FutureOrders:
    """Orders that a pool of threads, or of machines, carries out.

    Parameters
    ----------
    work : Work
        Does one.
    pool : concurrent.futures.Executor
        Runs it.
    in_order : bool
        Whether answers come in the order of the orders.
    """

    def __init__(self, work: Work, pool: FuturesExecutor, *, in_order: bool = False) -> None:
        self._work, self._pool, self._in_order = work, pool, in_order
        self._under_way: dict[Future[Answer | None], None] = {}

    def submit(self, order: Order) -> None:
        """Give an order to the pool."""
        self._under_way[self._pool.submit(self._work.do, order)] = None

    def collect(self, timeout: float) -> list[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        first = list(self._under_way)[:1] if self._in_order else self._under_way
        over: Iterable[Future[Answer | None]] = wait(first, timeout, FIRST_COMPLETED).done
        if self._in_order:
            over = self._done_in_order()
        answers = []
        for future in list(over):
            del self._under_way[future]
            answers.append(future.result())  # raises what went wrong
        return [answer for answer in answers if answer is not None]

    def _done_in_order(self) -> Iterator[Future[Answer | None]]:
        for future in self._under_way:
            if not future.done():
                return
            yield future

    def abandon(self) -> None:
        """Do nothing more of what was ordered."""
        for future in self._under_way:
            future.cancel()
        self._under_way.clear()


class PoolExecutor:
    """An `Executor` for one job, whose pool is hired already: the workers of a cluster.

    Parameters
    ----------
    work : Work
        Does one order.
    pool : concurrent.futures.Executor
        Runs it.
    ahead : callable
        Says how many orders to give before their answers are back.
    """

    def __init__(self, work: Work, pool: FuturesExecutor, ahead: Callable[[], int]) -> None:
        self._work, self._orders, self._ahead = work, FutureOrders(work, pool), ahead

    @property
    def ahead(self) -> int:
        """How many orders are given before their answers are back."""
        return self._ahead()

    def open(self, job: Job) -> None:
        """Nothing: `work` knows the job."""

    def submit(self, order: Order) -> None:
        """Queue an order; what is dropped is dropped at once, and here."""
        if isinstance(order, AT_ONCE):
            self._work.do(order)
        else:
            self._orders.submit(order)

    def collect(self, timeout: float) -> list[Answer]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        return self._orders.collect(timeout)

    def abandon(self) -> None:
        """Do nothing more of what was ordered."""
        self._orders.abandon()


@contextmanager
def abandoning(executor: Executor) -> Iterator[None]:
    """Abandon what an executor was ordered, however a run ends."""
    try:
        yield
    finally:
        executor.abandon()
