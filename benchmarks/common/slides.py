"""Large images of real nuclei for the benchmarks: a few fields, turned and laid side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from tifffile import imread

from benchmarks.common.tables import ROOT

FIELD = ROOT / "sample_data" / "nuclei.tif"
CHUNK = 1024  # pixels


def repeated(side: int) -> Callable[[int, int], NDArray[np.uint16]]:
    """Return what gives a chunk of a large image: the sample's nuclei, turned by its place.

    Parameters
    ----------
    side : int
        Pixels of a chunk.
    """
    field = imread(FIELD)
    field = np.pad(field, ((0, max(0, side - field.shape[0])), (0, max(0, side - field.shape[1]))),
                   mode="symmetric")[:side, :side]  # fmt: skip

    def chunk(row: int, column: int) -> NDArray[np.uint16]:
        turned = np.rot90(field, (row * 7 + column) % 4)
        return turned[:, ::-1] if (row + column) % 3 else turned

    return chunk


def pyramid(slide: Path, levels: int) -> list[Any]:
    """Return a slide and smaller copies of it, as a viewer wants them; the copies in memory."""
    finest: Any = zarr.open_array(slide, mode="r")
    chunk, count = repeated(CHUNK), -(-finest.shape[0] // CHUNK)
    copies = []
    for level in range(1, levels):
        step = 2**level
        rows = [[chunk(r, c)[::step, ::step] for c in range(count)] for r in range(count)]
        copies.append(np.concatenate([np.concatenate(row, axis=1) for row in rows]))
    return [finest, *copies]


def write_slide(path: Path, side: int, region: int | None = None) -> Path:
    """Write a square slide as a zarr array; with a region, its first pixels only are there.

    Parameters
    ----------
    path : Path
        The folder.
    side : int
        Pixels.
    region : int, optional
        Pixels along each side that hold nuclei; the rest takes no room on the disk.
    """
    array: Any = zarr.create_array(
        path, shape=(side, side), chunks=(CHUNK, CHUNK), dtype="uint16", fill_value=0
    )
    chunk = repeated(CHUNK)
    filled = min(side, region or side)
    for row in range(-(-filled // CHUNK)):
        for column in range(-(-filled // CHUNK)):
            y, x = row * CHUNK, column * CHUNK
            height, width = min(CHUNK, side - y), min(CHUNK, side - x)
            array[y : y + height, x : x + width] = chunk(row, column)[:height, :width]
    return path
