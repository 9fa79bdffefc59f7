"""Running a plan block by block; who computes is a crew: threads, machines, or the engine."""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from napari_unet.execution.events import HEARTBEAT, Notice, Waiting
from napari_unet.execution.ledger import BlockResult, Ledger, WritableTile
from napari_unet.tiling.plan import Key


class Crew(Protocol):
    """Does what a run orders."""

    @property
    def ahead(self) -> int:
        """How many blocks are ordered before their results are back."""

    def compute(self, key: Key) -> None:
        """Order the objects of a block."""

    def write(self, closing: WritableTile) -> None:
        """Order a tile to be written."""

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""

    def collect(self, timeout: float) -> list[BlockResult | WritableTile]:
        """Return what is done, waiting up to `timeout` seconds for the first."""

    def stop(self) -> None:
        """Do nothing more of what was ordered."""


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
    """A tile of the result is written.

    Attributes
    ----------
    key : Key
        The tile.
    final : bool
        Whether it will not change any more.
    """

    key: Key
    final: bool = True


BlockEvent = BlockDone | TileWritten | Notice | Waiting


def run_blocks(ledger: Ledger, crew: Crew) -> Generator[BlockEvent, None, None]:
    """Keep a crew busy until every tile is written; to stop it, close the generator.

    Parameters
    ----------
    ledger : Ledger
        What is to be done, and what is done already.
    crew : Crew
        Does it.
    """
    missing, told = deque(ledger.missing), set[str]()
    ordered = 0
    try:
        while not ledger.finished:
            while ledger.closable:
                crew.write(ledger.closable.popleft())
            more = bool(missing) and ordered < crew.ahead
            if more:  # one a round: reading a block takes time, and somebody may want to stop
                crew.compute(missing.popleft())
                ordered += 1
            for done in crew.collect(0 if more else HEARTBEAT):
                match done:
                    case BlockResult(key, ids, notes):
                        ordered -= 1
                        ledger.computed(key, ids)
                        yield from (Notice(note) for note in notes if note not in told)
                        told.update(notes)
                        yield BlockDone(key, ids, ledger.done, ledger.total)
                    case WritableTile(key, _, final):
                        spare = ledger.written(key) if final else []
                        yield TileWritten(key, final)  # noted before anything is lost
                        crew.drop(spare)
            yield Waiting()
    finally:
        crew.stop()
