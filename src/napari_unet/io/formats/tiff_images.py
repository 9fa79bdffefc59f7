"""TIFF files of any kind: the images in them, in sets of files, and the pixels of one.

Small images are read whole, so that damage shows at once and nothing stays open. Large ones are
mapped into memory where their pixels lie in one piece, else read strip by strip or tile by tile.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.channels import COLOURS
from napari_unet.errors import InputError
from napari_unet.io.formats.arrays import FirstOf, LazyTiff, LookedUp
from napari_unet.io.formats.facts import Facts, Scene, stem_of
from napari_unet.io.formats.tiff_spacing import channel_names, ome_master, tiff_spacing

SUFFIXES = (".tif", ".tiff")
LARGEST_RATIO = 2000  # decoded bytes per stored byte; what deflate and LZW reach on empty images
REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType: a smaller picture, a mask of opacity
THUMBNAIL_SIDE, THUMBNAIL_SHARE = 256, 4  # pixels; a side of the image divided by its own
MOST_TAGS = 4096  # of a page; where tifffile takes it for damaged
HALVINGS = 12  # at most from the finest level to the coarsest
BESIDE = ("label", "macro", "overview", "label image", "macro image")
LAZY_BYTES = 2**28  # images above are read by windows
GREY = (0, 1)  # in the tag PhotometricInterpretation: several samples are stains, not colours
OPACITY = (1, 2)  # in the tag ExtraSamples
LEFT_OUT = "The file holds a smaller picture besides ({}), which was left out."
ABSENT = "{} of its {} planes are in files that are not there; they are read as empty."


def tiff_scenes(path: Path) -> list[Scene]:
    """Return the images of a file, or of the set that it describes; smaller pictures are none."""
    with tifffile.TiffFile(path) as tif:
        name = ome_master(tif)
        if name is None:
            return _scenes(tif, path)
    master = path.with_name(Path(name).name)
    if master != path and master.is_file() and master.suffix.lower() in SUFFIXES:
        with tifffile.TiffFile(master) as tif:
            found = [s for s in _scenes(tif, master) if path.resolve() in s.files]
        if found:
            return found
    if master != path and master.is_file() and master.suffix.lower() not in SUFFIXES:
        note = f"{master.name} describes it as part of a larger image; each file is read alone."
        return [Scene(path, stem=stem_of(path), notices=(note,), companion=master)]
    note = f"It belongs to {name}, which is not beside it; the size of a pixel is unknown."
    return [Scene(path, stem=stem_of(path), notices=(note,))]


def series_of(tif: tifffile.TiffFile, path: Path) -> list[Any]:
    """Return the images of an open file, as tifffile finds them.

    Raises
    ------
    InputError
        If its pages lead back to an earlier one: tifffile would follow them without end.
    """
    seen: set[int] = set()
    place = int(tif.pages.first.offset)
    while place and place not in seen:
        seen.add(place)
        place = _next_page(tif, place)
    if place:
        raise InputError(
            f"{path} is damaged: its pages lead back to an earlier one. Copy it again from where "
            "it came from."
        )
    return list(tif.series)


def _next_page(tif: tifffile.TiffFile, place: int) -> int:
    """Return where the page after one begins; 0 where tifffile ends, too."""
    form, stream = tif.tiff, tif.filehandle
    stream.seek(place)
    head = stream.read(form.tagnosize)
    tags = (
        struct.unpack(form.tagnoformat, head)[0] if len(head) == form.tagnosize else MOST_TAGS + 1
    )
    rest = stream.read(tags * form.tagsize + form.offsetsize) if tags <= MOST_TAGS else b""
    if len(rest) != tags * form.tagsize + form.offsetsize:
        return 0
    following = int(struct.unpack(form.offsetformat, rest[-form.offsetsize :])[0])
    return following if following < stream.size else 0


def _scenes(tif: tifffile.TiffFile, path: Path) -> list[Scene]:
    series = series_of(tif, path)
    kept = [i for i, one in enumerate(series) if not _is_beside(one, series)]
    kept = kept or list(range(len(series)))
    beside = [one for i, one in enumerate(series) if i not in kept]
    notices = tuple(LEFT_OUT.format(" × ".join(map(str, one.shape))) for one in beside)
    if not kept:
        return [Scene(path, stem=stem_of(path))]
    files = [_files(series[i]) or frozenset({path.resolve()}) for i in kept]
    if len(kept) == 1:
        return [Scene(path, kept[0], None, stem_of(path), files[0], notices=notices)]
    names = _names([str(series[i].name).strip() for i in kept])
    apart = all(len(own) == 1 for own in files) and len(set(files)) == len(files)
    stems = [
        stem_of(next(iter(own))) if apart else f"{stem_of(path)}_{name}"
        for own, name in zip(files, names, strict=True)
    ]
    return [
        Scene(path, index, name, stem, own, notices=notices)
        for index, name, stem, own in zip(kept, names, stems, files, strict=True)
    ]


def _names(given: list[str]) -> list[str]:
    """Return a name for each image; where one is missing or occurs twice, its number is added."""
    return [
        name if name and given.count(name) == 1 else "_".join(filter(None, (name, str(number))))
        for number, name in enumerate(given)
    ]


def _is_beside(series: Any, others: list[Any]) -> bool:
    """Whether a series shows another image once more, smaller, or its opacity."""
    kind, name = int(series.keyframe.subfiletype), str(series.name).lower()
    if kind & (REDUCED | MASK) or name in BESIDE or name.startswith("thumb"):
        return True
    return series.kind != "ome" and any(
        _is_thumbnail(series, other) or _is_level(series, other) for other in others
    )


def _is_level(series: Any, other: Any) -> bool:
    """Whether an image in tiles has the half, a quarter, ... of another's sides: a pyramid."""
    small, large = series.keyframe, other.keyframe
    if not (small.is_tiled and large.is_tiled and small.dtype == large.dtype):
        return False
    sides = [(small.imagelength, large.imagelength), (small.imagewidth, large.imagewidth)]
    return any(
        all(n in (m // 2**i, -(-m // 2**i)) for n, m in sides) for i in range(1, HALVINGS + 1)
    )


def _is_thumbnail(series: Any, other: Any) -> bool:
    """Whether a small picture has the proportions of one many times as large."""
    height, width = int(series.keyframe.imagelength), int(series.keyframe.imagewidth)
    tall, wide = int(other.keyframe.imagelength), int(other.keyframe.imagewidth)
    far = min(tall / height, wide / width) >= THUMBNAIL_SHARE
    alike = abs(height * wide - width * tall) <= max(wide, tall)  # to a pixel of the small one
    return max(height, width) <= THUMBNAIL_SIDE and far and alike


def _files(series: Any) -> frozenset[Path]:
    """Return the files in which the planes of a series lie."""
    files = {page.parent.filehandle for page in series.pages if page is not None}
    return frozenset(Path(file.path).resolve() for file in files)


def read_tiff(scene: Scene, *, colours: bool = True) -> Facts:
    """Open one image of a file.

    Parameters
    ----------
    scene : Scene
        Which.
    colours : bool
        Whether a palette is looked up; of labels the numbers count.
    """
    with tifffile.TiffFile(scene.path) as tif:
        every = series_of(tif, scene.path)
        if not every:
            raise InputError(f"{scene.path} holds no image.")
        series = every[scene.index].levels[0]
        check_complete(series, scene.path)
        spacing, notices = tiff_spacing(tif, scene.index, scene.companion)
        data = _pixels(series, scene)
        palette = _palette(tif, series) if colours else None
        samples = _samples(series)
        channels = channel_names(tif, scene.index)
        coloured = int(series.keyframe.photometric) not in GREY
        absent, planes = sum(page is None for page in series.pages), len(series.pages)
    axes = str(series.axes)
    if palette is not None:
        data, axes = _looked_up(data, palette), axes + "S"
    elif samples is not None:
        data, axes = _first_of(data, axes, samples), axes if samples > 1 else axes.replace("S", "")
    if absent:
        notices += (ABSENT.format(absent, planes),)
    if coloured and "S" in axes and data.shape[axes.index("S")] == len(COLOURS):
        channels = COLOURS
    return Facts(data, image_axes(axes), spacing, (*scene.notices, *notices), channels)


def _pixels(series: Any, scene: Scene) -> Any:
    """Return the pixels as they are stored."""
    own = _files(series) == {scene.path.resolve()}
    small = series.nbytes <= LAZY_BYTES
    if own and small:
        return series.asarray()
    if own and series.dataoffset is not None:
        return tifffile.memmap(scene.path, series=scene.index, level=0, mode="r")
    lazy = LazyTiff(scene.path, scene.index)
    return np.asarray(lazy[...]) if small else lazy


def check_complete(series: Any, path: Path) -> None:
    """Compare what a file promises with what it holds, before any memory is given.

    Raises
    ------
    InputError
        If the file is too short for its pixels, or for one of its strips or tiles.
    """
    pages = [page for page in series.pages if page is not None]
    short = any(
        offset + count > page.parent.filehandle.size
        for page in pages
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )
    empty = not any(len(page.dataoffsets) for page in pages)
    size = sum(
        {page.parent.filehandle.path: page.parent.filehandle.size for page in pages}.values()
    )
    # float: a damaged side may be a row of numbers, which would be multiplied as such
    piece = math.prod(map(float, series.keyframe.chunks)) * series.dtype.itemsize
    if short or empty or max(series.nbytes, piece) > LARGEST_RATIO * size:
        raise InputError(
            f"{path} is cut short: it holds {size:,} bytes, too few for an image of shape "
            f"{series.shape}. Copy it again from where it came from."
        )


def _palette(tif: tifffile.TiffFile, series: Any) -> NDArray[np.uint8] | None:
    """Return the colours that the pixels are numbers of, ``(numbers, 3)``; None if of none.

    ImageJ and OME files keep grey values with the colours to show them in. These only get brighter
    or only darker; a palette of a picture's own colours does not.
    """
    page = series.keyframe
    table = getattr(page, "colormap", None)
    if int(page.photometric) != int(tifffile.PHOTOMETRIC.PALETTE) or table is None:
        return None
    palette = (np.asarray(table).T >> 8).astype(np.uint8)
    steps = np.diff(palette.astype(np.int64).sum(axis=1))
    shown = bool((steps >= 0).all() or (steps <= 0).all())
    return None if shown and (tif.is_imagej or tif.is_ome) else palette


def _looked_up(data: Any, palette: NDArray[np.uint8]) -> Any:
    return palette[data] if type(data) is np.ndarray else LookedUp(data, palette)


def _samples(series: Any) -> int | None:
    """Return how many samples of a pixel come before its opacity; None where there is none."""
    extra = [int(kind) for kind in series.keyframe.extrasamples]
    if "S" not in series.axes or not extra or extra[-1] not in OPACITY:
        return None
    return int(series.shape[series.axes.index("S")]) - 1


def _first_of(data: Any, axes: str, count: int) -> Any:
    """Return the first samples; of one sample without that axis."""
    at = axes.index("S")
    if isinstance(data, np.ndarray):
        return data[(slice(None),) * at + (slice(count) if count > 1 else 0,)]
    return FirstOf(data, at, count)


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
