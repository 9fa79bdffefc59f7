"""A synthetic 16-bit image of nuclei with ground truth, of any size, computed window by window.

Nuclei sit on a jittered grid; position, size and brightness of each come from a hash of its grid
cell, noise from a hash of the pixel. Only operations that IEEE arithmetic defines to the last bit
are used (no sine, no exponential), so any window holds the same values whichever way it is cut.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PITCH = 40  # pixels between grid cells
JITTER = 0.32  # of the pitch
SEMI_AXES = (9.0, 17.0)  # pixels, smallest and largest
PRESENT = 0.72  # share of grid cells that hold a nucleus
BACKGROUND, BRIGHTNESS = 400.0, (1500.0, 9000.0)  # grey values
NOISE = 60.0  # standard deviation in grey values


def nuclei_window(
    origin: tuple[int, int], shape: tuple[int, int], columns: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Compute one window of the image and its labels.

    Parameters
    ----------
    origin : tuple of int
        First row and column of the window in the image, ``(y, x)``.
    shape : tuple of int
        Height and width of the window.
    columns : int
        Width of the whole image, which numbers the nuclei.

    Returns
    -------
    image : ndarray
        ``(Y, X)``, uint16.
    labels : ndarray
        ``(Y, X)``, uint32; 0 = background.
    """
    y = np.arange(origin[0], origin[0] + shape[0], dtype=np.int64)[:, None]
    x = np.arange(origin[1], origin[1] + shape[1], dtype=np.int64)[None, :]
    distance = np.full(shape, np.inf)  # squared, 1 at the edge of the nearest nucleus
    bright = np.zeros(shape)
    labels = np.zeros(shape, np.uint32)
    per_row = -(-columns // PITCH)
    for row in range(origin[0] // PITCH - 1, (origin[0] + shape[0] - 1) // PITCH + 2):
        for column in range(origin[1] // PITCH - 1, (origin[1] + shape[1] - 1) // PITCH + 2):
            if row >= 0 and 0 <= column < per_row:
                number = row * per_row + column + 1
                _draw(number, (row, column), (y, x), (distance, bright, labels))
    texture = 0.75 + 0.5 * _smooth(y, x, 6)
    edge = np.clip((1.12 - distance) * 4, 0, 1)
    glow = 0.6 + 0.8 * _smooth(y, x, 700)
    image = BACKGROUND * glow + bright * edge * texture * (1.15 - 0.35 * np.minimum(distance, 1.2))
    image += NOISE * _noise(y, x)
    return np.clip(image, 0, 65535).astype(np.uint16), labels


def _draw(
    number: int,
    cell: tuple[int, int],
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
    layers: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
) -> None:
    """Draw the nucleus of one grid cell where it is nearer than those drawn before."""
    present, jitter_y, jitter_x, size, ratio, turn, light = _uniform(number, 7)
    if present > PRESENT:
        return
    centre_y = (cell[0] + 0.5 + JITTER * (2 * jitter_y - 1)) * PITCH
    centre_x = (cell[1] + 0.5 + JITTER * (2 * jitter_x - 1)) * PITCH
    reach = int(SEMI_AXES[1]) + 3
    y, x = pixels
    y0 = max(0, int(centre_y) - reach - int(y[0, 0]))
    x0 = max(0, int(centre_x) - reach - int(x[0, 0]))
    y1, x1 = (
        max(0, int(c) + reach + 2 - int(p.flat[0])) for c, p in ((centre_y, y), (centre_x, x))
    )
    if y0 >= y1 or x0 >= x1:
        return
    part = slice(y0, y1), slice(x0, x1)
    long = SEMI_AXES[0] + (SEMI_AXES[1] - SEMI_AXES[0]) * size
    short = long * (0.65 + 0.35 * ratio)
    t = 2 * turn - 1  # half-angle form: a direction without sine and cosine
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    dy, dx = y[part[0]] - centre_y, x[:, part[1]] - centre_x
    along, across = (dx * cosine + dy * sine) / long, (dy * cosine - dx * sine) / short
    found = along * along + across * across
    distance, bright, labels = (layer[part] for layer in layers)
    nearer = found < distance
    distance[nearer] = found[nearer]
    bright[nearer] = BRIGHTNESS[0] + (BRIGHTNESS[1] - BRIGHTNESS[0]) * light * light
    labels[nearer & (found <= 1)] = number


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit numbers so that neighbours have nothing in common."""
    values = values * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    values = (values ^ (values >> np.uint64(29))) * np.uint64(0xD6E8FEB86659FD93)
    return values ^ (values >> np.uint64(32))


def _uniform(number: int, count: int) -> list[float]:
    keys = np.uint64(number) * np.uint64(64) + np.arange(count, dtype=np.uint64)
    return [float(v) for v in (_hash(_hash(keys)) >> np.uint64(40)).astype(np.float64) / 2**24]


def _lattice(y: NDArray[np.int64], x: NDArray[np.int64], salt: int) -> NDArray[np.uint64]:
    keys = y.astype(np.uint64) * np.uint64(2**32) + x.astype(np.uint64)
    return _hash(keys ^ np.uint64(salt * 0x5851F42D4C957F2D % 2**64))


def _noise(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return noise of mean 0 and variance 1: the sum of four 16-bit parts of the pixel's hash."""
    bits = _lattice(y, x, 1)
    parts = [
        ((bits >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.float64) for s in (0, 16, 32, 48)
    ]
    total = (parts[0] + parts[1]) + (parts[2] + parts[3])
    return (total / 65535 - 2) * 1.7320508075688772


def _smooth(y: NDArray[np.int64], x: NDArray[np.int64], step: int) -> NDArray[np.float64]:
    """Return noise between 0 and 1 that varies over `step` pixels."""
    row, column = y // step, x // step
    down, right = (y - row * step) / step, (x - column * step) / step
    corners = [
        (_lattice(row + j, column + i, step) >> np.uint64(40)).astype(np.float64) / 2**24
        for j in (0, 1)
        for i in (0, 1)
    ]
    top = corners[0] * (1 - right) + corners[1] * right
    bottom = corners[2] * (1 - right) + corners[3] * right
    return top * (1 - down) + bottom * down
