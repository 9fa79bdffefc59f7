"""The score itself: hand-made cases, and the pairs against a slow search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.common.matching import Matching, bootstrap, count, match

LABELS = arrays(np.uint16, (7, 8), elements=st.sampled_from([0, 0, 1, 2, 3, 900]))


def squares(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros((40, 40), np.int32)
    for number, (y0, y1, x0, x1) in enumerate(boxes, 1):
        labels[y0:y1, x0:x1] = number * 7
    return labels


def slow_hits(truth: np.ndarray, found: np.ndarray, threshold: float) -> int:
    hits = 0
    for a in set(np.unique(truth)) - {0}:
        for b in set(np.unique(found)) - {0}:
            shared = ((truth == a) & (found == b)).sum()
            hits += shared / ((truth == a) | (found == b)).sum() > threshold
    return hits


def test_same_labels_agree_whatever_their_ids() -> None:
    labels = squares((0, 10, 0, 10), (20, 30, 5, 25))
    counts = count([match(labels, labels // 7 + (labels > 0) * 100)])
    assert counts.pooled.tolist() == [1.0] * 6


def test_iou_of_exactly_the_threshold_does_not_count() -> None:
    truth, found = squares((0, 10, 0, 10)), squares((0, 10, 0, 5))
    assert match(truth, found).iou.tolist() == [0.0]
    three_quarters = match(truth, squares((0, 10, 0, 8)))
    assert count([three_quarters], [0.75, 0.8]).hits.tolist() == [[1, 0]]


def test_merged_and_missed_and_invented() -> None:
    truth = squares((0, 10, 0, 10), (0, 10, 10, 20), (20, 30, 0, 10), (30, 40, 30, 40))
    found = squares((0, 10, 0, 20), (20, 30, 0, 9), (0, 5, 30, 35))
    counts = count([match(truth, found)], [0.5, 0.9])
    assert counts.hits.tolist() == [[1, 0]]  # the third object, IoU 0.9
    assert counts.pooled.tolist() == [1 / 6, 0]


def test_pooled_and_per_image_weigh_differently() -> None:
    good = Matching(np.full(9, 0.95), np.full(9, 50), 9)
    bad = Matching(np.zeros(0), np.zeros(0, int), 1)
    counts = count([good, bad])
    assert counts.pooled[0] == pytest.approx(0.9)
    assert counts.each.mean(axis=0)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("pixels", [0, 1])
def test_images_without_truth(pixels: int) -> None:
    found = np.zeros((5, 5), int)
    found[0, :pixels] = 3
    assert count([match(np.zeros((5, 5), int), found)]).each[0, 0] == 1 - pixels


def test_small_found_objects_are_left_out() -> None:
    truth = squares((0, 10, 0, 10))
    matching = match(truth, squares((0, 10, 0, 10), (30, 32, 30, 32)))
    assert count([matching]).pooled[0] == 0.5
    assert count([matching.at_least(4)]).pooled[0] == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        match(np.zeros((4, 4), int), np.zeros((4, 5), int))


def test_thresholds_below_a_half_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        count([match(np.eye(3, dtype=int), np.eye(3, dtype=int))], [0.3])


@given(LABELS, LABELS, st.sampled_from([0.5, 0.6, 0.75, 0.9]))
def test_agrees_with_a_slow_search(truth: np.ndarray, found: np.ndarray, threshold: float) -> None:
    counts = count([match(truth, found)], [threshold])
    assert counts.hits[0, 0] == slow_hits(truth, found, threshold)
    assert counts.objects[0].tolist() == [len(set(np.unique(a)) - {0}) for a in (truth, found)]


@pytest.mark.parametrize("pooled", [True, False])
def test_interval_is_repeatable_and_holds_the_value(pooled: bool) -> None:
    rng = np.random.default_rng(3)
    matchings = [Matching(rng.uniform(0.3, 1, n), np.full(n, 9), n + 2) for n in range(3, 40)]
    counts = count(matchings)
    first, again = bootstrap(counts, pooled=pooled), bootstrap(counts, pooled=pooled)
    assert first.low.tolist() == again.low.tolist()
    assert (first.low < first.value).all()
    assert (first.value < first.high).all()
    direct = counts.pooled if pooled else counts.each.mean(axis=0)
    assert first.value.tolist() == direct.tolist()


def test_one_image_has_no_spread() -> None:
    counts = count([Matching(np.array([0.6, 0.9]), np.array([9, 9]), 3)])
    estimate = bootstrap(counts, pooled=True)
    assert estimate.low.tolist() == estimate.value.tolist() == estimate.high.tolist()
