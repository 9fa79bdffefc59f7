"""Class maps that wait for the blocks around them: a file for each tile, for one process."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.tiling.plan import Key, SegmentPlan


class MapsInFolder:
    """Class maps of tiles on disk, of which any window can be read.

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
        """Keep the class map ``(M, Y, X)`` over what a tile writes."""
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
