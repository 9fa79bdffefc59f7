"""Objects through the planes of a stack: sections that overlap are one object.

A *section* is what one plane shows of an object. Each section continues at most one section, that
of the nearest plane before with which it overlaps most; so a plane that misses an object, or joins
two, breaks nothing. Two objects above each other may overlap as well: where a row of sections has a
waist or jumps to the side, it is cut.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.linking.cuts import Row
from napari_unet.settings import LinkSettings

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """The objects of one plane, or of several, one row for each.

    Attributes
    ----------
    ids : ndarray of int64
        ``(N,)``, as the labels have them; ascending within a plane.
    area : ndarray of int64
        ``(N,)``, pixels.
    centre : ndarray of float64
        ``(N, 2)``, mean row and column in pixels of the plane.
    """

    ids: Ids
    area: Ids
    centre: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Given:
    """What is known before linking.

    Attributes
    ----------
    changed : frozenset of int or None
        Planes whose links are looked for; between others the same id means the same object, and
        another id another one. None = all planes.
    locked : frozenset of int
        Ids that a person gave: each is one object, and never that of another locked id.
    """

    changed: frozenset[int] | None = None
    locked: frozenset[int] = frozenset()

    def knows(self, first: int, last: int) -> bool:
        """Whether the links between two planes are known: neither they nor one between changed."""
        planes = range(first, last + 1)
        return self.changed is not None and self.changed.isdisjoint(planes)

    def is_locked(self, ids: Ids) -> NDArray[np.bool_]:
        """Return for each id whether it is locked, ``(N,)``."""
        return np.isin(ids, np.fromiter(self.locked, np.int64, len(self.locked)))


@dataclass(slots=True)
class _Seen:
    """A plane that the next ones may continue.

    Attributes
    ----------
    number : int
        Of the plane.
    rows : ndarray of int
        Row of each of its sections in the stack.
    sections : Sections
        Of this plane.
    index : ndarray of int32
        ``(Y, X)``, 0 = background, else 1 + the number of the section.
    owner : ndarray of int64
        ``(N,)``, locked id of the object that a section belongs to, 0 where there is none.
    free : ndarray of bool
        ``(N,)``, whether no later section continues it.
    before : ndarray of int64
        ``(N,)``, row of the section that each continues, -1 = none.
    """

    number: int
    rows: Ids
    sections: Sections
    index: NDArray[np.int32]
    owner: Ids
    free: NDArray[np.bool_]
    before: Ids = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(slots=True, eq=False)
class _Stack:
    """Sections of a stack, plane by plane.

    Attributes
    ----------
    sections : list of Sections
        Of each plane.
    links : list of _Links
        Of each plane, to the planes before.
    """

    sections: list[Sections] = field(default_factory=list)
    links: list["_Links"] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Links:
    """What the sections of a plane, or of several, continue.

    Attributes
    ----------
    before : ndarray of int64
        ``(N,)``, row in the whole stack of the section that each continues, -1 = none.
    known : ndarray of bool
        ``(N,)``, whether that link was known before.
    overlap : ndarray of float64
        ``(N, 2)``, overlap (IoU) with the section that each continues, and with the one that this
        continues; 0 where they are too far apart.
    """

    before: Ids
    known: NDArray[np.bool_]
    overlap: NDArray[np.float64]


def stitch(
    planes: Iterable[NDArray[np.integer]],
    settings: LinkSettings,
    given: Given | None = None,
) -> tuple[list[Sections], Ids]:
    """Find out which sections are one object.

    Parameters
    ----------
    planes : iterable of ndarray of int
        ``(Y, X)``, 0 = background. Each is read once; `gap` + 2 are in memory at a time, and at
        least three.
    settings : LinkSettings
        Overlap, gap and waist.
    given : Given, optional
        Planes that did not change, and locked ids.

    Returns
    -------
    sections : list of Sections
        Of each plane.
    objects : ndarray of int64
        ``(S,)``, the object of every section, plane after plane: 0…n-1 by first appearance.
    """
    given = given or Given()
    stack, row = _Stack(), 0
    recent = deque[_Seen](maxlen=max(2, settings.gap + 1))
    for number, plane in enumerate(planes):
        sections, index = sections_of(plane)
        rows = np.arange(row, row + len(sections.ids))
        owner = np.where(given.is_locked(sections.ids), sections.ids, 0)
        seen = _Seen(number, rows, sections, index, owner, np.ones(len(rows), bool))
        stack.sections.append(sections)
        stack.links.append(_continue(seen, list(recent)[::-1], settings, given))
        recent.append(seen)
        row += len(rows)
    return stack.sections, _objects(stack, settings.waist)


def sections_of(plane: NDArray[np.integer]) -> tuple[Sections, NDArray[np.int32]]:
    """Return the sections of a plane, and ``(Y, X)`` 1 + the number of the section, 0 elsewhere."""
    rows, columns = np.nonzero(plane)
    ids, number = np.unique(plane[rows, columns], return_inverse=True)
    index = np.zeros(plane.shape, np.int32)
    index[rows, columns] = number + 1
    area = np.bincount(number, minlength=len(ids)).astype(np.int64)
    sums = [np.bincount(number, weights=w, minlength=len(ids)) for w in (rows, columns)]
    centre = np.stack(sums, axis=1) / np.maximum(area, 1)[:, None]
    return Sections(ids.astype(np.int64), area, centre), index


def _continue(seen: _Seen, planes: Sequence[_Seen], settings: LinkSettings, given: Given) -> _Links:
    """Return what each section of a plane continues, the nearest plane first; take it up."""
    before = np.full(len(seen.rows), -1, np.int64)
    known = np.zeros(len(seen.rows), bool)
    overlaps = [_overlaps(past, seen) for past in planes]
    for forced in (True, False):
        for past, (pairs, iou, share) in zip(planes[: settings.gap + 1], overlaps, strict=False):
            certain = given.knows(past.number, seen.number)
            if forced:
                found = _same(past, seen, certain=certain)
            else:
                enough = share >= settings.least_overlap
                found = iter(()) if certain else _best(past, seen, pairs[enough], iou[enough])
            for i, j in found:
                if past.free[i] and before[j] < 0:
                    past.free[i], before[j], known[j] = False, past.rows[i], certain
                    seen.owner[j] = seen.owner[j] or past.owner[i]
    seen.before = before
    found_rows = [
        (past.rows[pairs[:, 0]], pairs[:, 1], iou)
        for past, (pairs, iou, _) in zip(planes, overlaps, strict=True)
    ]
    return _Links(before, known, _overlaps_along(before, planes, found_rows))


def _overlaps_along(
    before: Ids, planes: Sequence[_Seen], found: Sequence[tuple[Ids, Ids, NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Return the overlaps of sections with the two before them in their row, ``(N, 2)``."""
    earlier = {
        int(r): int(b) for past in planes for r, b in zip(past.rows, past.before, strict=True)
    }
    known = {
        (int(r), int(j)): float(v)
        for rows, own, iou in found
        for r, j, v in zip(rows, own, iou, strict=True)
    }
    result = np.zeros((len(before), 2))
    for j, one in enumerate(before.tolist()):
        result[j] = known.get((one, j), 0.0), known.get((earlier.get(one, -1), j), 0.0)
    return result


def _same(past: _Seen, seen: _Seen, *, certain: bool) -> Iterator[tuple[int, int]]:
    """Yield pairs of sections that must be one object: of one locked id, or of one known id."""
    ids = past.sections.ids if certain else past.owner
    place = {int(number): i for i, number in enumerate(ids) if number and past.free[i]}
    own = seen.sections.ids if certain else seen.owner
    for j, number in enumerate(own.tolist()):
        if number in place:
            yield place[number], j


def _overlaps(past: _Seen, seen: _Seen) -> tuple[Ids, NDArray[np.float64], NDArray[np.float64]]:
    """Return pairs of sections ``(P, 2)``, their IoU and the share of the smaller one, ``(P,)``."""
    both = (past.index > 0) & (seen.index > 0)
    columns = len(seen.rows) + 1
    coded = past.index[both].astype(np.int64) * columns + seen.index[both]
    found, shared = np.unique(coded, return_counts=True)
    i, j = found // columns - 1, found % columns - 1
    one, other = past.sections.area[i], seen.sections.area[j]
    return (
        np.stack([i, j], axis=1),
        shared / (one + other - shared),
        shared / np.minimum(one, other),
    )


def _best(
    past: _Seen, seen: _Seen, pairs: Ids, iou: NDArray[np.float64]
) -> Iterator[tuple[int, int]]:
    """Yield pairs that may be one object, those of the greatest overlap first.

    Equal overlaps are sorted by place, so that no choice depends on ids.
    """
    i, j = pairs.T
    places = np.concatenate([past.sections.centre[i], seen.sections.centre[j]], axis=1)
    for k in np.lexsort((*places.T, -iou)):
        one, other = int(i[k]), int(j[k])
        owners = past.owner[one], seen.owner[other]
        if 0 in owners or owners[0] == owners[1]:
            yield one, other


def _objects(stack: _Stack, waist: float) -> Ids:
    """Number the objects of a stack, with rows of sections cut between two objects."""
    if not stack.links:
        return np.zeros(0, np.int64)
    before = np.concatenate([one.before for one in stack.links])
    known = np.concatenate([one.known for one in stack.links])
    overlap = np.concatenate([one.overlap for one in stack.links])
    area = np.concatenate([s.area for s in stack.sections]).astype(np.float64)
    plane = np.repeat(np.arange(len(stack.sections)), [len(s.ids) for s in stack.sections])
    if waist:
        for chain in _chains(before):
            own = overlap[chain[1:]]
            row = Row(area[chain], own, np.diff(plane[chain]) > 1, known[chain[1:]])
            for cut in row.cuts(waist):
                before[chain[cut + 1]] = -1
    return numbered(before)


def numbered(before: Ids) -> Ids:
    """Return the object of each row, 0…n-1, where a row continues an earlier one or none (-1)."""
    objects, count = np.zeros(len(before), np.int64), 0
    for row, earlier in enumerate(before.tolist()):
        if earlier < 0:
            objects[row], count = count, count + 1
        else:
            objects[row] = objects[earlier]
    return objects


def _chains(before: Ids) -> Iterator[Ids]:
    """Yield the rows of each object of more than two sections, in the order of the planes."""
    objects = numbered(before)
    order = np.argsort(objects, kind="stable")
    starts = np.flatnonzero(np.diff(objects[order])) + 1
    yield from (rows for rows in np.split(order, starts) if len(rows) > 2)
