"""A crew that is a pool: of threads of this process, or of machines."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from functools import partial
from typing import Any, Protocol

from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.tiling.plan import Key


class Work(Protocol):
    """What a pool is asked to do; `block_worker.Hand`, or one that stands for it."""

    def compute(self, key: Key) -> BlockResult:
        """Find the objects of a block."""

    def write(self, closing: WritableTile) -> None:
        """Write a tile."""

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""


class Pool:
    """A `napari_unet.execution.run.Crew`.

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
        self._under_way: dict[Future[Any], Callable[[Any], list[BlockResult | WritableTile]]] = {}

    @property
    def ahead(self) -> int:
        """How many blocks are ordered before their results are back."""
        return self._ahead()

    def compute(self, key: Key) -> None:
        """Order the objects of a block."""
        self._submit(partial(self._work.compute, key), lambda computed: [computed])

    def write(self, closing: WritableTile) -> None:
        """Order a tile to be written."""
        self._submit(partial(self._work.write, closing), lambda _: [closing])

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""
        self._work.drop(keys)

    def collect(self, timeout: float) -> list[BlockResult | WritableTile]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        over, _ = wait(self._under_way, timeout, FIRST_COMPLETED)
        done: list[BlockResult | WritableTile] = []
        for future in over:
            then = self._under_way.pop(future)
            done += then(future.result())  # raises what went wrong
        return done

    def stop(self) -> None:
        """Do nothing more of what was ordered."""
        for future in self._under_way:
            future.cancel()

    def _submit(
        self, work: Callable[[], Any], then: Callable[[Any], list[BlockResult | WritableTile]]
    ) -> None:
        """Give work to the pool; `then` says what its result amounts to."""
        self._under_way[self._pool.submit(work)] = then
