"""A crew of this process that computes each tile once and shares its class map between blocks.

Blocks that need nothing of each other (`napari_unet.blockwise.pool`) can be computed anywhere, but
each has the network run on its neighbours' edges as well. Here a block waits for the class maps
around it instead, and no pixel of them is computed twice but the halos.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Any

from napari_unet.blockwise.hand import Hand
from napari_unet.blockwise.ledger import Closing, Computed
from napari_unet.blockwise.maps import MapsInFolder
from napari_unet.blockwise.pool import Pool
from napari_unet.blockwise.run import Crew
from napari_unet.inference.plan import Key, SegmentPlan
from napari_unet.inference.schedule import Schedule

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


class Sharing:
    """A `napari_unet.blockwise.run.Crew`.

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
        self._hand, self._plan, self._maps = hand, plan, maps
        self._pool, self._ahead = hired
        self._schedule = Schedule(plan, missing, set(), NOTHING_KEPT)
        self._ordered: set[Key] = set()
        self._notes: dict[Key, tuple[str, ...]] = {}
        self._tiles: dict[Future[tuple[str, ...]], Key] = {}
        self._blocks: set[Future[Computed]] = set()
        self._closings: dict[Future[None], Closing] = {}

    @property
    def ahead(self) -> int:
        """How many blocks are ordered before their results are back."""
        return self._ahead()

    def compute(self, key: Key) -> None:
        """Order the objects of a block, and the class maps that it needs."""
        self._ordered.add(key)
        for tile in self._schedule.begin(key):
            self._tiles[self._pool.submit(self._look, tile)] = tile
        self._decode()

    def _look(self, key: Key) -> tuple[str, ...]:
        maps, notes = self._hand.look(key)
        self._maps.put(key, maps)
        return notes

    def _decode(self) -> None:
        """Have objects made in the blocks that have all they need."""
        for key in [key for key in self._schedule.ready if key in self._ordered]:
            self._schedule.ready.remove(key)
            self._blocks.add(self._pool.submit(self._keep, key))

    def _keep(self, key: Key) -> Computed:
        plane, number = key
        window = self._plan.window(self._plan.tiles.tiles[number])
        notes = self._notes.get(key, ())
        return self._hand.keep(key, self._maps.read(plane, window), notes)

    def write(self, closing: Closing) -> None:
        """Order a tile of the result to be written."""
        self._closings[self._pool.submit(self._hand.write, closing)] = closing

    def drop(self, keys: list[Key]) -> None:
        """Forget blocks."""
        self._hand.drop(keys)

    def collect(self, timeout: float) -> list[Computed | Closing]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
        under_way: list[Future[Any]] = [*self._tiles, *self._blocks, *self._closings]
        over, _ = wait(under_way, timeout, FIRST_COMPLETED)
        done: list[Computed | Closing] = []
        for future in over:
            result = future.result()  # raises what went wrong
            if future in self._tiles:
                tile = self._tiles.pop(future)
                self._notes[tile] = result
                self._schedule.predicted(tile)
            elif future in self._closings:
                done.append(self._closings.pop(future))
            else:
                self._blocks.discard(future)
                self._forget(result.key)
                done.append(result)
        self._decode()
        return done

    def _forget(self, block: Key) -> None:
        """Drop the class maps that nobody needs any more."""
        self._ordered.discard(block)
        for tile in self._schedule.decoded(block):
            self._maps.drop(tile)
            self._notes.pop(tile, None)

    def stop(self) -> None:
        """Do nothing more of what was ordered."""
        under_way: list[Future[Any]] = [*self._tiles, *self._blocks, *self._closings]
        for future in under_way:
            future.cancel()
