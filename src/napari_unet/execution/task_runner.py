"""Does the tasks of one plan: the network, the store of class maps, the decoding."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegionFinder
from napari_unet.execution.class_maps import ClassMapStore
from napari_unet.execution.tasks import (
    Alone,
    Decode,
    Decoded,
    Done,
    Drop,
    Predict,
    Predicted,
    Rank,
    Ranked,
    Remark,
    Suggest,
    Task,
)
from napari_unet.inference.predict import GAVE_UP, Predictor
from napari_unet.labels.watershed import Patch, class_block, decode_block
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.tiles import Tile


class Executor:
    """Everything that computes for one plan.

    Parameters
    ----------
    plan : SegmentPlan
        What to compute.
    folder : Path
        Where to keep the class maps.
    predictor : Predictor, optional
        A loaded model to use again; loaded when first needed otherwise.
    """

    def __init__(self, plan: SegmentPlan, folder: Path, predictor: Predictor | None = None) -> None:
        self.plan = plan
        self.predictor = predictor
        self._store = ClassMapStore(folder, plan)
        self._finder = UncertainRegionFinder(plan.diameter)

    def predictor_for(self, plan: SegmentPlan) -> Predictor | None:
        """Return the loaded model if another plan wants the same one."""
        return self.predictor if _loaded_by(plan) == _loaded_by(self.plan) else None

    def do(self, task: Task) -> list[Done]:
        """Do one task."""
        match task:
            case Predict():
                return self._predict(task)
            case Alone():
                return self._alone(task)
            case Decode():
                return [Decoded(task.plane, task.tile, self._decode(task))]
            case Drop():
                self._store.drop(task.plane, self.plan.tiles.tiles[task.tile].write)
                return []
            case Suggest():
                self._suggest(task)
                return []
            case Rank():
                finder, self._finder = self._finder, UncertainRegionFinder(self.plan.diameter)
                return [Ranked(tuple(finder.best(task.count)))]

    def _suggest(self, task: Suggest) -> None:
        tile = self.plan.tiles.tiles[task.tile]
        window, owned = self.plan.window(tile), self.plan.owned(tile)
        maps = self._store.read(task.plane, window)
        self._finder.add(self.plan.planes[task.plane], window, maps, task.painted, owned=owned)

    def _predict(self, task: Predict) -> list[Done]:
        tile = self.plan.tiles.tiles[task.tile]
        maps, remarks = self._compute(task.window, tile)
        self._store.write(task.plane, tile.write, maps)
        return [Predicted(task.plane, task.tile), *remarks]

    def _alone(self, task: Alone) -> list[Done]:
        maps, remarks = self._compute(task.window, self.plan.covering(task.tile))
        patch = patch_of(self.plan, self.plan.tiles.tiles[task.tile], maps, task.settings)
        return [Decoded(task.plane, task.tile, patch), *remarks]

    def _compute(
        self, window: NDArray[np.generic], tile: Tile
    ) -> tuple[NDArray[np.uint8], list[Remark]]:
        """Return the class map over ``tile.write``, and what is to be said of it."""
        plan = self.plan
        if self.predictor is None:
            self.predictor = Predictor(Path(plan.model_path), plan.device, plan.precision)
        before = self.predictor.device
        maps = self.predictor.probability_map(window, tile, plan.tiles, plan.limits)
        return maps, [] if self.predictor.device == before else [Remark(GAVE_UP)]

    def _decode(self, task: Decode) -> Patch:
        tile = self.plan.tiles.tiles[task.tile]
        window = self.plan.window(tile)
        return patch_of(self.plan, tile, self._store.read(task.plane, window), task.settings)


def patch_of(
    plan: SegmentPlan, tile: Tile, maps: NDArray[np.uint8], settings: DecodeSettings
) -> Patch:
    """Make the objects of one block from the class map ``(M, Y, X)`` over its window."""
    window, owned = plan.window(tile), plan.owned(tile)
    if not plan.card.finds_objects:
        return class_block(maps, window, owned)
    return decode_block(maps, window, owned, settings, plan.region, plan.card.map_channels)


def _loaded_by(plan: SegmentPlan) -> tuple[str, ...]:
    """Everything that decides what is loaded for a plan."""
    return plan.model_path, plan.model_sha, plan.device, plan.precision
