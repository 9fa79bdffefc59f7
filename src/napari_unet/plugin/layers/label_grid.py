"""How labels ``(..., Y, X)`` lie in a layer whose axes follow those of the image; how it is drawn.

napari aligns the axes of layers from the right. So a layer of labels has the axes of its image, in
their order, with one place where the image has channels.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.image import Box, Plane
from napari_unet.labels.edits import extents

STRIP = 2**20  # pixels that are coloured at once
REFRESH_SHARE = 0.05  # of the time may go into redrawing all while tiles stream in
AXES = "napari_unet_axes"  # in the metadata of a labels layer: a letter for each of its axes


@dataclass(frozen=True, slots=True)
class LabelGrid:
    """Turns arrays, indices and points of labels into those of their layer, and back.

    Attributes
    ----------
    order : tuple of int
        Axis of the layer for each axis of the labels, Y and X last.
    ndim : int
        Axes of the layer; the one that the labels lack has length one.
    letters : str
        Of the axes of the labels; empty = nobody named them.
    """

    order: tuple[int, ...]
    ndim: int
    letters: str = ""

    @classmethod
    def of_axes(cls, axes: str) -> "LabelGrid":
        """Return the grid of a layer with some axes, one letter for each."""
        letters = "".join(axis for axis in axes if axis not in "CYX") + "YX"
        return cls(tuple(axes.index(axis) for axis in letters), len(axes), letters)

    @property
    def _plain(self) -> bool:
        return self.order == tuple(range(self.ndim))

    @property
    def _transposed(self) -> tuple[int, ...]:
        """Every axis of the layer, that of the labels first to last, then the one they lack."""
        return (*self.order, *(i for i in range(self.ndim) if i not in self.order))

    def labels(self, array: Any) -> Any:
        """Return what a layer's array holds, ``(..., Y, X)``: a view, so painting goes through.

        An array that somebody replaced by one of another number of axes is returned as it is.
        """
        if isinstance(array, _OnLayer):
            return array.labels
        if self._plain or len(array.shape) != self.ndim:
            return array
        return array.transpose(self._transposed)[(..., *(0,) * (self.ndim - len(self.order)))]

    def on_layer(self, labels: Any) -> Any:
        """Return labels ``(..., Y, X)`` as the layer's array, a view of the same memory or disk."""
        if not isinstance(labels, np.ndarray):
            return _OnLayer(labels, self)
        if self._plain:
            return labels
        added = labels[(..., *(None,) * (self.ndim - len(self.order)))]
        return added.transpose(np.argsort(self._transposed))

    def of_layer(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return those of one value for each axis of the layer that belong to the labels."""
        return tuple(values[axis] for axis in self.order)

    def to_layer(self, values: Sequence[Any], missing: Any = 0) -> tuple[Any, ...]:
        """Return one value for each axis of the layer, from one for each axis of the labels."""
        found: list[Any] = [missing] * self.ndim
        for axis, value in zip(self.order, values, strict=True):
            found[axis] = value
        return tuple(found)

    def indices(self, indices: Sequence[NDArray[np.intp]]) -> tuple[NDArray[np.intp], ...]:
        """Return index arrays of the layer for those of pixels of the labels."""
        return self.to_layer(indices, np.zeros_like(indices[-1]))


def grid_of(layer: Labels) -> LabelGrid:
    """Return how labels lie in a layer; as they are where it does not tell."""
    return grid_from(layer.metadata, layer.ndim) or LabelGrid(tuple(range(layer.ndim)), layer.ndim)


def grid_from(metadata: Mapping[str, Any] | None, ndim: int) -> LabelGrid | None:
    """Return how labels lie in a layer of some axes, from its metadata; None if nothing is told."""
    axes = str((metadata or {}).get(AXES, ""))
    fits = len(axes) == len(set(axes)) == ndim and {"Y", "X"} <= set(axes)
    return LabelGrid.of_axes(axes) if fits else None


def painted_places(item: Sequence[Any], grid: LabelGrid) -> dict[tuple[int, ...], Box]:
    """Return the box of each plane that an entry of a layer's history of edits changes.

    Parameters
    ----------
    item : sequence
        As napari's paint event tells it: edits of a part of the array, under a mask if not of all
        of it, and edits of single pixels, which begin with their indices.
    grid : LabelGrid
        How the labels lie in the layer.
    """
    found: dict[tuple[int, ...], Box] = {}
    for atom in item:
        part = getattr(atom, "slice_key", None)
        places = _pixels(grid.of_layer(atom[0])) if part is None else _parts(part, atom.mask, grid)
        for plane, box in places:
            found[plane] = found[plane].union(box) if plane in found else box
    return found


def _parts(
    part: Sequence[slice], mask: NDArray[np.bool_] | None, grid: LabelGrid
) -> Iterator[tuple[tuple[int, ...], Box]]:
    shape = [s.stop - s.start for s in part]
    *leading, y0, x0 = (s.start for s in grid.of_layer(part))
    whole = grid.labels(np.ones(shape, bool) if mask is None else mask.reshape(shape))
    for inside in np.ndindex(*whole.shape[:-2]):
        if whole[inside].any():
            rows, columns = extents(whole[inside])
            box = Box((rows[0] + y0, columns[0] + x0), (rows[1] + y0, columns[1] + x0))
            yield tuple(a + b for a, b in zip(leading, inside, strict=True)), box


def _pixels(indices: Sequence[Any]) -> Iterator[tuple[tuple[int, ...], Box]]:
    *leading, y, x = (np.ravel(axis) for axis in indices)
    if not y.size:
        return
    for plane in set(zip(*(axis.tolist() for axis in leading), strict=True)) or [()]:
        there = np.ones(y.shape, bool)
        for axis, number in zip(leading, plane, strict=True):
            there &= axis == number
        rows, columns = y[there], x[there]
        stop = int(rows.max()) + 1, int(columns.max()) + 1
        yield plane, Box((int(rows.min()), int(columns.min())), stop)


class _OnLayer:
    """Labels on disk with the axes of their layer, of which only what is looked at is read.

    napari cuts the part in view out of all planes of a pyramid before it takes one of them. So what
    is cut by slices alone is read later.
    """

    def __init__(self, labels: Any, grid: LabelGrid, part: tuple[range, ...] | None = None) -> None:
        self.labels, self._grid = labels, grid
        self._part = part or tuple(range(int(n)) for n in grid.to_layer(labels.shape, 1))
        self.shape, self.dtype = tuple(map(len, self._part)), labels.dtype
        self.ndim, self.size = grid.ndim, math.prod(self.shape)

    def __getitem__(self, key: Any) -> Any:
        """Return what lies at whole numbers and slices; at slices alone, it is read later."""
        parts = key if isinstance(key, tuple) else (key,)
        parts = (*parts, *(slice(None),) * (self.ndim - len(parts)))
        pairs = zip(self._part, parts, strict=True)
        chosen = [all_[one if isinstance(one, slice) else int(one)] for all_, one in pairs]
        ranges = tuple(one for one in chosen if isinstance(one, range))
        if len(ranges) == len(chosen):
            return _OnLayer(self.labels, self._grid, ranges)
        return self._read(chosen)

    def _read(self, chosen: Sequence[int | range]) -> NDArray[Any]:
        wide = [
            slice(one.start, one.stop, one.step) if isinstance(one, range) else slice(one, one + 1)
            for one in chosen
        ]
        window = self._grid.on_layer(np.asarray(self.labels[self._grid.of_layer(wide)]))
        added = {*range(self.ndim)} - {*self._grid.order}  # the axis of length one is not read
        rest = [
            (part if axis in added else slice(None)) if isinstance(one, range) else 0
            for axis, (one, part) in enumerate(zip(chosen, wide, strict=True))
        ]
        found: NDArray[Any] = window[tuple(rest)]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of it."""
        return np.asarray(self._read(self._part), dtype)


class Redraw:
    """Redraws a layer while tiles stream in: their parts, or all, in a share of the time."""

    def __init__(self, layer: Labels) -> None:
        self._layer, self._next = layer, 0.0
        self._behind = False  # something was changed that is not drawn

    def part(self, plane: Plane, box: Box) -> None:
        """Redraw a part of a plane, which takes time by its pixels alone."""
        if not draw_part(self._layer, plane, box):
            self.soon()

    def soon(self) -> None:
        """Redraw all unless that was done just now."""
        self._behind = True
        if time.monotonic() >= self._next:
            self.now()

    def now(self) -> None:
        """Redraw all; how long it takes decides when the next one may be."""
        start = time.monotonic()
        self._layer.refresh(thumbnail=False, highlight=False, extent=False)
        end = time.monotonic()
        self._next = end + (end - start) / REFRESH_SHARE

    def finish(self) -> None:
        """Draw what is left to be drawn, and the small picture in the list of layers."""
        thumbnail = getattr(self._layer, "_update_thumbnail", None)  # refresh would draw all
        if self._behind or thumbnail is None:
            self._layer.refresh()
        elif self._layer.visible:
            thumbnail()
        self._behind = False


def draw_part(layer: Labels, plane: Plane, box: Box) -> bool:
    """Draw a part of a plane anew, as napari draws a stroke; False if all is to be drawn.

    napari has no public way. To draw all of an image of 8192² pixels takes it half a second.

    Parameters
    ----------
    layer : Labels
        Holds a NumPy array, which was changed in place.
    plane : tuple of int
        Indices along the leading axes ``(...)`` of the labels.
    box : Box
        Pixels that were changed.
    """
    draw, grid = getattr(layer, "_partial_labels_refresh", None), grid_of(layer)
    if draw is None or not layer.loaded or not isinstance(layer.data, np.ndarray):
        return False
    if tuple(layer._slice_input.displayed) != grid.order[-2:]:
        return False  # in three dimensions, or with X downwards
    here = grid.to_layer((*plane, *box.slices))
    if not layer.visible or any(here[axis] != at for axis, at in layer._get_pt_not_disp().items()):
        return True  # napari draws it when it is looked at
    shown = layer._slice.image
    shown.view[box.slices] = layer._raw_to_displayed(shown.raw, data_slice=box.slices)
    changed = (s if isinstance(s, slice) else slice(s, s + 1) for s in here)
    layer._accumulate_updated_slice(tuple(changed))
    draw()
    return True


def colour_in_strips(layer: Labels) -> None:
    """Let a layer find its colours strip by strip, and at once where there are no labels.

    napari has no public way. For 8192² pixels it takes half a second in one piece, three times
    where a layer is added, and the window waits.

    Parameters
    ----------
    layer : Labels
        Its colours are the same as before.
    """
    plain: Callable[..., NDArray[Any]] | None = getattr(layer, "_raw_to_displayed", None)
    if plain is None:
        return

    def displayed(raw: NDArray[Any], data_slice: tuple[slice, ...] | None = None) -> NDArray[Any]:
        whole = data_slice is None and raw.ndim == 2 and raw.size > 2 * STRIP
        if not whole or layer.contour:
            return plain(raw, data_slice)
        ground = layer.colormap._data_to_texture(np.zeros((1, 1), raw.dtype))
        found = np.zeros(raw.shape, ground.dtype)  # unwritten zeros take no time
        if ground.any():
            found[...] = ground
        step = max(1, STRIP // raw.shape[1])
        for strip in (slice(at, at + step) for at in range(0, raw.shape[0], step)):
            if raw[strip].any():
                found[strip] = plain(raw, (strip, slice(None)))
        return found

    layer._raw_to_displayed = displayed
