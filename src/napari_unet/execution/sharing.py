"""A crew of this process that computes each tile once and shares its class map between blocks.

Blocks that need nothing of each other (`napari_unet.execution.pool`) can be computed anywhere, but
each has the network run on its neighbours' edges as well. Here a block waits for the class maps
around it instead, and no pixel of them is computed twice but the halos.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from napari_unet.execution.block_worker import Hand
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.execution.pool import Pool
from napari_unet.execution.run import Crew
from napari_unet.execution.tile_maps import MapsInFolder
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.tiling.schedule import Schedule

Hired = tuple[Executor, Callable[[], int]]
NOTHING_KEPT = 0  # bytes of class maps that stay when no block needs them


def crew_for(hand: Hand, plan: SegmentPlan, folder: Path, missing: list[Key], hired: Hired) -> Crew:
    """Let blocks share class maps, or not, whichever has the network compute fewer pixels.

    A part of an image needs little of the tiles around it; there blocks are better apart.

    Parameters
    ----------
    hand : Hand
        Does the work.
    plan : SegmentPlan
        What to compute.
    folder : Path
        Where class maps may wait.
    missing : list of Key
        All blocks that will be ordered, in that order.
    hired : tuple of Executor and callable
        Threads, and how many blocks are ordered before their results are back.
    """
    if shared_pixels(plan, missing) < sum(plan.covering(n).read.size for _, n in missing):
        return Sharing(hand, plan, MapsInFolder(folder, plan), missing, hired=hired)
    return Pool(hand, *hired)


def shared_pixels(plan: SegmentPlan, missing: Iterable[Key]) -> int:
    """How many the network computes for blocks that share class maps."""
    needed = {(plane, tile) for plane, number in missing for tile in plan.needs(number)}
    return sum(plan.tiles.tiles[tile].read.size for _, tile in needed)


class Sharing(Pool):
    """A `napari_unet.execution.run.Crew`.

    Parameters
    ----------
    hand : Hand
        Does the work.
    plan : SegmentPlan
        Gives the tiles that each block needs.
    maps : MapsInFolder
        Where class maps wait.
    missing : iterable of Key
        All blocks that will be ordered, in that order.
    hired : tuple of Executor and callable
        Threads, and how many blocks are ordered before their results are back.
    """

    def __init__(
        self,
        hand: Hand,
        plan: SegmentPlan,
        maps: MapsInFolder,
        missing: Iterable[Key],
        *,
        hired: Hired,
    ) -> None:
        super().__init__(hand, *hired)
        self._hand, self._plan, self._maps = hand, plan, maps
        self._schedule = Schedule(plan, missing, set(), NOTHING_KEPT)
        self._ordered: set[Key] = set()
        self._notes: dict[Key, tuple[str, ...]] = {}

    def compute(self, key: Key) -> None:
        """Order the objects of a block, and the class maps that it needs."""
        self._ordered.add(key)
        for tile in self._schedule.begin(key):
            self._submit(partial(self._look, tile), partial(self._looked, tile))
        self._decode()

    def _look(self, tile: Key) -> tuple[str, ...]:
        maps, notes = self._hand.look(tile)
        self._maps.put(tile, maps)
        return notes

    def _looked(self, tile: Key, notes: tuple[str, ...]) -> list[BlockResult | WritableTile]:
        self._notes[tile] = notes
        self._schedule.predicted(tile)
        self._decode()
        return []

    def _decode(self) -> None:
        """Have objects made in the blocks that have all they need."""
        for key in [key for key in self._schedule.ready if key in self._ordered]:
            self._schedule.ready.remove(key)
            self._submit(partial(self._keep, key), self._kept)

    def _keep(self, key: Key) -> BlockResult:
        plane, number = key
        window = self._plan.window(self._plan.tiles.tiles[number])
        notes = self._notes.get(key, ())
        return self._hand.keep(key, self._maps.read(plane, window), notes)

    def _kept(self, block: BlockResult) -> list[BlockResult | WritableTile]:
        """Drop the class maps that nobody needs any more."""
        self._ordered.discard(block.key)
        for tile in self._schedule.decoded(block.key):
            self._maps.drop(tile)
            self._notes.pop(tile, None)
        return [block]
