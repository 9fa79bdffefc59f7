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


class IdMap:
    """Gives objects that were painted in a part of an image ids that are free in all of it.

    Parameters
    ----------
    before : ndarray of uint32
        ``(Y, X)``, the part as it was taken from the whole; its ids are the whole's.
    """

    def __init__(self, before: NDArray[np.uint32]) -> None:
        self._known = {int(i): int(i) for i in np.unique(before)} | {0: 0}

    def new_in(self, labels: NDArray[np.uint32]) -> list[int]:
        """Return ids that were painted and have no id of the whole yet."""
        return [i for i in np.unique(labels).tolist() if i not in self._known]

    def know(self, ids: list[int], first: int) -> None:
        """Give new ids those of the whole from `first` on."""
        self._known.update({painted: first + i for i, painted in enumerate(ids)})

    def whole_ids(self, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return labels of the part, all with ids that are known, in ids of the whole."""
        ids, places = np.unique(labels, return_inverse=True)
        known = np.array([self._known[i] for i in ids.tolist()], np.uint32)
        return known[places].reshape(labels.shape)


class RegionSource:
    """A part of certain labels of the whole: what they were, and what was put back into them.

    Parameters
    ----------
    labels : object or None
        Those labels; None if the part was not taken from any.
    shape : tuple of int
        Of the part, pixels.
    before : ndarray of uint32, optional
        ``(Y, X)``, the part as it was in them.

    Attributes
    ----------
    numbers : IdMap
        Ids of the part in the whole.
    put : ndarray of bool
        ``(Y, X)``, painted pixels that were put back, and not painted anew since.
    """

    def __init__(
        self,
        labels: object | None,
        shape: tuple[int, int],
        before: NDArray[np.uint32] | None = None,
    ) -> None:
        self.labels, self.before = labels, before
        self.numbers = IdMap(np.zeros((1, 1), np.uint32) if before is None else before)
        self.put = np.zeros(shape, bool)
        self.shown: NDArray[np.uint32] | None = None  # when it was put back last

    def changes(
        self, shown: NDArray[np.uint32], painted: NDArray[np.bool_], *, own: bool
    ) -> NDArray[np.bool_]:
        """Return which pixels ``(Y, X)`` a person changed and has not put back.

        Parameters
        ----------
        shown : ndarray of uint32
            ``(Y, X)``, the labels of the part now.
        painted : ndarray of bool
            ``(Y, X)``, what counts as painted.
        own : bool
            Whether the part was segmented by itself: then only what is painted counts, as all of
            it differs from the whole.
        """
        changed = painted & ~self.put
        if self.shown is not None:
            changed |= painted & (shown != self.shown)
        if self.before is not None and not own:
            changed |= shown != self.before
        return changed

    def note(self, shown: NDArray[np.uint32], changed: NDArray[np.bool_]) -> None:
        """Remember what was put back."""
        self.put |= changed
        self.shown = shown.copy()
        if self.before is not None:
            self.before[changed] = shown[changed]
