"""Ids of one result given to the same objects of another: which pixel belongs to which id."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

PIXELS = 2**22  # looked at together


def landmarks(labels: NDArray[np.integer], last: Collection[int] = ()) -> list[int]:
    """Return a pixel of each object, and its id.

    Parameters
    ----------
    labels : ndarray of int
        ``(..., Y, X)``, 0 = background.
    last : collection of int
        Ids that come last, as the first one of an object counts: of what a person drew.

    Returns
    -------
    list of int
        Number of the object's first pixel in C order, its id, the next object's first pixel, …
    """
    flat, seen = labels.reshape(-1), [np.zeros(0, np.int64)]
    pixels = [np.zeros(0, np.int64)]
    for start in range(0, flat.size, PIXELS):
        ids, first = np.unique(flat[start : start + PIXELS], return_index=True)
        seen.append(ids.astype(np.int64))
        pixels.append(first + start)
    ids, index = np.unique(np.concatenate(seen), return_index=True)
    first = np.concatenate(pixels)[index]
    order = np.lexsort([first, np.isin(ids, list(last))])
    order = order[ids[order] > 0]
    found: list[int] = np.stack([first[order], ids[order]], axis=1).ravel().tolist()
    return found


def new_ids(labels: NDArray[np.integer], marks: Sequence[int]) -> dict[int, int]:
    """Return which id each object gets where landmarks say so; the others get larger ones.

    Parameters
    ----------
    labels : ndarray of int
        ``(..., Y, X)``, 0 = background.
    marks : sequence of int
        See `landmarks`. Pixels that are background, or outside, name no object; of two pixels of
        one object the first one counts.

    Raises
    ------
    ValueError
        If the numbers are no pairs, or an id occurs twice.
    """
    if len(marks) % 2:
        raise ValueError("A pixel and an id come in turns; one of them is missing.")
    pixels, given = np.asarray(marks, np.int64).reshape(-1, 2).T
    if len(np.unique(given)) < len(given):
        raise ValueError("Each id can name one object only.")
    flat, names = labels.reshape(-1), dict[int, int]()
    inside = (pixels >= 0) & (pixels < flat.size)
    for old, new in zip(flat[pixels[inside]].tolist(), given[inside].tolist(), strict=True):
        if old:
            names.setdefault(old, new)
    following = int(given.max(initial=0)) + 1
    for old in np.unique(flat).tolist():
        if old and old not in names:
            names[old], following = following, following + 1
    return names


def renumbered(labels: NDArray[np.integer], names: dict[int, int]) -> NDArray[np.uint32]:
    """Return labels ``(..., Y, X)`` whose objects have other ids; background stays."""
    old = np.array([0, *sorted(names)], np.int64)
    new = np.array([0, *(names[i] for i in old[1:].tolist())], np.uint32)
    found: NDArray[np.uint32] = new[np.searchsorted(old, labels)]
    return found
