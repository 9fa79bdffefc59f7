"""One-key corrections: which pixels change, and to what.

Every function looks at one plane ``labels (Y, X)`` and returns an `Edit`; nothing is changed. The
panel carries edits out through the layer, so that napari can undo them. Points are ``(y, x)`` in
image pixels, where whole numbers are the middles of pixels.

Objects are looked for around the point clicked, in a window that grows until the object ends: on
an image of 20 000 x 20 000 pixels too. A piece of the same id far from there stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import Box, Plane
from napari_unet.labels.painted import MARK_BACKGROUND, MARK_CONFIRMED, MARK_NONE

WINDOW = 64  # pixels on each side of a point where looking for an object begins
BRIDGE = 8  # pixels; a wider gap between merged objects stays open
REACH = 3  # pixels a split line is drawn on beyond its ends, as hands stop short
SMALLEST_PIECE = 4  # pixels; what a line along an edge crumbles off stays with its neighbour
STRIPE = 1024  # rows looked at together

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """Pixels to change.

    Attributes
    ----------
    box : Box
        In image pixels, inside the image.
    pixels : ndarray of bool
        ``(Y, X)`` of `box`, the pixels that change.
    values : int or ndarray of uint32
        What they become: one value for all, or ``(Y, X)`` of `box`, read where `pixels` is true.
    plane : tuple of int
        Indices along the leading axes.
    """

    box: Box
    pixels: NDArray[np.bool_]
    values: int | NDArray[np.uint32]
    plane: Plane = ()

    def on(self, plane: Plane) -> "Edit":
        """Return the same edit on another plane."""
        return replace(self, plane=plane)

    @property
    def indices(self) -> tuple[NDArray[np.intp], ...]:
        """Index arrays of the pixels in an array ``(..., Y, X)``, one for each axis."""
        y, x = np.nonzero(self.pixels)
        leading = (np.full(len(y), index, np.intp) for index in self.plane)
        return (*leading, y + self.box.start[0], x + self.box.start[1])

    @property
    def new(self) -> int | NDArray[np.uint32]:
        """What to write at `indices`: one value, or one for each pixel."""
        return self.values if isinstance(self.values, int) else self.values[self.pixels]

    @property
    def largest(self) -> int:
        """Largest value that is written, 0 if none is."""
        return int(np.max(self.new, initial=0))

    def apply(self, array: NDArray[Any]) -> None:
        """Change an array ``(..., Y, X)`` in place."""
        array[self.indices] = self.new


def delete_object(labels: NDArray[Any], point: Point) -> Edit:
    """Make the object under a point background; raises `InputError` where there is none."""
    box, pixels = object_at(labels, point)
    return Edit(box, pixels, 0)


def merge_along(labels: NDArray[Any], points: Sequence[Point] | NDArray[Any]) -> Edit:
    """Give all objects under a stroke the id of the first one.

    Gaps of up to `BRIDGE` pixels that the stroke passes between them are filled, 3 pixels wide.

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``.
    points : sequence of point
        The stroke, ``(N, 2)``; parts outside the image are left out.

    Raises
    ------
    InputError
        If the stroke touches fewer than two objects.
    """
    line = _line(points, labels.shape)
    under = labels[line[:, 0], line[:, 1]]
    ids, first = np.unique(under, return_index=True)
    first = first[ids != 0]
    if len(first) < 2:
        raise InputError(
            f"The stroke touches {len(first)} object(s); two or more are needed. Begin in the "
            "object that keeps its number and draw on into the others."
        )
    first.sort()
    gaps = _gaps(line, under)
    boxes = [object_box(labels, (line[i, 0], line[i, 1])) for i in first[1:]]
    boxes += [Box((y - 1, x - 1), (y + 2, x + 2)) for y, x in gaps.tolist()]
    box = reduce(Box.union, boxes).intersect(_whole(labels))
    window = labels[box.slices]
    pixels = np.isin(window, under[first[1:]])
    for y, x in gaps - box.start:
        spot = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
        pixels[spot] |= window[spot] == 0
    return Edit(box, pixels, int(under[first[0]]))


def split_along(
    labels: NDArray[Any], points: Sequence[Point] | NDArray[Any], *, new_id: int
) -> Edit:
    """Cut the object that holds most of a line into pieces along it.

    The largest piece keeps the id. No pixel is lost: those under the line go to the piece
    nearest to them.

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``.
    points : sequence of point
        The line, ``(N, 2)``; it is drawn on by `REACH` pixels beyond both ends.
    new_id : int
        Id of the second largest piece; further pieces count on from there.

    Raises
    ------
    InputError
        If the line crosses no object, or does not divide it.
    """
    line = _line(_drawn_on(points), labels.shape, closed=True)
    under = labels[line[:, 0], line[:, 1]]
    ids, first, counts = np.unique(under, return_index=True, return_counts=True)
    counts[ids == 0] = 0
    if not counts.any():
        raise InputError("The line crosses no object. Draw it across the object to split.")
    start = line[first[counts.argmax()]]
    box, pixels = object_at(labels, (start[0], start[1]))
    cut = np.zeros(pixels.shape, bool)
    inside = ((line >= box.start) & (line < box.stop)).all(axis=1)
    cut[tuple((line[inside] - box.start).T)] = True
    pieces = _pieces(pixels, cut)
    if pieces.max() < 2:
        raise InputError(
            "The line does not divide the object. Draw the line across the whole object, from "
            "outside to outside."
        )
    return Edit(box, pieces > 1, np.where(pieces > 1, pieces + (new_id - 2), 0).astype(np.uint32))


def confirm(labels: NDArray[Any], marks: NDArray[Any], point: Point) -> Edit:
    """Mark the object under a point as right; if all of it is marked already, unmark it.

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``.
    marks : ndarray of uint8
        ``(Y, X)``, the marks beside them; strokes of the background brush stay.

    Returns
    -------
    Edit
        Of the marks.

    Raises
    ------
    InputError
        If there is no object, or a background stroke covers it.
    """
    box, pixels = object_at(labels, point)
    before = marks[box.slices]
    pixels &= before != MARK_BACKGROUND
    if not pixels.any():
        raise InputError(
            "This object lies under a background stroke and cannot be right too. Erase the stroke "
            "or delete the object."
        )
    is_marked = bool((before[pixels] == MARK_CONFIRMED).all())
    return Edit(box, pixels, MARK_NONE if is_marked else MARK_CONFIRMED)


def confirm_pieces(labels: NDArray[Any], marks: NDArray[Any], split: Edit) -> Edit:
    """Mark all pieces of an object that is about to be split as right, also what keeps its id.

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``, before the split.
    marks : ndarray of uint8
        ``(Y, X)``, the marks beside them; strokes of the background brush stay.
    split : Edit
        As `split_along` returns it: its box is that of the object.

    Returns
    -------
    Edit
        Of the marks.
    """
    window = labels[split.box.slices]
    pixels = window == window[split.pixels][0]
    pixels &= marks[split.box.slices] != MARK_BACKGROUND
    return Edit(split.box, pixels, MARK_CONFIRMED)


def mark_box(marks: NDArray[Any], box: Box) -> Edit:
    """Mark all of a box as right as it is shown; strokes of the background brush stay.

    The edit, of the marks, changes nothing where the box lies outside the image.
    """
    box = box.intersect(_whole(marks))
    return Edit(box, marks[box.slices] != MARK_BACKGROUND, MARK_CONFIRMED)


def object_at(labels: NDArray[Any], point: Point) -> tuple[Box, NDArray[np.bool_]]:
    """Return the box of the object under a point and its pixels there.

    Raises
    ------
    InputError
        If the point lies on background or outside the image.
    """
    box = object_box(labels, point)
    y, x = _pixel(point)
    return box, labels[box.slices] == labels[y, x]


def object_box(labels: NDArray[Any], point: Point) -> Box:
    """Return the box around the object under a point; raises as `object_at` does."""
    y, x = _pixel(point)
    whole = _whole(labels)
    if not (0 <= y < whole.stop[0] and 0 <= x < whole.stop[1]) or labels[y, x] == 0:
        raise InputError("There is no object under the cursor. Point at one and press again.")
    half = WINDOW
    while True:
        window = Box((y - half, x - half), (y + half, x + half)).intersect(whole)
        rows, columns = extents(labels[window.slices] == labels[y, x])
        found = Box((rows[0], columns[0]), (rows[1], columns[1]))
        found = found.shift((-window.start[0], -window.start[1]))
        # A pixel of room on every side, save at the image's edge, shows that the object ends.
        room = found.grow(1).intersect(whole)
        if room == room.intersect(window):
            return found
        half *= 2


def find_object(labels: NDArray[Any], number: int) -> Box | None:
    """Return the box around all pixels of an id anywhere in a plane, None if it has none."""
    found = None
    for y in range(0, labels.shape[0], STRIPE):
        is_object = labels[y : y + STRIPE] == number
        if is_object.any():
            rows, columns = extents(is_object)
            box = Box((rows[0] + y, columns[0]), (rows[1] + y, columns[1]))
            found = box if found is None else found.union(box)
    return found


def next_object(ids: NDArray[Any], current: int, step: int = 1) -> int | None:
    """Return the id after `current` (before it if `step` is -1), from the start after the end.

    Parameters
    ----------
    ids : ndarray of int
        ``(N,)``, ascending, without 0, such as `painted.painted_ids` returns.
    current : int
        Any number; it need not be among the ids.
    step : int, default 1
        1 or -1.

    Returns
    -------
    int or None
        None if there are no ids.
    """
    if not len(ids):
        return None
    if step > 0:
        index = int(np.searchsorted(ids, current, side="right"))
    else:
        index = int(np.searchsorted(ids, current, side="left")) - 1
    return int(ids[index % len(ids)])


def _pieces(pixels: NDArray[np.bool_], cut: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the pieces an object falls into, the largest 1; `cut` is shared out among them."""
    from scipy import ndimage  # noqa: PLC0415  the panel needs this module at once

    numbered, _ = ndimage.label(pixels & ~cut, np.ones((3, 3)))
    areas = np.bincount(numbered.ravel())
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")
    order = order[areas[order] >= SMALLEST_PIECE]
    rank = np.zeros(len(areas), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    pieces = rank[numbered]
    if len(order) > 1:
        nearest = ndimage.distance_transform_edt(
            pieces == 0, return_distances=False, return_indices=True
        )
        pieces = pieces[tuple(nearest)]
    return np.where(pixels, pieces, 0)


def _gaps(line: NDArray[np.int64], under: NDArray[Any]) -> NDArray[np.int64]:
    """Pixels ``(N, 2)`` of a stroke on background between two objects not far from each other."""
    on = np.flatnonzero(under)
    gaps = [
        line[a + 1 : b] for a, b in pairwise(on) if 1 < b - a <= BRIDGE + 1 and under[a] != under[b]
    ]
    return np.concatenate([np.zeros((0, 2), np.int64), *gaps])


def _drawn_on(points: Sequence[Point] | NDArray[Any]) -> NDArray[np.float64]:
    """Lengthen a line at both ends; the few pixels before an end give its direction."""
    line = np.asarray(points, float).reshape(-1, 2)
    ends = []
    for path in (line[::-1], line):
        away = np.linalg.norm(path - path[-1:], axis=1)
        if not away.any() or not np.isfinite(away).all():
            return line
        far = np.flatnonzero(away >= min(REACH, away.max()))[-1]
        ends.append(path[-1] + (path[-1] - path[far]) / away[far] * REACH)
    return np.concatenate([ends[:1], line, ends[1:]])


def _line(
    points: Sequence[Point] | NDArray[Any], shape: tuple[int, ...], *, closed: bool = False
) -> NDArray[np.int64]:
    """Pixels ``(N, 2)`` inside the image under a stroke, in its order.

    `closed` lines have no diagonal steps, so nothing slips through them.
    """
    corners = np.asarray(points, float).reshape(-1, 2)
    if not len(corners) or not np.isfinite(corners).all():
        raise InputError("The stroke has no points on the image. Draw it on the image again.")
    corners = np.rint(corners).astype(np.int64)
    parts = [corners[:1]]
    for a, b in pairwise(corners):
        steps = max(1, int(np.abs(b - a).max()))
        fraction = np.arange(1, steps + 1)[:, None] / steps
        parts.append(np.rint(a + (b - a) * fraction).astype(np.int64))
    line = np.concatenate(parts)
    if closed:
        between = np.stack([line[:-1, 0], line[1:, 1]], axis=1)
        line = np.insert(line, np.arange(1, len(line)), between, axis=0)
    inside = ((line >= 0) & (line < shape)).all(axis=1)
    return line[inside]


def extents(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """First, and one past the last, row and column of a mask that is true somewhere."""
    found = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    (y0, y1), (x0, x1) = ((int(i[0]), int(i[-1]) + 1) for i in found)
    return (y0, y1), (x0, x1)


def _pixel(point: Point) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _whole(plane: NDArray[Any]) -> Box:
    return Box((0, 0), (plane.shape[0], plane.shape[1]))
