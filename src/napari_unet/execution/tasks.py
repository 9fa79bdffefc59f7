"""The work of a segmentation in small steps, and who does them.

A `Backend` takes tasks and gives back what is done, in this process
(`napari_unet.execution.local`) or in the engine's; the use case (`napari_unet.segmentation`) does
not know which.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegion
from napari_unet.labels.watershed import Patch
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan


@dataclass(frozen=True, slots=True, eq=False)
class Predict:
    """Compute the class map of a tile from its window ``(C, Y, X)``."""

    plane: int
    tile: int
    window: NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """Make the objects of a block from the window ``(C, Y, X)`` of all that is decoded with it.

    It waits for no neighbour, and its class map is not kept.
    """

    plane: int
    tile: int
    window: NDArray[np.generic]
    settings: DecodeSettings


@dataclass(frozen=True, slots=True)
class Decode:
    """Make the objects of a block from class maps that are already computed."""

    plane: int
    tile: int
    settings: DecodeSettings


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget the class map of a tile."""

    plane: int
    tile: int


@dataclass(frozen=True, slots=True, eq=False)
class Suggest:
    """Look for unsure places in a block; `painted` is uint8 ``(Y, X)`` over its window, 0 = not."""

    plane: int
    tile: int
    painted: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Rank:
    """Rank what was found in the blocks since the last ranking, and keep the first `count`."""

    count: int


Task = Predict | Alone | Decode | Drop | Suggest | Rank


@dataclass(frozen=True, slots=True)
class Predicted:
    """The class map of a tile is in the store."""

    plane: int
    tile: int


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The objects of a block."""

    plane: int
    tile: int
    patch: Patch


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the person should know, in one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """The spots where the model is least sure, best first."""

    spots: tuple[UncertainRegion, ...]


Done = Predicted | Decoded | Remark | Ranked


class Backend(Protocol):
    """Does tasks, maybe several at once; results come in the order of the tasks."""

    def open(self, plan: SegmentPlan, folder: Path) -> None:
        """Prepare for a plan, keeping class maps in `folder`; drops tasks of an earlier one."""

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def collect(self, timeout: float) -> list[Done]:
        """Return what is done, waiting up to `timeout` seconds for the first."""
