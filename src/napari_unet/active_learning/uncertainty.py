"""How unsure a probability map is, pixel by pixel.

Filters work on maps made smaller until objects are `WORKING` to twice that many pixels wide, so
that time does not grow with the objects.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.watershed import DEEPEST
from napari_unet.network.outputs import OBJECT_MAP

TYPICAL = 24.0  # pixels; a diameter where none is given
WORKING = 10  # pixels; smallest diameter that maps are reduced to
SURE = 0.05  # probability whose entropy counts as none, for what is certain is never 0 or 1
PASS = DEEPEST / 4  # prominence at which the middle of the separation slider divides objects
PASS_RANGE = 0.12
SMOOTHING = 0.5  # pixels of a smaller map, which is smooth already
HEAT_STEP = 4  # pixels


def uncertainty(maps: NDArray[np.uint8], diameter: float = TYPICAL) -> NDArray[np.float32]:
    """Tell how unsure the model is of each pixel.

    It is unsure where object or background, or cell or touching border, are about equally
    probable over more than the width of an ordinary edge; where an object has no middle; and
    where two middles may belong to one object or to two.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(M, Y, X)``, the channels of `OBJECT_MAP` first, 255 = 1.
    diameter : float, default `TYPICAL`
        Typical diameter of the objects, image pixels.

    Returns
    -------
    ndarray of float32
        ``(Y, X)``, 0 = sure to 1; in squares of some pixels where objects are large. All 0 where
        the maps are of one value, or of a class model: they do not tell.
    """
    step = step_of(diameter)
    small = shrink(maps, (0, 0), step)
    result = np.zeros(maps.shape[1:], np.float32)
    if tells(maps) and small.size:
        unsure = uncertainty_of(small / np.float32(255), diameter / step)
        wide = unsure.repeat(step, axis=0).repeat(step, axis=1)
        result[: wide.shape[0], : wide.shape[1]] = wide
    return result


def heat_map(maps: NDArray[np.uint8], diameter: float = TYPICAL) -> NDArray[np.uint8]:
    """Return `uncertainty` for display: uint8 ``(⌈Y/4⌉, ⌈X/4⌉)``, 255 = most unsure.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(M, Y, X)``, a probability map.
    diameter : float, default `TYPICAL`
        Typical diameter of the objects, image pixels.
    """
    found = uncertainty(maps, diameter)
    found = np.pad(found, [(0, -n % HEAT_STEP) for n in found.shape])
    height, width = (n // HEAT_STEP for n in found.shape)
    means = found.reshape(height, HEAT_STEP, width, HEAT_STEP).mean(axis=(1, 3))
    heat: NDArray[np.uint8] = np.rint(255 * means).astype(np.uint8)
    return heat


def uncertainty_of(maps: NDArray[np.float32], size: float) -> NDArray[np.float32]:
    """Tell how unsure the model is, 0 to 1, from ``(M, Y, X)`` and the diameter in its pixels."""
    from scipy import ndimage  # noqa: PLC0415  the panel needs this module at once

    cell, border, distance = (maps[OBJECT_MAP.index(n)] for n in ("cell", "border", "distance"))
    object_ = np.minimum(cell + border, 1)
    kind = border / np.maximum(object_, 1 / 255)
    entropy = np.maximum(_entropy(object_), object_ * _entropy(np.minimum(kind, 1)))
    # An opening takes away lines, such as ordinary edges, and leaves blobs.
    blobs = ndimage.grey_opening(entropy, odd(size / 4))
    reach = odd(size / 2)
    inner = ndimage.minimum_filter(object_, reach)
    inner *= np.clip(1 - 2 * ndimage.maximum_filter(distance, reach), 0, 1)
    inner = np.maximum(inner, _passes(object_, distance * (1 - border), size))
    unsure: NDArray[np.float32] = np.maximum(blobs, ndimage.maximum_filter(inner, reach))
    return unsure


def _entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy in bits of yes or no; what little a sure answer has counts as none."""
    p = np.clip(np.arange(256) / 255, 1e-6, 1 - 1e-6)
    bits = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    least = -SURE * np.log2(SURE) - (1 - SURE) * np.log2(1 - SURE)
    table = np.maximum(0, (bits - least) / (1 - least)).astype(np.float32)
    found: NDArray[np.float32] = table[np.rint(255 * probability).astype(np.uint8)]
    return found


def _passes(
    object_: NDArray[np.float32], height: NDArray[np.float32], size: float
) -> NDArray[np.float32]:
    """Mark the middle between two summits where it is a close call whether they are one object."""
    from scipy import ndimage, spatial  # noqa: PLC0415  see uncertainty_of

    marked = np.zeros(height.shape, np.float32)
    smooth = ndimage.gaussian_filter(height, SMOOTHING, truncate=2)
    near = odd(size / 3)
    tops = (ndimage.maximum_filter(smooth, near) == smooth) & (smooth > PASS) & (object_ > 0.5)
    plateaus, count = ndimage.label(tops, np.ones((3, 3)))
    if count < 2:
        return marked
    # One pixel of each, chosen without a grid: that would lie otherwise in another block.
    _, first = np.unique(plateaus[tops], return_index=True)
    summits = np.argwhere(tops)[first]
    pairs = spatial.cKDTree(summits).query_pairs(size, output_type="ndarray")
    if not len(pairs):
        return marked
    one, other = summits[pairs[:, 0], None], summits[pairs[:, 1], None]
    way = np.linspace(0, 1, 9)[None, :, None]
    y, x = np.moveaxis(np.rint(one + (other - one) * way).astype(np.intp), -1, 0)  # (n, 9)
    levels = smooth[y, x]
    prominence = np.minimum(levels[:, 0], levels[:, -1]) - levels.min(axis=1)
    close_call = np.clip(1 - np.abs(prominence - PASS) / PASS_RANGE, 0, 1)
    close_call *= object_[y, x].min(axis=1) > 0.5
    np.maximum.at(marked, (y[:, 4], x[:, 4]), close_call.astype(np.float32))
    return marked


def shrink(array: NDArray[Any], start: tuple[int, int], step: int) -> NDArray[np.float32]:
    """Average squares of ``(C, Y, X)``; they lie alike in every block, from multiples of `step`."""
    y, x = (-s % step for s in start)
    height, width = (max(0, n - m) // step for n, m in zip(array.shape[1:], (y, x), strict=True))
    total = np.zeros((len(array), height, width), np.float32)
    for dy in range(step):
        for dx in range(step):
            total += array[:, y + dy :: step, x + dx :: step][:, :height, :width]
    total /= step**2
    return total


def step_of(diameter: float) -> int:
    """Image pixels on a side that become one pixel."""
    return max(1, int(diameter / WORKING))


def odd(length: float) -> int:
    """Side of a filter about as long; 3 at least."""
    return 2 * max(1, round((length - 1) / 2)) + 1


def tells(maps: NDArray[np.uint8]) -> bool:
    """Whether maps hold probabilities, and more than one value."""
    return len(maps) >= len(OBJECT_MAP) and maps.size > 0 and any(m.min() != m.max() for m in maps)
