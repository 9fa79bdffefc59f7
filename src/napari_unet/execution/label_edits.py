"""What a person changed in the labels of a large image: put back, and safe from later runs."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.execution.patches import scratch_of
from napari_unet.image import Box, Plane
from napari_unet.io.atomic import lock
from napari_unet.io.ome_zarr import HALVINGS, LabelPyramid
from napari_unet.labels.live_labels import index_of

GRID = 2**HALVINGS  # pixels; boxes that are put back begin on a multiple of it
AGAIN = 60.0  # seconds until a change is noted as the folder's age once more


class EditedPyramid:
    """Writes labels, all levels of them, except where a person's edits were put.

    It is a `block_worker.Sink`. The engine writes tiles, the viewer's process writes what is put
    back; one waits for the other.

    Parameters
    ----------
    output : Path
        OME-Zarr folder of the labels.
    """

    def __init__(self, output: Path) -> None:
        self._pyramid, self._edits = LabelPyramid(output), _Edits(output)
        self._turn = scratch_of(output) / "writing"
        self._output, self._noted = output, -math.inf

    def write(self, plane: Plane, box: Box, labels: NDArray[np.uint32]) -> None:
        """Write one tile."""
        with self._alone():
            self._write(plane, box, labels)

    def _write(self, plane: Plane, box: Box, labels: NDArray[np.uint32]) -> None:
        self._pyramid.write(plane, box, self._edits.over(plane, box, labels))
        self._pyramid.write_copies(plane, box)
        self._note_change()

    def _note_change(self) -> None:
        """Make the folder as young as its labels: chunks change only the folders inside."""
        now = time.monotonic()
        if now - self._noted >= AGAIN:
            os.utime(self._output)
            self._noted = now

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process writes."""
        handle = os.open(self._turn, os.O_RDWR | os.O_CREAT)
        try:
            lock(handle, wait=True)
            yield
        finally:
            os.close(handle)

    def put(
        self, plane: Plane, box: Box, labels: NDArray[np.uint32], changed: NDArray[np.bool_]
    ) -> None:
        """Write what a person changed in a box that begins on the `GRID`."""
        with self._alone():
            self._edits.note(plane, box, labels, changed)
            predicted = np.asarray(self._pyramid.levels[0][index_of(plane, box)])
            self._write(plane, box, predicted)


class _Edits:
    """Every pixel a person put, as the id + 1; 0 = none. The array is made when it is needed."""

    def __init__(self, output: Path) -> None:
        self._folder, self._output = scratch_of(output) / "edits", output
        self._array: Any = None

    def over(self, plane: Plane, box: Box, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return labels with the edits on top."""
        if not self._there:
            return labels
        edits = np.asarray(self._opened()[index_of(plane, box)])
        return np.where(edits > 0, edits - 1, labels) if edits.any() else labels

    def note(
        self, plane: Plane, box: Box, labels: NDArray[np.uint32], changed: NDArray[np.bool_]
    ) -> None:
        """Keep what was changed."""
        array = self._opened()
        edits = np.asarray(array[index_of(plane, box)])
        array[index_of(plane, box)] = np.where(changed, labels + np.uint32(1), edits)

    @property
    def _there(self) -> bool:
        return self._array is not None or (self._folder / "zarr.json").exists()

    def _opened(self) -> Any:
        import zarr  # noqa: PLC0415  takes a while, and is needed for large images only

        if self._array is None and self._there:
            self._array = zarr.open_array(self._folder, mode="r+")
        elif self._array is None:
            finest = LabelPyramid(self._output).levels[0]
            self._array = zarr.create_array(
                self._folder, shape=finest.shape, chunks=finest.chunks, dtype="uint32", fill_value=0
            )
        return self._array
