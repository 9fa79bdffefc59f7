"""Finds what is painted on a live result, window by window.

napari does not tell reliably which pixels a person changed, so each window is compared with what
was recorded of it. Windows are small and most hold nothing: to compare one takes less than a
millisecond, so it happens while a person paints.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box, Plane
from napari_unet.labels.edits import Edit, extents, object_box
from napari_unet.labels.live_labels import PERSONAL, LiveLabels, index_of
from napari_unet.labels.painted import (
    BACKGROUND,
    MARK_BACKGROUND,
    MARK_CONFIRMED,
    MARK_NONE,
    UNLABELLED,
    painted_ids,
    painted_of,
)

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
class ChangeTracker:
    """What is painted on one live result, as far as its windows were compared.

    An object of which some is painted counts as a whole, in that plane: what is shown of it is
    what the person painted, and a run leaves it alone. Classes are never completed.

    Attributes
    ----------
    live : LiveLabels
        What the model predicted, and the marks.
    recorded : ndarray of uint32
        ``(..., Y, X)``, a painted array: the state at the last comparison, objects completed.
    areas : Counter
        Painted pixels in each plane of each id, and of `BACKGROUND`, before completion.
    turns : int
        Grows whenever an object is touched for the first time, or not any more.
    """

    live: LiveLabels
    recorded: NDArray[np.uint32] = field(init=False)
    areas: "Counter[tuple[Plane, int]]" = field(default_factory=Counter)
    turns: int = 0
    _completing: NDArray[np.bool_] = field(init=False)  # pixels recorded only as part of an object
    _touched: dict[Plane, NDArray[np.uint32]] = field(default_factory=dict)  # ids, ascending
    _seen: NDArray[np.uint8] = field(init=False)
    _covered: NDArray[np.uint32] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.live.corrected.shape
        self.recorded, self._covered = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
        self._seen, self._completing = np.zeros(shape, np.uint8), np.zeros(shape, bool)

    @property
    def ids(self) -> set[int]:
        """Ids that are painted in some plane."""
        return {number for _, number in self.areas if number != BACKGROUND}

    @property
    def given(self) -> set[int]:
        """Ids that are painted and that the model has never used: a person chose them."""
        return {number for number in self.ids if not self.live.assembly.drew(number)}

    @property
    def background(self) -> int:
        """Number of pixels that are painted background."""
        return sum(area for (_, number), area in self.areas.items() if number == BACKGROUND)

    def deleted(self, shown: NDArray[Any], places: Iterable[tuple[Plane, Box]]) -> int:
        """Count objects that the model found, and of which nothing is shown any more.

        Parameters
        ----------
        shown : ndarray of int
            ``(..., Y, X)``, the result.
        places : iterable of (plane, Box)
            Windows in which anything is painted.
        """
        assembly, cleared = self.live.assembly, set[tuple[Plane, int]]()
        for plane, box in places if self.background and not assembly.classes else ():
            index = index_of(plane, box)
            predicted = assembly.labels[index]
            under = predicted[(self.recorded[index] == BACKGROUND) & (predicted > 0)]
            cleared.update((plane, number) for number in np.unique(under).tolist())
        return sum(
            not (shown[index_of(plane, assembly.box_of(number))] == number).any()
            for plane, number in cleared
        )

    def cut(self, plane: Plane, box: Box) -> set[int]:
        """Return the ids of objects of the model of which a person took pixels in a window."""
        index = index_of(plane, box)
        recorded, predicted = self.recorded[index], self.live.assembly.labels[index]
        taken = (recorded != UNLABELLED) & (recorded != predicted) & (predicted > 0)
        return set(np.unique(predicted[taken]).tolist())

    @property
    def new_id(self) -> int:
        """An id that nothing has: neither predicted by the model nor painted."""
        return self.live.assembly.next_id

    def reads(self, shown: Any) -> bool:
        """Whether an array tells what is painted: whole numbers, and none too small for an id."""
        known = self.recorded
        if not isinstance(shown, np.ndarray) or shown.shape != known.shape:
            return False
        if shown.dtype.kind not in "iu":
            return False
        wide = shown.dtype.itemsize >= known.dtype.itemsize
        return wide or max(self.new_id - 1, *self.ids, 0) <= np.iinfo(shown.dtype).max

    def blocks(self) -> Iterator[tuple[Plane, Box]]:
        """Windows that together cover everything."""
        *leading, height, width = self.recorded.shape
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
        predicted = self.live.assembly.labels[index]
        owned = fresh & there & (shown[index] != predicted)
        covered[fresh] = 0
        covered[owned] = shown[index][owned]
        restored = np.where(covered > 0, covered, predicted)
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

    def compare(self, shown: NDArray[Any], plane: Plane, box: Box) -> Change | None:
        """Compare a window with what was recorded of it; None if nothing changed since.

        The change reaches beyond the window where an object inside it is touched for the first
        time, or not any more. Pieces of it far away are found when their own window is looked at.
        """
        index, live = index_of(plane, box), self.live
        recorded, completing = self.recorded[index], self._completing[index]
        now = painted_of(shown[index], live.assembly.labels[index], live.marks[index])
        before = np.where(completing, np.uint32(UNLABELLED), recorded)
        differs = now != before
        if not (differs.any() or completing.any() or len(self._ids(plane))):
            return None
        turned = self._count(plane, before[differs], now[differs])
        area = box
        if len(turned):
            for picture in (shown[plane], self.recorded[plane]):
                area = area.union(_reach(picture, box, differs, turned))
        old = self.recorded[index_of(plane, area)].copy()
        np.copyto(recorded, now, where=differs)
        np.copyto(completing, False, where=differs)
        self._complete(shown, plane, area)
        changed = old != self.recorded[index_of(plane, area)]
        changed[box.shift(area.start).slices] |= differs
        if not changed.any():
            return None
        (y0, y1), (x0, x1) = extents(changed)
        tight = Box((y0, x0), (y1, x1))
        place = tight.shift((-area.start[0], -area.start[1]))
        return Change(plane, place, old[tight.slices], self.recorded[index_of(plane, place)].copy())

    def _ids(self, plane: Plane) -> NDArray[np.uint32]:
        """Ids of the objects that are touched in a plane."""
        return self._touched.get(plane, np.zeros(0, np.uint32))

    def _count(
        self, plane: Plane, before: NDArray[np.uint32], after: NDArray[np.uint32]
    ) -> NDArray[np.uint32]:
        """Count pixels; return the ids that are touched for the first time or not any more."""
        fresh, gone = [], []
        for values, sign in ((after, 1), (before, -1)):
            ids, counts = np.unique(values[values != UNLABELLED], return_counts=True)
            for number, count in zip(ids.tolist(), counts.tolist(), strict=True):
                where = (plane, number)
                if where not in self.areas:
                    fresh.append(number)
                self.areas[where] += sign * count
                if self.areas[where] <= 0:
                    del self.areas[where]
                    gone.append(number)
                if sign > 0:
                    self.live.keep_clear(number)
        turned = (set(fresh) ^ set(gone)) - {BACKGROUND}
        if not turned or self.live.assembly.classes:
            return np.zeros(0, np.uint32)
        self.turns += 1
        # no object of a tile that is still to come is called like them
        self.live.assembly.kept |= turned & set(fresh)
        found = np.array(sorted(turned), np.uint32)
        self._touched[plane] = np.setxor1d(self._ids(plane), found)
        return found

    def _complete(self, shown: NDArray[Any], plane: Plane, box: Box) -> None:
        """Take what is shown of touched objects as painted; the run leaves it alone."""
        index = index_of(plane, box)
        recorded, completing = self.recorded[index], self._completing[index]
        parts = completing | (recorded == UNLABELLED)
        ids = self._ids(plane)
        few = np.searchsorted(ids, PERSONAL)  # looked for together they take ten times longer
        belongs = np.isin(shown[index], ids[:few])
        if few < len(ids):
            belongs |= np.isin(shown[index], ids[few:])
        parts &= belongs
        released = completing & ~parts
        # Only where something changes: what was never written takes no memory.
        np.copyto(recorded, UNLABELLED, where=released)
        np.copyto(recorded, shown[index], where=parts, casting="unsafe")
        for array in (completing, self.live.locked[index]):
            np.copyto(array, False, where=released)
            np.copyto(array, True, where=parts)

    def painted(self) -> NDArray[np.uint32]:
        """Return a copy of `recorded` ``(..., Y, X)``; empty parts take no memory."""
        painted = np.zeros(self.recorded.shape, np.uint32)
        if self.areas:
            for plane, box in self.blocks():
                window = self.recorded[index_of(plane, box)]
                if window.any():
                    painted[index_of(plane, box)] = window
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
        new = (painted != UNLABELLED) & (self.recorded == UNLABELLED)
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
        # Of classes only what the model predicts too: a mark would make erased pixels background.
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


def _reach(
    picture: NDArray[Any], box: Box, pixels: NDArray[np.bool_], ids: NDArray[np.uint32]
) -> Box:
    """Return the box around a window and those of a picture's objects that some pixels are of."""
    if box.shape == picture.shape:
        return box
    y, x = np.nonzero(pixels)
    y, x = y + box.start[0], x + box.start[1]
    numbers, first = np.unique(picture[y, x], return_index=True)
    area = box
    for i in first[np.isin(numbers, ids)].tolist():
        area = area.union(object_box(picture, (int(y[i]), int(x[i]))))
    return area
