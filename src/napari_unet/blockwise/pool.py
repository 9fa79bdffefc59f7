"""A crew that is a pool: of threads of this process, or of machines."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, Protocol

from napari_unet.blockwise.ledger import Closing, Computed
from napari_unet.inference.plan import Key


class Work(Protocol):
    """What a pool is asked to do; `napari_unet.blockwise.hand.Hand`, or one that stands for it."""

    def compute(self, key: Key) -> Computed:
        """Find the objects of a block."""

    def write(self, closing: Closing) -> None:
        """Write a tile."""

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""


class Pool:
    """A `napari_unet.blockwise.run.Crew`.

    Parameters
    ----------
    work : Work
        Does it.
    pool : Executor
        Runs it.
    ahead : callable
        Says how many blocks are given to the pool before their results are back.
    """

    def __init__(self, work: Work, pool: Executor, ahead: Callable[[], int]) -> None:
        self._work, self._pool, self._ahead = work, pool, ahead
        self._tiles: dict[Future[Any], Closing] = {}
        self._blocks: set[Future[Computed]] = set()

    @property
    def ahead(self) -> int:
        """How many blocks are ordered before their results are back."""
        return self._ahead()

    def compute(self, key: Key) -> None:
        """Order the objects of a block."""
        self._blocks.add(self._pool.submit(self._work.compute, key))

    def write(self, closing: Closing) -> None:
        """Order a tile to be written."""
        self._tiles[self._pool.submit(self._work.write, closing)] = closing

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""
        self._work.drop(keys)

    def collect(self, timeout: float) -> list[Computed | Closing]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        over, _ = wait([*self._blocks, *self._tiles], timeout, FIRST_COMPLETED)
        done: list[Computed | Closing] = []
        for future in over:
            if future in self._tiles:
                future.result()  # raises what went wrong
                done.append(self._tiles.pop(future))
            else:
                self._blocks.discard(future)
                done.append(future.result())
        return done

    def stop(self) -> None:
        """Do nothing more of what was ordered."""
        for future in [*self._blocks, *self._tiles]:
            future.cancel()
