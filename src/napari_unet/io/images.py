"""Image files into `Image`: TIFF of any kind, OME-Zarr, PNG, JPEG, BMP, and microscopes' own.

A file may hold several images: series, positions, the fields of a plate. Each is a scene.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.channels import COLOURS, Channel
from napari_unet.errors import InputError
from napari_unet.image import Image, Spacing, guess_axes
from napari_unet.io.formats.facts import Facts, Scene, stem_of
from napari_unet.io.formats.microscopes import PACKAGES, microscope_scenes, read_microscope
from napari_unet.io.formats.tiff_images import LARGEST_RATIO, read_tiff, tiff_scenes
from napari_unet.io.formats.tiff_images import SUFFIXES as TIFF_SUFFIXES
from napari_unet.io.formats.zarr_images import holds_labels, is_zarr, read_zarr, zarr_scenes

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES + tuple(PACKAGES)
OUTPUT_ENDINGS = ("_labels.tif", "_labels.tiff", "_labels.ome.tif", "_labels.ome.tiff")
SMALL_PICTURE = 2**27  # bytes of pixels that any file may promise
SHOWN = 8  # names of images in a sentence


def read_image(
    path: str | os.PathLike[str],
    *,
    axes: str | None = None,
    channel: Channel | None = None,
    nuclei: Channel | None = None,
    scene: str | None = None,
    colours: bool = True,
) -> Image:
    """Open an image file.

    Parameters
    ----------
    path : path-like
        TIFF, OME-TIFF, ImageJ TIFF, OME-Zarr or zarr folder, PNG, JPEG or BMP; with the extra
        ``microscopes`` also ND2, CZI or LIF.
    axes : str, optional
        One letter for each dimension; default: as the file says.
    channel : int or str, optional
        The channel to use: its number from 0, or its name, in any case; default: all. Of a colour
        image ``"Haematoxylin"`` and ``"Eosin"`` can be chosen as well.
    nuclei : int or str, optional
        The channel of stained nuclei, for a model that takes them as well; default: none.
    scene : str, optional
        Name or number, from 0, of the image in a file that holds several; default: the first,
        and a notice that names the others.
    colours : bool
        Whether the palette of a TIFF is looked up; of labels the numbers count.

    Returns
    -------
    Image
        The finest level, with spacings of its axes where the file gives them.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind, or does not fit what is asked for.
    """
    file = Path(path)
    wanted = _chosen(scenes_in(file), scene, file)
    read = _kind(file)[1]
    facts = _tried(file, lambda: read(wanted, colours))
    name = file.name.split(".")[0] or file.name
    data = facts.data
    letters = axes or facts.axes or guess_axes(tuple(data.shape), np.dtype(data.dtype))
    try:
        image = Image(
            data,
            letters,
            spacing={axis: one for axis, one in facts.spacing.items() if axis in letters},
            name=name if wanted.name is None else f"{name} {wanted.name}",
            opacity=False if facts.axes else None,
            notices=facts.notices,
            channel_names=_fitting(facts.channels, letters, data.shape),
        )
        return image.choosing(channel, nuclei)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file tells of its only image, for those who have the pixels from elsewhere.

    Attributes
    ----------
    axes : str
        One letter for each dimension.
    shape : tuple of int
        Their lengths.
    spacing : dict
        How the pixels lie along each axis; see `Image`.
    channels : tuple of str
        Names of channels; empty = unknown.
    """

    axes: str
    shape: tuple[int, ...]
    spacing: Mapping[str, Spacing]
    channels: tuple[str, ...]

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "FileFacts | None":
        """Return the facts of a file, without its pixels; None if it holds several images.

        Raises `InputError` as `read_image` does.
        """
        if len(scenes_in(path)) > 1:
            return None
        image = read_image(path)
        shape = tuple(int(n) for n in image.data.shape)
        return cls(image.axes, shape, dict(image.spacing), image.channel_names)

    def axes_of(self, shape: Sequence[int]) -> str | None:
        """Return the axes of an array of the file's pixels; None if its shape does not agree.

        It may be one channel of several, and lack axes of length one.
        """
        pairs = list(zip(self.axes, self.shape, strict=True))
        for kept in (pairs, [(a, n) for a, n in pairs if a != "C"]):
            for part in (kept, [(a, n) for a, n in kept if n > 1 or a in "YX"]):
                if tuple(n for _, n in part) == tuple(shape):
                    return "".join(a for a, _ in part)
        return None


def _fitting(names: tuple[str, ...], axes: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names where there is one for each channel."""
    sizes = dict(zip(axes, shape, strict=False))
    return names if len(names) == sizes.get("C", 1) and all(names) else ()


def scenes_in(path: str | os.PathLike[str]) -> list[Scene]:
    """Return the images that a file, or a set of files, holds.

    Parameters
    ----------
    path : path-like
        An image file or zarr folder.

    Returns
    -------
    list of Scene
        At least one. What results are called is different for each.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another kind.
    """
    file = Path(path)
    find = _kind(file)[0]
    return [replace(one, stem=fit_for_files(one.stem)) for one in _tried(file, lambda: find(file))]


def choose_scenes(scenes: list[Scene], wanted: str | None, path: Path) -> list[Scene]:
    """Return all scenes, or the one of a name or number; `InputError` if there is none."""
    if wanted is None:
        return scenes
    found = [one for one in scenes if one.name == wanted]
    if not found and wanted.isdecimal():
        found = scenes[int(wanted) : int(wanted) + 1]
    if not found:
        raise InputError(
            f"The image {wanted!r} of {path} was asked for; it holds {names_of(scenes)}. Give a "
            "name, or a number from 0, of one of them."
        )
    return found


def _chosen(scenes: list[Scene], wanted: str | None, path: Path) -> Scene:
    found = choose_scenes(scenes, wanted, path)
    if len(found) == 1:
        return found[0]
    text = f"The file holds {names_of(scenes)}; the first was read. Ask for others by their names."
    return replace(found[0], notices=(*found[0].notices, text))


def names_of(scenes: list[Scene]) -> str:
    """Return how many images there are and what they are called, in words."""
    if len(scenes) == 1:
        return "one image"
    names = [str(one.name) for one in scenes]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} images: {', '.join(names[:SHOWN])}{more}"


def fit_for_files(stem: str) -> str:
    """Return a name without the characters that a file cannot have in its name."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", stem)


def _tried(file: Path, work: "Callable[[], Any]") -> Any:
    """Do what a decoder does; whatever it raises becomes a sentence."""
    try:
        return work()
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoders raise whatever they like
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{file} cannot be read as an image: it is damaged or of another kind ({text})."
        ) from error


Finder = Callable[[Path], list[Scene]]
Reader = Callable[[Scene, bool], Facts]


def _kind(file: Path) -> tuple[Finder, Reader]:
    """Return what finds the images in a file of this kind, and what reads one."""
    if file.is_dir() and is_zarr(file):
        return zarr_scenes, lambda scene, _: read_zarr(scene)
    if not file.is_file():
        raise InputError(f"{file} does not exist, or is no image file or zarr folder; check it.")
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{file} is of an unknown kind; images end in {', '.join(SUFFIXES)}, or are zarr "
            "folders. Convert it first."
        )
    if suffix in TIFF_SUFFIXES:
        return tiff_scenes, lambda scene, colours: read_tiff(scene, colours=colours)
    if suffix in PACKAGES:
        return microscope_scenes, lambda scene, _: read_microscope(scene)
    return lambda path: [Scene(path, stem=stem_of(path))], lambda scene, _: _read_picture(scene)


def image_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace folders by the images in them.

    Parameters
    ----------
    paths : iterable of path-like
        Files, taken as they are, and folders, whose images and zarr folders are taken in
        alphabetical order, without label images this plugin has saved.

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
                    f"The folder {path} holds no images; they end in {', '.join(SUFFIXES)}, or are "
                    "zarr folders."
                )
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise InputError(f"{path} does not exist; check the name.")
    return list(found)


def _is_wanted(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith("."):
        return False
    if path.is_dir():
        return is_zarr(path) and not holds_labels(path)
    return name.endswith(SUFFIXES) and not name.endswith(OUTPUT_ENDINGS)


def _read_picture(scene: Scene) -> Facts:
    import imageio.v3  # noqa: PLC0415 -- only pictures need it

    # bytes, not the path: imageio leaves a file it cannot read open
    path = scene.path
    content, suffix = path.read_bytes(), path.suffix.lower()
    promised = imageio.v3.improps(content, extension=suffix)
    size = math.prod(promised.shape) * promised.dtype.itemsize
    if size > max(SMALL_PICTURE, LARGEST_RATIO * len(content)):
        raise InputError(
            f"{path} is cut short: it holds {len(content):,} bytes, too few for a picture of shape "
            f"{promised.shape}. Copy it again from where it came from."
        )
    data: Any = np.asarray(imageio.v3.imread(content, extension=suffix))
    if data.ndim == 3 and data.shape[-1] in (2, 4):  # the last is opacity
        data = data[..., :3] if data.shape[-1] == 4 else data[..., 0]
    colours = data.ndim == 3
    return Facts(data, "YXC" if colours else "YX", channels=COLOURS if colours else ())
