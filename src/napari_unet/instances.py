"""From a class map to instances: seeds, flooding, and which block owns an object."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.settings import DecodeSettings

CELL, BORDER, DISTANCE = 0, 1, 2  # channels of a class map
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
    """

    box: Box
    labels: NDArray[np.int32]
    count: int


def decode(maps: NDArray[np.uint8], settings: DecodeSettings) -> NDArray[np.int32]:
    """Make instances from a class map by seeded watershed.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(3, Y, X)``: cell, touching border, distance, 255 = 1.
    settings : DecodeSettings
        Thresholds.

    Returns
    -------
    ndarray of int32
        ``(Y, X)``, 0 = background, one id for each object; ids may have gaps.
    """
    # Here, because the panel needs this module at once and scikit-image takes half a second.
    from scipy import ndimage  # noqa: PLC0415
    from skimage.segmentation import watershed  # noqa: PLC0415

    cell, border, distance = maps.astype(np.float32) / 255
    mask = cell + border > 1 - settings.sensitivity
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    # High in the middle of an object, low at its edge and where two objects touch.
    height = ndimage.gaussian_filter(distance * (1 - border), SMOOTHING, truncate=2)
    seeds, count = ndimage.label((height > settings.separation) & mask)
    pieces, _ = ndimage.label(mask)
    seeded = np.zeros(pieces.max() + 1, bool)
    seeded[pieces[seeds > 0]] = True
    alone = mask & ~seeded[pieces]  # an object too faint for a seed is its own seed
    seeds = np.where(alone, pieces + count, seeds)
    labels: NDArray[np.int32] = watershed(-height, seeds, mask=mask)  # type: ignore[no-untyped-call]
    return _drop_small(labels.astype(np.int32), settings.minimum_diameter)


def decode_block(
    maps: NDArray[np.uint8],
    window: Box,
    owned: Box,
    settings: DecodeSettings,
    region: Box | None = None,
) -> Patch:
    """Decode a window and keep the objects that belong to its block.

    An object belongs to the block that holds its first pixel in reading order, counting only
    pixels of the region; so every object that reaches into the region is drawn whole, by one
    block, wherever the blocks' edges lie.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(3, Y, X)`` over `window`.
    window : Box
        Image pixels that were read: the block and its neighbourhood.
    owned : Box
        Image pixels of the block.
    settings : DecodeSettings
        Thresholds.
    region : Box, optional
        Image pixels whose objects are wanted; default the window.
    """
    labels = decode(maps, settings)
    asked = window.intersect(region or window)
    counted = labels[asked.shift(window.start).slices]
    ids, first = np.unique(counted, return_index=True)
    y, x = np.unravel_index(first, counted.shape)
    inside = owned.shift(asked.start)
    (y0, x0), (y1, x1) = inside.start, inside.stop
    mine = (ids > 0) & (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    number = np.zeros(int(labels.max()) + 1, np.int32)
    number[ids[mine]] = np.arange(1, mine.sum() + 1)
    return _trim(number[labels], window, int(mine.sum()))


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


def object_diameters(patch: Patch) -> NDArray[np.float64]:
    """Diameter in pixels of the circle as large as each object."""
    areas = np.bincount(patch.labels.ravel())[1:]
    diameters: NDArray[np.float64] = 2 * np.sqrt(areas[areas > 0] / np.pi)
    return diameters


def typical_diameter(diameters: NDArray[np.float64]) -> float:
    """Median diameter by area: half the objects' pixels lie in smaller ones, half in larger.

    Debris has many objects but few pixels, so it has little say.
    """
    ordered = np.sort(diameters)
    areas = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(areas, areas[-1] / 2)])
