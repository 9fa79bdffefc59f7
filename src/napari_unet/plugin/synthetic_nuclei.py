"""A synthetic 16-bit image of nuclei with ground truth, of any size, computed window by window.

Nuclei sit on a jittered grid; position, size and brightness of each come from a hash of its grid
cell, noise from a hash of the pixel. Only operations that IEEE arithmetic defines to the last bit
are used (no sine, no exponential), so any window holds the same values whichever way it is cut.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PITCH = 40  # pixels between grid cells
JITTER = 0.32  # of the pitch
SEMI_AXES = (9.0, 17.0)  # pixels, smallest and largest
REACH = 12  # pixels; how far a nucleus, and its blurred edge, may lie outside of its grid cell
PRESENT = 0.72  # share of grid cells that hold a nucleus
BACKGROUND, BRIGHTNESS = 400.0, (1500.0, 9000.0)  # grey values
NOISE = 60.0  # standard deviation in grey values


@dataclass(frozen=True, slots=True, eq=False)
class _Nuclei:
    """Nuclei of some grid cells; each array is ``(rows, columns)`` of the grid.

    Attributes
    ----------
    first : tuple of int
        Row and column of the first grid cell.
    there : ndarray of bool
        Whether a cell holds a nucleus.
    numbers : ndarray of int
        Their ids.
    centre : tuple of ndarray
        Pixels, Y and X.
    axes : tuple of ndarray
        Semi-axes in pixels, the long one first.
    turn : tuple of ndarray
        Cosine and sine of the direction of the long axis.
    bright : ndarray
        Grey values.
    """

    first: tuple[int, int]
    there: NDArray[np.bool_]
    numbers: NDArray[np.int64]
    centre: tuple[NDArray[np.float64], NDArray[np.float64]]
    axes: tuple[NDArray[np.float64], NDArray[np.float64]]
    turn: tuple[NDArray[np.float64], NDArray[np.float64]]
    bright: NDArray[np.float64]


def nuclei_window(
    origin: tuple[int, int], shape: tuple[int, int], columns: int, step: int = 1
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
    step : int
        Of so many pixels in each direction one is computed, for a smaller copy of the image.
        `origin` and `shape` are then those of the copy.

    Returns
    -------
    image : ndarray
        ``(Y, X)``, uint16.
    labels : ndarray
        ``(Y, X)``, uint32; 0 = background.
    """
    y, x = (step * np.arange(o, o + n, dtype=np.int64) for o, n in zip(origin, shape, strict=True))
    nuclei = _nuclei(y, x, -(-columns // PITCH))
    distance, nearest = (_drawn if step == 1 else _nearest)(nuclei, y, x)
    bright = nuclei.bright.ravel()[nearest]
    labels = np.where(distance <= 1, nuclei.numbers.ravel()[nearest], 0).astype(np.uint32)
    y, x = y[:, None], x[None, :]
    texture = 0.75 + 0.5 * _smooth(y, x, 6)
    edge = np.clip((1.12 - distance) * 4, 0, 1)
    glow = 0.6 + 0.8 * _smooth(y, x, 700)
    image = BACKGROUND * glow + bright * edge * texture * (1.15 - 0.35 * np.minimum(distance, 1.2))
    image += NOISE * _noise(y, x)
    return np.clip(image, 0, 65535).astype(np.uint16), labels


def _nuclei(y: NDArray[np.int64], x: NDArray[np.int64], per_row: int) -> _Nuclei:
    """Return the nuclei that may reach into rows and columns of pixels."""
    rows, columns = (np.arange(i[0] // PITCH - 1, i[-1] // PITCH + 2) for i in (y, x))
    row, column = np.meshgrid(rows, columns, indexing="ij")
    inside = (row >= 0) & (column >= 0) & (column < per_row)
    numbers = row * per_row + column + 1
    present, jitter_y, jitter_x, size, ratio, turn, light = _uniform(np.where(inside, numbers, 1))
    long = SEMI_AXES[0] + (SEMI_AXES[1] - SEMI_AXES[0]) * size
    t = 2 * turn - 1  # half-angle form: a direction without sine and cosine
    return _Nuclei(
        (int(rows[0]), int(columns[0])),
        inside & (present <= PRESENT),
        numbers,
        (
            (row + 0.5 + JITTER * (2 * jitter_y - 1)) * PITCH,
            (column + 0.5 + JITTER * (2 * jitter_x - 1)) * PITCH,
        ),
        (long, long * (0.65 + 0.35 * ratio)),
        ((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)),
        BRIGHTNESS[0] + (BRIGHTNESS[1] - BRIGHTNESS[0]) * light * light,
    )


def _drawn(
    nuclei: _Nuclei, y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what `_nearest` does near nuclei, one after the other: faster for all pixels."""
    distance = np.full((y.size, x.size), np.inf)
    nearest = np.zeros(distance.shape, np.int64)
    shapes = (*nuclei.centre, *nuclei.axes, *nuclei.turn)
    for cell in np.flatnonzero(nuclei.there).tolist():
        at_y, at_x, *shape = (float(values.flat[cell]) for values in shapes)
        part = _around(at_y, y), _around(at_x, x)
        before = distance[part]
        if before.size:
            found = _ellipse(y[part[0], None] - at_y, x[part[1]] - at_x, *shape)
            nearer = found < before
            before[nearer], nearest[part][nearer] = found[nearer], cell
    return distance, nearest


def _around(centre: float, pixels: NDArray[np.int64]) -> slice:
    """Return which of neighbouring pixels a nucleus may reach."""
    reach, first = SEMI_AXES[1] + REACH, int(pixels[0])
    return slice(max(0, int(centre - reach) - first), max(0, int(centre + reach) - first))


def _nearest(
    nuclei: _Nuclei, y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the squared distance to the nearest nucleus, 1 at its edge, and which one that is.

    A nucleus ends within `REACH` pixels of its grid cell: only near the edges of a cell are those
    of its neighbours looked at.
    """
    distance = np.full((y.size, x.size), np.inf)
    nearest = np.zeros(distance.shape, np.int64)
    for down, right in itertools.product((-1, 0, 1), repeat=2):
        rows, columns = _reached(y, down), _reached(x, right)
        row = y[rows] // PITCH + down - nuclei.first[0]
        column = x[columns] // PITCH + right - nuclei.first[1]
        found = _distance(nuclei, row, column, (y[rows, None], x[None, columns]))
        pixels = np.ix_(rows, columns)
        before = distance[pixels]
        nearer = found < before
        distance[pixels] = np.where(nearer, found, before)
        which = row[:, None] * nuclei.there.shape[1] + column
        nearest[pixels] = np.where(nearer, which, nearest[pixels])
    return distance, nearest


def _reached(pixels: NDArray[np.int64], away: int) -> NDArray[np.int64]:
    """Return which pixels of an axis the nuclei of a neighbouring grid cell may reach."""
    within = pixels % PITCH
    reached = {-1: within < REACH, 0: within >= 0, 1: within >= PITCH - REACH}[away]
    return np.flatnonzero(reached)


def _distance(
    nuclei: _Nuclei,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Return the squared distance of each pixel to the nucleus of a cell, 1 at its edge."""

    def of_pixels(values: NDArray[Any]) -> NDArray[Any]:
        return values[row].take(column, axis=1)

    dy, dx = (p - of_pixels(centre) for p, centre in zip(pixels, nuclei.centre, strict=True))
    found = _ellipse(dy, dx, *map(of_pixels, (*nuclei.axes, *nuclei.turn)))
    return np.where(of_pixels(nuclei.there), found, np.inf)


def _ellipse(dy: Any, dx: Any, long: Any, short: Any, cosine: Any, sine: Any) -> Any:
    """Return the squared distance from the centre, 1 at the edge."""
    along, across = (dx * cosine + dy * sine) / long, (dy * cosine - dx * sine) / short
    return along * along + across * across


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit numbers so that neighbours have nothing in common."""
    values = values * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    values = (values ^ (values >> np.uint64(29))) * np.uint64(0xD6E8FEB86659FD93)
    return values ^ (values >> np.uint64(32))


def _uniform(numbers: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return seven numbers from 0 to 1 for each id."""
    keys = numbers.astype(np.uint64) * np.uint64(64)
    bits = (_hash(_hash(keys + np.uint64(i))) >> np.uint64(40) for i in range(7))
    return [value.astype(np.float64) / 2**24 for value in bits]


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
    row, column = y[:, 0] // step, x[0] // step
    down, right = (y - row[:, None] * step) / step, (x - column * step) / step
    rows, columns = (np.arange(i[0], i[-1] + 2) for i in (row, column))
    lattice = (_lattice(rows[:, None], columns, step) >> np.uint64(40)).astype(np.float64) / 2**24
    row, column = row - rows[0], column - columns[0]
    # Along X for each row of the lattice, of which there are few, then along Y.
    across = lattice.take(column, axis=1) * (1 - right) + lattice.take(column + 1, axis=1) * right
    found: NDArray[np.float64] = across[row] * (1 - down) + across[row + 1] * down
    return found
