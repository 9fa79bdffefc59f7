"""Resampling between the image's grid and the network's, pixel by pixel in absolute coordinates.

A value depends only on the two grids' lengths and the pixel's own index, never on the window it
is computed in, so tiles agree exactly also when an image is rescaled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Which source pixels make each target pixel along one axis.

    Attributes
    ----------
    indices : ndarray of int
        ``(length, k)``, source indices in the source's frame.
    weights : ndarray of float32
        ``(length, k)``; each row sums to 1.
    """

    indices: NDArray[np.intp]
    weights: NDArray[np.float32]

    @property
    def support(self) -> tuple[int, int]:
        """Half-open interval of the source indices that are used."""
        return int(self.indices.min()), int(self.indices.max()) + 1


def mirror(indices: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Fold indices into ``[0, length)`` by mirroring at the first and last pixel, repeatedly."""
    if length == 1:
        return np.zeros_like(indices)
    period = 2 * (length - 1)
    folded = np.mod(indices, period)
    mirrored: NDArray[np.intp] = np.minimum(folded, period - folded)
    return mirrored


def axis_taps(interval: tuple[int, int], target: int, source: int) -> Taps:
    """Taps of linear interpolation, widened to an average where the target grid is coarser.

    Parameters
    ----------
    interval : tuple of int
        Half-open interval of target pixels; outside ``[0, target)`` the axis is mirrored.
    target, source : int
        Lengths of the two grids that cover the same axis.
    """
    wanted = mirror(np.arange(*interval), target)
    if target == source:
        return Taps(wanted[:, None], np.ones((len(wanted), 1), np.float32))
    step = source / target
    reach = max(1.0, step)
    centre = (wanted + 0.5) * step - 0.5
    first = np.floor(centre - reach).astype(np.intp) + 1
    indices = first[:, None] + np.arange(int(np.ceil(2 * reach)))
    weights = np.maximum(0, 1 - np.abs(indices - centre[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(np.clip(indices, 0, source - 1), weights.astype(np.float32))


def resample(
    window: NDArray[np.float32], origin: tuple[int, int], y: Taps, x: Taps
) -> NDArray[np.float32]:
    """Resample ``(C, Y, X)`` whose first pixel lies at `origin` of the source grid."""
    return _along(_along(window, y, origin[0], 1), x, origin[1], 2)


def resized(planes: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample whole planes ``(C, Y, X)`` to a height and width, unless they have those."""
    if planes.shape[1:] == shape:
        return planes
    y, x = (axis_taps((0, n), n, m) for n, m in zip(shape, planes.shape[1:], strict=True))
    return resample(planes, (0, 0), y, x)


def _along(window: NDArray[np.float32], taps: Taps, origin: int, axis: int) -> NDArray[np.float32]:
    indices = taps.indices - origin
    if indices.shape[1] == 1:
        first, stop = taps.support
        if np.array_equal(taps.indices[:, 0], np.arange(first, stop)):  # nothing to copy
            inner = slice(first - origin, stop - origin)
            return window[:, inner] if axis == 1 else window[..., inner]
        return np.take(window, indices[:, 0], axis=axis)
    shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
    result: NDArray[np.float32] = np.float32(0)  # type: ignore[assignment]
    for k in range(indices.shape[1]):  # one tap at a time: the order of the sum is fixed
        part = np.take(window, indices[:, k], axis=axis)
        result = result + part * taps.weights[:, k].reshape(shape)
    return result
