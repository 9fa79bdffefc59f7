"""Which tile next, which block is ready, and which probability map may be forgotten."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from napari_unet.tiling.plan import Key, SegmentPlan

LONG = 3.0  # times what a block takes by itself


class Schedule:
    """Bookkeeping of one run: pure, without arrays.

    Parameters
    ----------
    plan : SegmentPlan
        Gives the tiles each block needs.
    blocks : iterable of Key
        Blocks to decode, in the order wanted.
    cached_tiles : set of Key
        Tiles whose probability maps are in the store already; grows as tiles are predicted and
        shrinks as they are dropped.
    budget : int
        Bytes of probability maps that may stay in the store.
    apart : bool
        Whether each block is computed by itself, without a store.

    Attributes
    ----------
    apart : deque of Key
        Blocks to compute by themselves.
    ready : deque of Key
        Blocks whose probability maps are there.
    to_predict : deque of Key
        Tiles whose probability maps are missing.
    total, done : int
        Blocks in all, and decoded so far.
    """

    def __init__(
        self,
        plan: SegmentPlan,
        blocks: Iterable[Key],
        cached_tiles: set[Key],
        budget: int,
        *,
        apart: bool = False,
    ) -> None:
        self._plan, self.cached_tiles, self._budget = plan, cached_tiles, budget
        self._missing: dict[Key, int] = {}
        self._users: dict[Key, list[Key]] = {}
        self._uses: Counter[Key] = Counter()
        self.ready: deque[Key] = deque()
        self.to_predict: deque[Key] = deque()
        self._stored = sum(plan.tile_bytes(tile) for _, tile in cached_tiles)
        self.apart: deque[Key] = deque(blocks if apart else ())
        self._missing.update(dict.fromkeys(self.apart, -1))  # never ready
        for block in () if apart else blocks:
            self._add(block)
        self.total = len(self._missing)
        self.done = 0

    def _add(self, block: Key) -> None:
        plane = block[0]
        needed = [(plane, tile) for tile in self._plan.needs(block[1])]
        missing = [key for key in needed if key not in self.cached_tiles]
        self._missing[block] = len(missing)
        self._uses.update(needed)
        for key in missing:
            if key not in self._users:
                self._users[key] = []
                self.to_predict.append(key)
            self._users[key].append(block)
        if not missing:
            self.ready.append(block)

    def alone(self) -> Key | None:
        """Take out the first block if its neighbours would let it wait long; else None.

        Computed with all that it needs it has objects sooner, for more work.
        """
        first = next(iter(self._missing), None)
        if first is None or not self._missing[first]:
            return None
        tiles = self._plan.tiles.tiles
        missing = (n for n in self._plan.needs(first[1]) if (first[0], n) not in self.cached_tiles)
        waits_for = sum(tiles[tile].read.size for tile in missing)
        if waits_for < LONG * self._plan.covering(first[1]).read.size:
            return None
        self._missing[first] = -1  # never becomes ready
        self.apart.append(first)
        return first

    @property
    def finished(self) -> bool:
        """Whether every block is decoded, and every tile that it needs is in the store."""
        return self.done == self.total and not self._users

    def predicted(self, key: Key) -> None:
        """Note that a tile's probability map is in the store; blocks may become ready."""
        self.cached_tiles.add(key)
        self._stored += self._plan.tile_bytes(key[1])
        for block in self._users.pop(key, []):
            self._missing[block] -= 1
            if not self._missing[block]:
                self.ready.append(block)

    def decoded(self, block: Key) -> list[Key]:
        """Note that a block is decoded; return tiles to drop because the budget is spent."""
        self.done += 1
        dropped = []
        for tile in self._plan.needs(block[1]):
            key = block[0], tile
            self._uses[key] -= 1
            if not self._uses[key] and self._stored > self._budget and key in self.cached_tiles:
                self.cached_tiles.discard(key)
                self._stored -= self._plan.tile_bytes(tile)
                dropped.append(key)
        return dropped


def shared_pixels(plan: SegmentPlan, blocks: Iterable[Key]) -> int:
    """How many pixels the network computes for blocks that share probability maps."""
    needed = {(plane, tile) for plane, number in blocks for tile in plan.needs(number)}
    return sum(plan.tiles.tiles[tile].read.size for _, tile in needed)


def sharing_pays(plan: SegmentPlan, blocks: Sequence[Key]) -> bool:
    """Whether the network computes fewer pixels for blocks that share probability maps.

    A part of an image needs little of the tiles around it; there blocks are better apart.
    """
    return shared_pixels(plan, blocks) < sum(plan.covering(n).read.size for _, n in blocks)
