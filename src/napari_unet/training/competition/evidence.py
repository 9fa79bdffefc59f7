"""What tells whether the rest of an image got better, beside the objects held out.

Three held-out objects cannot tell. But a network that knows objects of a kind finds the painted
ones that it learns from, and finds the same ones where the image is enlarged. Both are compared for
the old and the new model; `verdict` says what such gains are worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.painted import painted_ids
from napari_unet.labels.watershed import decode, object_diameters
from napari_unet.training.competition.evaluation import Candidate, Evaluation, some
from napari_unet.training.judge import Score, at_zoom, judge

LOOKED_AT = 6  # windows at most
ENLARGED = 1.25  # times
MATCHED = 0.5  # overlap from which on two objects are the same
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a network does on windows with paint, and beside the paint.

    Attributes
    ----------
    learned : float
        Mean overlap (IoU) with the painted objects that are learned from, 0…1.
    steady : float
        Agreement with what is found where the windows are enlarged, 0…1.
    """

    learned: float
    steady: float


def evidence_of(evaluation: Evaluation, candidate: Candidate) -> Evidence:
    """Look at some windows, as they are and enlarged, as a candidate would segment them."""
    windows = some(evaluation.windows, LOOKED_AT)
    plain, larger = (_found(evaluation, candidate, ratio) for ratio in (1.0, ENLARGED))
    learned = Score()
    for labels, window in zip(plain, windows, strict=True):
        ids = [i for i in painted_ids(window.painted).tolist() if i not in window.held]
        learned += Score(judge(labels, window.painted, ids).overlaps)
    return Evidence(learned.value, agreement(plain, larger))


def _found(evaluation: Evaluation, candidate: Candidate, ratio: float) -> list[Labels]:
    """Objects that a candidate finds in the windows that are looked at."""
    windows = some(evaluation.windows, LOOKED_AT)
    maps = evaluation.maps(
        candidate.network, windows, candidate.own, in_use=candidate.in_use, ratio=ratio
    )
    channels = evaluation.card.map_channels
    pairs = zip(maps, windows, strict=True)
    return [decode(m, at_zoom(candidate.decode, w.zoom), channels) for m, w in pairs]


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
