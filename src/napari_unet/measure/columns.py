"""From sums to the columns of a table: in pixels, and in units where sizes are known."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Image, Spacing
from napari_unet.io.units import short_name
from napari_unet.measure.sections import HIGH, LOW, TOTAL, VALID, Numbers, Sections, shown_channels

Columns = dict[str, NDArray[Any]]
AT_EDGE = "at_edge"


def flat_columns(sections: Sections, y: Spacing, x: Spacing) -> Columns:
    """Return place, size and shape of sections, in pixels."""
    length, width = _axes(sections.spread / sections.area[:, None, None])
    outline = _perimeter(sections, 1.0, 1.0)
    sizes = _sizes(y, x)
    square = np.ones(2) if sizes is None else sizes
    area, true = sections.area, _perimeter(sections, *square)
    return {
        "centroid_y": sections.centre[:, 0],
        "centroid_x": sections.centre[:, 1],
        "area": area.astype(np.int64),
        "diameter": np.sqrt(area * (4 / math.pi)),
        "length": length,
        "width": width,
        "perimeter": outline,
        "circularity": np.minimum(1.0, 4 * math.pi * area * square.prod() / true**2),
    }


def edge_column(sections: Sections, shape: tuple[int, int]) -> Columns:
    """Return which sections touch the first or last row or column of planes ``(Y, X)``."""
    edges = (sections.start <= 0) | (sections.stop >= shape)
    return {AT_EDGE: np.logical_or.reduce(edges, axis=1)}


def flat_units(sections: Sections, y: Spacing, x: Spacing) -> Columns:
    """Return the same in the unit of X; nothing where that is unknown."""
    sizes, name = _sizes(y, x), short_name(x.unit)
    if sizes is None:
        return {}
    places = sections.centre * sizes + [y.offset, x.offset]
    length, width = _axes(sections.spread * np.outer(sizes, sizes) / sections.area[:, None, None])
    area = sections.area * sizes.prod()
    return {
        f"centroid_y_{name}": places[:, 0],
        f"centroid_x_{name}": places[:, 1],
        f"area_{name}2": area,
        f"diameter_{name}": np.sqrt(area * (4 / math.pi)),
        f"length_{name}": length,
        f"width_{name}": width,
        f"perimeter_{name}": _perimeter(sections, *sizes),
    }


def volume_columns(volumes: Sections) -> Columns:
    """Return place and size of what goes through planes, in voxels."""
    return {
        "centroid_z": volumes.centre[:, 0],
        "centroid_y": volumes.centre[:, 1],
        "centroid_x": volumes.centre[:, 2],
        "volume": volumes.area.astype(np.int64),
        "planes": volumes.planes,
    }


def volume_units(volumes: Sections, z: Spacing, y: Spacing, x: Spacing) -> Columns:
    """Return places in the unit of X; sizes and shape as well, if planes have that unit."""
    plane, sizes, name = _sizes(y, x), _sizes(z, y, x), short_name(x.unit)
    if plane is None:
        return {}
    places = volumes.centre[:, 1:] * plane + [y.offset, x.offset]
    columns = {f"centroid_y_{name}": places[:, 0], f"centroid_x_{name}": places[:, 1]}
    if sizes is None:
        return columns
    volume = volumes.area * sizes.prod()
    length, width = _axes(volumes.spread * np.outer(sizes, sizes) / volumes.area[:, None, None])
    return {
        f"centroid_z_{name}": volumes.centre[:, 0] * sizes[0] + z.offset,
        **columns,
        f"volume_{name}3": volume,
        f"diameter_{name}": np.cbrt(volume * (6 / math.pi)),
        f"length_{name}": length,
        f"width_{name}": width,
    }


def place_columns(indices: Mapping[str, NDArray[Any]], spacing: Mapping[str, Spacing]) -> Columns:
    """Return the place along each leading axis of known spacing, such as ``Z_um`` or ``T_s``."""
    known = {axis: spacing.get(axis, Spacing()) for axis in indices}
    return {
        f"{axis}_{short_name(one.unit)}": indices[axis] * one.size + one.offset
        for axis, one in known.items()
        if one.size is not None
    }


def grey_columns(sections: Sections, names: Sequence[str]) -> Columns:
    """Return mean, lowest and highest grey value in each channel; NaN where none is finite."""
    columns: Columns = {}
    for channel, name in enumerate(names):
        grey = sections.grey[:, channel]
        some = grey[:, VALID] > 0
        values = {
            "mean": grey[:, TOTAL] / np.maximum(grey[:, VALID], 1),
            "min": grey[:, LOW],
            "max": grey[:, HIGH],
        }
        for kind, found in values.items():
            columns[f"{kind}_intensity{name}"] = np.where(some, found, np.nan)
    return columns


def channel_endings(image: Image | None) -> list[str]:
    """Return how the columns of each channel end: not at all for one, else with name or number."""
    count = 0 if image is None else shown_channels(image)
    if image is None or count == 1:
        return [""] * count
    names = image.choices[:count]
    if len(set(names)) < count:
        names = tuple(map(str, range(count)))
    return [f"_{name}" for name in names]


def _sizes(*along: Spacing) -> Numbers | None:
    """Return the sizes along some axes, None unless all are known in the same unit."""
    sizes = [one.size for one in along if one.size is not None and one.unit == along[-1].unit]
    return np.array(sizes) if len(sizes) == len(along) else None


def _axes(covariance: Numbers) -> tuple[Numbers, Numbers]:
    """Return the longest and shortest axis of the ellipse, or ellipsoid, of the same covariance.

    Parameters
    ----------
    covariance : ndarray of float64
        ``(N, D, D)`` of places spread evenly over it.
    """
    dimensions = covariance.shape[-1]
    values = np.linalg.eigvalsh(covariance).clip(0)
    lengths = 2 * np.sqrt(values * (dimensions + 2))
    return lengths[:, -1], lengths[:, 0]


def _perimeter(sections: Sections, y: float, x: float) -> Numbers:
    """Return the length of the outline by Crofton's formula, for pixels of a size.

    A line that crosses it on average as often as lines along rows, columns and both diagonals do
    tells its length. Each direction counts for the angles that lie nearest to it.
    """
    slope = math.atan2(y, x)
    shares = (slope, math.pi / 2 - slope, math.pi / 4)
    between = (y, x, y * x / math.hypot(y, x))  # from one line to the next
    weights = [share * gap / 2 for share, gap in zip(shares, between, strict=True)]
    lengths: Numbers = sections.crossings @ np.array(weights)
    return lengths
