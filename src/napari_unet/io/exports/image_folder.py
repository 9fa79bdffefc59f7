"""Labels inside the OME-Zarr folder of their image, where viewers look for them."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import SaveError
from napari_unet.image import ArrayLike, Box, Image
from napari_unet.io.atomic import write_bytes
from napari_unet.io.ome_zarr import LabelPyramid

TILE = 1024  # pixels; side of what is written at once
LABELS = "labels"


def save_into_image(
    folder: Path, name: str, labels: ArrayLike, image: Image, record: Mapping[str, Any]
) -> Path:
    """Write labels into ``labels/NAME`` of an image's OME-Zarr folder, whole or not at all.

    Parameters
    ----------
    folder : Path
        The folder that holds the image's ``.zattrs``, of version 0.4 or older.
    name : str
        What the labels are called: letters, digits, ``_``, ``-`` and ``.``.
    labels : array-like
        Whole numbers ``(..., Y, X)``, 0 = background; read tile by tile.
    image : Image
        What the labels belong to: gives axes and spacings.
    record : mapping
        How the labels were made.

    Returns
    -------
    Path
        The folder of the labels.

    Raises
    ------
    SaveError
        If there are labels of that name already, or the folder is no image of such a version.
    """
    listing = _listing(folder, name)
    target, part = folder / LABELS / name, folder / LABELS / f".{name}.part"
    try:
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        _write(part, labels, image, record)
        _describe(part, name)
        part.rename(target)
        _put_json(target.parent / ".zgroup", {"zarr_format": 2})
        _put_json(target.parent / ".zattrs", listing)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise SaveError(
            f"{target} could not be written: {error}. Make room or choose another folder, then "
            "export again."
        ) from error
    return target


def _listing(folder: Path, name: str) -> dict[str, Any]:
    """Return what the group of labels says with a name more; raise where it cannot be added."""
    if not (folder / ".zattrs").is_file():
        raise SaveError(
            f"{folder} is no OME-Zarr image of version 0.4 or older: it has no file .zattrs. Give "
            "the folder of the image itself, or export labels as a file."
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise SaveError(
            f"Labels cannot be called {name!r}; letters, digits, _, - and . are possible. Choose "
            "another name."
        )
    group = folder / LABELS
    if (group / name).exists():
        raise SaveError(f"{group / name} exists already and is kept. Choose another name.")
    known: dict[str, Any] = {}
    if (group / ".zattrs").is_file():
        known = json.loads((group / ".zattrs").read_text(encoding="utf-8"))
    return {**known, LABELS: [*known.get(LABELS, []), name]}


def _put_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, json.dumps(content, indent=2).encode())


def _write(part: Path, labels: ArrayLike, image: Image, record: Mapping[str, Any]) -> None:
    height, width = labels.shape[-2:]
    pyramid = LabelPyramid.create_for(image, part, (min(TILE, height), min(TILE, width)))
    for plane in np.ndindex(*labels.shape[:-2]):
        for y in range(0, height, TILE):
            for x in range(0, width, TILE):
                box = Box((y, x), (min(y + TILE, height), min(x + TILE, width)))
                pyramid.write(plane, box, np.asarray(labels[(*plane, *box.slices)], np.uint32))
                pyramid.write_copies(plane, box)
    pyramid.note(record)


def _describe(part: Path, name: str) -> None:
    """Say what the labels are called, and which image they belong to."""
    attributes = json.loads((part / ".zattrs").read_text(encoding="utf-8"))
    attributes["multiscales"][0]["name"] = name
    attributes["image-label"] |= {"source": {"image": "../../"}}
    _put_json(part / ".zattrs", attributes)
