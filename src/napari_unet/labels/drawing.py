"""One tile of the result, drawn from the patches of the blocks around it."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box
from napari_unet.labels.watershed import Patch


def draw_tile(box: Box, patches: Iterable[tuple[int, Patch]]) -> NDArray[np.uint32]:
    """Draw the parts of objects that lie in a tile.

    Parameters
    ----------
    box : Box
        The tile, image pixels.
    patches : iterable of (int, Patch)
        What is added to a patch's numbers, and the patch; where two claim a pixel the earlier one
        has it.

    Returns
    -------
    ndarray of uint32
        ``(Y, X)`` over the tile.
    """
    labels = np.zeros(box.shape, np.uint32)
    for offset, patch in patches:
        common = box.intersect(patch.box)
        if not common.size:
            continue
        drawn = patch.labels[common.shift(patch.box.start).slices]
        under = labels[common.shift(box.start).slices]
        ids = drawn.astype(np.uint32) + np.uint32(offset)
        np.copyto(under, ids, where=(drawn > 0) & (under == 0))
    return labels
