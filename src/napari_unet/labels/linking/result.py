"""Which id each section gets, applied to labels of any size, and shown as tracks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import ArrayLike, Plane
from napari_unet.labels.linking.stitching import Ids, Sections
from napari_unet.settings import LinkSettings
from napari_unet.wording import counted

DEPTH, TIME = "Z", "T"


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Which sections of labels are one object.

    Attributes
    ----------
    axes : str
        The axes before Y and X, in the order of the labels.
    shape : tuple of int
        Their lengths.
    settings : LinkSettings
        What was asked for.
    depth : float
        From plane to plane along Z, in pixels.
    plane : ndarray of int64
        ``(S,)``, number of the plane of each section, ascending; the last axis runs fastest.
    sections : Sections
        Ids as the labels have them, area and centre of each section.
    ids : ndarray of int64
        ``(S,)``, the id that each section gets, 0 = left out.
    parents : dict of int to int
        Id of the parent of each id that comes of a division.
    """

    axes: str
    shape: tuple[int, ...]
    settings: LinkSettings
    depth: float
    plane: Ids
    sections: Sections
    ids: Ids
    parents: dict[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of objects: through Z, and of tracks through time."""
        return len(np.unique(self.ids[self.ids > 0]))

    @property
    def summary(self) -> str:
        """What was found, in words: objects in planes, or tracks in frames."""
        lengths = dict(zip(self.axes, self.shape, strict=True))
        frames, planes = (
            counted(lengths[a], w) if a in lengths else ""
            for a, w in ((TIME, "frame"), (DEPTH, "plane"))
        )
        what = counted(self.count, "track" if frames else "object")
        where = " of ".join(part for part in (frames, planes) if part)
        return f"{what} in {where}" if where else what

    def relabel(self, number: int, labels: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Return a plane, or a window of one, with linked ids.

        Parameters
        ----------
        number : int
            Of the plane; see `plane`.
        labels : ndarray of int
            As they were linked.

        Raises
        ------
        InputError
            If there is an id that was not there then.
        """
        start, stop = np.searchsorted(self.plane, [number, number + 1])
        known = np.concatenate([[0], self.sections.ids[start:stop]])
        places = np.minimum(np.searchsorted(known, labels), len(known) - 1)
        if not np.array_equal(known[places], labels):
            raise InputError(
                f"Plane {number} of the labels holds objects that were not there when its planes "
                "were linked. Link them again."
            )
        linked = np.concatenate([[0], self.ids[start:stop]]).astype(np.uint32)
        found: NDArray[np.uint32] = linked[places]
        return found

    def applied(self, labels: ArrayLike) -> NDArray[np.uint32]:
        """Return labels ``(..., Y, X)`` with linked ids, as an array in memory."""
        result = np.empty(tuple(labels.shape), np.uint32)
        for number, index in enumerate(np.ndindex(*self.shape)):
            result[index] = self.relabel(number, np.asarray(labels[index]))
        return result

    def view(self, labels: ArrayLike) -> "LinkedLabels":
        """Return labels ``(..., Y, X)`` with linked ids, of which only windows are computed."""
        return LinkedLabels(labels, self)

    def without(self, left_out: Callable[[Plane], NDArray[Any]]) -> "Links":
        """Return the same without objects; `left_out` gives the linked ids of those of a plane."""
        ids = self.ids.copy()
        for number, plane in enumerate(np.ndindex(*self.shape)):
            part = ids[slice(*np.searchsorted(self.plane, [number, number + 1]))]
            part[np.isin(part, left_out(plane))] = 0
        return replace(self, ids=ids, parents=parents_among(self.parents, ids))

    def renumbered(self, names: Mapping[int, int]) -> "Links":
        """Return the same with other linked ids; `names` has all of them."""
        ids = np.array([names.get(number, 0) for number in self.ids.tolist()], np.int64)
        parents = {names[child]: names[parent] for child, parent in self.parents.items()}
        return replace(self, ids=ids, parents=parents)

    def tracks(self) -> tuple[NDArray[np.float64], dict[int, list[int]]]:
        """Return what napari's layer of tracks shows.

        Returns
        -------
        data : ndarray of float64
            ``(N, 2 + D)``: id, T (0 without that axis), then Z if there is one, Y and X, as
            indices of the labels; sorted by id and time. Other axes are not told apart.
        graph : dict
            Parents of each id that has one.
        """
        kept = self.ids > 0
        index = np.unravel_index(self.plane[kept], self.shape or (1,))
        at = dict(zip(self.axes, index, strict=False))
        none = np.zeros(int(kept.sum()))
        key = np.stack([self.ids[kept], at.get(TIME, none)], axis=1)
        place = [at[DEPTH]] if DEPTH in at else []
        places = np.stack([*place, *self.sections.centre[kept].T], axis=1)
        rows, objects = np.unique(key, axis=0, return_inverse=True)
        centre = mean_places(places, self.sections.area[kept], objects.ravel(), len(rows))
        graph = {child: [parent] for child, parent in sorted(self.parents.items())}
        return np.concatenate([rows, centre], axis=1), graph


def parents_among(parents: Mapping[int, int], ids: NDArray[np.integer]) -> dict[int, int]:
    """Return those parents of which both child and parent are among the ids that are left."""
    left = set(ids.tolist())
    return {child: of for child, of in parents.items() if {child, of} <= left}


class LinkedLabels:
    """Labels with linked ids, computed where they are read.

    Parameters
    ----------
    labels : array-like
        ``(..., Y, X)``, as they were linked.
    links : Links
        The ids that they get.
    """

    def __init__(self, labels: ArrayLike, links: Links) -> None:
        self._labels, self._links = labels, links
        self.shape = tuple(int(n) for n in labels.shape)
        self.dtype = np.dtype(np.uint32)
        if hasattr(labels, "chunks"):
            self.chunks = labels.chunks

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        """Return a window; the key is made of whole numbers and slices."""
        parts = key if isinstance(key, tuple) else (key,)
        leading = len(self._links.shape)
        numbers = np.arange(math.prod(self._links.shape)).reshape(self._links.shape)
        chosen = np.asarray(numbers[parts[:leading]])
        window = np.asarray(self._labels[parts])
        result = np.empty(window.shape, np.uint32)
        for index in np.ndindex(*chosen.shape):
            result[index] = self._links.relabel(int(chosen[index]), window[index])
        return result


def mean_places(
    places: NDArray[np.float64], weights: Ids, groups: Ids, count: int
) -> NDArray[np.float64]:
    """Return the weighted mean place of each group, ``(count, D)``."""
    total = np.maximum(np.bincount(groups, weights, count), 1)
    sums = [np.bincount(groups, column * weights, count) for column in places.T]
    return np.stack(sums, axis=1) / total[:, None]
