"""How far two label images hold the same objects."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.watershed import object_diameters

MATCHED = 0.5  # overlap from which on two objects are the same
Labels = NDArray[np.int32]


def agreement(ones: Sequence[Labels], others: Sequence[Labels]) -> float:
    """How far two series of label images hold the same objects.

    Parameters
    ----------
    ones, others : sequence of ndarray of int
        ``(Y, X)``, 0 = background; equally many, of equal shapes.

    Returns
    -------
    float
        Panoptic quality (Kirillov et al., CVPR 2019), 0…1; 0 without any object.
    """
    shared, objects = 0.0, 0
    for one, other in zip(ones, others, strict=True):
        shared += sum(overlaps_of_same(one, other))
        objects += len(object_diameters(one)) + len(object_diameters(other))
    return 2 * shared / objects if objects else 0.0


def overlaps_of_same(one: Labels, other: Labels) -> list[float]:
    """Overlap (IoU) of each object that two label images ``(Y, X)`` both hold."""
    both = (one > 0) & (other > 0)
    pairs, shared = np.unique(np.stack([one[both], other[both]]), axis=1, return_counts=True)
    areas, others = (np.bincount(labels.ravel()) for labels in (one, other))
    overlaps = shared / (areas[pairs[0]] + others[pairs[1]] - shared)
    return [float(overlap) for overlap in overlaps if overlap > MATCHED]
