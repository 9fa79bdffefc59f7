"""What a label file says about itself, and how it is found again in the file."""

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_unet.errors import InputError
from napari_unet.io.units import PIXEL

SOFTWARE = "napari-unet-interactive"  # in the TIFF tag of that name: the mark of our files
STRIP_BYTES = 2**18  # what is compressed at once
# leading axes, in order, that a reader of each kind understands
OME_STACKS = ["".join(p) for n in range(4) for p in itertools.permutations("TZC", n)]
IMAGEJ_STACKS = ["".join(p) for n in range(4) for p in itertools.combinations("TZC", n)]


@dataclass(frozen=True, slots=True)
class Header:
    """What a label file says about itself.

    Attributes
    ----------
    shape : tuple of int
        ``(..., Y, X)``.
    axes : str
        One letter for each dimension, ending in YX.
    dtype : numpy.dtype
        uint16 or uint32, little-endian.
    pixel_size : tuple of float or None
        One number for each axis, None where it is unknown, or ``(y, x)``; lengths in `unit`.
    unit : str
        As in napari: ``micrometer``, ``pixel``, ...
    description : dict
        What the caller wants to be kept: settings, model, versions.
    time_unit : str
        Unit of the size along T: ``second``, or ``pixel`` = unknown.
    offset : tuple of float
        Where the first pixel lies along each axis, in the unit of its size; empty = at 0.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    pixel_size: tuple[float | None, ...] | None
    unit: str
    description: Mapping[str, Any]
    time_unit: str = PIXEL
    offset: tuple[float, ...] = ()

    @property
    def pages(self) -> int:
        """Number of planes."""
        return math.prod(self.shape[:-2])

    @property
    def nbytes(self) -> int:
        """Size before compression."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def rows_per_strip(self) -> int:
        """Rows that are compressed together."""
        return max(1, min(self.shape[-2], STRIP_BYTES // (self.shape[-1] * self.dtype.itemsize)))

    def spacing(self, axis: str) -> float | None:
        """Pixel size along an axis, None if unknown."""
        if self.pixel_size is None:
            return None
        names = self.axes if len(self.pixel_size) == len(self.axes) else "YX"
        return dict(zip(names, self.pixel_size, strict=True)).get(axis)

    def begin(self, axis: str) -> float:
        """Where the first pixel lies along an axis."""
        return dict(zip(self.axes, self.offset, strict=False)).get(axis, 0.0)

    def to_json(self) -> str:
        """Return the header in ASCII JSON."""
        facts: dict[str, Any] = {"axes": self.axes, "shape": self.shape, "unit": self.unit}
        facts |= {"pixel_size": self.pixel_size, "description": dict(self.description)}
        if self.time_unit != PIXEL:
            facts["time_unit"] = self.time_unit
        if any(self.offset):
            facts["offset"] = self.offset
        return json.dumps({SOFTWARE: facts}, default=str)

    def stored(self, stacks: Sequence[str]) -> tuple[str, tuple[int, ...]]:
        """Return axes and shape as stored: other leading axes than `stacks` become one stack."""
        leading = self.axes[:-2]
        if leading in stacks:
            return self.axes, self.shape
        return "ZYX", (self.pages, *self.shape[-2:])


def read_header(path: str | os.PathLike[str]) -> Header | None:
    """Return the header of a label file of ours, None for any other file; reads a few kilobytes."""
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            if page.software != SOFTWARE:
                return None
            text = _ome_description(page.description) if tif.is_ome else _imagej_info(tif)
            facts = json.loads(text)[SOFTWARE]
            size = facts["pixel_size"]
            return Header(
                shape=tuple(int(n) for n in facts["shape"]),
                axes=str(facts["axes"]),
                dtype=np.dtype(page.dtype),
                pixel_size=None if size is None else tuple(s and float(s) for s in size),
                unit=str(facts["unit"]),
                description=dict(facts["description"]),
                time_unit=str(facts.get("time_unit", PIXEL)),
                offset=tuple(float(start) for start in facts.get("offset", ())),
            )
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or error}.") from error
    except (tifffile.TiffFileError, ValueError, KeyError, TypeError, IndexError):
        return None  # whatever it is, it is none of ours
    except Exception as error:  # damaged TIFFs raise a dozen other types
        raise InputError(f"{path} cannot be read: the file is damaged ({error}).") from error


def _ome_description(xml: str) -> str:
    for element in ElementTree.fromstring(xml).iter():
        if element.tag.endswith("}Description") and element.text:
            return element.text
    raise KeyError("Description")


def _imagej_info(tif: tifffile.TiffFile) -> str:
    return str((tif.imagej_metadata or {})["Info"])
