"""Uncertain regions of a whole plane, found block by block as in a run."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.suggest import UncertainRegion, UncertainRegionFinder
from napari_unet.image import Box
from napari_unet.labels.change_tracker import cut
from napari_unet.labels.watershed import overlap_of


def suggest_regions(
    maps: NDArray[np.uint8], painted: NDArray[Any] | None, diameter: float, count: int = 5
) -> list[UncertainRegion]:
    """Choose where the model is least sure in a map ``(M, Y, X)``, away from what is painted."""
    finder = UncertainRegionFinder(diameter)
    whole = Box((0, 0), (maps.shape[1], maps.shape[2]))
    for owned in cut(whole):
        box = owned.grow(overlap_of(diameter)).intersect(whole)
        window = None if painted is None else painted[box.slices]
        finder.add((), box, maps[(slice(None), *box.slices)], window, owned=owned)
    return finder.best(count)
