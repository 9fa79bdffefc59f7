"""Which blocks are computed, what their objects are called, and which tiles can be written."""

from collections import Counter, deque
from collections.abc import Iterable, Set
from dataclasses import dataclass

from napari_unet.inference.plan import Key, SegmentPlan


@dataclass(frozen=True, slots=True)
class Closing:
    """A tile of the result whose every pixel is decided.

    Attributes
    ----------
    key : Key
        The tile.
    sources : tuple of (Key, int)
        Blocks with objects that may reach into it, the first one first, and what is added to the
        numbers of their objects to make ids.
    """

    key: Key
    sources: tuple[tuple[Key, int], ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """What the run must know of a computed block.

    Attributes
    ----------
    ids : int
        How many ids its objects need.
    notes : tuple of str
        What the person should know, in sentences.
    """

    ids: int
    notes: tuple[str, ...] = ()


class Ledger:
    """Bookkeeping of one run: pure, without arrays.

    Ids go on from block to block in the plan's order, whatever the order in which blocks are
    computed; so the result is the same after any failure, and ids are compact. A tile can be
    written once the blocks that touch it and all before them are counted.

    Parameters
    ----------
    plan : SegmentPlan
        Blocks and tiles.
    """

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan = plan
        self._blocks = list(plan.blocks())
        place = {block: i for i, block in enumerate(self._blocks)}
        self._sources: dict[Key, list[Key]] = {}
        self._uses: Counter[Key] = Counter()
        self._due: dict[int, list[Key]] = {}  # by the last block that must be counted
        for plane in range(len(plan.planes)):
            for tile in plan.tiles.tiles:
                around = plan.tiles.touching(tile.write.grow(plan.overlap))
                sources = [(plane, i) for i in around if (plane, i) in place]
                if sources:
                    self._sources[plane, tile.index] = sources
                    self._uses.update(sources)
                    last = max(place[source] for source in sources)
                    self._due.setdefault(last, []).append((plane, tile.index))
        self._counts: dict[Key, int] = {}
        self._offsets: dict[Key, int] = {}
        self._open = set(self._sources)
        self.objects = 0
        self.closable: deque[Closing] = deque()

    @property
    def missing(self) -> list[Key]:
        """Blocks that are not computed yet, in order."""
        return [block for block in self._blocks if block not in self._counts]

    @property
    def total(self) -> int:
        """Blocks in all."""
        return len(self._blocks)

    @property
    def done(self) -> int:
        """Blocks that are computed."""
        return len(self._counts)

    @property
    def finished(self) -> bool:
        """Whether every tile is written."""
        return not self._open

    def computed(self, block: Key, count: int) -> None:
        """Note how many objects a block has; tiles may become closable.

        Parameters
        ----------
        block : Key
            The block.
        count : int
            Ids it needs.
        """
        self._counts[block] = count
        while (place := len(self._offsets)) < len(self._blocks):
            following = self._blocks[place]
            if following not in self._counts:
                return
            self._offsets[following] = self.objects
            self.objects += self._counts[following]
            self.closable.extend(self._closing(key) for key in self._due.get(place, []))

    def _closing(self, key: Key) -> Closing:
        offsets = [(source, self._offsets[source]) for source in self._sources[key]]
        return Closing(key, tuple(offsets))

    def needed(self, written: Set[Key]) -> set[Key]:
        """Return the blocks that tiles still need, once some are written."""
        return {s for key, sources in self._sources.items() if key not in written for s in sources}

    def skip(self, written: Iterable[Key]) -> None:
        """Note tiles that an earlier run has written."""
        for key in written:
            self.written(key)
        self.closable = deque(closing for closing in self.closable if closing.key in self._open)

    def written(self, key: Key) -> list[Key]:
        """Note that a tile is written; return the blocks whose objects nobody needs any more."""
        if key not in self._open:
            return []
        self._open.discard(key)
        self._uses.subtract(self._sources[key])
        return [source for source in self._sources[key] if not self._uses[source]]
