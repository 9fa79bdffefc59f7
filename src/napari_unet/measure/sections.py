"""What is summed for each object of each plane, window by window.

A *section* is what one plane shows of one object. All that is kept of it can be added up: from
several windows to a plane, and from several planes to a volume.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import ArrayLike, Box, Image, Plane

WINDOW = 1024  # pixels
VALID, TOTAL, LOW, HIGH = range(4)
Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """Sums of N sections in planes of K leading axes, for C channels.

    Attributes
    ----------
    keys : ndarray of int64
        ``(N, K + 1)``, index along each leading axis, then the id.
    area : ndarray of float64
        ``(N,)``, pixels.
    centre : ndarray of float64
        ``(N, D)``, mean place, D = 2 for ``(y, x)``, or 3 for ``(z, y, x)``.
    spread : ndarray of float64
        ``(N, D, D)``, sums of the products of the distances to the centre.
    crossings : ndarray of float64
        ``(N, 3)``, how often the outline is crossed from pixel to pixel: along rows, along
        columns, and along both diagonals together.
    start, stop : ndarray of int64
        ``(N, 2)``, the box around it, ``(y, x)``.
    grey : ndarray of float64
        ``(N, C, 4)``: number of finite grey values, their sum, the lowest and the highest.
    planes : ndarray of int64
        ``(N,)``, number of planes.
    """

    keys: Ids
    area: Numbers
    centre: Numbers
    spread: Numbers
    crossings: Numbers
    start: Ids
    stop: Ids
    grey: Numbers
    planes: Ids

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def ids(self) -> Ids:
        """Id of each."""
        return self.keys[:, -1]

    def taken(self, which: NDArray[np.bool_]) -> "Sections":
        """Return some of them."""
        return Sections(*(getattr(self, one.name)[which] for one in fields(self)))

    def in_plane(self, plane: Plane) -> NDArray[np.bool_]:
        """Tell which lie in a plane."""
        same: NDArray[np.bool_] = np.logical_and.reduce(np.equal(self.keys[:, :-1], plane), axis=1)
        return same

    def overlapping(self, box: Box) -> NDArray[np.bool_]:
        """Tell whose boxes have pixels in common with one."""
        inside = (self.start < box.stop) & (self.stop > box.start)
        found: NDArray[np.bool_] = np.logical_and.reduce(inside, axis=1)
        return found

    def through(self, axis: int) -> "Sections":
        """Return them with one leading axis made the first number of their places, and added up."""
        z = self.keys[:, axis].astype(np.float64)
        wider = np.pad(self.spread, ((0, 0), (1, 0), (1, 0)))
        centre = np.column_stack([z, self.centre])
        keys = np.delete(self.keys, axis, axis=1)
        return merged(replace(self, keys=keys, centre=centre, spread=wider))


def no_sections(leading: int, channels: int) -> Sections:
    """Return none, for a number of leading axes and of channels."""
    whole, real = np.zeros((0, leading + 1), np.int64), np.zeros(0)
    pairs, counts = np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    grey = np.zeros((0, channels, 4))
    spread = np.zeros((0, 2, 2))
    return Sections(
        whole, real, np.zeros((0, 2)), spread, np.zeros((0, 3)), pairs, pairs, grey, counts
    )


def joined(parts: list[Sections]) -> Sections:
    """Return one after the other."""
    names = [one.name for one in fields(Sections)]
    return Sections(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def merged(parts: Sections) -> Sections:
    """Add up what has the same key; keys come out sorted."""
    if not len(parts):
        return parts
    order = np.lexsort(parts.keys.T[::-1])
    ordered = Sections(*(getattr(parts, one.name)[order] for one in fields(parts)))
    first = np.ones(len(order), bool)
    first[1:] = (ordered.keys[1:] != ordered.keys[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    return ordered if len(starts) == len(order) else _added(ordered, starts, np.cumsum(first) - 1)


def _added(parts: Sections, starts: Ids, group: Ids) -> Sections:
    """Add up runs of sections that begin at `starts`; `group` is the run of each."""
    area = np.add.reduceat(parts.area, starts)
    weighted = np.add.reduceat(parts.centre * parts.area[:, None], starts)
    centre = weighted / np.maximum(area, 1)[:, None]
    away = parts.centre - centre[group]
    products = away[:, :, None] * away[:, None, :] * parts.area[:, None, None]
    low, high = (ufunc.reduceat for ufunc in (np.minimum, np.maximum))
    grey = np.add.reduceat(parts.grey, starts)
    grey[:, :, LOW] = low(parts.grey[:, :, LOW], starts)
    grey[:, :, HIGH] = high(parts.grey[:, :, HIGH], starts)
    return Sections(
        keys=parts.keys[starts],
        area=area,
        centre=centre,
        spread=np.add.reduceat(parts.spread + products, starts),
        crossings=np.add.reduceat(parts.crossings, starts),
        start=low(parts.start, starts),
        stop=high(parts.stop, starts),
        grey=grey,
        planes=np.add.reduceat(parts.planes, starts),
    )


def plane_sections(
    labels: ArrayLike,
    plane: Plane,
    image: Image | None,
    *,
    region: Box | None = None,
    only: Ids | None = None,
) -> Sections:
    """Sum over one plane, of which a window at a time is in memory.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``.
    plane : tuple of int
        Index along each leading axis.
    image : Image or None
        Gives the grey values, of all the channels that it names; see `all_channels`.
    region : Box, optional
        Holds all that is looked for; default the plane.
    only : ndarray of int64, optional
        Ids to look for; default all.

    Returns
    -------
    Sections
        One for each id, sorted.
    """
    height, width = labels.shape[-2:]
    region = region or Box((0, 0), (height, width))
    channels = 0 if image is None else shown_channels(image)
    found = [no_sections(len(plane), channels)]
    for padded, box in _windows(labels, plane, region, only):
        own = padded[1 : box.shape[0] + 1, 1 : box.shape[1] + 1]
        grey = np.zeros((0, *box.shape))
        if image is not None and own.any():
            grey = image.read(plane, box, channels)
        found.append(_window_sections(padded, plane, box, grey))
    sections = merged(joined(found))
    return replace(sections, planes=np.ones(len(sections), np.int64))


def all_channels(image: Image) -> Image:
    """Return the image with no channel chosen: every one is measured."""
    return replace(image, channel=None, nuclei=None)


def shown_channels(image: Image) -> int:
    """Return the number of channels of `all_channels`, opacity left out."""
    return 3 if image.has_alpha else image.channels


def _windows(
    labels: ArrayLike, plane: Plane, region: Box, only: Ids | None
) -> Iterator[tuple[NDArray[np.integer], Box]]:
    """Yield windows that hold objects, each with the row above and the column before it.

    The last ones have a row below and a column behind as well. So each pair of neighbouring
    pixels is seen once, while each pixel of the labels is read once. Around the region is 0.
    """
    (top, left), (bottom, right) = region.start, region.stop
    above = np.zeros(right - left + 2, np.int64)
    for y in range(top, bottom, WINDOW):
        below, before = np.zeros_like(above), np.zeros(min(WINDOW, bottom - y), np.int64)
        for x in range(left, right, WINDOW):
            box = Box((y, x), (min(y + WINDOW, bottom), min(x + WINDOW, right)))
            (h, w), at = box.shape, x - left
            window = np.asarray(labels[(*plane, *box.slices)]).astype(np.int64)
            if only is not None:
                window[~np.isin(window, only)] = 0
            padded = np.zeros((h + 1 + (y + h == bottom), w + 1 + (x + w == right)), np.int64)
            padded[0] = above[at : at + padded.shape[1]]
            padded[1 : h + 1, 0], padded[1 : h + 1, 1 : w + 1] = before, window
            below[at + 1 : at + w + 1], before = window[-1], window[:, -1]
            if padded.any():
                yield padded, box
        above = below


def _window_sections(
    padded: NDArray[np.integer], plane: Plane, box: Box, grey: NDArray[np.generic]
) -> Sections:
    """Sum over a window ``(Y, X)`` with its borders; `grey` is ``(C, Y, X)`` without them."""
    some = np.nonzero(padded)
    found, number = np.unique(padded[some], return_inverse=True)
    ids, n, index = np.append(0, found), len(found) + 1, np.zeros(padded.shape, np.intp)
    index[some] = number + 1
    own = index[1 : box.shape[0] + 1, 1 : box.shape[1] + 1]
    rows, columns = np.nonzero(own)
    at = own[rows, columns]
    area = np.bincount(at, minlength=n).astype(np.float64)
    places = rows.astype(np.float64), columns.astype(np.float64)
    centre = np.stack([np.bincount(at, p, n) for p in places], 1) / np.maximum(area, 1)[:, None]
    away = [place - centre[at, axis] for axis, place in enumerate(places)]
    spread = np.zeros((n, 2, 2))
    for i, j in np.ndindex(2, 2):
        spread[:, i, j] = np.bincount(at, away[i] * away[j], n)
    start, stop = np.full((n, 2), 2**62), np.full((n, 2), -1)
    for axis, place in enumerate((rows, columns)):
        np.minimum.at(start[:, axis], at, place + box.start[axis])
        np.maximum.at(stop[:, axis], at, place + (box.start[axis] + 1))
    values = [_grey_sums(one[rows, columns], at, n) for one in grey]
    whole = Sections(
        keys=np.column_stack([np.tile(np.array(plane, np.int64), (n, 1)), ids]),
        area=area,
        centre=centre + box.start,
        spread=spread,
        crossings=_crossings(index, n),
        start=start,
        stop=stop,
        grey=np.stack(values, axis=1) if values else np.zeros((n, len(grey), 4)),
        planes=np.ones(n, np.int64),
    )
    return whole.taken(ids != 0)


def _crossings(index: NDArray[np.intp], count: int) -> Numbers:
    """Count for each of the numbers of an array ``(Y, X)`` where it meets others; ``(N, 3)``."""
    before, here = index[:-1], index[1:]
    pairs = (
        [(here[:, :-1], here[:, 1:])],
        [(before[:, 1:], here[:, 1:])],
        [(before[:, :-1], here[:, 1:]), (before[:, 1:], here[:, :-1])],
    )
    found = np.zeros((count, len(pairs)))
    for direction, neighbours in enumerate(pairs):
        for one, other in neighbours:
            differ = one != other
            for side in (one, other):
                found[:, direction] += np.bincount(side[differ], minlength=count)
    return found


def _grey_sums(values: NDArray[np.generic], at: NDArray[np.intp], count: int) -> Numbers:
    """Sum the finite ones of grey values ``(P,)`` by the number of their object; ``(N, 4)``."""
    grey = values.astype(np.float64)
    finite = np.isfinite(grey)
    if not finite.all():
        grey, at = grey[finite], at[finite]
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, at, grey)
    np.maximum.at(high, at, grey)
    return np.stack([np.bincount(at, minlength=count), np.bincount(at, grey, count), low, high], 1)
