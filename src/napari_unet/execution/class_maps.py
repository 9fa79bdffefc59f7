"""Class maps on disk: written tile by tile, read again by any window, without the network."""

from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.tiling.plan import SegmentPlan


class ClassMapStore:
    """The class map of one plan, in a zarr array with one chunk for each tile.

    Parameters
    ----------
    folder : Path
        Folder of the array; opened again if it is there already.
    plan : SegmentPlan
        Gives shape and chunks.
    """

    def __init__(self, folder: Path, plan: SegmentPlan) -> None:
        self._origin = plan.tiles.area.start
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

    def write(self, plane: int, box: Box, maps: NDArray[np.uint8]) -> None:
        """Keep ``(M, Y, X)`` over `box` of one plane, image pixels."""
        self._array[(plane, slice(None), *box.shift(self._origin).slices)] = maps

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        """Return ``(M, Y, X)`` over `box`; zeros where nothing was written."""
        return np.asarray(self._array[(plane, slice(None), *box.shift(self._origin).slices)])

    def drop(self, plane: int, box: Box) -> None:
        """Forget a tile and give its disk space back (an all-zero chunk has no file)."""
        self._array[(plane, slice(None), *box.shift(self._origin).slices)] = 0
