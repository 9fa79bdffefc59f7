"""Targets of a label image, checked against plain definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from scipy import ndimage
from skimage.data import coins
from skimage.draw import disk
from skimage.measure import label as connected

from napari_unet.labels.watershed import decode
from napari_unet.network.outputs import BACKGROUND, BORDER, CELL
from napari_unet.settings import DecodeSettings
from napari_unet.training.targets import (
    LEAST_REACH,
    MOST_REACH,
    UNKNOWN,
    border_reach,
    border_weights,
    class_target,
    diameter_target,
    distance_target,
    targets_of,
)
from tests.strategies import label_images

Labels = NDArray[np.integer]


def disks(*circles: tuple[int, int, int, int], dtype: type = np.int32) -> Labels:
    """Draw ``(y, x, radius, id)`` disks on 64 × 80 px."""
    labels = np.zeros((64, 80), dtype)
    for y, x, radius, label in circles:
        labels[disk((y, x), radius, shape=labels.shape)] = label
    return labels


def slow_class_target(labels: Labels) -> NDArray[np.uint8]:
    target = np.where(labels > 0, CELL, BACKGROUND).astype(np.uint8)
    reach = border_reach(labels)
    for label in np.unique(labels[labels > 0]):
        others = (labels > 0) & (labels != label)
        if others.any():
            near = ndimage.distance_transform_edt(~others) <= reach
            target[near & (labels == label)] = BORDER
    return target


def slow_border_weights(labels: Labels, peak: float, sigma: float) -> NDArray[np.float64]:
    """w(x) of the paper with one distance transform of the whole plane for every object."""
    ids = np.unique(labels[labels > 0])
    if len(ids) < 2:
        return np.zeros(labels.shape)
    distances = np.stack([ndimage.distance_transform_edt(labels != label) for label in ids])
    nearest = np.sort(distances, axis=0)[:2].sum(axis=0)
    return np.where(labels == 0, peak * np.exp(-(nearest**2) / (2 * sigma**2)), 0)


@given(label_images(max_side=24))
@settings(max_examples=60, deadline=None)
def test_classes_follow_the_definition(labels: Labels) -> None:
    target = class_target(labels)
    assert target.dtype == np.uint8
    np.testing.assert_array_equal(target, slow_class_target(labels))


def test_border_only_between_two_objects() -> None:
    touching = class_target(disks((30, 20, 10, 7), (30, 39, 10, 900)))
    between = touching == BORDER
    assert between[30, 29]
    assert not between[:, :26].any()  # the free sides stay cell and background
    assert not between[:, 34:].any()
    assert touching[30, 20] == CELL
    assert touching[5, 5] == BACKGROUND


def test_the_border_reaches_further_into_larger_objects() -> None:
    labels = disks((30, 20, 4, 3), (30, 50, 12, 9))
    reach = border_reach(labels)
    assert reach[30, 20] == LEAST_REACH
    assert LEAST_REACH < reach[30, 50] < MOST_REACH
    assert reach[0, 0] == 0


@pytest.mark.parametrize(("gap", "marked"), [(0, True), (1, True), (2, False)])
def test_a_gap_is_background(gap: int, marked: bool) -> None:
    labels = np.zeros((20, 40), np.uint16)
    labels[:, 5:15] = 1
    labels[:, 15 + gap : 30] = 2
    target = class_target(labels)
    assert (target == BORDER).any() == marked
    assert (target[:, 15 : 15 + gap] == BACKGROUND).all()


def test_perfect_targets_decode_to_the_truth() -> None:
    """What the network is trained on must be what the decoding understands."""
    truth = np.zeros((200, 200), np.int32)
    for number, (y, x) in enumerate(np.ndindex(9, 9), start=1):
        # neighbours touch, or leave gaps of one to three pixels
        truth[disk((20 + 20 * y, 20 + 20 * x), 8 + number % 4)] = number
    targets = targets_of(truth)
    maps = [targets.classes == CELL, targets.classes == BORDER, targets.distance]
    found = decode((np.stack(maps) * 255).astype(np.uint8), DecodeSettings())
    ids, first = np.unique(found, return_index=True)
    assert len(ids) == 82
    renumbered = np.zeros(found.max() + 1, np.int32)
    renumbered[ids] = truth.ravel()[first]
    assert (renumbered[found] == truth).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32, np.int64])
def test_highest_ids_are_like_any_other(dtype: type) -> None:
    small = disks((30, 20, 10, 1), (30, 41, 10, 2), (30, 62, 10, 3))
    high = np.array([0, 65535, 65534, 4])[small].astype(dtype)
    a, b = targets_of(small), targets_of(high)
    np.testing.assert_array_equal(a.classes, b.classes)
    np.testing.assert_array_equal(a.distance, b.distance)
    np.testing.assert_array_equal(a.weights, b.weights)


@given(label_images())
@settings(max_examples=60, deadline=None)
def test_distance_reaches_one_in_each_object_and_is_zero_outside(labels: Labels) -> None:
    distance = distance_target(labels)
    assert distance.dtype == np.float32
    assert not distance[labels == 0].any()
    assert (distance[labels > 0] > 0).all()
    for label in np.unique(labels[labels > 0]):
        assert distance[labels == label].max() == 1


def test_distance_does_not_leak_across_touching_objects() -> None:
    labels = np.zeros((30, 60), np.int32)
    labels[5:25, 5:30], labels[5:25, 30:55] = 3, 8
    distance = distance_target(labels)
    edge = distance[15, 5]
    assert distance[15, 29] == distance[15, 30] == edge  # the shared edge is an edge
    alone = distance_target(np.where(labels == 3, labels, 0))
    np.testing.assert_array_equal(distance[:, :30], alone[:, :30])


def test_an_object_without_an_edge_in_view_is_flat() -> None:
    assert (distance_target(np.full((9, 13), 4)) == 1).all()


@given(label_images(max_side=32))
@settings(max_examples=25, deadline=None)
def test_border_weights_equal_the_definition_up_to_the_cut(labels: Labels) -> None:
    peak, sigma = 10.0, 2.0
    weights = border_weights(labels, peak, sigma)
    expected = slow_border_weights(labels, peak, sigma)
    cut = peak * np.exp(-((np.ceil(3 * sigma) + 2) ** 2) / (2 * sigma**2))  # d1 ≥ 1, d2 > 3σ
    assert weights.dtype == np.float32
    assert (np.abs(weights - expected) <= cut + 1e-5).all()


def test_border_weights_on_real_objects() -> None:
    image = coins()[:, :192]
    labels = connected(ndimage.gaussian_filter(image, 1) > 110)
    assert labels.max() > 8
    expected = slow_border_weights(labels, 10, 5)
    found = border_weights(labels)
    np.testing.assert_allclose(found, expected, atol=10 * np.exp(-(17**2) / 50) + 1e-5)


def test_weight_of_a_narrow_gap() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[:, :4], labels[:, 5:] = 1, 2
    assert border_weights(labels)[4, 4] == pytest.approx(10 * np.exp(-(2**2) / 50))


@given(label_images(max_side=20))
@settings(max_examples=40, deadline=None)
def test_ids_do_not_matter(labels: Labels) -> None:
    ids, compact = np.unique(labels, return_inverse=True)
    renamed = compact.reshape(labels.shape).astype(np.int32) + (ids[0] != 0)
    a, b = targets_of(labels), targets_of(renamed)
    for name in ("classes", "distance", "weights"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_no_object() -> None:
    targets = targets_of(np.zeros((12, 20), np.uint16))
    assert not targets.classes.any()
    assert not targets.distance.any()
    assert (targets.weights == 1).all()


def test_one_object_has_no_touching_border() -> None:
    targets = targets_of(disks((30, 40, 15, 65535), dtype=np.uint16))
    assert set(np.unique(targets.classes)) == {BACKGROUND, CELL}
    assert (targets.weights == 1).all()


def test_all_targets_agree() -> None:
    labels = disks((30, 20, 10, 5), (30, 41, 10, 2))
    targets = targets_of(labels)
    expected = 1 + border_weights(labels) + 2 * (targets.classes == BORDER)
    np.testing.assert_allclose(targets.weights, expected)
    assert targets.weights.dtype == np.float32


def test_the_diameter_is_the_logarithm_of_each_objects_own() -> None:
    labels = disks((20, 20, 8, 3), (40, 50, 16, 900))
    found = diameter_target(labels, 32.0)
    np.testing.assert_allclose(found[labels == 3], -1, atol=0.1)
    np.testing.assert_allclose(found[labels == 900], 0, atol=0.1)
    assert (found[labels == 0] == UNKNOWN).all()


def test_the_diameter_of_what_the_images_edge_cuts_is_unknown() -> None:
    labels = disks((2, 20, 8, 3), (40, 50, 16, 900))
    found = diameter_target(labels, 32.0)
    assert (found[labels == 3] == UNKNOWN).all()
    assert (found[labels == 900] > UNKNOWN).all()
    full = np.ones((5, 5), int)
    assert (diameter_target(full, 32.0) == UNKNOWN).all()
