"""The work of a segmentation in small steps, and who does them.

A `Backend` takes tasks and gives back what is done, in this process (`LocalBackend`) or in the
engine's; the use case (`napari_unet.segmentation`) does not know which.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.inference.plan import SegmentPlan
from napari_unet.instances import Patch
from napari_unet.settings import DecodeSettings

if TYPE_CHECKING:
    from napari_unet.inference.executor import Executor


@dataclass(frozen=True, slots=True, eq=False)
class Predict:
    """Compute the class map of a tile from its window ``(C, Y, X)``."""

    plane: int
    tile: int
    window: NDArray[np.generic]


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


Task = Predict | Decode | Drop


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


Done = Predicted | Decoded | Remark


class Backend(Protocol):
    """Does tasks in the order they are submitted."""

    def open(self, plan: SegmentPlan, folder: Path) -> None:
        """Prepare for a plan, keeping class maps in `folder`; drops tasks of an earlier one."""

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def collect(self, timeout: float) -> list[Done]:
        """Return what is done, waiting up to `timeout` seconds for the first."""


class LocalBackend:
    """Does the tasks in this process; `collect` does one at a time."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._executor: Executor | None = None

    def open(self, plan: SegmentPlan, folder: Path) -> None:
        """Load the model and open the store."""
        from napari_unet.inference.executor import Executor  # noqa: PLC0415  loads torch

        self._tasks.clear()
        loaded = self._executor.predictor_for(plan) if self._executor else None
        self._executor = Executor(plan, folder, loaded)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def collect(self, timeout: float) -> list[Done]:
        """Do the next task and return what came of it."""
        if not self._tasks or self._executor is None:
            return []
        return self._executor.do(self._tasks.popleft())
