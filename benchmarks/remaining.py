"""Scores on what nobody painted: the rest of the image, or other images."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.annotator import Sheet
from benchmarks.matching import Counts, Estimate, bootstrap, count, match
from napari_unet.labels.painted import BACKGROUND, UNLABELLED

THRESHOLDS = (0.5, 0.7, 0.8)
COVERED = 0.5  # of an object's area that lies in paint: then it is no part of the rest

Labels = NDArray[np.integer]


def rest(sheet: Sheet, found: Labels) -> tuple[Labels, Labels]:
    """Leave out the cells that were painted, and what was found in their place.

    Parameters
    ----------
    sheet : Sheet
        Truth and paint.
    found : ndarray of int
        ``(Y, X)``.

    Returns
    -------
    truth, found : ndarray of int
        ``(Y, X)``, without the cells painted and those mostly under painted objects; without
        found objects that lie mostly on painted cells or in paint.
    """
    truth, paint = sheet.scene.truth, sheet.painted
    objects = (paint != UNLABELLED) & (paint != BACKGROUND)
    painted_cells = np.isin(truth, list(sheet.done))
    return (
        _without(truth, painted_cells | objects),
        _without(found, painted_cells | (paint != UNLABELLED)),
    )


def _without(labels: Labels, paint: NDArray[np.bool_]) -> Labels:
    areas = np.bincount(labels.ravel())
    gone = np.bincount(labels[paint], minlength=len(areas)) > COVERED * areas
    gone[0] = False
    left: Labels = np.where(gone[labels], 0, labels)
    return left


def compare(sheets: Sequence[Sheet], labels: Callable[[int], Labels]) -> Counts:
    """Count matches on the rest of every scored image; `labels` gives what was found, by number."""
    matchings = [
        match(*rest(sheet, labels(number)))
        for number, sheet in enumerate(sheets)
        if sheet.scene.scored
    ]
    return count(matchings, THRESHOLDS)


def figures(counts: Counts) -> dict[str, float]:
    """Pooled AP by threshold."""
    pairs = zip(THRESHOLDS, counts.pooled, strict=True)
    return {str(threshold): round(float(value), 4) for threshold, value in pairs}


def interval(counts: Counts) -> tuple[float, float]:
    """95 % interval of the pooled AP@.5 over images."""
    estimate: Estimate = bootstrap(counts, pooled=True)
    return round(float(estimate.low[0]), 4), round(float(estimate.high[0]), 4)
