"""Which blocks are computed, what their objects are called, and which tiles can be written."""

from collections import Counter, deque
from collections.abc import Iterable, Set
from dataclasses import dataclass

from napari_unet.labels.watershed import Patch
from napari_unet.tiling.plan import Key, SegmentPlan


@dataclass(frozen=True, slots=True)
class WritableTile:
    """A tile of the result that can be written.

    Attributes
    ----------
    key : Key
        The tile.
    sources : tuple of (Key, int)
        Blocks with objects that may reach into it, the first one first, and what is added to the
        numbers of their objects to make ids.
    final : bool
        Whether every pixel is decided; else more blocks around it are still to be computed.
    """

    key: Key
    sources: tuple[tuple[Key, int], ...]
    final: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class BlockResult:
    """What a run records of a computed block.

    Attributes
    ----------
    key : Key
        The block.
    ids : int
        How many ids its objects need.
    notes : tuple of str
        What the person should know, in sentences.
    objects : Patch or None
        The objects; None where the worker keeps them.
    """

    key: Key
    ids: int
    notes: tuple[str, ...] = ()
    objects: Patch | None = None


class Ledger:
    """Bookkeeping of one result: pure, without arrays.

    Ids go on from block to block in the order wanted, whatever the order in which blocks are
    computed; so the result is the same after any failure, and ids are compact. A tile can be
    written once the blocks that touch it and all before them are counted.

    Parameters
    ----------
    plan : SegmentPlan
        Blocks and tiles.
    blocks : iterable of Key, optional
        Blocks that are wanted, in order; default all. More can be wanted later.
    eager : bool
        Whether a block's own tile is also written as soon as the block is counted, for a
        person who watches.
    """

    def __init__(
        self, plan: SegmentPlan, blocks: Iterable[Key] | None = None, *, eager: bool = False
    ) -> None:
        self._plan, self._eager = plan, eager
        self._possible = set(plan.blocks())
        self._order: list[Key] = []
        self._sources: dict[Key, list[Key]] = {}
        self._uses: Counter[Key] = Counter()
        self._due: dict[int, list[Key]] = {}  # by the last block that must be counted
        self._counts: dict[Key, int] = {}
        self._offsets: dict[Key, int] = {}
        self._open: set[Key] = set()
        self.objects = 0
        self.closable: deque[WritableTile] = deque()
        self.want(plan.blocks() if blocks is None else blocks)

    def want(self, blocks: Iterable[Key]) -> None:
        """Want more blocks; what was wanted before and is not computed is no longer wanted.

        Tiles that only the new ones complete are written once more.
        """
        fresh = [block for block in blocks if block not in self._counts]
        counted = [block for block in self._counts if block not in self._offsets]
        self._order = [*self._offsets, *counted, *fresh]
        for block in fresh:
            touched = self._around(block)
            self._uses[block] = len(touched)
            self._open.update(touched)
        place = {block: i for i, block in enumerate(self._order)}
        self._due.clear()
        self.closable.clear()
        for key in sorted(self._open):
            sources = [s for s in self._around(key) if s in place]
            self._sources[key] = sources
            if not sources:  # nothing that touches it is wanted any more
                self._open.discard(key)
                continue
            last = max(place[source] for source in sources)
            self._due.setdefault(last, []).append(key)
        for i, block in enumerate(self._offsets):
            due = self._due.get(i, [])
            self.closable.extend(self._closing(key) for key in due)
            if self._eager and block in self._open and block not in due:
                self.closable.append(self._closing(block, final=False))  # it may never have been
        self._advance()

    def _around(self, key: Key) -> list[Key]:
        """Tiles that a block's objects may reach into; and the other way round."""
        tiles, (plane, number) = self._plan.tiles, key
        window = tiles.tiles[number].write.grow(self._plan.overlap)
        return [(plane, i) for i in tiles.touching(window)]

    @property
    def missing(self) -> list[Key]:
        """Blocks that are wanted and not computed yet, in order."""
        return [block for block in self._order if block not in self._counts]

    @property
    def total(self) -> int:
        """Blocks in all."""
        return len(self._order)

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
        self._advance()

    def reserve(self, count: int) -> int:
        """Take ids for objects that no block has found; returns the first one."""
        first = self.objects + 1
        self.objects += count
        return first

    def _advance(self) -> None:
        """Give ids to all blocks that are counted without a gap before them."""
        while (place := len(self._offsets)) < len(self._order):
            following = self._order[place]
            if following not in self._counts:
                return
            self._offsets[following] = self.objects
            self.objects += self._counts[following]
            due = self._due.get(place, [])
            if self._eager and following not in due:
                self.closable.append(self._closing(following, final=False))
            self.closable.extend(self._closing(key) for key in due)

    def _closing(self, key: Key, *, final: bool = True) -> WritableTile:
        known = [(s, self._offsets[s]) for s in self._sources[key] if s in self._offsets]
        return WritableTile(key, tuple(known), final)

    def needed(self, written: Set[Key]) -> set[Key]:
        """Return the blocks that tiles still need, once some are written."""
        return {s for key, sources in self._sources.items() if key not in written for s in sources}

    def skip(self, written: Iterable[Key]) -> None:
        """Note tiles that an earlier run has written."""
        for key in written:
            self.written(key)
        self.closable = deque(closing for closing in self.closable if closing.key in self._open)

    def written(self, key: Key) -> list[Key]:
        """Note that a tile is written for good, as far as is wanted now.

        Returns
        -------
        list of Key
            Blocks whose objects no tile needs any more, whatever is wanted later.
        """
        if key not in self._open:
            return []
        self._open.discard(key)
        sources = self._sources[key]
        if len(sources) < sum(block in self._possible for block in self._around(key)):
            return []
        self._uses.subtract(sources)
        return [source for source in sources if not self._uses[source]]
