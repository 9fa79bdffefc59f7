"""Ids of linked objects: those before stay where they can, and a person's always."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_unet.labels.linking.stitching import Given, Ids, Sections
from napari_unet.labels.linking.tracks import Edge


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All sections in the order of linking: for each part of other axes, each time point, each Z.

    Attributes
    ----------
    plane : ndarray of int64
        ``(S,)``, number of the plane in the labels.
    sections : Sections
        Of all planes.
    objects : ndarray of int64
        ``(S,)``, object within a stack, numbered 0…n-1 over all stacks.
    stacks : list of slice
        Rows of each stack.
    """

    plane: Ids
    sections: Sections
    objects: Ids
    stacks: list[slice]


def tracks_of(
    count: int, edges: Sequence[Edge], divisions: Collection[Edge] = ()
) -> tuple[Ids, list[tuple[int, int]]]:
    """Return the track of each object, and for each track that has one (itself, its parent).

    Of known divisions one daughter alone may be there: the other one was filtered out.
    """
    after: dict[int, list[int]] = {}
    before: dict[int, int] = {}
    for (_, one), (_, other) in edges:
        after.setdefault(one, []).append(other)
        before[other] = one
    tracks, parents, new = np.full(count, -1, np.int64), list[tuple[int, int]](), 0
    for one in range(count):  # an object has a higher number than the one before it
        earlier = before.get(one)
        divided = ((0, earlier), (0, one)) in divisions
        if earlier is not None and len(after[earlier]) == 1 and not divided:
            tracks[one] = tracks[earlier]
            continue
        tracks[one], new = new, new + 1
        if earlier is not None:
            parents.append((int(tracks[one]), int(tracks[earlier])))
    return tracks, parents


def names_of(groups: Ids, rows: Rows, given: Given) -> Ids:
    """Give every group an id: a locked one, else the one it held most of, else a new one."""
    count = int(groups.max(initial=-1)) + 1
    names, taken = np.zeros(count, np.int64), set(given.locked)
    locked = given.is_locked(rows.sections.ids)
    names[groups[locked]] = rows.sections.ids[locked]
    if given.changed is not None:
        for group, own in _claims(groups, rows, given):
            if names[group] == 0 and own not in taken:
                names[group] = own
                taken.add(own)
    fresh = max(taken, default=0) if given.changed is not None else 0
    if given.changed is not None:
        fresh = max(fresh, int(rows.sections.ids.max(initial=0)))
    for group in np.flatnonzero(names == 0).tolist():
        fresh += 1
        while fresh in taken:
            fresh += 1
        names[group] = fresh
    return names


def _claims(groups: Ids, rows: Rows, given: Given) -> Iterator[tuple[int, int]]:
    """Yield groups and ids they hold; first what most pixels of planes without changes say."""
    same = ~np.isin(rows.plane, list(given.changed or ()))
    pairs, index = np.unique(np.stack([groups, rows.sections.ids]), axis=1, return_inverse=True)
    index = index.ravel()
    steady = np.bincount(index, rows.sections.area * same, pairs.shape[1])
    whole = np.bincount(index, rows.sections.area, pairs.shape[1])
    for k in np.lexsort((pairs[0], -whole, -steady)):
        yield int(pairs[0, k]), int(pairs[1, k])


def named_parents(
    parents: Sequence[tuple[int, int]], names: Ids, present: frozenset[int]
) -> dict[int, int]:
    """Return the id of the parent of each id, both present and different."""
    found = {int(names[child]): int(names[parent]) for child, parent in parents}
    return {c: p for c, p in found.items() if c != p and c in present and p in present}
