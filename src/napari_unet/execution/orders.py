"""What a run orders, and what comes back: plain values that can be sent anywhere."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegion
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.image import Image
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan

if TYPE_CHECKING:
    Array = NDArray[Any]
else:
    Array = Any  # pydantic writes and reads all fields but the array


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What an executor prepares for.

    Attributes
    ----------
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    image : Image or None
        What to read; None where nothing is read.
    maps : Path or None
        Where probability maps lie; None = blocks share none.
    kept : bool
        Whether these maps stay, compressed, after the run; else they only wait for their blocks.
    labels : ndarray of uint32, Path or None
        The sink: an array ``(..., Y, X)``, or an OME-Zarr folder; None = each block's objects come
        back with its answer, for a live layer.
    """

    plan: SegmentPlan
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    image: Image | None = None
    maps: Path | None = None
    kept: bool = True
    labels: NDArray[np.uint32] | Path | None = None

    def pixels(self, order: "PredictTile | ComputeBlock") -> NDArray[Any]:
        """Read the pixels ``(C, Y, X)`` that an order is about."""
        assert self.image is not None, "only a job with an image is given such orders"
        (plane, number), plan = order.key, self.plan
        own = isinstance(order, PredictTile)
        return plan.read(
            self.image, plane, plan.tiles.tiles[number] if own else plan.covering(number)
        )


@dataclass(frozen=True, slots=True, eq=False)
class PredictTile:
    """Compute and keep the probability map of a tile.

    Attributes
    ----------
    key : Key
        The tile.
    array : ndarray or None
        Its pixels ``(C, Y, X)``; None = the executor reads them.
    """

    key: Key
    array: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ComputeBlock:
    """Find a block's objects in pixels: the network runs on all that is decoded with the block.

    Such blocks wait for no neighbour, and their probability maps are not kept.

    Attributes
    ----------
    key : Key
        The block.
    array : ndarray or None
        Its pixels ``(C, Y, X)``; None = the executor reads them.
    """

    key: Key
    array: Array | None = None


@dataclass(frozen=True, slots=True)
class DecodeBlock:
    """Find a block's objects in probability maps that are there."""

    key: Key


@dataclass(frozen=True, slots=True)
class WriteTile:
    """Write a tile of the result."""

    tile: WritableTile


@dataclass(frozen=True, slots=True)
class DropMaps:
    """Forget the probability maps of tiles."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class DropObjects:
    """Forget the objects of blocks."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Suggest:
    """Look for uncertain regions in a block.

    Attributes
    ----------
    key : Key
        The block.
    array : ndarray of uint8
        ``(Y, X)`` over the block's window, what is painted; 0 = nothing.
    """

    key: Key
    array: Array


@dataclass(frozen=True, slots=True)
class Rank:
    """Rank what was found in the blocks since the last ranking, and keep the first `count`."""

    count: int


Order = (
    PredictTile | ComputeBlock | DecodeBlock | WriteTile | DropMaps | DropObjects | Suggest | Rank
)
AT_ONCE = DropMaps | DropObjects | Suggest | Rank  # quick, or one after the other


@dataclass(frozen=True, slots=True)
class TilePredicted:
    """The probability map of a tile is kept.

    Attributes
    ----------
    key : Key
        The tile.
    notes : tuple of str
        What the person should know, in sentences.
    """

    key: Key
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TileStored:
    """A tile of the result is in the sink."""

    tile: WritableTile


@dataclass(frozen=True, slots=True)
class Ranked:
    """The regions where the model is least sure, best first."""

    regions: tuple[UncertainRegion, ...]


Answer = TilePredicted | BlockResult | TileStored | Ranked
