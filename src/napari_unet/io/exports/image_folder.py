"""Labels inside the OME-Zarr folder of their image, where viewers look for them."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import SaveError
from napari_unet.image import ArrayLike, Box, Image
from napari_unet.io.atomic import write_bytes
from napari_unet.io.ome_zarr import OME, LabelPyramid

TILE = 1024  # pixels; side of what is written at once
LABELS = "labels"
OLD, NEW = ".zattrs", "zarr.json"  # of a folder in zarr's versions 2 and 3


def save_into_image(
    folder: Path, name: str, labels: ArrayLike, image: Image, record: Mapping[str, Any]
) -> Path:
    """Write labels into ``labels/NAME`` of an image's OME-Zarr folder, whole or not at all.

    Parameters
    ----------
    folder : Path
        The folder of the image, of any version up to 0.5; labels get that version, at least 0.4.
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
        If there are labels of that name already, or the folder is no image.
    """
    version = _version(folder)
    listing = _listing(folder / LABELS, name, version)
    target, part = folder / LABELS / name, folder / LABELS / f".{name}.part"
    _check_inside(folder, (target, part, *listing))
    try:
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        _write(part, labels, image, version).note(record)
        LabelPyramid(part).belongs_to("../../", name)
        part.rename(target)
        for file, content in listing.items():
            write_bytes(file, json.dumps(content, indent=2).encode())
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise SaveError(
            f"{target} could not be written: {error}. Make room or choose another folder, then "
            "export again."
        ) from error
    return target


def _check_inside(folder: Path, paths: Iterable[Path]) -> None:
    """Raise where a link in the folder, which may be a stranger's, leads out of it."""
    for path in paths:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise SaveError(
                f"{path} leads out of {folder.name} by a link, to {path.resolve()}; nothing is "
                "written there. Copy the image without links, or export labels as a file."
            )


def _version(folder: Path) -> str:
    """Return the version of an image; raise where the folder is none."""
    if (folder / OLD).is_file():
        return "0.4"
    if OME not in _read_json(folder / NEW).get("attributes", {}):
        raise SaveError(
            f"{folder} is no OME-Zarr image: it says nothing of an image in {OLD} or {NEW}. Give "
            "the folder of the image itself, or export labels as a file."
        )
    return "0.5"


def _listing(group: Path, name: str, version: str) -> dict[Path, dict[str, Any]]:
    """Return what the files of the group of labels say with a name more, if it is free."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise SaveError(
            f"Labels cannot be called {name!r}; letters, digits, _, - and . are possible. Choose "
            "another name."
        )
    if (group / name).exists():
        raise SaveError(f"{group / name} exists already and is kept. Choose another name.")
    if version == "0.4":
        known = _read_json(group / OLD)
        names = [*known.get(LABELS, []), name]
        return {group / ".zgroup": {"zarr_format": 2}, group / OLD: {**known, LABELS: names}}
    known = _read_json(group / NEW) or {"zarr_format": 3, "node_type": "group"}
    attributes = known.get("attributes", {})
    told = attributes.get(OME, {"version": version})
    told = {**told, LABELS: [*told.get(LABELS, []), name]}
    return {group / NEW: {**known, "attributes": {**attributes, OME: told}}}


def _read_json(path: Path) -> dict[str, Any]:
    """Return what a file says, nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise SaveError(f"{path} cannot be read: it is damaged ({error}).") from error


def _write(part: Path, labels: ArrayLike, image: Image, version: str) -> LabelPyramid:
    height, width = labels.shape[-2:]
    chunk = min(TILE, height), min(TILE, width)
    pyramid = LabelPyramid.create_for(image, part, chunk, version=version)
    for plane in np.ndindex(*labels.shape[:-2]):
        for y in range(0, height, TILE):
            for x in range(0, width, TILE):
                box = Box((y, x), (min(y + TILE, height), min(x + TILE, width)))
                pyramid.write(plane, box, np.asarray(labels[(*plane, *box.slices)], np.uint32))
                pyramid.write_copies(plane, box)
    return pyramid
