"""Patches of objects put together to one label image with one id for each object."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.instances import Patch

Plane = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Assembly:
    """What the model says, gathered block by block over what it said before.

    Ids are stable: an object that covers most of an object of the run before keeps its id.
    The order in which blocks arrive changes numbers, never shapes.

    Attributes
    ----------
    labels : ndarray of uint32
        ``(..., Y, X)``, what the model said last; changed in place.
    next_id : int
        The smallest id that was never used, by the model or by the person.
    classes : bool
        Whether the labels are classes, which have no identity, rather than objects.
    """

    labels: NDArray[np.uint32]
    next_id: int = 1
    classes: bool = False
    _block_of: NDArray[np.int64] = field(default_factory=lambda: np.full(64, -1, np.int64))
    _lost: int = 0

    def begin(self, next_id: int) -> None:
        """Start another run: every object of the last one may be replaced."""
        self.next_id = max(self.next_id, next_id)
        self._block_of = np.full(max(64, self.next_id + 1), -1, np.int64)
        self._lost = 0

    @property
    def count(self) -> int:
        """Objects placed in this run."""
        return int(np.count_nonzero(self._block_of >= 0))

    def place(self, plane: Plane, owned: Box, patch: Patch, block: int) -> Box:
        """Write one block's objects; return the image pixels that may have changed.

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
        picture = self.labels[plane]
        if self.classes:
            picture[owned.slices] = patch.labels
            return owned
        numbers = self._numbers(picture, patch, block)
        part = picture[owned.slices]
        part[self._block_of[part] < 0] = 0
        changed = owned
        if patch.count:
            under = picture[patch.box.slices]
            claimed = self._block_of[under]
            free = (under == 0) | (claimed < 0) | (claimed > block)
            write = (patch.labels > 0) & free
            under[write] = numbers[patch.labels[write]]
            changed = _union(owned, patch.box)
        return changed

    def _numbers(self, picture: NDArray[np.uint32], patch: Patch, block: int) -> NDArray[np.uint32]:
        """Ids of the patch's objects: inherited from the last run, else new."""
        numbers = np.zeros(patch.count + 1, np.uint32)
        if not patch.count:
            return numbers
        for index, old in _majorities(patch.labels, picture[patch.box.slices], patch.count):
            if self._block_of[old] < 0 and old not in numbers:
                numbers[index] = old
        fresh = np.flatnonzero(numbers[1:] == 0) + 1
        numbers[fresh] = np.arange(self.next_id, self.next_id + len(fresh))
        self.next_id += len(fresh)
        self._reserve(self.next_id)
        self._block_of[numbers[1:]] = block
        return numbers

    def _reserve(self, ids: int) -> None:
        have = len(self._block_of)
        if ids >= have:
            more = np.full(max(ids + 1 - have, have), -1, np.int64)
            self._block_of = np.concatenate([self._block_of, more])


def _majorities(
    new: NDArray[np.int32], old: NDArray[np.uint32], count: int
) -> list[tuple[int, int]]:
    """Pairs of a new object and the old one that covers more than half of it."""
    both = (new > 0) & (old > 0)
    if not both.any():
        return []
    pairs, shared = np.unique(
        np.stack([new[both].astype(np.int64), old[both].astype(np.int64)]),
        axis=1,
        return_counts=True,
    )
    areas = np.bincount(new.ravel(), minlength=count + 1)
    most = shared * 2 > areas[pairs[0]]
    order = np.argsort(-shared[most], kind="stable")  # the larger share has the first right
    return [(int(a), int(b)) for a, b in pairs[:, most][:, order].T]


def _union(a: Box, b: Box) -> Box:
    return Box(
        (min(a.start[0], b.start[0]), min(a.start[1], b.start[1])),
        (max(a.stop[0], b.stop[0]), max(a.stop[1], b.stop[1])),
    )


def empty_labels(shape: tuple[int, ...]) -> NDArray[Any]:
    """Return zeros of type uint32; memory is taken only where something is written."""
    return np.zeros(shape, np.uint32)


@dataclass(slots=True, eq=False)
class LiveLabels:
    """A label image that a model fills and a person paints on; the person always wins.

    Attributes
    ----------
    assembly : Assembly
        What the model says, without the person's changes.
    corrected : ndarray of bool
        ``(..., Y, X)``, pixels where the person disagreed once; no run changes them any more.
    """

    assembly: Assembly
    corrected: NDArray[np.bool_]

    @classmethod
    def empty(cls, shape: tuple[int, ...], *, classes: bool = False) -> "LiveLabels":
        """Nothing said and nothing painted yet."""
        return cls(Assembly(empty_labels(shape), classes=classes), np.zeros(shape, bool))

    def begin(self, shown: NDArray[Any], *, above: int = 0) -> None:
        """Start a run; new ids will exceed every id shown, said, or equal to `above`."""
        largest = max(int(shown.max(initial=0)), int(self.assembly.labels.max(initial=0)), above)
        self.assembly.begin(largest + 1)

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
        area = _union(owned, patch.box) if patch.count else owned
        said = self.assembly.labels[plane][area.slices]
        seen, corrected = shown[plane][area.slices], self.corrected[plane][area.slices]
        corrected |= seen != said
        self.assembly.place(plane, owned, patch, block)
        np.copyto(seen, said, where=~corrected, casting="unsafe")
        return area
