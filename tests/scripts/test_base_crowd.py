"""Crowded training images: more objects that touch, with a truth that is exact."""

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.network.outputs import BORDER
from napari_unet.plugin.synthetic_nuclei import nuclei_window
from napari_unet.training.targets import class_target
from scripts.base_crowd import SOFT, crowded

EDGE = np.hypot(4 * SOFT, 4 * SOFT) + 1  # pixels that the soft edge of a copy reaches


@pytest.fixture
def field() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = nuclei_window((0, 0), (256, 256), 256)
    return (pixels / 10_000).astype(np.float32)[None], labels.astype(np.int32)


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_new_objects_that_touch(field: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    image, labels = field
    found = crowded(image, labels, np.random.default_rng(seed))
    assert found is not None
    dense, truth = found
    assert truth.max() > labels.max()
    assert (class_target(truth) == BORDER).sum() > 3 * (class_target(labels) == BORDER).sum()
    changed = truth != labels
    far = ndimage.distance_transform_edt(~changed) > EDGE
    assert np.array_equal(dense[:, far], image[:, far])
    inside = ndimage.binary_erosion(truth > labels.max(), iterations=3)
    assert dense[0][inside].mean() > 3 * np.median(image)  # a copy is as bright as an object


def test_what_was_there_is_left_as_it_was(field: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = field
    before = image.copy(), labels.copy()
    crowded(image, labels, np.random.default_rng(0))
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])


def test_without_a_whole_object_there_is_nothing_to_copy() -> None:
    image = np.zeros((1, 32, 32), np.float32)
    assert crowded(image, np.zeros((32, 32), np.int32), np.random.default_rng(0)) is None
    assert crowded(image, np.ones((32, 32), np.int32), np.random.default_rng(0)) is None
