"""How well two label images agree: one-to-one matches of objects, and AP with an interval.

AP(τ) = TP / (TP + FP + FN), where a true positive is a pair of a true and a found object whose
intersection over union (IoU) exceeds τ. For τ ≥ 0.5 an object can exceed it with one partner only,
so the pairs need no choosing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
RESAMPLES = 2000
SEED = 20261122
MOST, LITTLE = 0.5, 0.1  # shares of an object's pixels


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """Agreement of one image.

    Attributes
    ----------
    iou : ndarray of float64
        ``(P,)``, IoU of every found object with its one partner; 0 without a partner above 0.5.
    area : ndarray of int64
        ``(P,)``, pixels of every found object.
    true : int
        Number of true objects.
    ratio : ndarray of float64
        ``(Q,)``, area of each found object that has a partner, divided by the partner's.
    """

    iou: NDArray[np.float64]
    area: NDArray[np.int64]
    true: int
    ratio: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def at_least(self, diameter: float) -> "Matching":
        """Leave out found objects smaller than a circle of `diameter` pixels."""
        kept = self.area >= np.pi / 4 * diameter**2
        return Matching(self.iou[kept], self.area[kept], self.true, self.ratio)


def match(truth: ArrayLike, found: ArrayLike) -> Matching:
    """Pair the objects of two label images.

    Parameters
    ----------
    truth, found : array-like of int
        Of one shape, 0 = background, one id for each object; ids may have gaps.

    Returns
    -------
    Matching
        The pairs with IoU > 0.5.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    true, first = _numbered(truth)
    pred, second = _numbered(found)
    if first.shape != second.shape:
        raise ValueError(f"labels of shape {second.shape} do not fit truth of {first.shape}")
    columns = pred + 1
    pairs = np.bincount(first.ravel() * columns + second.ravel(), minlength=(true + 1) * columns)
    shared = pairs.reshape(true + 1, columns)
    area_true, area_found = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:]
    shared = shared[1:, 1:]
    iou = shared / np.maximum(area_true[:, None] + area_found[None] - shared, 1)
    best = np.where(iou > 0.5, iou, 0.0).max(axis=0, initial=0.0)
    of, by = np.nonzero(iou > 0.5)
    return Matching(best, area_found.astype(np.int64), true, area_found[by] / area_true[of])


def _numbered(labels: ArrayLike) -> tuple[int, NDArray[np.int64]]:
    """Return the number of objects, and the labels numbered 1…n without gaps."""
    array = np.asarray(labels)
    ids, index = np.unique(array, return_inverse=True)
    index = index.reshape(array.shape).astype(np.int64)
    if ids.size and ids[0] == 0:
        return ids.size - 1, index
    return ids.size, index + 1


def faults(truth: NDArray[Any], found: NDArray[Any]) -> tuple[int, int, int, int]:
    """Count true objects that were merged, split and missed, and found ones that are none.

    Merged: most of it lies in a found object that holds most of another true one. Split: two or
    more found objects lie mostly in it. Missed and invented: hardly anything overlaps.
    """
    pairs, shared = np.unique(np.stack([truth.ravel(), found.ravel()]), axis=1, return_counts=True)
    true_area, found_area = (np.bincount(a.ravel()) for a in (truth, found))
    both = (pairs > 0).all(axis=0)
    (t, f), n = pairs[:, both], shared[both]
    holder = f[n > MOST * true_area[t]]  # the found object that holds most of a true one
    merged = int((np.bincount(holder, minlength=1)[holder] > 1).sum())
    pieces = t[n > MOST * found_area[f]]
    split = int((np.bincount(pieces, minlength=1) > 1).sum())
    covered = np.bincount(t, n, minlength=true_area.size)[1:]
    real = np.bincount(f, n, minlength=found_area.size)[1:]
    missed = ((true_area[1:] > 0) & (covered < LITTLE * true_area[1:])).sum()
    invented = ((found_area[1:] > 0) & (real < LITTLE * found_area[1:])).sum()
    return merged, split, int(missed), int(invented)


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Counts of several images at several thresholds.

    Attributes
    ----------
    hits : ndarray of int64
        ``(N, T)``, true positives of every image at every threshold.
    objects : ndarray of int64
        ``(N, 2)``, true and found objects of every image.
    """

    hits: NDArray[np.int64]
    objects: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """``(N, T)``, TP + FP + FN."""
        total: NDArray[np.int64] = self.objects.sum(axis=1, keepdims=True)
        return total - self.hits

    @property
    def pooled(self) -> NDArray[np.float64]:
        """``(T,)``, AP of all objects of all images together."""
        return _ratio(self.hits.sum(axis=0), self.union.sum(axis=0))

    @property
    def each(self) -> NDArray[np.float64]:
        """``(N, T)``, AP of every image; 1 where nothing was there and nothing was found."""
        return _ratio(self.hits, self.union)


def count(matchings: Sequence[Matching], thresholds: Sequence[float] = THRESHOLDS) -> Counts:
    """Count true positives at thresholds of at least 0.5."""
    if not matchings or min(thresholds) < 0.5:
        raise ValueError("at least one image and thresholds of 0.5 or more are needed")
    hits = [[int((m.iou > t).sum()) for t in thresholds] for m in matchings]
    objects = [[m.true, m.iou.size] for m in matchings]
    return Counts(np.array(hits, np.int64), np.array(objects, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A figure for each threshold with its 95 % interval, each ``(T,)``."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def shown(value: float, low: float, high: float) -> str:
    """Write a figure and its interval for a table."""
    return f"{value:.3f} ({low:.2f}–{high:.2f})"


def bootstrap(
    counts: Counts, *, pooled: bool, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """AP with a percentile interval from drawing the images anew.

    Parameters
    ----------
    counts : Counts
        Of all images.
    pooled : bool
        AP over all objects, else the mean of the images' AP.
    resamples : int, default 2000
        Sets of images drawn, with replacement.
    seed : int
        The same seed gives the same interval.
    """
    images = len(counts.hits)
    draws = np.random.default_rng(seed).multinomial(images, [1 / images] * images, resamples)
    if pooled:
        value, drawn = counts.pooled, _ratio(draws @ counts.hits, draws @ counts.union)
    else:
        value, drawn = counts.each.mean(axis=0), draws @ counts.each / images
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Estimate(value, low, high)


def _ratio(hits: NDArray[np.int64], union: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide; where there is nothing to find and nothing was found, all of it is right."""
    return np.where(union > 0, hits / np.maximum(union, 1), 1.0)
