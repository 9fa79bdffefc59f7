"""Probability maps on disk: put tile by tile, read again by any window, without the network.

The room for them is bounded: those of the oldest run go first.
"""

import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.io.scratch import Scratch
from napari_unet.settings import APPLICATION
from napari_unet.tiling.plan import Key, SegmentPlan

LIMIT = 2 * 10**9  # bytes, uncompressed; what is on disk is several times smaller


class ProbabilityMaps(Protocol):
    """A place for the probability maps of tiles; several threads may use it at once."""

    def put(self, key: Key, maps: NDArray[np.uint8]) -> None:
        """Keep ``(M, Y, X)`` over what a tile writes."""

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        """Return ``(M, Y, X)`` over `box`, image pixels."""

    def drop(self, key: Key) -> None:
        """Forget a tile."""


class ProbabilityMapStore:
    """Maps that stay after the run: a compressed zarr array with one chunk for each tile.

    A run that was stopped has gaps; they are read as zeros.

    Parameters
    ----------
    folder : Path
        Folder of the array; opened again if it is there already.
    plan : SegmentPlan
        Gives shape and chunks.
    """

    def __init__(self, folder: Path, plan: SegmentPlan) -> None:
        import zarr  # noqa: PLC0415  takes a while, and a cache does without

        self._plan, self._origin = plan, plan.tiles.area.start
        if (folder / "zarr.json").exists():
            self._array = zarr.open_array(folder, mode="r+")
            return
        self._array = zarr.create_array(
            folder,
            shape=(len(plan.planes), plan.map_channels, *plan.tiles.area.shape),
            chunks=(1, plan.map_channels, *plan.tiles.step),
            dtype="uint8",
            fill_value=0,
        )

    def put(self, key: Key, maps: NDArray[np.uint8]) -> None:
        """Keep ``(M, Y, X)`` over what a tile writes."""
        self.write(key[0], self._plan.tiles.tiles[key[1]].write, maps)

    def write(self, plane: int, box: Box, maps: NDArray[np.uint8]) -> None:
        """Keep ``(M, Y, X)`` over `box` of one plane, image pixels."""
        self._array[(plane, slice(None), *box.shift(self._origin).slices)] = maps

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        """Return ``(M, Y, X)`` over `box`; zeros where nothing was written."""
        return np.asarray(self._array[(plane, slice(None), *box.shift(self._origin).slices)])

    def drop(self, key: Key) -> None:
        """Forget a tile and give its disk space back (an all-zero chunk has no file)."""
        box = self._plan.tiles.tiles[key[1]].write
        self._array[(key[0], slice(None), *box.shift(self._origin).slices)] = 0


class MapsInFolder:
    """Maps that wait for the blocks around them: a file for each tile, uncompressed, for a run.

    The workers of a cluster write at once, with nothing to make first; a missing tile is an error.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    plan : SegmentPlan
        Gives the tiles.
    """

    def __init__(self, folder: Path, plan: SegmentPlan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._plan = folder, plan

    def _file(self, key: Key) -> Path:
        return self._folder / f"{key[0]}-{key[1]}.npy"

    def put(self, key: Key, maps: NDArray[np.uint8]) -> None:
        """Keep ``(M, Y, X)`` over what a tile writes."""
        np.save(self._file(key), maps, allow_pickle=False)

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        """Return ``(M, Y, X)`` over `box`, image pixels; all tiles of it must be kept."""
        found = np.empty((self._plan.map_channels, *box.shape), np.uint8)
        for number in self._plan.tiles.touching(box):
            write = self._plan.tiles.tiles[number].write
            part = write.intersect(box)
            kept = np.load(self._file((plane, number)), mmap_mode="r", allow_pickle=False)
            inner = (slice(None), *part.shift(write.start).slices)
            found[(slice(None), *part.shift(box.start).slices)] = kept[inner]
        return found

    def drop(self, key: Key) -> None:
        """Forget a tile."""
        self._file(key).unlink(missing_ok=True)


class ProbabilityMapCache(Scratch):
    """Folders for the probability maps of the runs of one process.

    Parameters
    ----------
    root : Path, optional
        Default: in the user's cache folder.
    limit : int
        Bytes that all runs together may keep.
    """

    def __init__(self, root: Path | None = None, limit: int = LIMIT) -> None:
        super().__init__(root or platformdirs.user_cache_path(APPLICATION) / "probability-maps")
        self.sweep()
        self._limit = limit
        self._kept: OrderedDict[Path, int] = OrderedDict()

    def budget(self, folder: Path, plan: SegmentPlan) -> int:
        """Bytes a run may keep, after older runs have made room for it."""
        wanted = len(plan.planes) * sum(plan.tile_bytes(t.index) for t in plan.tiles.tiles)
        allowed = min(wanted, self._limit)
        while self._kept and sum(self._kept.values()) + allowed > self._limit:
            self.release(next(iter(self._kept)))
        self._kept[folder] = allowed
        return allowed

    def release(self, folder: Path) -> None:
        """Forget a run and delete its probability maps."""
        self._kept.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete everything this process kept."""
        self._kept.clear()
        super().close()
