"""Label images in TIFF files that ImageJ, OME readers and napari open with ids and pixel size.

Two kinds, by the end of the name. ``.ome.tif``: OME-TIFF. ``.tif``: a TIFF as ImageJ writes it,
whose description tag names stack, unit and spacing; it is given for 32-bit ids as well, which
ImageJ shows as decimals, exact up to 2**24. Strips rather than tiles, and no predictor: ImageJ
reads only those. What neither kind can say (other axes, the settings of the run) is JSON in the
OME description or ImageJ's Info. Files above 2 GiB are BigTIFF, which ImageJ opens through
Bio-Formats.
"""

import itertools
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.errors import InputError, SaveError
from napari_unet.image import ArrayLike, Spacing
from napari_unet.io.atomic import write_replacing
from napari_unet.io.formats.tiff_images import check_complete, series_of
from napari_unet.io.tiff_header import IMAGEJ_STACKS, OME_STACKS, SOFTWARE, Header, read_header
from napari_unet.io.units import (
    PIXEL,
    TIMES,
    imagej_name,
    micrometers,
    ome_symbol,
    seconds,
    unit_name,
)

SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
LARGEST_ID = 2**32 - 1
BIGTIFF_BYTES = 2**31
BAND_BYTES = 2**25  # what is read from the labels at once
CHUNKED_BYTES = 2**28  # the same where they are compressed in chunks
ZLIB_LEVEL = 3  # label images are flat: more effort saves few bytes
DEFAULT_AXES = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}


def save_labels(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    *,
    pixel_size: Sequence[float | None] | Mapping[str, Spacing] | None = None,
    unit: str | Sequence[str] = PIXEL,
    axes: str | None = None,
    description: Mapping[str, Any] | None = None,
) -> Path:
    """Save a label image as TIFF; the old file stays as it is if anything goes wrong.

    Parameters
    ----------
    path : path-like
        Ends in ``.ome.tif``, ``.ome.tiff``, ``.tif`` or ``.tiff``.
    labels : array-like
        Whole numbers of shape ``(..., Y, X)``, 0 = background: NumPy, dask or zarr; read by
        windows, twice if its type is wider than 16 bits.
    pixel_size : sequence of float, or dict, optional
        One number for each axis, None where it is unknown, or ``(y, x)``, in `unit`; default: all
        unknown. Or the `Spacing` of each axis by its letter, with its own unit: that of an image
        is ``image.spacing``.
    unit : str or sequence of str, default "pixel"
        Unit of `pixel_size`: ``micrometer``, ``µm``, ``nm``, ... One for each axis where T has
        a unit of time; lengths are in that of X.
    axes : str, optional
        One letter for each axis, ending in YX; default: YX, ZYX, TZYX, TCZYX.
    description : dict, optional
        Kept in the file as JSON: settings, model, versions.

    Returns
    -------
    Path
        The file, read back and compared.

    Raises
    ------
    SaveError
        For another suffix, ids that are negative, above 2**32 - 1 or no whole numbers, and
        whatever the disk refuses.
    """
    is_array = hasattr(labels, "shape") and hasattr(labels, "dtype")
    array: Any = labels if is_array else np.asarray(labels)
    _check_array(array, Path(path))
    letters = _check_axes(axes, len(array.shape))
    units = [unit] * len(letters) if isinstance(unit, str) else list(unit)
    offset: tuple[float, ...] = ()
    if isinstance(pixel_size, Mapping):
        pixel_size, units, offset = _along(letters, pixel_size)
    header = Header(
        shape=tuple(int(n) for n in array.shape),
        axes=letters,
        dtype=np.dtype("<u4"),
        pixel_size=_check_pixel_size(pixel_size, len(array.shape)),
        unit=unit_name(units[-1]),
        description=description or {},
        time_unit=_time_unit(letters, units),
        offset=offset,
    )
    return _save(Path(path), array, header)


def _along(
    axes: str, spacing: Mapping[str, Spacing]
) -> tuple[list[float | None], list[str], tuple[float, ...]]:
    """Return sizes, units and offsets; a length in another unit than that of X is unknown."""
    found = [spacing.get(axis, Spacing()) for axis in axes]
    unit = found[-1].unit
    other = [axis in "ZYX" and one.unit != unit for axis, one in zip(axes, found, strict=True)]
    kept = [Spacing() if alien else one for alien, one in zip(other, found, strict=True)]
    offset = tuple(one.offset if one.size else 0.0 for one in kept)
    return [one.size for one in kept], [one.unit for one in found], offset


def _save(file: Path, array: ArrayLike, header: Header) -> Path:
    ome = is_ome_name(file)
    header = replace(header, dtype=_smallest_type(array, file))
    sums: list[int] = []
    return write_replacing(
        file,
        lambda stream: _write(stream, array, header, sums, ome=ome),
        lambda part: _compare(part, header, sums),
        needed=header.nbytes,
    )


def _time_unit(axes: str, units: Sequence[str]) -> str:
    named = dict(zip(axes, units, strict=True)).get("T", PIXEL)
    return unit_name(named) if seconds(named) else PIXEL


def read_labels(
    path: str | os.PathLike[str],
) -> tuple[NDArray[Any], tuple[float | None, ...] | None, str, str]:
    """Read a label image written by `save_labels`.

    Returns
    -------
    labels : ndarray
        ``(..., Y, X)``, uint16 or uint32.
    pixel_size : tuple of float or None
        As saved: one number for each axis, None where it is unknown, or ``(y, x)``.
    unit : str
        Unit of `pixel_size`, such as ``micrometer``.
    axes : str
        One letter for each axis.

    Raises
    ------
    InputError
        If the file is missing, damaged or not one of ours.
    """
    header = read_header(path)
    if header is None:
        raise InputError(
            f"{path} is no label image saved by this plugin; open it as an image instead."
        )
    try:
        with tifffile.TiffFile(path) as tif:
            check_complete(series_of(tif, Path(path))[0], Path(path))
            labels = tif.asarray().reshape(header.shape)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be read: the file is damaged ({error}).") from error
    return labels, header.pixel_size, header.unit, header.axes


def is_ome_name(path: Path) -> bool:
    """Tell OME-TIFF names from TIFF names; raise `SaveError` for all others."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise SaveError(
            f"Label images are saved as TIFF; {path.name!r} ends differently. Choose a name that "
            f"ends in one of {', '.join(SUFFIXES)}."
        )
    return name.endswith((".ome.tif", ".ome.tiff"))


def _check_array(array: ArrayLike, path: Path) -> None:
    if np.dtype(array.dtype).kind not in "biu":
        raise SaveError(
            f"Labels are whole numbers; these are of type {array.dtype}. Convert them first, "
            f"for example with labels.astype('uint32'). {path.name} is not written."
        )
    if len(array.shape) < 2 or 0 in array.shape:
        raise SaveError(
            f"Labels of shape {tuple(array.shape)} hold no image; at least rows and columns are "
            f"needed. {path.name} is not written."
        )


def default_axes(ndim: int) -> str:
    """Return the letters of axes that nobody named."""
    return DEFAULT_AXES.get(ndim, "QUVW"[: max(0, ndim - 5)] + "TCZYX")[-ndim:]


def _check_axes(axes: str | None, ndim: int) -> str:
    if axes is None:
        return default_axes(ndim)
    if len(axes) != ndim or len(set(axes)) != ndim or not axes.endswith("YX"):
        raise SaveError(
            f"The axes {axes!r} do not fit labels of {ndim} dimensions; one letter for each is "
            "needed, ending in YX, such as TYX."
        )
    return axes


def _check_pixel_size(
    size: Sequence[float | None] | None, ndim: int
) -> tuple[float | None, ...] | None:
    if size is None or all(s is None for s in size):
        return None
    values = tuple(None if s is None else float(s) for s in size)
    known = [s for s in values if s is not None]
    if len(values) not in (2, ndim) or not all(math.isfinite(s) and s > 0 for s in known):
        raise SaveError(
            f"The pixel size {values} does not fit; 2 or {ndim} numbers above 0 are needed."
        )
    return values


def _bands(array: ArrayLike, itemsize: int, multiple: int = 1) -> Iterator[tuple[Any, ...]]:
    """Yield indices that read `(..., Y, X)` in order, some rows of one plane at a time.

    Of an array in chunks whole rows of chunks are read where memory allows: a chunk is decompressed
    anew for every band that it is in.
    """
    shape = tuple(array.shape)
    rows = BAND_BYTES // (shape[-1] * itemsize)
    chunks = getattr(array, "chunks", None)
    if chunks and isinstance(chunks[-2], int):  # dask has a tuple of each axis, and keeps nothing
        most = CHUNKED_BYTES // (shape[-1] * itemsize)
        rows = max(rows, min(int(chunks[-2]), most))
    rows = max(1, rows // multiple) * multiple
    for plane in itertools.product(*(range(n) for n in shape[:-2])):
        for y in range(0, shape[-2], rows):
            yield *plane, slice(y, min(y + rows, shape[-2]))


def _smallest_type(array: ArrayLike, path: Path) -> np.dtype[Any]:
    dtype = np.dtype(array.dtype)
    if dtype.kind in "bu" and dtype.itemsize <= 2:
        return np.dtype("<u2")
    low, high = 0, 0
    for index in _bands(array, dtype.itemsize):
        block = np.asarray(array[index])
        low, high = min(low, int(block.min())), max(high, int(block.max()))
    if low < 0 or high > LARGEST_ID:
        raise SaveError(
            f"The labels hold the id {low if low < 0 else high}; a TIFF takes ids from 0 to "
            f"{LARGEST_ID}. Number the objects anew, for example with "
            f"skimage.segmentation.relabel_sequential. {path.name} is not written."
        )
    return np.dtype("<u2" if high < 2**16 else "<u4")


def _strips(array: ArrayLike, header: Header, sums: list[int]) -> Iterator[bytes]:
    """Yield the compressed strips of all pages and note the checksum of each page."""
    step = header.rows_per_strip
    limit = np.iinfo(header.dtype).max
    itemsize = max(header.dtype.itemsize, np.dtype(array.dtype).itemsize)
    total = 0
    for index in _bands(array, itemsize, step):
        rows = index[-1]
        block = np.asarray(array[index])
        if int(block.max()) > limit or int(block.min()) < 0:
            raise SaveError("The labels changed while they were saved; save them again.")
        block = np.ascontiguousarray(block, dtype=header.dtype)
        for y in range(0, len(block), step):
            raw = block[y : y + step].tobytes()
            total = zlib.crc32(raw, total)
            if rows.start + y + step >= header.shape[-2]:  # the last yield may never come back
                sums.append(total)
                total = 0
            yield zlib.compress(raw, ZLIB_LEVEL)


def _write(
    stream: BinaryIO, array: ArrayLike, header: Header, sums: list[int], *, ome: bool
) -> None:
    details = _ome_details(header) if ome else _imagej_details(header)
    bigtiff = header.nbytes > BIGTIFF_BYTES
    with tifffile.TiffWriter(stream, ome=ome, bigtiff=bigtiff, byteorder="<") as tif:
        tif.write(
            _strips(array, header, sums),
            dtype=header.dtype,
            photometric="minisblack",
            compression="zlib",
            rowsperstrip=header.rows_per_strip,
            software=SOFTWARE,
            **details,
        )


def _resolution(header: Header, unit: float) -> tuple[float, float] | None:
    """Pixels per `unit` along x and y, as the resolution tags want them."""
    x, y = header.spacing("X"), header.spacing("Y")
    return None if x is None or y is None else (unit / x, unit / y)


def _ome_details(header: Header) -> dict[str, Any]:
    axes, shape = header.stored(OME_STACKS)
    metadata: dict[str, Any] = {"axes": axes, "Creator": SOFTWARE, "Name": "labels"}
    metadata["Description"] = header.to_json()
    for axis in "XYZ":
        spacing = header.spacing(axis)
        if spacing is not None and axis in header.axes:
            metadata[f"PhysicalSize{axis}"] = spacing
            metadata[f"PhysicalSize{axis}Unit"] = ome_symbol(header.unit)
    step = header.spacing("T")
    if step is not None and header.time_unit in TIMES and "T" in axes:
        metadata["TimeIncrement"] = step
        metadata["TimeIncrementUnit"] = TIMES[header.time_unit][0]
    length = micrometers(header.unit)
    if length is None:
        return {"metadata": metadata, "shape": shape}
    metadata["Plane"] = {
        name: [value] * header.pages
        for axis in "XYZ"
        if axis in header.axes and any(header.offset)
        for name, value in (
            (f"Position{axis}", header.begin(axis)),
            (f"Position{axis}Unit", ome_symbol(header.unit)),
        )
    }
    resolution = _resolution(header, 1e4 / length)
    kind = "CENTIMETER" if resolution else None
    return {
        "metadata": metadata,
        "shape": shape,
        "resolution": resolution,
        "resolutionunit": kind,
    }


def _imagej_details(header: Header) -> dict[str, Any]:
    axes, shape = header.stored(IMAGEJ_STACKS)
    facts: dict[str, Any] = {"unit": imagej_name(header.unit)}
    spacing = header.spacing("Z")
    if spacing is not None:
        facts["spacing"] = spacing
    for axis in "XYZ":
        size, begin = header.spacing(axis), header.begin(axis)
        if size is not None and begin:
            facts[f"{axis.lower()}origin"] = -begin / size  # in pixels, as ImageJ counts
    step, second = header.spacing("T"), seconds(header.time_unit)
    if step is not None and second is not None and "T" in axes:
        facts["finterval"] = step * second
    # mode and ranges are left to ImageJ; hyperstack tells it which axis is which
    return {
        "shape": shape,
        "metadata": None,
        "description": tifffile.imagej_description(shape, axes=axes, **facts),
        "resolution": _resolution(header, 1.0),
        "resolutionunit": "NONE",
        "extratags": tifffile.imagej_metadata_tag({"Info": header.to_json()}, "<"),
    }


def _compare(part: Path, header: Header, sums: list[int]) -> None:
    """Raise `OSError` unless the file holds the pages that were sent to it."""
    with tifffile.TiffFile(part) as tif:
        found = [_page_sum(page, header.dtype) for page in tif.pages]
    if found != sums or len(sums) != header.pages:
        raise OSError("what was read back differs from what was written")
    if read_header(part) is None:
        raise OSError("the description that was read back differs from what was written")


def _page_sum(page: Any, dtype: np.dtype[Any]) -> int:
    total = 0
    for data, _, _ in page.segments(maxworkers=1):
        if data is None:
            raise OSError("a strip is missing")
        total = zlib.crc32(np.ascontiguousarray(data, dtype=dtype).tobytes(), total)
    return total
