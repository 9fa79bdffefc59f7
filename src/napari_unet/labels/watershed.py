"""From a probability map to instances: seeds, flooding, and which block owns an object."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.network.outputs import OBJECT_MAP, Channels
from napari_unet.settings import DecodeSettings

DEEPEST = 0.6  # prominence that a summit needs where separation is 0; 0.15 in the middle
SMOOTHING = 1.0  # pixels; makes the quantised landscape free of plateaus


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Objects of one block.

    Attributes
    ----------
    box : Box
        Image pixels covered; it may reach beyond the block, as its objects do.
    labels : ndarray of int32
        ``(Y, X)``, 0 = not an object of this block, 1…n its objects; of a class model the class.
    count : int
        Number of objects.
    certainty : float
        Mean probability of their pixels that they belong to an object, 0…1.
    """

    box: Box
    labels: NDArray[np.int32]
    count: int
    certainty: float = 1.0


def decode(
    maps: NDArray[np.uint8], settings: DecodeSettings, channels: Channels = OBJECT_MAP
) -> NDArray[np.int32]:
    """Make instances from a probability map by seeded watershed.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(M, Y, X)``, 255 = 1.
    settings : DecodeSettings
        Thresholds.
    channels : Channels
        Names of the map's channels; cell, border and distance are looked at.

    Returns
    -------
    ndarray of int32
        ``(Y, X)``, 0 = background, one id for each object; ids may have gaps.
    """
    # Here, because the panel needs this module at once and scikit-image takes half a second.
    from scipy import ndimage  # noqa: PLC0415
    from skimage.segmentation import watershed  # noqa: PLC0415

    names = ("cell", "border", "distance")
    cell, border, distance = (maps[channels.index(n)].astype(np.float32) / 255 for n in names)
    mask = cell + border > 1 - settings.sensitivity
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    # High in the middle of an object, low at its edge and where two objects touch.
    height = ndimage.gaussian_filter(distance * (1 - border), SMOOTHING, truncate=2)
    tops = mask & (ndimage.maximum_filter(height, 3) == height)
    seeds, _ = ndimage.label(tops, np.ones((3, 3)))
    basins: NDArray[np.int32] = watershed(-height, seeds, mask=mask)  # type: ignore[no-untyped-call]
    labels = merge_shallow(basins, height, DEEPEST * (1 - settings.separation) ** 2)
    return _drop_small(labels.astype(np.int32), settings.minimum_diameter)


def merge_shallow(
    basins: NDArray[np.int32], height: NDArray[np.float32], prominence: float
) -> NDArray[np.int32]:
    """Join basins whose summit rises too little above the pass to a higher neighbour.

    What is left are the summits of a height map with at least this prominence, as its h-maxima
    transform finds them, for the price of looking at the basins' edges.

    Parameters
    ----------
    basins : ndarray of int32
        ``(Y, X)``, one id for each summit and what flows to it, 0 = background.
    height : ndarray of float32
        ``(Y, X)``.
    prominence : float
        Height above the highest pass that a summit needs.
    """
    heights = np.full(int(basins.max()) + 1, -np.inf, height.dtype)
    np.maximum.at(heights, basins.ravel(), height.ravel())
    summits = heights.tolist()
    parent = list(range(len(summits)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for one, other, level in _passes(basins, height):
        low, high = sorted((root(one), root(other)), key=lambda r: (summits[r], -r))
        if low != high and summits[low] - level < prominence:
            parent[low] = high
    merged: NDArray[np.int32] = np.array([root(i) for i in range(len(parent))], np.int32)[basins]
    return merged


def _passes(basins: NDArray[np.int32], height: NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """Every two basins that touch, and the height of the highest pass between them, that first."""
    pairs, levels = [], []
    for axis in (0, 1):
        before = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        one, other = basins[before], basins[after]
        met = (one != other) & (one > 0) & (other > 0)
        ends = np.stack([one[met], other[met]])
        pairs.append(np.stack([ends.min(axis=0), ends.max(axis=0)]))
        levels.append(np.minimum(height[before][met], height[after][met]))
    ends, level = np.concatenate(pairs, axis=1), np.concatenate(levels)
    order = np.lexsort((ends[1], ends[0], -level))
    _, first = np.unique(ends[:, order], axis=1, return_index=True)
    kept = order[np.sort(first)]
    return list(
        zip(ends[0, kept].tolist(), ends[1, kept].tolist(), level[kept].tolist(), strict=True)
    )


def decode_block(
    maps: NDArray[np.uint8],
    window: Box,
    owned: Box,
    settings: DecodeSettings,
    region: Box | None = None,
    channels: Channels = OBJECT_MAP,
) -> Patch:
    """Decode a window and keep the objects that belong to its block.

    An object belongs to the block that holds its first pixel in reading order, counting only
    pixels of the region; so every object that reaches into the region is drawn whole, by one
    block, wherever the blocks' edges lie.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(M, Y, X)`` over `window`; see `decode`.
    window : Box
        Image pixels that were read: the block and its neighbourhood.
    owned : Box
        Image pixels of the block.
    settings : DecodeSettings
        Thresholds.
    region : Box, optional
        Image pixels whose objects are wanted; default the window.
    channels : Channels
        Names of the map's channels.
    """
    labels = decode(maps, settings, channels)
    asked = window.intersect(region or window)
    counted = labels[asked.shift(window.start).slices]
    ids, first = np.unique(counted, return_index=True)
    y, x = np.unravel_index(first, counted.shape)
    inside = owned.shift(asked.start)
    (y0, x0), (y1, x1) = inside.start, inside.stop
    mine = (ids > 0) & (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    number = np.zeros(int(labels.max()) + 1, np.int32)
    number[ids[mine]] = np.arange(1, mine.sum() + 1)
    kept = number[labels]
    cell, border = (maps[channels.index(name)][kept > 0] for name in ("cell", "border"))
    predicted = np.add(cell, border, dtype=np.int32)
    certainty = float(predicted.mean() / 255) if predicted.size else 0.0
    return replace(_trim(kept, window, int(mine.sum())), certainty=certainty)


def class_block(maps: NDArray[np.uint8], window: Box, owned: Box) -> Patch:
    """Patch of a class model: the class of every pixel of the block."""
    part = maps[0][owned.shift(window.start).slices].astype(np.int32)
    return Patch(owned, part, int(np.count_nonzero(np.bincount(part.ravel())[1:])))


def _trim(labels: NDArray[np.int32], window: Box, count: int) -> Patch:
    rows, columns = np.flatnonzero(labels.any(axis=1)), np.flatnonzero(labels.any(axis=0))
    if not count or not rows.size:
        return Patch(Box(window.start, window.start), np.zeros((0, 0), np.int32), 0)
    inner = Box((int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1))
    y, x = window.start
    return Patch(inner.shift((-y, -x)), np.ascontiguousarray(labels[inner.slices]), count)


def _drop_small(labels: NDArray[np.int32], minimum_diameter: float) -> NDArray[np.int32]:
    areas = np.bincount(labels.ravel())
    small = areas < np.pi / 4 * minimum_diameter**2
    small[0] = False
    if not small.any():
        return labels
    return np.where(small[labels], 0, labels)


def object_diameters(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Diameter in pixels of the circle as large as each object of a label image."""
    areas = np.bincount(labels.ravel())[1:]
    diameters: NDArray[np.float64] = 2 * np.sqrt(areas[areas > 0] / np.pi)
    return diameters


def typical_diameter(diameters: NDArray[np.float64]) -> float:
    """Median diameter by area: half the objects' pixels lie in smaller ones, half in larger.

    Debris has many objects but few pixels, so it has little say.
    """
    ordered = np.sort(diameters)
    areas = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(areas, areas[-1] / 2)])


def overlap_of(diameter: float) -> int:
    """Image pixels around a block that are read with it; larger than objects of a diameter."""
    return max(32, math.ceil(2 * diameter) + 16)
