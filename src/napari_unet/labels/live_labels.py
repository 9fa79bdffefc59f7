"""Patches of objects put together to one label image with one id for each object."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box, Plane
from napari_unet.labels.painted import (
    MARK_BACKGROUND,
    MARK_NONE,
    UNLABELLED,
    painted_ids,
    painted_objects,
)
from napari_unet.labels.watershed import Patch

PERSONAL = 2**26  # ids from here on are a person's; counting on from there would take memory
FRINGE = 0.5  # of an object's own thickness; what is left of it thinner than that is no object


@dataclass(slots=True, eq=False)
class Assembly:
    """What the model predicts, gathered block by block over its last prediction.

    Ids are stable: an object that covers most of an object of the run before keeps its id.
    The order in which blocks arrive changes numbers, never shapes.

    Attributes
    ----------
    labels : ndarray of uint32
        ``(..., Y, X)``, what the model predicted last; changed in place.
    next_id : int
        The smallest id that was never used, by the model or by the person.
    classes : bool
        Whether the labels are classes, which have no identity, rather than objects.
    kept : set of int
        Ids of objects a person corrected; no object of a later run is called by them.
    """

    labels: NDArray[np.uint32]
    next_id: int = 1
    classes: bool = False
    kept: set[int] = field(default_factory=set)
    _block_of: NDArray[np.int32] = field(default_factory=lambda: _nowhere(64))
    _extent: NDArray[np.int32] = field(default_factory=lambda: np.zeros((64, 4), np.int32))

    def begin(self, next_id: int) -> None:
        """Start another run: every object of the last one may be replaced."""
        self.next_id = max(self.next_id, next_id)
        self._reserve(self.next_id)
        self._block_of[:] = -1

    def take_up(self, labels: NDArray[np.uint32]) -> None:
        """Take labels ``(..., Y, X)`` that are no run's as the last prediction; ids stay.

        Only what a model can have predicted: ids from `PERSONAL` on, and objects of one id in
        several planes, are a person's.
        """
        objects = painted_objects(labels)
        largest = max((item.id for item in objects if item.id < PERSONAL), default=0)
        planes = Counter(item.id for item in objects)
        predicted = [i for i in objects if i.id < PERSONAL and (self.classes or planes[i.id] == 1)]
        ids = np.array(sorted({item.id for item in predicted}), np.uint32)
        np.copyto(self.labels, labels, where=np.isin(labels, ids))
        self.begin(largest + 1)
        for item in predicted:
            self._extent[item.id] = (*item.box.start, *item.box.stop)

    @property
    def count(self) -> int:
        """Objects placed in this run."""
        return int(np.count_nonzero(self._block_of >= 0))

    def box_of(self, number: int) -> Box:
        """Return the box around an object that the model drew."""
        y0, x0, y1, x1 = self._extent[number].tolist()
        return Box((y0, x0), (y1, x1))

    def drew(self, number: int) -> bool:
        """Whether an id is that of an object which the model drew at some time."""
        return number < len(self._extent) and bool(self._extent[number].any())

    def area(self, plane: Plane, owned: Box, patch: Patch) -> Box:
        """Image pixels that `place` may change: also where the objects it replaces reach to."""
        if self.classes or not patch.count:
            return owned
        area = owned.union(patch.box)
        under = self.labels[plane][patch.box.slices][patch.labels > 0]
        replaced = np.unique(under[self._block_of[under] < 0])
        if replaced.any():
            y0, x0, y1, x1 = (self._extent[replaced[replaced > 0]][:, i] for i in range(4))
            reach = Box((int(y0.min()), int(x0.min())), (int(y1.max()), int(x1.max())))
            area = area.union(reach)
        return area

    def place(self, plane: Plane, owned: Box, patch: Patch, block: int) -> Box:
        """Write one block's objects; return the image pixels that may have changed (`area`).

        Parameters
        ----------
        plane : tuple of int
            Indices along the leading axes.
        owned : Box
            The block; what an earlier run left there is cleared.
        patch : Patch
            Its objects; they may reach beyond the block.
        block : int
            Number of the block, unique in the run; where two blocks claim one pixel the lower
            number has it.
        """
        picture, area = self.labels[plane], self.area(plane, owned, patch)
        if self.classes:
            picture[owned.slices] = patch.labels
            return owned
        part = picture[owned.slices]
        if not patch.count:
            part[self._block_of[part] < 0] = 0
            return owned
        numbers = self._numbers(picture, patch)
        # What the last run drew goes first, wherever it is, of the block and of every id that is
        # used again: afterwards nobody could tell it from what this run draws.
        part[self._block_of[part] < 0] = 0
        again = numbers[numbers < self.next_id]
        around = picture[area.slices]
        around[np.isin(around, again[again > 0])] = 0
        self._note(numbers, patch, block)
        under = picture[patch.box.slices]
        claimed = self._block_of[under]
        write = (patch.labels > 0) & ((claimed < 0) | (claimed > block))
        under[write] = numbers[patch.labels[write]]
        return area

    def remove_fringes(
        self,
        plane: Plane,
        area: Box,
        block: int,
        there: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    ) -> None:
        """Clear what peeps out from under corrected objects, which a model draws a bit larger.

        Parameters
        ----------
        plane, area : tuple of int, Box
            Where; all of the block's objects lie inside.
        block : int
            Whose objects are looked at.
        there : tuple of two ndarray of bool
            ``(Y, X)`` of `area`: pixels of corrected objects; and all pixels that stay as they are.
        """
        from scipy import ndimage  # noqa: PLC0415  the panel needs this module at once

        predicted = self.labels[index_of(plane, area)]
        objects, fixed = there
        for number in np.unique(predicted[objects]).tolist():
            if not number or self._block_of[number] != block:
                continue
            y0, x0, y1, x1 = self._extent[number].tolist()
            inside = Box((y0, x0), (y1, x1)).shift(area.start).slices
            whole = predicted[inside] == number
            visible = whole & ~fixed[inside]
            if not visible.any():
                continue
            # Outside of the window there is nothing of the object.
            masks = [np.pad(mask, 1) for mask in (visible, whole)]
            thin, thick = (ndimage.distance_transform_edt(mask).max() for mask in masks)
            if thin < FRINGE * thick:
                predicted[inside][visible] = 0

    def _numbers(self, picture: NDArray[np.uint32], patch: Patch) -> NDArray[np.uint32]:
        """Ids of the patch's objects: inherited from the last run, else new."""
        numbers = np.zeros(patch.count + 1, np.uint32)
        taken: set[int] = set()
        for index, old in _majorities(patch.labels, picture[patch.box.slices], patch.count):
            if self._block_of[old] < 0 and old not in taken and old not in self.kept:
                numbers[index] = old
                taken.add(old)
        fresh = np.flatnonzero(numbers[1:] == 0) + 1
        numbers[fresh] = np.arange(self.next_id, self.next_id + len(fresh))
        return numbers

    def _note(self, numbers: NDArray[np.uint32], patch: Patch, block: int) -> None:
        """Remember who drew the objects, and where."""
        from scipy import ndimage  # noqa: PLC0415  the panel needs this module at once

        self.next_id = max(self.next_id, int(numbers.max()) + 1)
        self._reserve(self.next_id)
        self._block_of[numbers[1:]] = block
        y, x = patch.box.start
        for number, found in zip(numbers[1:], ndimage.find_objects(patch.labels), strict=False):
            if found is not None:
                rows, columns = found
                self._extent[number] = (
                    rows.start + y,
                    columns.start + x,
                    rows.stop + y,
                    columns.stop + x,
                )

    def _reserve(self, ids: int) -> None:
        length = len(self._block_of)
        if ids >= length:
            more = max(ids + 1 - length, length)
            self._block_of = np.concatenate([self._block_of, _nowhere(more)])
            self._extent = np.concatenate([self._extent, np.zeros((more, 4), np.int32)])


def _nowhere(count: int) -> NDArray[np.int32]:
    return np.full(count, -1, np.int32)


def _majorities(
    new: NDArray[np.int32], old: NDArray[np.uint32], count: int
) -> list[tuple[int, int]]:
    """Pairs of a new object and the old one that covers more than half of it."""
    from scipy.sparse import coo_array  # noqa: PLC0415  the panel needs this module at once

    both = (new > 0) & (old > 0)
    if not both.any():
        return []
    pixels = np.ones(np.count_nonzero(both), np.int32)
    overlaps = coo_array((pixels, (old[both], new[both])))
    overlaps.sum_duplicates()
    pairs, shared = np.stack(overlaps.coords[::-1]), overlaps.data
    areas = np.bincount(new.ravel(), minlength=count + 1)
    most = shared * 2 > areas[pairs[0]]
    order = np.argsort(-shared[most], kind="stable")  # the larger share has the first right
    return [(int(a), int(b)) for a, b in pairs[:, most][:, order].T]


def index_of(plane: Plane, box: Box) -> Any:
    """Return the index of a window in an array ``(..., Y, X)``."""
    return (*plane, *box.slices)


def empty_labels(shape: tuple[int, ...]) -> NDArray[Any]:
    """Return zeros of type uint32; memory is taken only where something is written."""
    return np.zeros(shape, np.uint32)


def _largest_id(labels: NDArray[Any]) -> int:
    """Largest id that is not far beyond all others, as a person can type one."""
    largest = int(labels.max(initial=0))
    return largest if largest < PERSONAL else int(labels[labels < PERSONAL].max(initial=0))


@dataclass(slots=True, eq=False)
class LiveLabels:
    """A label image that a model fills and a person paints on; the person always wins.

    Attributes
    ----------
    assembly : Assembly
        What the model predicts, without the person's changes.
    corrected : ndarray of bool
        ``(..., Y, X)``, pixels where the person disagreed when a run last looked; no run changes
        them, nor what the model had predicted there: what is undone was never painted.
    locked : ndarray of bool
        ``(..., Y, X)``, pixels the run that is going on may not change: all that was painted
        when it began, objects painted in part as a whole.
    marks : ndarray of uint8
        ``(..., Y, X)``, the marks beside the labels (see `painted`); no run changes what is
        shown there.
    """

    assembly: Assembly
    corrected: NDArray[np.bool_]
    locked: NDArray[np.bool_] = field(init=False)
    marks: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.locked = np.zeros(self.corrected.shape, bool)
        self.marks = np.zeros(self.corrected.shape, np.uint8)

    @classmethod
    def empty(cls, shape: tuple[int, ...], *, classes: bool = False) -> "LiveLabels":
        """Nothing predicted and nothing painted yet."""
        return cls(Assembly(empty_labels(shape), classes=classes), np.zeros(shape, bool))

    def begin(
        self, shown: NDArray[Any], *, above: int = 0, painted: NDArray[np.uint32] | None = None
    ) -> None:
        """Start a run; new ids will exceed every id below `PERSONAL` shown, predicted, or `above`.

        Parameters
        ----------
        shown : ndarray of int
            ``(..., Y, X)``, what the person sees.
        above : int, default 0
            An id the person is about to use.
        painted : ndarray of uint32, optional
            ``(..., Y, X)``, a painted array: its pixels and its ids stay; None = nothing.
        """
        largest = above if above < PERSONAL else 0
        # At first both are empty, and looking at them would cost their memory.
        worth = self.assembly.next_id > 1 or painted is not None
        if worth:
            largest = max(largest, _largest_id(shown), _largest_id(self.assembly.labels))
        self.assembly.begin(largest + 1)
        if painted is None:
            if worth and self.locked.any():
                self.locked[...] = False
            self.assembly.kept = set()
        else:
            np.not_equal(painted, UNLABELLED, out=self.locked)
            self.assembly.kept = set(painted_ids(painted).tolist())

    def keep_clear(self, largest: int) -> None:
        """Give no new object an id up to `largest`, which a person uses; below `PERSONAL`."""
        if largest < PERSONAL:
            self.assembly.next_id = max(self.assembly.next_id, largest + 1)

    def update(
        self, shown: NDArray[Any], plane: Plane, owned: Box, patch: Patch, block: int
    ) -> Box:
        """Take one block's objects over into what is shown, except where a person painted.

        Parameters
        ----------
        shown : ndarray of int
            ``(..., Y, X)``, what the person sees and paints on; changed in place.
        plane, owned, patch, block
            As for `Assembly.place`.

        Returns
        -------
        Box
            Image pixels that may have changed.
        """
        area = self.assembly.area(plane, owned, patch)
        index = index_of(plane, area)
        predicted, seen = self.assembly.labels[index], shown[index]
        corrected, marks = self.corrected[index], self.marks[index]
        # Under a background stroke the stroke itself says so, and can be taken back.
        no_stroke = marks != MARK_BACKGROUND
        np.not_equal(seen, predicted, out=corrected, where=no_stroke)
        fixed = corrected | self.locked[index]
        fixed |= marks != MARK_NONE
        before = predicted.copy()
        self.assembly.place(plane, owned, patch, block)
        if patch.count and not self.assembly.classes:
            self.assembly.remove_fringes(plane, area, block, (fixed & (seen > 0), fixed))
        # A new opinion about what is fixed would turn into a correction once that is undone.
        np.copyto(predicted, before, where=corrected | (fixed & no_stroke))
        np.copyto(seen, predicted, where=~fixed, casting="unsafe")
        return area
