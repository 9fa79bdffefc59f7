"""Outlines as GeoJSON, as QuPath reads and writes it: a collection of detections."""

import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_unet.image import ArrayLike
from napari_unet.io.atomic import write_replacing
from napari_unet.labels.outlines import Outline, Polygon, outlines

Values = dict[str, float]
NO_MEASUREMENT = {"label", "parent"}


def save_geojson(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    axes: str,
    table: Mapping[str, Any] | None = None,
) -> Path:
    """Save the outline of each object in each plane as a detection, with its measurements.

    Coordinates are pixels from the upper left corner of the image, x first, and outlines go along
    the edges of pixels. The name is the id. Z and T are the plane of a detection.

    Parameters
    ----------
    path : path-like
        File to write or replace, ending in ``.geojson``.
    labels : array-like
        Whole numbers ``(..., Y, X)``, 0 = background; read window by window.
    axes : str
        One letter for each axis.
    table : mapping of str to array, optional
        Columns of the objects, such as the table of `measure`: ``label``, and the index along a
        leading axis under its letter.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SaveError
        If it cannot be written.
    """
    sums: list[int] = []
    leading = axes[:-2]
    measured = _Measured({} if table is None else table, leading)

    def write(stream: BinaryIO) -> None:
        total = 0
        for text in _pieces(labels, leading, measured):
            total = zlib.crc32(text, total)
            stream.write(text)
        sums.append(total)

    def check(part: Path) -> None:
        total = 0
        with part.open("rb") as stream:
            while text := stream.read(2**20):
                total = zlib.crc32(text, total)
        if [total] != sums:
            raise OSError("what was read back differs from what was written")

    return write_replacing(path, write, check)


class _Measured:
    """The measurements of each object, found by its id and its place along leading axes."""

    def __init__(self, table: Mapping[str, Any], leading: str) -> None:
        columns = {str(name): np.asarray(table[name]) for name in table}
        self._along = [i for i, axis in enumerate(leading) if axis in columns]
        names = [leading[i] for i in self._along]
        keys = [columns[name].tolist() for name in ("label", *names) if name in columns]
        self._rows = {key: row for row, key in enumerate(zip(*keys, strict=True))}
        left_out = NO_MEASUREMENT | set(names)
        self._values = {name: one for name, one in columns.items() if name not in left_out}

    def of(self, outline: Outline) -> Values:
        """Return the numbers of one object by the names of their columns, without missing ones."""
        row = self._rows.get((outline.label, *(outline.plane[i] for i in self._along)))
        if row is None:
            return {}
        found = {name: float(values[row]) for name, values in self._values.items()}
        return {name: value for name, value in found.items() if math.isfinite(value)}


def _pieces(labels: ArrayLike, leading: str, measured: _Measured) -> Iterator[bytes]:
    yield b'{"type": "FeatureCollection", "features": ['
    for i, outline in enumerate(outlines(labels)):
        feature = json.dumps(_feature(outline, leading, measured.of(outline)), allow_nan=False)
        yield (",\n" if i else "\n").encode() + feature.encode()
    yield b"\n]}\n"


def _feature(outline: Outline, leading: str, values: Values) -> dict[str, Any]:
    shapes = [_closed(polygon) for polygon in outline.polygons]
    several = len(shapes) > 1
    geometry: dict[str, Any] = {
        "type": "MultiPolygon" if several else "Polygon",
        "coordinates": shapes if several else shapes[0],
    }
    at = dict(zip(leading, outline.plane, strict=True))
    if "Z" in at or "T" in at:
        geometry["plane"] = {"c": -1, "z": at.get("Z", 0), "t": at.get("T", 0)}
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "detection",
            "name": str(outline.label),
            "measurements": values,
        },
    }


def _closed(polygon: Polygon) -> list[list[list[int]]]:
    """Return the rings of a polygon as ``[x, y]``, each with its first corner again at the end."""
    rings = [ring[:, ::-1].tolist() for ring in polygon]
    return [[*ring, ring[0]] for ring in rings]
