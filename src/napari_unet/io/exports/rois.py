"""Outlines as a zip file of ROIs, which ImageJ's ROI Manager opens."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi

from napari_unet.image import ArrayLike, Plane
from napari_unet.io.atomic import write_replacing
from napari_unet.io.tiff_header import IMAGEJ_STACKS
from napari_unet.labels.outlines import Outline, Polygon, outlines

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # how a path of several rings goes on, in ImageJ's files


def save_rois(path: str | os.PathLike[str], labels: ArrayLike, axes: str) -> Path:
    """Save the outline of each object in each plane as an ROI of ImageJ.

    Its name is the id, after the planes that it is in. Areas are those of the labels, because
    outlines go along the edges of pixels.

    Parameters
    ----------
    path : path-like
        File to write or replace, ending in ``.zip``.
    labels : array-like
        Whole numbers ``(..., Y, X)``, 0 = background; read window by window.
    axes : str
        One letter for each axis. T, Z and C in this order become positions in a hyperstack, other
        axes the number of the plane in a stack: as `save_labels` writes them to a ``.tif``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SaveError
        If it cannot be written.
    """
    names: list[str] = []
    shape = tuple(labels.shape[:-2])

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for outline in outlines(labels):
                roi = _roi(outline, axes[:-2], shape)
                names.append(f"{roi.name}.roi")
                archive.writestr(names[-1], roi.tobytes())

    def check(part: Path) -> None:
        with zipfile.ZipFile(part) as archive:
            if archive.testzip() or archive.namelist() != names:
                raise OSError("what was read back differs from what was written")

    return write_replacing(path, write, check)


def _roi(outline: Outline, leading: str, shape: Sequence[int]) -> ImagejRoi:
    """Return the ROI of one object: a traced one, or a path where there are holes or pieces."""
    polygons = outline.polygons
    simple = len(polygons) == 1 and len(polygons[0]) == 1
    roi = ImagejRoi.frompoints(polygons[0][0][:, ::-1])
    roi.roitype = ROI_TYPE.TRACED
    if not simple:
        roi.roitype = ROI_TYPE.RECT
        roi.integer_coordinates, roi.n_coordinates = None, 0
        corners = np.concatenate([polygon[0] for polygon in polygons])
        (roi.top, roi.left), (roi.bottom, roi.right) = (
            corners.min(0).tolist(),
            corners.max(0).tolist(),
        )
        roi.multi_coordinates = _path(polygons)
        roi.shape_roi_size = len(roi.multi_coordinates)
    roi.name = _name(outline, leading)
    _place(roi, outline.plane, leading, shape)
    return roi


def _path(polygons: list[Polygon]) -> NDArray[np.float32]:
    """Return rings as one path: what lies in two of them is a hole."""
    path: list[float] = []
    for ring in (ring for polygon in polygons for ring in polygon):
        for i, (y, x) in enumerate(ring.tolist()):
            path += [LINE if i else MOVE, x, y]
        path.append(CLOSE)
    return np.array(path, np.float32)


def _name(outline: Outline, leading: str) -> str:
    planes = [f"{a}{i + 1}" for a, i in zip(leading, outline.plane, strict=True)]
    return "-".join([*planes, str(outline.label)])


def _place(roi: ImagejRoi, plane: Plane, leading: str, shape: Sequence[int]) -> None:
    """Say in which plane it lies; ImageJ counts from 1."""
    if len(leading) > 1 and leading in IMAGEJ_STACKS:
        for axis, index in zip(leading, plane, strict=True):
            setattr(roi, f"{axis.lower()}_position", index + 1)
    elif leading:
        roi.position = int(np.ravel_multi_index(plane, tuple(shape))) + 1
