"""A hand does the work of one block at a time: from pixels to objects, from objects to labels."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.execution.class_maps import ClassMapStore
from napari_unet.execution.events import NOT_NUMBERS, has_holes
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.execution.patches import Patches
from napari_unet.execution.task_runner import patch_of
from napari_unet.image import Box, Image
from napari_unet.inference.predict import GAVE_UP, Predictor
from napari_unet.labels.stitching import compose
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.tiling.tiles import Tile


class Sink(Protocol):
    """Where labels are written, tile by tile, by several hands at once."""

    def write(self, plane: tuple[int, ...], box: Box, labels: NDArray[np.uint32]) -> None:
        """Write ``(Y, X)`` over one tile of a plane; nothing is ever written twice."""


@dataclass(frozen=True, slots=True)
class ArraySink:
    """Labels in memory, ``(..., Y, X)``."""

    labels: NDArray[np.uint32]

    def write(self, plane: tuple[int, ...], box: Box, labels: NDArray[np.uint32]) -> None:
        """Write one tile."""
        self.labels[plane][box.slices] = labels


class Maker:
    """Makes objects of pixels, and labels of objects, for one plan.

    Parameters
    ----------
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    patches : Patches
        Where objects wait.
    sink : Sink
        Where labels go.
    predictor : Predictor, optional
        The model, if it is loaded already.
    """

    def __init__(
        self,
        plan: SegmentPlan,
        decode: DecodeSettings,
        patches: Patches,
        sink: Sink,
        predictor: Predictor | None = None,
    ) -> None:
        self.plan, self._decode = plan, decode
        self._patches, self._sink = patches, sink
        self._predictor = predictor or Predictor(Path(plan.model_path), plan.device, plan.precision)

    def find(self, key: Key, pixels: NDArray[Any]) -> BlockResult:
        """Find the objects of a block in the pixels ``(C, Y, X)`` of its covering tile's source.

        The network runs on the block and all that its objects may reach into at once. Blocks so
        need nothing of each other, and can be computed anywhere, and again.
        """
        return self.keep(key, *self.look(self.plan.covering(key[1]), pixels))

    def look(self, tile: Tile, pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return the class map of a tile's source, and what the person should know."""
        plan = self.plan
        maps = self._predictor.probability_map(pixels, tile, plan.tiles, plan.limits)
        notes = [NOT_NUMBERS] if has_holes(pixels) else []
        if self._predictor.gave_up:
            notes.append(GAVE_UP)
        return maps, tuple(notes)

    def keep(self, key: Key, maps: NDArray[np.uint8], notes: tuple[str, ...] = ()) -> BlockResult:
        """Find the objects of a block in its class map, and keep them until tiles are written."""
        patch = patch_of(self.plan, self.plan.tiles.tiles[key[1]], maps, self._decode)
        self._patches.put(key, patch)
        return BlockResult(key, patch.count if self.plan.card.finds_objects else 0, notes)

    def write(self, closing: WritableTile) -> None:
        """Write a tile."""
        plane, number = closing.key
        box = self.plan.tiles.tiles[number].write
        labels = compose(box, ((offset, self._patches.get(k)) for k, offset in closing.sources))
        if labels.any():
            self._sink.write(self.plan.planes[plane], box, labels)

    def drop(self, keys: Sequence[Key]) -> None:
        """Forget blocks that nobody needs any more."""
        for key in keys:
            self._patches.drop(key)


class Hand:
    """Reads the image, and makes what a plan wants of it.

    Parameters
    ----------
    image : Image
        What to read.
    maker : Maker
        Knows the plan.
    """

    def __init__(self, image: Image, maker: Maker) -> None:
        self._image, self._maker = image, maker
        self._known: ClassMapStore | None = None
        self._have: Set[Key] = frozenset()
        self.keep, self.write, self.drop = maker.keep, maker.write, maker.drop

    def use(self, store: ClassMapStore, have: Set[Key]) -> None:
        """Take class maps that are there already instead of computing them."""
        self._known, self._have = store, have

    def look(self, key: Key) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return the class map of a tile, and what the person should know."""
        plan = self._maker.plan
        tile = plan.tiles.tiles[key[1]]
        return self._maker.look(tile, plan.read(self._image, key[0], tile))

    def compute(self, key: Key) -> BlockResult:
        """Find the objects of a block."""
        (plane, number), plan = key, self._maker.plan
        if self._known and all((plane, tile) in self._have for tile in plan.needs(number)):
            window = plan.window(plan.tiles.tiles[number])
            return self._maker.keep(key, self._known.read(plane, window))
        return self._maker.find(key, plan.read(self._image, plane, plan.covering(number)))
