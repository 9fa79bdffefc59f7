"""A copy of labels in which planes are linked; made again after corrections it keeps its ids."""

import base64
import binascii
import math
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import ArrayLike
from napari_unet.labels.linking.planes import relink, unlinked
from napari_unet.labels.linking.result import Links
from napari_unet.labels.painted import painted_ids
from napari_unet.settings import LinkSettings

Ids = NDArray[np.uint32]


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

    def with_settings(self, settings: LinkSettings) -> "LinkedCopy":
        """Return the same for other settings: all links are looked for anew, ids stay."""
        if settings == self.links.settings:
            return self
        known = self.known if self.own else {}  # what became one could not be told apart
        return LinkedCopy(replace(self.links, settings=settings), known)

    @classmethod
    def of_file(cls, array: NDArray[Any], own: NDArray[Any], links: Links) -> "LinkedCopy":
        """Return what is known of a copy that was saved.

        Parameters
        ----------
        array : ndarray of int
            ``(..., Y, X)``, the copy.
        own : ndarray of int
            ``(..., Y, X)``, the labels that it was made of, as `separated` gives them.
        links : Links
            Axes, shape, settings, depth and parents.
        """
        known, sums, names = dict[int, int](), list[int](), list[Ids]()
        for index in np.ndindex(*links.shape):
            plane = np.ascontiguousarray(array[index], np.uint32)
            ids, first = np.unique(plane, return_index=True)
            there = ids > 0
            names.append(np.asarray(own[index]).ravel()[first[there]].astype(np.uint32))
            known.update(zip(names[-1].tolist(), ids[there].tolist(), strict=True))
            sums.append(zlib.crc32(plane.data))
        return cls(links, known, tuple(sums), tuple(names))

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
    into: Any = None,
) -> tuple[LinkedCopy, Any]:
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
    into : array-like of uint32, optional
        ``(..., Y, X)``, empty; takes the copy plane by plane. Default a new array in memory.

    Returns
    -------
    copy : LinkedCopy
        To make the next one from.
    array : ndarray of uint32, or `into`
        ``(..., Y, X)``, linked. An object has the id of one of its sections.
    """
    planes = list(np.ndindex(*before.links.shape))
    array = np.zeros(tuple(labels.shape), np.uint32) if into is None else into
    names, total, ids, sums = _Names(before.known), 3 * len(planes), list[Ids](), list[int]()
    for number, index in enumerate(planes):
        progress(number, total)
        # a copy: somebody may paint while it is looked at, and its rows may not lie in memory so
        named, found = names.given_to(np.array(labels[index], order="C"))
        if len(found):
            array[index] = named
        ids.append(found)
        sums.append(zlib.crc32(named.data))
    changed = [n for n, one in enumerate(sums) if not before.sums or one != before.sums[n]]
    several = (
        one for one, n in Counter(i for found in ids for i in found.tolist()).items() if n > 1
    )
    locked = {names.of(one) for one in (*given, *several)}
    reading = _Watched(array, lambda done: progress(len(planes) + done, total))
    links = relink(reading, before.links, changed, locked=locked)
    reading = _Watched(array, lambda done: progress(2 * len(planes) + done, total))
    return _applied(links, reading, ids, names), array


def _applied(links: Links, array: "_Watched", ids: list[Ids], names: "_Names") -> LinkedCopy:
    """Give a copy its linked ids, plane by plane; return what is known of it then.

    An object that is left out has a name of its own, so that its planes count as unchanged.
    """
    known, own, sums, joined = dict[int, int](), list[NDArray[np.uint32]](), list[int](), False
    kept = set(links.ids.tolist())
    for number, index in enumerate(np.ndindex(*links.shape)):
        before = np.array([names.of(one) for one in ids[number].tolist()], np.int64)
        after = links.relabel(number, before).astype(np.int64)
        there = after > 0
        for one, name, stays in zip(ids[number].tolist(), after.tolist(), there, strict=True):
            known[one] = name if stays else names.apart(one, kept)
        own.append(ids[number][there][np.argsort(after[there])])
        joined |= len(np.unique(after[there])) < int(there.sum())
        named = plane = array[index]
        if len(after):
            order, again = np.argsort(before), np.array([known[i] for i in ids[number].tolist()])
            places = np.searchsorted(np.append(0, before[order]), named)
            plane, named = links.relabel(number, named), np.append(0, again[order])[places]
            array.labels[index] = plane
        sums.append(zlib.crc32(named.astype(np.uint32).data))
    return LinkedCopy(links, known, tuple(sums), () if joined else tuple(own))


def separable(links: Links) -> str | None:
    """Return what `packed` gives for labels linked by `Links.applied`.

    Returns
    -------
    str or None
        None where two objects of a plane became one.
    """
    own = list[Ids]()
    for number in range(math.prod(links.shape)):
        part = slice(*np.searchsorted(links.plane, [number, number + 1]))
        after = links.ids[part]
        there = after > 0
        if len(np.unique(after[there])) < np.count_nonzero(there):
            return None
        own.append(links.sections.ids[part][there][np.argsort(after[there])].astype(np.uint32))
    return packed(own)


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

    def apart(self, number: int, others: Collection[int]) -> int:
        """Return the id of an object; a new one if it is among others."""
        if self.of(number) in others:
            while self._fresh in self._taken or self._fresh in others:
                self._fresh += 1
            self._known[number] = self._fresh
            self._taken.add(self._fresh)
        return self._known[number]

    def given_to(self, plane: NDArray[Any]) -> tuple[NDArray[np.uint32], Ids]:
        """Return a plane with its ids of the copy, and its own ids."""
        own = painted_ids(plane).astype(np.uint32)
        names = np.array([0, *map(self.of, own.tolist())], np.uint32)
        if np.array_equal(names[1:], own):
            return plane.astype(np.uint32), own
        return names[np.searchsorted(np.concatenate([[0], own]), plane)], own


class _Watched:
    """Labels that tell how many of their planes were read, one after the other."""

    def __init__(self, labels: Any, progress: Callable[[int], None]) -> None:
        self.labels, self._progress, self._read = labels, progress, 0
        self.shape, self.dtype = labels.shape, labels.dtype

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        """Return a plane."""
        self._progress(self._read)
        self._read += 1
        plane: NDArray[np.uint32] = np.asarray(self.labels[key])
        return plane
