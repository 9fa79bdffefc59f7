"""Images by how they look, so that the worst look can be told beside the mean.

A mean over a set hides what the set has little of. Looks are told from image and truth: how large
objects are, how much they touch, how far they stand out.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.common.image_sets import Sample
from benchmarks.common.plain import grey

CROWDED = 0.1  # of the objects' outline that lies on another object
DIM = 0.35  # of the range of grey values between the objects' middle and the ground's
SIZES = ((0.0, 12.0), (12.0, 24.0), (24.0, 48.0), (48.0, 4000.0))  # pixels


def touching(truth: NDArray[Any]) -> float:
    """Share of the objects' outline that touches another object."""
    largest = ndimage.maximum_filter(truth, 3)
    smallest = ndimage.minimum_filter(np.where(truth == 0, truth.max() + 1, truth), 3)
    inside = truth > 0
    other = inside & ((largest != truth) | (smallest != truth))
    ground = inside & (ndimage.minimum_filter(truth, 3) == 0)
    outline = (other | ground).sum()
    return float(other.sum() / max(1, outline))


def standing_out(sample: Sample, truth: NDArray[Any]) -> float:
    """Median of the objects less that of the ground, in parts of the range of grey values."""
    if not truth.any() or truth.all():
        return 1.0
    shown = grey(sample.image(), bright_objects=True)
    return float(np.median(shown[truth > 0]) - np.median(shown[truth == 0]))


def looks_of(sample: Sample) -> list[str]:
    """Names of the looks that an image has; none without objects."""
    truth, diameter = sample.truth(), sample.diameter()
    if diameter is None:
        return []
    low, high = next(size for size in SIZES if size[0] <= diameter < size[1])
    last = high == SIZES[-1][1]
    size = f"objects over {low:g} px" if last else f"objects of {low:g} to {high:g} px"
    crowd = "crowded" if touching(truth) > CROWDED else "not crowded"
    light = "dim" if standing_out(sample, truth) < DIM else "not dim"
    return [size, crowd, light]


class Seen(Protocol):
    """Whatever came of an image."""

    @property
    def sample(self) -> Sample:
        """The image."""


Kind = TypeVar("Kind", bound=Seen)


def by_look(outcomes: Sequence[Kind]) -> dict[str, list[Kind]]:
    """Sort outcomes by look; one may have several."""
    groups: dict[str, list[Kind]] = {}
    for outcome in outcomes:
        for look in looks_of(outcome.sample):
            groups.setdefault(look, []).append(outcome)
    return dict(sorted(groups.items()))
