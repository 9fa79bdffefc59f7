"""Labels in OME-Zarr: any size, in chunks, with spacings and smaller copies for looking at.

They are written as version 0.4 of the format (https://ngff.openmicroscopy.org/0.4), which more
programs read than 0.5, unless they go into an image of version 0.5. Smaller copies are made with
the labels: each takes every other pixel of the one before, so an id stays an id.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import SaveError
from napari_unet.image import Box, Image, Spacing
from napari_unet.io.units import PIXEL, unit_name

ENDING = ".zarr"
UNFINISHED = ".unfinished"  # folder inside, of what a run needs to go on
SMALLEST_COPY = 512  # pixels; after the first, no copy is made of a level that is not larger
SMALLEST_CHUNK = 256  # pixels; of smaller ones there would be too many files to look at
HALVINGS = 6  # at most; tiles lie on multiples of 2**6
KINDS = {"T": "time", "Z": "space", "Y": "space", "X": "space", "C": "channel"}
SLASH = {"separator": "/"}
OME = "ome"  # attribute that holds all others from version 0.5 on
RECORD = "napari_unet"  # attribute with model, settings and versions


class LabelPyramid:
    """A label image in an OME-Zarr folder, written tile by tile by any number of processes.

    Parameters
    ----------
    path : Path
        The folder, made by `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._group = path, _open_group(path)
        attributes = self._group.attrs
        datasets = attributes.get(OME, attributes)["multiscales"][0]["datasets"]
        self.levels: list[Any] = [self._group[one["path"]] for one in datasets]
        height, width = self.levels[0].chunks[-2:]
        own = [
            level.chunks[-2:] == (max(1, height >> i), max(1, width >> i))
            for i, level in enumerate(self.levels)
        ]
        self._fine = own.index(False) if False in own else len(own)  # levels with a chunk a tile

    @classmethod
    def create(
        cls,
        path: Path,
        shape: Sequence[int],
        chunk: tuple[int, int],
        *,
        axes: str,
        spacing: Sequence[Spacing] | None = None,
        version: str = "0.4",
    ) -> "LabelPyramid":
        """Make the folder with every level, empty.

        Parameters
        ----------
        path : Path
            The folder; levels that a run began to make before it died are made anew.
        shape : sequence of int
            ``(..., Y, X)``.
        chunk : tuple of int
            Height and width of the tiles that will be written.
        axes : str
            One letter for each dimension.
        spacing : sequence of Spacing, optional
            Of each axis. The format wants a number everywhere: where it is unknown, 1 without a
            unit is written.
        version : {"0.4", "0.5"}
            Of the format; 0.5 lies in zarr's own version 3.
        """
        group = _open_group(path, new=True, zarr_format=3 if version == "0.5" else 2)
        leading, datasets = list(shape[:-2]), []
        spacing = spacing or [Spacing()] * len(shape)
        for level in range(_levels(shape)):
            factor = 2**level
            sides = [_copied(n // factor) for n in chunk] if level else list(chunk)
            group.create_array(
                str(level),
                shape=(*leading, *(-(-n // factor) for n in shape[-2:])),
                chunks=(*(1 for _ in leading), *sides),
                dtype="uint32",
                fill_value=0,
                overwrite=True,
                chunk_key_encoding={"name": "v2" if version == "0.4" else "default", **SLASH},
            )
            changes = _transformations(spacing, factor)
            datasets.append({"path": str(level), "coordinateTransformations": changes})
        described = _axes(axes, [one.unit if one.size else PIXEL for one in spacing])
        scales: dict[str, Any] = {"name": path.stem, "axes": described, "datasets": datasets}
        group.attrs.update(_attributes(scales, {}, version))
        return cls(path)

    @classmethod
    def create_for(
        cls, image: Image, path: Path, chunk: tuple[int, int], *, version: str = "0.4"
    ) -> "LabelPyramid":
        """Make the folder for labels of an image, on its grid; see `create`."""
        return cls.create(
            path,
            image.labels_shape,
            chunk,
            axes=image.leading_axes + "YX",
            spacing=image.label_spacing,
            version=version,
        )

    def write(self, plane: tuple[int, ...], box: Box, labels: NDArray[np.uint32]) -> None:
        """Write one tile of a plane, ``(Y, X)``, into every level where it is a chunk of its own.

        So any number of processes can write at once; `write_copies` does the rest.
        """
        for level in range(self._fine):
            self._put(level, plane, box, labels[:: 2**level, :: 2**level])

    def write_copies(self, plane: tuple[int, ...], box: Box) -> None:
        """Write one tile, which is there, into the smaller copies; one process at a time."""
        if self._fine == len(self.levels):
            return
        last = self._fine - 1
        part = np.asarray(self.levels[last][(*plane, *_reduced(box, last).slices)])
        for level in range(self._fine, len(self.levels)):
            part = part[::2, ::2]
            self._put(level, plane, box, part)

    def _put(self, level: int, plane: tuple[int, ...], box: Box, part: NDArray[np.uint32]) -> None:
        self.levels[level][(*plane, *_reduced(box, level).slices)] = part

    def belongs_to(self, image: str, name: str) -> None:
        """Say what the labels are called, and by which path their image is found from here."""
        attributes = dict(self._group.attrs)
        version = "0.5" if OME in attributes else "0.4"
        scales = attributes.get(OME, attributes)["multiscales"][0]
        label = {"source": {"image": image}}
        self._group.attrs.update(_attributes({**scales, "name": name}, label, version))

    def note(self, record: Mapping[str, Any]) -> None:
        """Keep how the labels were made."""
        self._group.attrs[RECORD] = dict(record)


class PyramidPlanes:
    """The planes of a pyramid as an array ``(..., Y, X)``, read and written one at a time.

    Parameters
    ----------
    pyramid : LabelPyramid
        Whose planes; one process at a time writes.
    """

    def __init__(self, pyramid: LabelPyramid) -> None:
        self._pyramid, self._finest = pyramid, pyramid.levels[0]
        self.shape, self.dtype = tuple(self._finest.shape), np.dtype(np.uint32)

    def __getitem__(self, plane: tuple[int, ...]) -> NDArray[np.uint32]:
        """Return a plane ``(Y, X)``."""
        return np.asarray(self._finest[plane])

    def __setitem__(self, plane: tuple[int, ...], labels: NDArray[np.uint32]) -> None:
        """Write a plane ``(Y, X)``, tile by tile into every level."""
        rows, columns = self._finest.chunks[-2:]
        for y in range(0, labels.shape[0], rows):
            for x in range(0, labels.shape[1], columns):
                part = labels[y : y + rows, x : x + columns]
                box = Box((y, x), (y + part.shape[0], x + part.shape[1]))
                self._pyramid.write(plane, box, part)
                self._pyramid.write_copies(plane, box)


def copy_labels(source: Path, target: Path) -> None:
    """Copy a label image to a new folder, whole or not at all.

    Raises
    ------
    SaveError
        If there is something already, or the disk refuses.
    """
    if target.exists():
        raise SaveError(f"{target} exists already. Choose another name, or remove it first.")
    part = target.with_name(f"{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part, ignore=shutil.ignore_patterns(UNFINISHED, "*.partial*"))
        part.rename(target)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise SaveError(
            f"{target} could not be written: {error}. Make room or choose another folder, then "
            "save again."
        ) from error


def _reduced(box: Box, level: int) -> Box:
    """Return a box, which begins on a multiple of ``2**HALVINGS``, in a smaller copy."""
    factor = 2**level
    stop = (-(-box.stop[0] // factor), -(-box.stop[1] // factor))
    return Box((box.start[0] // factor, box.start[1] // factor), stop)


def _copied(side: int) -> int:
    """Side of the chunks of a copy in which a tile has a side: enough tiles to be worth a file."""
    side = max(1, side)
    while side < SMALLEST_CHUNK:
        side *= 2
    return side


def _open_group(path: Path, *, new: bool = False, zarr_format: Literal[2, 3] | None = None) -> Any:
    import zarr  # noqa: PLC0415  takes a while to import

    return zarr.open_group(path, mode="a" if new else "r+", zarr_format=zarr_format)


def _attributes(
    scales: Mapping[str, Any], label: Mapping[str, Any], version: str
) -> dict[str, Any]:
    """Return what the folder says of its levels and of being labels, in a version's form."""
    if version == "0.5":
        return {
            OME: {"version": version, "multiscales": [dict(scales)], "image-label": dict(label)}
        }
    told = {"version": version}
    return {"multiscales": [{**told, **scales}], "image-label": {**told, **label}}


def _levels(shape: Sequence[int]) -> int:
    """Return the number of levels; one alone napari would take for an array to paint on."""
    longest, levels = max(shape[-2:]), 1
    while levels <= HALVINGS and (longest > SMALLEST_COPY or (levels == 1 and longest > 1)):
        longest, levels = -(-longest // 2), levels + 1
    return levels


def _transformations(spacing: Sequence[Spacing], factor: int) -> list[dict[str, Any]]:
    """Return how the pixels of a copy lie that takes every so many of the finest level's.

    The first pixel of a copy is that of the finest level, so all begin at the same place.
    """
    finest = [one.size or 1.0 for one in spacing]
    scale = [*finest[:-2], *(size * factor for size in finest[-2:])]
    changes: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    offsets = [one.offset for one in spacing]
    if any(offsets):
        changes.append({"type": "translation", "translation": offsets})
    return changes


def _axes(letters: str, units: Sequence[str]) -> list[dict[str, str]]:
    axes = []
    for letter, unit in zip(letters, units, strict=True):
        axis = {"name": letter.lower()}
        if letter in KINDS:
            axis["type"] = KINDS[letter]
        if letter != "C" and unit_name(unit) != PIXEL:
            axis["unit"] = unit_name(unit)
        axes.append(axis)
    return axes
