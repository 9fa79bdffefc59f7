"""One row of numbers for each object of a label image, read window by window."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import ArrayLike, Box, Image, Spacing
from napari_unet.io.units import PIXEL, short_name

if TYPE_CHECKING:
    import pandas

WINDOW = 1024  # pixels
# what is summed for each object: pixels, rows, columns, pixels with a grey value, grey values
AREA, SUM_Y, SUM_X, VALID, SUM_INTENSITY = range(5)
SUM_Z, PLANES = 5, 6  # and through the planes of a stack


def measure(
    labels: ArrayLike,
    image: Image | None = None,
    *,
    pixel_size: Sequence[float] | None = None,
    unit: str = PIXEL,
) -> "pandas.DataFrame":
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : array-like
        Whole numbers of shape ``(..., Y, X)``, 0 = background: NumPy, dask or zarr, read by
        windows only.
    image : Image, optional
        The image the labels belong to; gives the grey values, and the spacing of its axes if
        `pixel_size` is not given.
    pixel_size : sequence of float, optional
        Its last two numbers are the height and width of a pixel in `unit`.
    unit : str, default "pixel"
        Unit of `pixel_size`.

    Returns
    -------
    pandas.DataFrame
        One row for each object in each plane, by plane and id. Columns: ``label``; the index
        along each leading axis, under its letter (``axis_0``, ... without an image);
        ``centroid_y``, ``centroid_x``, ``area``, ``diameter`` (of the circle of that area), in
        pixels; ``mean_intensity`` if there is an image; and with a pixel size ``centroid_y_um``,
        ``centroid_x_um``, ``area_um2``, ``diameter_um``, with the short name of the unit. Of a
        leading axis of known spacing also ``Z_um`` or ``T_s``. What is in units begins where the
        image says that its first pixel lies.

    Raises
    ------
    InputError
        If the labels are no whole numbers or do not fit the image.
    """
    import pandas  # noqa: PLC0415 -- takes half a second to import

    _check(labels, image)
    spacing = _spacing(len(labels.shape), image, pixel_size, unit)
    names = _leading_names(len(labels.shape) - 2, image)
    columns: dict[str, list[NDArray[Any]]] = {}
    for plane in np.ndindex(*labels.shape[:-2]):
        ids, sums = _merge(_windows(labels, plane, image))
        part: dict[str, NDArray[Any]] = {"label": ids}
        part |= {n: np.full(ids.size, i) for n, i in zip(names, plane, strict=True)}
        part |= _in_pixels(sums, with_intensity=image is not None)
        part |= _in_units(sums, *spacing[-2:])
        for name, index, along in zip(names, plane, spacing, strict=False):
            if along.size is not None:
                place = index * along.size + along.offset
                part[f"{name}_{short_name(along.unit)}"] = np.full(ids.size, place)
        for name, values in part.items():
            columns.setdefault(name, []).append(values)
    return pandas.DataFrame({name: np.concatenate(values) for name, values in columns.items()})


def measure_linked(
    labels: ArrayLike, image: Image, parents: Mapping[int, int] | None = None
) -> "pandas.DataFrame":
    """Measure linked objects: each through all its planes, and at each time.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``, one id for each object through Z, and for each track.
    image : Image
        The image the labels belong to; gives axes, grey values and sizes.
    parents : mapping of int to int, optional
        Id of the parent of each track that comes of a division.

    Returns
    -------
    pandas.DataFrame
        One row for each object, and time where there is a ``T``; by time and id. Columns:
        ``label``; the index along each leading axis but Z; ``parent`` with T, 0 = none; with Z
        ``centroid_z``, ``centroid_y``, ``centroid_x``, ``volume`` and ``planes``, in voxels;
        without Z those of `measure`; ``mean_intensity``. Where sizes are known the same in units,
        ``diameter_um`` (of the ball of that volume) and ``time_s``.

    Raises
    ------
    InputError
        If the labels are no whole numbers or do not fit the image.
    """
    import pandas  # noqa: PLC0415 -- takes half a second to import

    _check(labels, image)
    axes = image.leading_axes
    keys, sums = _summed_over_planes(labels, image)
    columns: dict[str, NDArray[Any]] = {"label": keys[:, -1]}
    others = [axis for axis in axes if axis != "Z"]
    columns |= {axis: keys[:, i] for i, axis in enumerate(others)}
    if "T" in axes:
        known = parents or {}
        columns["parent"] = np.array([known.get(i, 0) for i in keys[:, -1].tolist()], np.int64)
        time = image.label_spacing[axes.index("T")]
        if time.size is not None:
            places = columns["T"] * time.size + time.offset
            columns[f"time_{short_name(time.unit)}"] = places
    y, x = image.label_spacing[-2:]
    if "Z" in axes:
        columns |= _in_voxels(sums)
        columns |= _in_unit_volumes(sums, image.label_spacing[axes.index("Z")], y, x)
    else:
        flat = sums[:, : SUM_INTENSITY + 1]
        columns |= _in_pixels(flat, with_intensity=True) | _in_units(flat, y, x)
    return pandas.DataFrame(columns)


def _summed_over_planes(
    labels: ArrayLike, image: Image
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sum over the planes along Z.

    Returns
    -------
    keys : ndarray of int64
        ``(N, K + 1)``, index along each other leading axis, then the id; sorted.
    sums : ndarray of float64
        ``(N, 7)``, those of a plane, then pixels times Z, and planes.
    """
    axes = image.leading_axes
    keys, sums = [np.zeros((0, len(axes.replace("Z", "")) + 1), np.int64)], [np.zeros((0, 7))]
    for plane in image.planes():
        ids, part = _merge(_windows(labels, plane, image))
        at = dict(zip(axes, plane, strict=True))
        z = at.pop("Z", 0)
        others = np.broadcast_to(np.array([*at.values()], np.int64), (ids.size, len(at)))
        keys.append(np.column_stack([others, ids]))
        sums.append(np.column_stack([part, part[:, AREA] * z, np.ones(ids.size)]))
    rows, index = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    total = np.zeros((len(rows), 7))
    np.add.at(total, index.ravel(), np.concatenate(sums))
    return rows, total


def _in_voxels(sums: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    flat = _in_pixels(sums, with_intensity=True)
    return {
        "centroid_z": sums[:, SUM_Z] / sums[:, AREA],
        "centroid_y": flat["centroid_y"],
        "centroid_x": flat["centroid_x"],
        "volume": flat["area"],
        "planes": sums[:, PLANES].astype(np.int64),
        "mean_intensity": flat["mean_intensity"],
    }


def _in_unit_volumes(
    sums: NDArray[np.float64], z: Spacing, y: Spacing, x: Spacing
) -> dict[str, NDArray[Any]]:
    flat, name = _in_units(sums, y, x), short_name(x.unit)
    if not flat:
        return {}
    columns = {f"centroid_{axis}_{name}": flat[f"centroid_{axis}_{name}"] for axis in "yx"}
    if z.size is None or z.unit != x.unit:
        return columns
    volume = flat[f"area_{name}2"] * z.size
    return {
        f"centroid_z_{name}": sums[:, SUM_Z] / sums[:, AREA] * z.size + z.offset,
        **columns,
        f"volume_{name}3": volume,
        f"diameter_{name}": np.cbrt(volume * (6 / math.pi)),
    }


def _check(labels: ArrayLike, image: Image | None) -> None:
    shape = tuple(labels.shape)
    if np.dtype(labels.dtype).kind not in "biu" or len(shape) < 2:
        raise InputError(
            f"Labels of type {labels.dtype} and shape {shape} cannot be measured; whole numbers "
            "with at least rows and columns are needed."
        )
    if image is not None and shape != image.labels_shape:
        raise InputError(
            f"Labels of shape {shape} do not fit the image, whose labels have the shape "
            f"{image.labels_shape}. Choose the image they were made from."
        )


def _spacing(
    ndim: int, image: Image | None, pixel_size: Sequence[float] | None, unit: str
) -> Sequence[Spacing]:
    """Return how the pixels lie along each axis of the labels."""
    if pixel_size is None:
        return [Spacing()] * ndim if image is None else image.label_spacing
    y, x = pixel_size[-2:]
    return [*[Spacing()] * (ndim - 2), Spacing(y, unit), Spacing(x, unit)]


def _leading_names(count: int, image: Image | None) -> list[str]:
    return [f"axis_{i}" for i in range(count)] if image is None else list(image.leading_axes)


def _windows(
    labels: ArrayLike, plane: tuple[int, ...], image: Image | None
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Yield the ids of each window and their sums ``(objects, 5)``, in pixels of the plane."""
    height, width = labels.shape[-2:]
    for y in range(0, height, WINDOW):
        for x in range(0, width, WINDOW):
            box = Box((y, x), (min(y + WINDOW, height), min(x + WINDOW, width)))
            window = np.asarray(labels[(*plane, *box.slices)])
            rows, columns = np.nonzero(window)
            if rows.size:
                grey = None if image is None else image.read(plane, box, 1)[0][rows, columns]
                ids, index = np.unique(window[rows, columns], return_inverse=True)
                yield ids, _sums(index, rows + y, columns + x, grey)


def _sums(
    index: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], grey: NDArray[Any] | None
) -> NDArray[np.float64]:
    """Sum over the pixels of each object; the result is ``(objects, 5)``."""
    values = np.zeros(rows.size) if grey is None else grey.astype(np.float64)
    valid = np.isfinite(values)
    weights = (None, rows, columns, valid, np.where(valid, values, 0.0))
    return np.stack([np.bincount(index, weights=w) for w in weights], axis=1).astype(np.float64)


def _merge(
    parts: Iterator[tuple[NDArray[Any], NDArray[np.float64]]],
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Add up what belongs to the same id in several windows; ids come out sorted."""
    found = list(parts)
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, 5))
    ids, index = np.unique(np.concatenate([i for i, _ in found]), return_inverse=True)
    total = np.zeros((ids.size, 5))
    np.add.at(total, index, np.concatenate([s for _, s in found]))
    return ids.astype(np.int64), total


def _in_pixels(sums: NDArray[np.float64], *, with_intensity: bool) -> dict[str, NDArray[Any]]:
    area = sums[:, AREA]
    columns: dict[str, NDArray[Any]] = {
        "centroid_y": sums[:, SUM_Y] / area,
        "centroid_x": sums[:, SUM_X] / area,
        "area": area.astype(np.int64),
        "diameter": _diameter(area),
    }
    if with_intensity:
        valid = sums[:, VALID]
        mean = sums[:, SUM_INTENSITY] / np.maximum(valid, 1)
        columns["mean_intensity"] = np.where(valid > 0, mean, np.nan)
    return columns


def _in_units(sums: NDArray[np.float64], y: Spacing, x: Spacing) -> dict[str, NDArray[Any]]:
    if y.size is None or x.size is None or y.unit != x.unit:
        return {}
    name = short_name(x.unit)
    area = sums[:, AREA] * (y.size * x.size)
    return {
        f"centroid_y_{name}": sums[:, SUM_Y] / sums[:, AREA] * y.size + y.offset,
        f"centroid_x_{name}": sums[:, SUM_X] / sums[:, AREA] * x.size + x.offset,
        f"area_{name}2": area,
        f"diameter_{name}": _diameter(area),
    }


def _diameter(area: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the diameter of the circle of that area."""
    return np.sqrt(area * (4 / math.pi))
