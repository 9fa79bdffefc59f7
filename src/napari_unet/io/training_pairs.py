"""A folder of images and masks: which belong together by their names, and what they label.

A mask is a label image that is right everywhere: 0 = background, one id for each object.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.channels import Channel
from napari_unet.errors import InputError
from napari_unet.image import Image
from napari_unet.io.formats.facts import stem_of
from napari_unet.io.images import SUFFIXES, read_image
from napari_unet.labels.painted import painted_ids, take_whole
from napari_unet.wording import counted, listed

MASK_ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg")  # longest first
IMAGE_ENDINGS = ("_image", "_img")  # what some data sets add to the images as well
IMAGE_FOLDER, MASK_FOLDERS = "images", ("masks", "labels")
MOST_PIXELS = 2**26  # of all images; cut into windows, each takes 40 bytes in two processes
LOSSY = (".jpg", ".jpeg")
SHOWN = 3  # names in a sentence


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its mask.

    Attributes
    ----------
    image, mask : Path
        Image files.
    """

    image: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was found in a folder, or in a folder of images and one of masks.

    Attributes
    ----------
    folder : Path
        The folder of the images, or the one that both are in.
    pairs : tuple of Pair
        In alphabetical order of the images; at least one.
    alone : tuple of Path
        Images without a mask, which train nothing.
    """

    folder: Path
    pairs: tuple[Pair, ...]
    alone: tuple[Path, ...] = ()

    @property
    def number(self) -> str:
        """How many pairs there are, in words."""
        return counted(len(self.pairs), "image with its mask", "images with masks")

    @property
    def sentence(self) -> str:
        """What was found where, and what was not, for a person."""
        text = f"{self.number} from {self.folder}"
        if self.alone:
            text += f"; left out, as there is no mask for them: {_names(self.alone)}"
        return f"{text}."

    def excluding(self, files: Collection[Path]) -> "Pairs":
        """Return what is left without some images; an object must not train and judge."""
        known = {file.resolve() for file in files}
        return replace(self, pairs=tuple(p for p in self.pairs if p.image.resolve() not in known))


def find_pairs(images: Path, masks: Path | None = None) -> Pairs | None:
    """Pair images and masks by their names.

    The name of a mask is that of its image, with or without one of `MASK_ENDINGS`.

    Parameters
    ----------
    images : Path
        Folder of images. Without `masks`, it holds the folders ``images`` and ``masks`` (or
        ``labels``), or both kinds of files side by side.
    masks : Path, optional
        Folder of masks.

    Returns
    -------
    Pairs or None
        None if no masks were named and the folder holds images only: ask for the masks.

    Raises
    ------
    InputError
        If there are none, or if it is not clear which belong together.
    """
    folder, together = images, masks is None
    if masks is None:
        images, masks = _inside(images)
    if images != masks:
        pictures, labels = _files(images), _files(masks)
    else:
        files = _files(images)
        labels = [file for file in files if _without(file, MASK_ENDINGS) != stem_of(file)]
        pictures = [file for file in files if file not in labels]
        if together and pictures and not labels:
            return None
    found = _matched(pictures, labels, masks)
    pairs = tuple(Pair(file, found[file]) for file in pictures if file in found)
    return Pairs(folder, pairs, tuple(file for file in pictures if file not in found))


def read_pairs(
    pairs: Pairs,
    *,
    channel: Channel | None = None,
    nuclei: Channel | None = None,
    classes: bool = False,
) -> Iterator[tuple[Image, NDArray[np.uint32]]]:
    """Read images and masks one after the other, the masks as painted arrays.

    Parameters
    ----------
    pairs : Pairs
        What to read.
    channel : int or str, optional
        The channel to use, by number or name, of images that have several; default: the average.
    nuclei : int or str, optional
        The channel of stained nuclei of images that have several; default: none.
    classes : bool
        Whether the masks hold classes, not a number for each object.

    Yields
    ------
    image : Image
        The image.
    painted : ndarray of uint32
        ``(..., Y, X)``, nothing in it is unlabelled.

    Raises
    ------
    InputError
        If a file cannot be used, or all of them are too much for the memory.
    """
    pixels = 0
    for pair in pairs.pairs:
        image = read_image(pair.image)
        if (channel, nuclei) != (None, None) and image.channels > 1:
            image = read_image(pair.image, channel=channel, nuclei=nuclei)
        pixels += int(np.prod(image.labels_shape, dtype=np.int64))
        if pixels > MOST_PIXELS:
            raise InputError(
                f"The images in {pairs.folder} have more than {MOST_PIXELS // 10**6} million "
                "pixels together, and all of them are learned, so they would not fit into the "
                "memory. Leave some of them out, or cut them to their most telling parts."
            )
        painted = _painted(pair, image)
        if not classes:
            check_numbered(painted, pair.mask)
        yield image, painted


def _painted(pair: Pair, image: Image) -> NDArray[np.uint32]:
    if pair.mask.suffix.lower() in LOSSY:
        raise InputError(
            f"The mask {pair.mask} is a JPEG file, which does not keep ids exactly; a TIFF or PNG "
            "file is needed. Save it anew from where it was made."
        )
    data: Any = read_image(pair.mask, colours=False).data
    mask: NDArray[Any] = np.asarray(data[...])  # a large file is only read when indexed
    if mask.shape != image.labels_shape:
        raise InputError(
            f"The mask {pair.mask} has the shape {mask.shape}; its image {pair.image.name} needs "
            f"{image.labels_shape}. Give a mask of the image's height and width, with one id for "
            "each object and no colours."
        )
    try:
        return take_whole(mask)
    except InputError as error:
        raise InputError(f"{pair.mask}: {error}") from error


def check_numbered(painted: NDArray[np.uint32], path: Path) -> None:
    """Raise `InputError` for a mask that says where objects are, not which."""
    from scipy import ndimage  # noqa: PLC0415  the panel needs this module at once

    ids = painted_ids(painted)
    if len(ids) != 1:
        return
    planes = painted.reshape(-1, *painted.shape[-2:]) == ids[0]
    pieces = max(int(ndimage.label(plane, np.ones((3, 3)))[1]) for plane in planes)
    if pieces > 1:
        raise InputError(
            f"The mask {path} has the value {ids[0]} in {pieces} separate places; an id for each "
            "object is needed. Number the objects first, for example with skimage.measure.label "
            "or Fiji's Connected Components Labeling."
        )


# ---- names -------------------------------------------------------------------------------------


def _matched(pictures: list[Path], labels: list[Path], masks: Path) -> dict[Path, Path]:
    """Return the mask of each image that has one."""
    named: dict[str, set[Path]] = {}
    for picture in pictures:
        for name in (stem_of(picture), _without(picture, IMAGE_ENDINGS)):
            named.setdefault(name, set()).add(picture)
    found: dict[Path, Path] = {}
    for mask in labels:
        fitting = {f for name in _names_of(mask) for f in named.get(name, ())}
        _check_one(mask, fitting)
        for image in fitting:
            if image in found:
                raise InputError(
                    f"The image {image.name} has two masks, {found[image].name} and {mask.name}; "
                    "it must be clear which is right. Take one of them out of the folder."
                )
            found[image] = mask
    if not found:
        raise InputError(
            f"There are no masks in {masks}; a mask is an image file that is named as its image "
            f"is, with one of {', '.join(MASK_ENDINGS)} at the end if both are in one folder. "
            "Choose another folder, or rename the masks."
        )
    return found


def _check_one(mask: Path, fitting: set[Path]) -> None:
    """Raise `InputError` unless exactly one image fits a mask."""
    if len(fitting) > 1:
        raise InputError(
            f"The mask {mask.name} fits {len(fitting)} images, {_names(sorted(fitting))}; it must "
            "be clear which it belongs to. Rename them, or take all but one out of the folder."
        )
    if not fitting:
        raise InputError(
            f"There is no image for the mask {mask.name}; an image called "
            f"{_without(mask, MASK_ENDINGS)} is needed. Rename one of the two, or take the mask "
            f"out of {mask.parent}."
        )


def _inside(folder: Path) -> tuple[Path, Path]:
    """Return the folders of images and of masks in a folder, or the folder itself twice."""
    below = {path.name.lower(): path for path in _listed(folder) if path.is_dir()}
    masks = next((below[name] for name in MASK_FOLDERS if name in below), None)
    if IMAGE_FOLDER in below and masks is not None:
        return below[IMAGE_FOLDER], masks
    return folder, folder


def _files(folder: Path) -> list[Path]:
    """Return the image files of a folder, in alphabetical order; raise if there are none."""
    files = [
        path
        for path in _listed(folder)
        if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".") and path.is_file()
    ]
    if not files:
        raise InputError(
            f"The folder {folder} holds no images; they end in {', '.join(SUFFIXES)}. Choose the "
            "folder that they are in."
        )
    return files


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist or is no folder; check the name.")
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be read ({error.strerror}). Check that it is there and "
            "that you may open it."
        ) from error


def _without(file: Path, endings: tuple[str, ...]) -> str:
    """Return the name without its suffix and without the first of the endings that it has."""
    stem = stem_of(file)
    for ending in endings:
        if stem.lower().endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    return stem


def _names_of(mask: Path) -> tuple[str, str]:
    """Return the names that the image of a mask may have."""
    return stem_of(mask), _without(mask, MASK_ENDINGS)


def _names(files: Collection[Path]) -> str:
    names = [file.name for file in files]
    if len(names) > SHOWN + 1:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    return listed(names)
