"""A copy of labels in which planes are linked; made again after corrections it keeps its ids."""

import base64
import binascii
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import ArrayLike
from napari_unet.labels.linking.planes import relink, unlinked
from napari_unet.labels.linking.result import Links
from napari_unet.labels.painted import painted_ids
from napari_unet.settings import LinkSettings


@dataclass(frozen=True, slots=True, eq=False)
class LinkedCopy:
    """What is known of a linked copy, to make it again.

    Attributes
    ----------
    links : Links
        How the planes were linked last.
    known : dict of int to int
        Id in the copy of each id in the labels.
    sums : tuple of int
        Checksum of each plane of the copy; empty = it was never made.
    own : tuple of ndarray of uint32
        For each plane the ids in the labels, in the order of those in the copy; empty where two
        objects of a plane became one.
    """

    links: Links
    known: dict[int, int] = field(default_factory=dict)
    sums: tuple[int, ...] = ()
    own: tuple[NDArray[np.uint32], ...] = ()

    @classmethod
    def empty(
        cls, labels: ArrayLike, axes: str, settings: LinkSettings, depth: float
    ) -> "LinkedCopy":
        """Return what is known before the first copy; arguments as for `link`."""
        return cls(unlinked(labels, axes, settings, depth))


def linked_copy(
    labels: ArrayLike,
    before: LinkedCopy,
    given: Collection[int],
    progress: Callable[[int, int], None],
) -> tuple[LinkedCopy, NDArray[np.uint32]]:
    """Copy labels, and link the planes of the copy.

    Labels may change meanwhile: each plane is read once.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``, 0 = background. An id of several planes is one object.
    before : LinkedCopy
        The copy before; what did not change since keeps its ids.
    given : collection of int
        Ids that a person gave: each is one object, and two of them are never joined.
    progress : callable
        Called with the steps done and those in all; what it raises stops the work.

    Returns
    -------
    copy : LinkedCopy
        To make the next one from.
    array : ndarray of uint32
        ``(..., Y, X)``, linked. An object has the id of one of its sections.
    """
    planes = list(np.ndindex(*before.links.shape))
    array, ids = np.zeros(tuple(labels.shape), np.uint32), list[list[int]]()
    names, total = _Names(before.known), 2 * len(planes)
    for number, index in enumerate(planes):
        progress(number, total)
        array[index], found = names.given_to(np.asarray(labels[index]))
        ids.append(found)
    sums = [zlib.crc32(array[index].data) for index in planes]
    changed = [n for n, one in enumerate(sums) if not before.sums or one != before.sums[n]]
    several = (
        one for one, count in Counter(i for found in ids for i in found).items() if count > 1
    )
    locked = {names.of(one) for one in (*given, *several)}
    reading = _Watched(array, lambda done: progress(len(planes) + done, total))
    links = relink(reading, before.links, changed, locked=locked)
    known, own, joined = dict[int, int](), list[NDArray[np.uint32]](), False
    for number, index in enumerate(planes):
        linked = links.relabel(number, np.array([names.of(one) for one in ids[number]], np.int64))
        known.update(zip(ids[number], linked.tolist(), strict=True))
        own.append(np.array(ids[number], np.uint32)[np.argsort(linked)])
        joined |= len(np.unique(linked)) < len(linked)
        array[index] = links.relabel(number, array[index])
        sums[number] = zlib.crc32(array[index].data)
    return LinkedCopy(links, known, tuple(sums), () if joined else tuple(own)), array


def packed(own: Sequence[NDArray[np.uint32]]) -> str:
    """Return the ids of all planes as text, to be kept with a linked copy; see `separated`."""
    values = np.concatenate([np.zeros(0, np.uint32), *own]).astype("<u4")
    return base64.b85encode(zlib.compress(values.tobytes())).decode("ascii")


def separated(array: NDArray[Any], text: str) -> NDArray[np.uint32] | None:
    """Return the labels that a linked copy was made of.

    Parameters
    ----------
    array : ndarray of int
        ``(..., Y, X)``, the copy.
    text : str
        What `packed` gave.

    Returns
    -------
    ndarray of uint32 or None
        ``(..., Y, X)``; None if the copy was changed since, or the text is damaged.
    """
    try:
        values = np.frombuffer(zlib.decompress(base64.b85decode(text)), "<u4")
    except (ValueError, binascii.Error, zlib.error):
        return None
    found, first = np.zeros(array.shape, np.uint32), 0
    for index in np.ndindex(*array.shape[:-2]):
        ids = painted_ids(array[index])
        own = values[first : first + len(ids)]
        first += len(ids)
        if len(own) < len(ids):
            return None
        names, places = np.concatenate([[0], own]), np.concatenate([[0], ids])
        found[index] = names[np.searchsorted(places, array[index])]
    return found if first == len(values) else None


def without_ids(array: NDArray[Any], text: str, gone: NDArray[Any]) -> str:
    """Return what `packed` gave of a linked copy, without some ids of the labels.

    Parameters
    ----------
    array : ndarray of int
        ``(..., Y, X)``, the copy with all its objects.
    text : str
        What `packed` gave.
    gone : ndarray of int
        Ids in the labels of objects that are taken from the copy.
    """
    values = np.frombuffer(zlib.decompress(base64.b85decode(text)), "<u4")
    counts = [len(painted_ids(array[index])) for index in np.ndindex(*array.shape[:-2])]
    own = np.split(values, np.cumsum(counts)[:-1])
    return packed([ids[~np.isin(ids, gone)] for ids in own])


class _Names:
    """Ids in the copy of those of the labels, also of ids that are new."""

    def __init__(self, known: dict[int, int]) -> None:
        self._known = dict(known)
        self._taken = set(known.values())
        self._fresh = max(*known, *known.values(), 0) if known else 0

    def of(self, number: int) -> int:
        """Return the id of an object: its own, unless another one has that in the copy."""
        if number not in self._known:
            name = number
            while name in self._taken:
                self._fresh += 1
                name = self._fresh
            self._known[number] = name
            self._taken.add(name)
        return self._known[number]

    def given_to(self, plane: NDArray[Any]) -> tuple[NDArray[np.uint32], list[int]]:
        """Return a plane with its ids of the copy, and its own ids."""
        own = painted_ids(plane)
        ids = own.tolist()
        names = np.array([0, *map(self.of, ids)], np.uint32)
        if np.array_equal(names[1:], own):
            return plane.astype(np.uint32), ids
        return names[np.searchsorted(np.concatenate([[0], own]), plane)], ids


class _Watched:
    """Labels that tell how many of their planes were read."""

    def __init__(self, labels: NDArray[np.uint32], progress: Callable[[int], None]) -> None:
        self._labels, self._progress, self._read = labels, progress, 0
        self.shape, self.dtype = labels.shape, labels.dtype

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        """Return a plane."""
        self._progress(self._read)
        self._read += 1
        plane: NDArray[np.uint32] = self._labels[key]
        return plane
