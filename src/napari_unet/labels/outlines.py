"""Outlines of objects: along the edges of their pixels, or smoother ones between pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import ArrayLike, Box, Plane

WINDOW = 1024  # pixels
Mask = NDArray[np.bool_]
Ring = NDArray[np.int64]
Polygon = list[Ring]
"""The outer ring, then the holes."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The outline of one object in one plane.

    Attributes
    ----------
    plane : tuple of int
        Index along each leading axis.
    label : int
        The id.
    polygons : list of list of ndarray of int64
        A polygon for each piece. Rings are ``(V, 2)`` corners of pixels, ``(y, x)``: pixel
        ``(i, j)`` is the square from ``(i, j)`` to ``(i + 1, j + 1)``. The last corner is joined to
        the first. Outer rings have a positive area in ``(x, y)``, holes a negative one.
    """

    plane: Plane
    label: int
    polygons: list[Polygon]

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(sum(ring_area(ring) for polygon in self.polygons for ring in polygon))


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """Outlines for a layer of shapes.

    Attributes
    ----------
    data : list of ndarray of float64
        Polygons ``(V, K + 2)``: index along each leading axis, then ``(y, x)``, whole numbers in
        the middle of a pixel, as napari counts.
    labels : ndarray of int64
        ``(N,)``, the id that each belongs to.
    """

    data: list[NDArray[np.float64]]
    labels: NDArray[np.int64]


def outlines(labels: ArrayLike) -> Iterator[Outline]:
    """Yield the outline of every object in every plane, along the edges of its pixels.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``, read window by window.
    """
    for plane, label, mask, (top, left) in _objects(labels):
        corners = np.array([top - 1, left - 1])
        pieces = [[ring + corners for ring in one] for one in pixel_polygons(mask)]
        yield Outline(plane, label, pieces)


def contours(labels: ArrayLike) -> Contours:
    """Return subpixel outlines, half-way between the pixels of an object and the others.

    Holes are left out: a layer of shapes knows none.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``, read window by window.
    """
    from skimage import measure  # noqa: PLC0415  takes a while to import

    find_contours: Any = measure.find_contours

    data, ids = list[NDArray[np.float64]](), list[int]()
    for plane, label, mask, corner in _objects(labels):
        for line in find_contours(mask.astype(np.float64), 0.5, positive_orientation="low"):
            if ring_area(line) > 0:
                places = line[:-1] + (np.array(corner) - 1)
                leading = np.tile(np.array(plane, np.float64), (len(places), 1))
                data.append(np.column_stack([leading, places]))
                ids.append(label)
    return Contours(data, np.array(ids, np.int64))


def _objects(labels: ArrayLike) -> Iterator[tuple[Plane, int, Mask, tuple[int, int]]]:
    """Yield plane, id, mask with a pixel of background around, and first row and column.

    A window is in memory at a time. It is read twice, because an object may lie in several; such
    ones are read once more, each by itself.
    """
    for plane in np.ndindex(*labels.shape[:-2]):
        windows = list(_windows(labels.shape[-2], labels.shape[-1]))
        boxes: dict[int, Box] = {}
        for window in windows:
            for label, box, _ in _found(labels, plane, window):
                boxes[label] = boxes[label].union(box) if label in boxes else box
        for window in windows:
            for label, box, mask in _found(labels, plane, window):
                if box == boxes.get(label):
                    del boxes[label]
                    yield plane, label, np.pad(mask, 1), box.start
        for label, box in boxes.items():
            mask = np.asarray(labels[(*plane, *box.slices)]) == label
            yield plane, label, np.pad(mask, 1), box.start


def _windows(height: int, width: int) -> Iterator[Box]:
    for y in range(0, height, WINDOW):
        for x in range(0, width, WINDOW):
            yield Box((y, x), (min(y + WINDOW, height), min(x + WINDOW, width)))


def _found(labels: ArrayLike, plane: Plane, window: Box) -> Iterator[tuple[int, Box, Mask]]:
    """Yield id, box in the plane and mask of what a window shows of each object, by id."""
    from scipy import ndimage  # noqa: PLC0415  takes a while to import

    picture = np.asarray(labels[(*plane, *window.slices)])
    some = np.nonzero(picture)
    ids, number = np.unique(picture[some], return_inverse=True)
    index = np.zeros(picture.shape, np.int32)
    index[some] = number + 1
    for i, (rows, columns) in enumerate(ndimage.find_objects(index)):
        box = Box((rows.start, columns.start), (rows.stop, columns.stop))
        y, x = window.start
        yield int(ids[i]), box.shift((-y, -x)), index[rows, columns] == i + 1


def pixel_polygons(mask: Mask) -> list[Polygon]:
    """Return a polygon for each piece of a mask; pixels that share only a corner are apart.

    Parameters
    ----------
    mask : ndarray of bool
        ``(Y, X)``, with background all around.

    Returns
    -------
    list of list of ndarray
        Rings as in `Outline`; none of them touches itself.
    """
    from scipy import ndimage  # noqa: PLC0415  takes a while to import

    pieces, count = ndimage.label(mask)
    polygons = []
    for number in range(1, count + 1):
        rings = [_corners(ring) for ring in _rings(pieces == number)]
        rings.sort(
            key=lambda ring: ring_area(ring) < 0
        )  # the only one that is positive comes first
        polygons.append(rings)
    return polygons


def ring_area(ring: NDArray[np.number]) -> float:
    """Return the area inside a ring ``(V, 2)`` of ``(y, x)``; negative the other way round."""
    y, x = ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _edges(mask: Mask) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return where the edges go that leave each corner, with the object on their right."""
    ways = (((-1, 0), (0, 0), (0, 1)), ((0, 1), (0, 1), (1, 1)),
            ((1, 0), (1, 1), (1, 0)), ((0, -1), (1, 0), (0, 0)))  # fmt: skip
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for beside, start, stop in ways:
        places = np.argwhere(mask & ~np.roll(mask, (-beside[0], -beside[1]), (0, 1)))
        tails, heads = (places + start).tolist(), (places + stop).tolist()
        for tail, head in zip(tails, heads, strict=True):
            edges.setdefault((tail[0], tail[1]), []).append((head[0], head[1]))
    return edges


def _rings(mask: Mask) -> Iterator[list[tuple[int, int]]]:
    """Yield closed walks along edges; where one comes by the same corner again, it is cut there."""
    edges = _edges(mask)
    while edges:
        walk = [next(iter(edges))]
        seen = {walk[0]: 0}
        cut = 1
        while cut:
            here = walk[-1]
            there = edges[here].pop()
            if not edges[here]:
                del edges[here]
            if there not in seen:
                seen[there] = len(walk)
                walk.append(there)
                continue
            cut = seen[there]
            yield walk[cut:]
            for corner in walk[cut + 1 :]:
                del seen[corner]
            del walk[cut + 1 :]


def _corners(ring: list[tuple[int, int]]) -> Ring:
    """Leave out corners at which a ring goes straight on."""
    whole = np.array(ring, np.int64)
    turns = (np.roll(whole, -1, axis=0) - whole != whole - np.roll(whole, 1, axis=0)).any(axis=1)
    corners: Ring = whole[turns]
    return corners
