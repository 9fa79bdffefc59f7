"""Image files into `Image`: TIFF of any kind, OME-Zarr, PNG, JPEG, BMP; axes and pixel size.

Small files are read whole, so that damage shows at once and nothing stays open. Large TIFFs are
mapped into memory where their pixels lie in one piece, else read strip by strip or tile by tile.
"""

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unet.errors import InputError
from napari_unet.image import Image, guess_axes
from napari_unet.io.ome_zarr import is_zarr, open_zarr
from napari_unet.io.units import PIXEL, micrometers, seconds, unit_name

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES
OUTPUT_ENDINGS = ("_labels.tif", "_labels.tiff", "_labels.ome.tif", "_labels.ome.tiff")
LAZY_BYTES = 2**28  # images above are read by windows
LARGEST_RATIO = 2000  # decoded bytes per stored byte; what deflate and LZW reach on empty images
BELIEVABLE_MICROMETERS = 20.0  # per pixel; larger values in resolution tags are meant for printers


@dataclass(frozen=True, slots=True)
class Facts:
    """What a TIFF says about its pixels.

    Attributes
    ----------
    axes : str
        One letter for each dimension, as `Image` wants them; empty = the file does not say.
    pixel_size : tuple of float or None
        ``(y, x)`` in `unit`.
    unit : str
        As in napari: ``micrometer``, ``pixel``, ...
    steps : dict
        Of ``Z`` in `unit` and of ``T`` in seconds, where the file says it; see `Image`.
    """

    axes: str
    pixel_size: tuple[float, float] | None
    unit: str
    steps: Mapping[str, float] = field(default_factory=dict)


class LazyTiff:
    """A TIFF series of which windows are decoded on demand; the file stays open meanwhile.

    Attributes
    ----------
    shape : tuple of int
        Of the finest level.
    dtype : numpy.dtype
        Of the pixels.
    """

    def __init__(self, path: Path) -> None:
        import zarr  # noqa: PLC0415 -- takes a while to import and only large files need it

        files = contextlib.ExitStack()
        weakref.finalize(self, files.close)
        tif = files.enter_context(tifffile.TiffFile(path))
        store = files.enter_context(tif.series[0].aszarr(level=0))
        self._array: Any = zarr.open_array(store, mode="r")
        self.shape: tuple[int, ...] = tuple(self._array.shape)
        self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return a window as a NumPy array."""
        return self._array[key]


def read_image(
    path: str | os.PathLike[str],
    *,
    axes: str | None = None,
    channel: int | None = None,
    nuclei: int | None = None,
) -> Image:
    """Open an image file.

    Parameters
    ----------
    path : path-like
        TIFF, OME-TIFF, ImageJ TIFF, OME-Zarr or zarr folder, PNG, JPEG or BMP.
    axes : str, optional
        One letter for each dimension; default: as the file says.
    channel : int, optional
        The channel to use; default: all.
    nuclei : int, optional
        The channel of stained nuclei, for a model that takes them as well; default: none.

    Returns
    -------
    Image
        The first series, finest level, with sizes and units of its axes where the file gives
        them.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind, or does not fit what is asked for.
    """
    file = Path(path)
    read = _reader(file)
    try:
        data, facts = read(file)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoders raise whatever they like
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{file} cannot be read as an image: it is damaged or of another kind ({text})."
        ) from error
    try:
        return Image(
            data,
            axes or facts.axes or guess_axes(tuple(data.shape), np.dtype(data.dtype)),
            channel=channel,
            nuclei=nuclei,
            pixel_size=facts.pixel_size,
            unit=facts.unit,
            steps=facts.steps,
            name=file.name.split(".")[0] or file.name,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _reader(file: Path) -> Callable[[Path], tuple[Any, Facts]]:
    """Return what reads a file of this kind."""
    if file.is_dir() and is_zarr(file):
        return _read_zarr
    if not file.is_file():
        raise InputError(f"{file} does not exist, or is no image file or zarr folder; check it.")
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{file} is of an unknown kind; images end in {', '.join(SUFFIXES)}, or are zarr "
            "folders. Convert it first."
        )
    return _read_tiff if suffix in TIFF_SUFFIXES else _read_picture


def image_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace folders by the images in them.

    Parameters
    ----------
    paths : iterable of path-like
        Files, taken as they are, and folders, whose images are taken in alphabetical order
        without label images this plugin has saved.

    Returns
    -------
    list of Path
        Each file once.

    Raises
    ------
    InputError
        For a path that does not exist and for a folder without images.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir() and not is_zarr(path):
            inside = sorted(p for p in path.iterdir() if _is_wanted(p))
            if not inside:
                raise InputError(
                    f"The folder {path} holds no images; they end in {', '.join(SUFFIXES)}."
                )
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise InputError(f"{path} does not exist; check the name.")
    return list(found)


def stem_of(file: Path) -> str:
    """Return the name without its suffix, ``.ome.tif`` counting as one."""
    return file.stem[:-4] if file.stem.lower().endswith(".ome") else file.stem


def _is_wanted(path: Path) -> bool:
    name = path.name.lower()
    hidden = name.startswith(".")
    return not hidden and name.endswith(SUFFIXES) and not name.endswith(OUTPUT_ENDINGS)


def _read_zarr(path: Path) -> tuple[Any, Facts]:
    data, axes, sizes, unit = open_zarr(path)
    pixel_size = (sizes["Y"], sizes["X"]) if {"Y", "X"} <= sizes.keys() else None
    steps = {axis: size for axis, size in sizes.items() if axis in "ZT"}
    return data, Facts(axes or "", pixel_size, unit, steps)


def _read_picture(path: Path) -> tuple[Any, Facts]:
    import imageio.v3  # noqa: PLC0415 -- only pictures need it

    # bytes, not the path: imageio leaves a file it cannot read open
    data: Any = np.asarray(imageio.v3.imread(path.read_bytes(), extension=path.suffix.lower()))
    if data.ndim == 3 and data.shape[-1] == 2:  # grey and opacity
        data = data[..., 0]
    return data, Facts("YXC" if data.ndim == 3 else "YX", None, PIXEL)


def _read_tiff(path: Path) -> tuple[Any, Facts]:
    with tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise InputError(f"{path} holds no image.")
        series = tif.series[0].levels[0]
        _check_complete(tif, series, path)
        pixel_size, unit = _pixel_size(tif)
        facts = Facts(image_axes(series.axes), pixel_size, unit, _steps(tif, unit))
        if series.nbytes <= LAZY_BYTES:
            return series.asarray(), facts
        in_one_piece = series.dataoffset is not None
    if in_one_piece:
        return tifffile.memmap(path, series=0, level=0, mode="r"), facts
    return LazyTiff(path), facts


def _check_complete(tif: tifffile.TiffFile, series: Any, path: Path) -> None:
    """Compare what the file promises with what it holds, before any memory is given."""
    size = tif.filehandle.size
    ends = [
        offset + count
        for page in series.pages
        if page is not None
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]
    short = not ends or max(ends) > size
    if short or series.nbytes > LARGEST_RATIO * size:
        raise InputError(
            f"{path} is cut short: it holds {size:,} bytes, too few for an image of shape "
            f"{series.shape}. Copy it again from where it came from."
        )


def image_axes(axes: str) -> str:
    """Translate tifffile's axes: samples (S) are channels; every letter occurs once.

    Letters that would occur twice, such as the channels of a stack of colour images, become axes
    whose planes are segmented one after the other.
    """
    samples_last = axes.replace("C", "?").replace("S", "C") if "S" in axes else axes
    spare = iter("KLMNOPUVWABDEFGHJR")
    result = ""
    for letter in samples_last:
        taken = letter == "?" or letter in result
        new = next(s for s in spare if s not in axes) if taken else letter
        result += new
    return result


def _pixel_size(tif: tifffile.TiffFile) -> tuple[tuple[float, float] | None, str]:
    """Return ``(y, x)`` and the unit, from OME, ImageJ or the resolution tags, in that order."""
    if tif.is_ome:
        found = _ome_pixel_size(tif)
    elif tif.is_imagej:
        found = _imagej_pixel_size(tif)
    else:
        found = _tag_pixel_size(tif)
    size, unit = found
    believable = size is not None and all(np.isfinite(s) and s > 0 for s in size)
    return (size, unit_name(unit)) if believable else (None, PIXEL)


def _steps(tif: tifffile.TiffFile, unit: str) -> dict[str, float]:
    """Return the steps of Z, in `unit`, and of T, in seconds, where the file says them."""
    found: dict[str, Any] = {}
    if tif.is_ome:
        pixels = _ome_pixels(tif)
        length, own = micrometers(unit), micrometers(str(pixels.get("PhysicalSizeZUnit", "µm")))
        if length and own and "PhysicalSizeZ" in pixels:
            found["Z"] = float(pixels["PhysicalSizeZ"]) * (own / length)
        second = seconds(str(pixels.get("TimeIncrementUnit", "s")))
        if second and "TimeIncrement" in pixels:
            found["T"] = float(pixels["TimeIncrement"]) * second
    elif tif.is_imagej:
        facts = tif.imagej_metadata or {}
        found = {"Z": facts.get("spacing") if unit != PIXEL else None, "T": facts.get("finterval")}
    numbers = {axis: s for axis, s in found.items() if isinstance(s, int | float)}
    return {axis: float(s) for axis, s in numbers.items() if np.isfinite(s) and s > 0}


def _ome_pixels(tif: tifffile.TiffFile) -> dict[str, Any]:
    """Return what OME says of the pixels of the first image."""
    image = tifffile.xml2dict(tif.ome_metadata or "")["OME"]["Image"]
    pixels: dict[str, Any] = (image[0] if isinstance(image, list) else image)["Pixels"]
    return pixels


def _ome_pixel_size(tif: tifffile.TiffFile) -> tuple[tuple[float, float] | None, str]:
    pixels = _ome_pixels(tif)
    if "PhysicalSizeX" not in pixels:
        return None, PIXEL
    x = float(pixels["PhysicalSizeX"])
    y = float(pixels.get("PhysicalSizeY", x))
    unit, unit_y = (str(pixels.get(f"PhysicalSize{a}Unit", "µm")) for a in "XY")
    length, length_y = micrometers(unit), micrometers(unit_y)
    if unit != unit_y and length and length_y:
        y *= length_y / length
    return (y, x), unit


def _imagej_pixel_size(tif: tifffile.TiffFile) -> tuple[tuple[float, float] | None, str]:
    unit = str((tif.imagej_metadata or {}).get("unit", PIXEL))
    size = _resolution(tif)
    return (None, PIXEL) if unit_name(unit) == PIXEL and size == (1.0, 1.0) else (size, unit)


def _tag_pixel_size(tif: tifffile.TiffFile) -> tuple[tuple[float, float] | None, str]:
    tag = tif.pages.first.tags.get("ResolutionUnit")
    size = _resolution(tif)
    length = micrometers("centimeter")
    if tag is None or int(tag.value) != 3 or size is None or length is None:
        return None, PIXEL  # without a unit, or dots per inch: nothing a microscope writes
    y, x = size[0] * length, size[1] * length
    return ((y, x), "micrometer") if max(y, x) < BELIEVABLE_MICROMETERS else (None, PIXEL)


def _resolution(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """Return the size of a pixel, ``(y, x)``, from the resolution tags."""
    values = []
    for name in ("YResolution", "XResolution"):
        tag = tif.pages.first.tags.get(name)
        over, under = (0, 1) if tag is None else tag.value
        if not over:
            return None
        values.append(under / over)
    return values[0], values[1]
