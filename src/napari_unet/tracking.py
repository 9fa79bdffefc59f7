"""Keeps up with what is painted on a live result, window by window.

Nobody is told reliably which pixels a person changed, so windows are compared with what was known
of them. Windows are small and most hold nothing: a look takes less than a millisecond, and can be
taken while a person paints.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.assembly import PERSONAL, LiveLabels, Plane, index_of
from napari_unet.corrections import (
    BACKGROUND,
    MARK_BACKGROUND,
    MARK_CONFIRMED,
    MARK_NONE,
    UNLABELLED,
    painted_ids,
    painted_of,
)
from napari_unet.editing import Edit
from napari_unet.image import Box

BLOCK = 512  # pixels; side of the windows that are looked at
HIDDEN = 3  # in place of a mark: a background stroke that an object was painted over


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Painted pixels of one window, before and after; both uint32 of the box's shape."""

    plane: Plane
    box: Box
    before: NDArray[np.uint32]
    after: NDArray[np.uint32]


@dataclass(slots=True, eq=False)
class Tracker:
    """What is painted on one live result, as far as it was looked at.

    Attributes
    ----------
    live : LiveLabels
        What the model said, and the marks.
    known : ndarray of uint32
        ``(..., Y, X)``, a painted array: the state at the last look.
    areas : Counter
        Painted pixels of each id, and of `BACKGROUND`.
    """

    live: LiveLabels
    known: NDArray[np.uint32] = field(init=False)
    areas: "Counter[int]" = field(default_factory=Counter)
    _seen: NDArray[np.uint8] = field(init=False)
    _covered: NDArray[np.uint32] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.live.corrected.shape
        self.known, self._covered = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
        self._seen = np.zeros(shape, np.uint8)

    @property
    def objects(self) -> int:
        """Number of ids that are painted."""
        return len(self.areas) - (BACKGROUND in self.areas)

    @property
    def background(self) -> int:
        """Number of pixels that are painted background."""
        return self.areas[BACKGROUND]

    @property
    def new_id(self) -> int:
        """An id that nothing has: neither said by the model nor painted."""
        return self.live.assembly.next_id

    def blocks(self) -> Iterator[tuple[Plane, Box]]:
        """Windows that together cover everything."""
        *leading, height, width = self.known.shape
        for plane in np.ndindex(*leading):
            yield from ((plane, box) for box in cut(Box((0, 0), (height, width))))

    def reconcile(self, shown: NDArray[Any], plane: Plane, box: Box) -> list[Edit]:
        """Find what must change so that background strokes and the result agree.

        A new stroke clears the pixels below; a stroke that was taken back shows again what was
        there; an object painted over a stroke hides it, until the object is gone.

        Parameters
        ----------
        shown : ndarray of int
            ``(..., Y, X)``, the result.
        plane, box
            The window.

        Returns
        -------
        list of Edit
            None, or two: of the result, then of the marks. They are expected to be carried out.
        """
        index = index_of(plane, box)
        marks, seen, covered = self.live.marks[index], self._seen[index], self._covered[index]
        if not (marks.any() or seen.any()):
            return []
        there, under = shown[index] > 0, marks == MARK_BACKGROUND
        was, hidden = seen == MARK_BACKGROUND, (seen == HIDDEN) & (marks == MARK_NONE)
        fresh, lifted, over = under & ~was, was & ~under, under & was & there
        back = hidden & ~there
        said = self.live.assembly.labels[index]
        owned = fresh & there & ((shown[index] != said) | self.live.corrected[index])
        covered[fresh] = 0
        covered[owned] = shown[index][owned]
        restored = np.where(covered > 0, covered, said)
        np.copyto(seen, marks)
        seen[hidden | over] = HIDDEN
        seen[back] = MARK_BACKGROUND
        result = (fresh & there) | (lifted & ~there & (restored > 0))
        if not (result.any() or over.any() or back.any()):
            return []
        return [
            Edit(box, result, np.where(lifted, restored, 0).astype(np.uint32), plane),
            Edit(box, over | back, np.where(back, MARK_BACKGROUND, 0).astype(np.uint32), plane),
        ]

    def look(self, shown: NDArray[Any], plane: Plane, box: Box) -> Change | None:
        """Compare a window with what was known of it; None if nothing changed since."""
        index = index_of(plane, box)
        live, known = self.live, self.known[index]
        said = live.assembly.labels[index]
        painted = painted_of(shown[index], said, live.corrected[index], live.marks[index])
        differs = painted != known
        rows, columns = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return None
        self._count(known[differs], painted[differs])
        tight = Box((int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1))
        before, after = known[tight.slices].copy(), painted[tight.slices].copy()
        known[...] = painted
        place = tight.shift((-box.start[0], -box.start[1]))
        return Change(plane, place, before, after)

    def _count(self, before: NDArray[np.uint32], after: NDArray[np.uint32]) -> None:
        for values, sign in ((before, -1), (after, 1)):
            ids, counts = np.unique(values[values != UNLABELLED], return_counts=True)
            for number, count in zip(ids.tolist(), counts.tolist(), strict=True):
                self.areas[number] += sign * count
                if self.areas[number] <= 0:
                    del self.areas[number]
                if sign > 0:
                    self.live.keep_clear(number)

    def painted(self, shown: NDArray[Any]) -> NDArray[np.uint32]:
        """Return what is painted, objects painted in part completed to what is shown of them.

        Parameters
        ----------
        shown : ndarray of int
            ``(..., Y, X)``, the result.

        Returns
        -------
        ndarray of uint32
            ``(..., Y, X)``, a new painted array; empty parts take no memory. An object is
            completed in the planes where some of it is painted; classes never are.
        """
        painted = np.zeros(self.known.shape, np.uint32)
        if not self.areas:
            return painted
        for plane in np.ndindex(self.known.shape[:-2]):
            ids = painted_ids(self.known[plane])
            for box in cut(Box((0, 0), (self.known.shape[-2], self.known.shape[-1]))):
                window = self._completed(shown, plane, box, ids)
                if window.any():
                    painted[index_of(plane, box)] = window
        return painted

    def completed(self, shown: NDArray[Any], plane: Plane, box: Box) -> NDArray[np.uint32]:
        """Return a window ``(Y, X)`` of `painted`, completed from what is painted inside it."""
        return self._completed(shown, plane, box, painted_ids(self.known[index_of(plane, box)]))

    def _completed(
        self, shown: NDArray[Any], plane: Plane, box: Box, ids: NDArray[np.uint32]
    ) -> NDArray[np.uint32]:
        index = index_of(plane, box)
        painted: NDArray[np.uint32] = self.known[index].copy()
        if len(ids) and not self.live.assembly.classes:
            np.copyto(
                painted,
                shown[index],
                where=(painted == UNLABELLED) & np.isin(shown[index], ids),
                casting="unsafe",
            )
        return painted

    def adopt(self, shown: NDArray[Any], painted: NDArray[np.uint32]) -> None:
        """Take over what was painted elsewhere, wherever nothing is painted here yet.

        Ids stay unless another object has them already; such ones are numbered anew. Classes stay.

        Parameters
        ----------
        shown : ndarray of int
            ``(..., Y, X)``, the result; changed in place, as the marks are.
        painted : ndarray of uint32
            ``(..., Y, X)``, a painted array.
        """
        new = (painted != UNLABELLED) & (self.known == UNLABELLED)
        is_object = new & (painted != BACKGROUND)
        ids = painted_ids(np.where(is_object, painted, 0))
        classes = self.live.assembly.classes
        taken = ids[:0] if classes else np.intersect1d(ids, painted_ids(np.where(new, 0, shown)))
        values = painted[is_object]
        if len(taken):
            above = max(self.new_id, int(ids[ids < PERSONAL].max(initial=0)) + 1)
            clash = np.isin(values, taken)
            values[clash] = above + np.searchsorted(taken, values[clash])
        shown[new] = 0
        shown[is_object] = values
        marks = self.live.marks
        marks[new] = MARK_BACKGROUND
        # Of classes only what the model says too: a mark would turn what is erased to background.
        agreed = is_object & (painted == self.live.assembly.labels) if classes else is_object
        marks[is_object] = MARK_NONE
        marks[agreed] = MARK_CONFIRMED
        self._seen[new] = marks[new]
        self._covered[new] = 0


def cut(box: Box) -> Iterator[Box]:
    """Cut a box into windows of at most `BLOCK` pixels a side."""
    (y0, x0), (y1, x1) = box.start, box.stop
    for y in range(y0, y1, BLOCK):
        for x in range(x0, x1, BLOCK):
            yield Box((y, x), (min(y + BLOCK, y1), min(x + BLOCK, x1)))
