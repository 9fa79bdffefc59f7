"""Running a plan block by block on a pool of threads or machines."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from napari_unet.blockwise.ledger import Closing, Computed, Ledger
from napari_unet.inference.plan import Key
from napari_unet.inference.run import HEARTBEAT, Notice, Waiting


class Work(Protocol):
    """What a pool is asked to do; `napari_unet.blockwise.hand.Hand`, or one that stands for it."""

    def compute(self, key: Key) -> Computed:
        """Find the objects of a block."""

    def write(self, closing: Closing) -> None:
        """Write a tile."""

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""


@dataclass(frozen=True, slots=True)
class BlockDone:
    """The objects of a block are found.

    Attributes
    ----------
    key : Key
        The block.
    ids : int
        How many it has.
    done, total : int
        Blocks so far, and in all.
    """

    key: Key
    ids: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TileWritten:
    """A tile of the result is written and will not change any more."""

    key: Key


BlockEvent = BlockDone | TileWritten | Notice | Waiting


def run_blocks(
    ledger: Ledger, work: Work, pool: Executor, ahead: Callable[[], int]
) -> Generator[BlockEvent, None, None]:
    """Keep a pool busy until every tile is written; to stop it, close the generator.

    Parameters
    ----------
    ledger : Ledger
        What is to be done, and what is done already.
    work : Work
        Does it.
    pool : Executor
        Runs it: a thread pool, or a cluster's.
    ahead : callable
        Says how many blocks are given to the pool before their results are back.
    """
    missing, told = deque(ledger.missing), set[str]()
    blocks: dict[Future[Any], Key] = {}
    tiles: dict[Future[Any], Key] = {}
    try:
        while not ledger.finished:
            while ledger.closable:
                closing = ledger.closable.popleft()
                tiles[pool.submit(work.write, closing)] = closing.key
            wanted = ahead()  # once a round: a cluster's scheduler is asked
            while missing and len(blocks) < wanted:
                key = missing.popleft()
                blocks[pool.submit(work.compute, key)] = key
            for future in _done([*blocks, *tiles]):
                if future in blocks:
                    key, found = blocks.pop(future), future.result()
                    ledger.computed(key, found.ids)
                    for note in found.notes:
                        if note not in told:
                            yield Notice(note)
                    told.update(found.notes)
                    yield BlockDone(key, found.ids, ledger.done, ledger.total)
                else:
                    future.result()
                    key = tiles.pop(future)
                    spare = ledger.written(key)
                    yield TileWritten(key)  # whoever notes it does so before anything is lost
                    work.drop(spare)
            yield Waiting()
    finally:
        for future in [*blocks, *tiles]:
            future.cancel()


def _done(futures: list[Future[Any]]) -> list[Future[Any]]:
    """Return those that are over, waiting a moment for the first; in the order given."""
    over, _ = wait(futures, HEARTBEAT, FIRST_COMPLETED)
    return [future for future in futures if future in over]
