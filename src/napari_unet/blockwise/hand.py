"""A hand does the work of one block at a time: from pixels to objects, from objects to labels."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.blockwise.ledger import Closing, Computed
from napari_unet.blockwise.mosaic import compose
from napari_unet.blockwise.patches import Patches
from napari_unet.image import Box, Image
from napari_unet.inference.executor import patch_of
from napari_unet.inference.plan import Key, SegmentPlan
from napari_unet.inference.predict import GAVE_UP, Predictor
from napari_unet.inference.run import NOT_NUMBERS, has_holes
from napari_unet.inference.store import ClassMapStore
from napari_unet.inference.tiles import cover
from napari_unet.settings import DecodeSettings


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


class Hand:
    """Everything that works on the blocks of one plan.

    Parameters
    ----------
    plan : SegmentPlan
        What to compute.
    image : Image
        What to read.
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
        image: Image,
        decode: DecodeSettings,
        patches: Patches,
        sink: Sink,
        predictor: Predictor | None = None,
    ) -> None:
        self._plan, self._image, self._decode = plan, image, decode
        self._patches, self._sink = patches, sink
        self._predictor = predictor or Predictor(Path(plan.model_path), plan.device, plan.precision)
        self._known: ClassMapStore | None = None
        self._have: Set[Key] = frozenset()

    def use(self, store: ClassMapStore, have: Set[Key]) -> None:
        """Take class maps that are there already instead of computing them."""
        self._known, self._have = store, have

    def compute(self, key: Key) -> Computed:
        """Find the objects of a block and keep them until the tiles around it are written.

        The network runs on the block and all that its objects may reach into at once. Blocks so
        need nothing of each other, and can be computed anywhere, and again.
        """
        plane, number = key
        tile = self._plan.tiles.tiles[number]
        maps, notes = self._class_map(plane, number)
        patch = patch_of(self._plan, tile, maps, self._decode)
        self._patches.put(key, patch)
        ids = 0 if self._plan.card.kind == "classes" else patch.count
        return Computed(ids, notes)

    def _class_map(self, plane: int, number: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return the class map of a block's window, and what there is to tell."""
        plan = self._plan
        window = plan.window(plan.tiles.tiles[number])
        if self._known and all((plane, tile) in self._have for tile in plan.needs(number)):
            return self._known.read(plane, window), ()
        whole = cover(plan.tiles, plan.card.spec, window)
        pixels: NDArray[Any] = self._image.read(plan.planes[plane], whole.source, plan.channels)
        maps = self._predictor.class_map(pixels, whole, plan.tiles, plan.limits)
        notes = [NOT_NUMBERS] if has_holes(pixels) else []
        if self._predictor.gave_up:
            notes.append(GAVE_UP)
        return maps, tuple(notes)

    def write(self, closing: Closing) -> None:
        """Write a tile whose every pixel is decided."""
        plane, number = closing.key
        box = self._plan.tiles.tiles[number].write
        labels = compose(box, ((offset, self._patches.get(k)) for k, offset in closing.sources))
        if labels.any():
            self._sink.write(self._plan.planes[plane], box, labels)

    def drop(self, keys: Sequence[Key]) -> None:
        """Forget blocks that nobody needs any more."""
        for key in keys:
            self._patches.drop(key)
