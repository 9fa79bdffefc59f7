"""Decoding: seeds, thresholds, and blocks that agree with the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_unet.image import Box
from napari_unet.labels.watershed import (
    class_block,
    decode,
    decode_block,
    merge_shallow,
    object_diameters,
)
from napari_unet.settings import DecodeSettings
from tests.labels.test_live_labels import OVERLAP, cut, put
from tests.strategies import blob_labels, probability_maps, same_partition

EAGER = DecodeSettings(minimum_diameter=2)


@settings(max_examples=60)
@given(
    st.integers(0, 10**9),
    st.tuples(st.integers(1, 120), st.integers(1, 120)),
    st.integers(16, 80),
    st.sampled_from([10, 25]),  # without noise a flood can meet exact ties
)
def test_block_by_block_equals_the_whole(
    seed: int, shape: tuple[int, int], tile: int, noise: int
) -> None:
    """For objects smaller than a third of the overlap, whatever the blocks' edges cut.

    Where a flood meets an exact tie, a cut cluster may decide it otherwise by some pixels.
    """
    maps = probability_maps(blob_labels(seed, shape), seed, noise)
    assert same_partition(put(cut(maps, tile, EAGER), shape), decode(maps, EAGER))


def test_touching_discs_are_two_objects() -> None:
    labels = np.zeros((40, 60), np.int32)
    rows, columns = np.ogrid[:40, :60]
    labels[(rows - 20) ** 2 + (columns - 18) ** 2 < 144] = 1
    labels[((rows - 20) ** 2 + (columns - 40) ** 2 < 144) & (labels == 0)] = 2
    found = decode(probability_maps(labels, noise=0), DecodeSettings())
    assert len(np.unique(found)) == 3
    assert (found[labels > 0] > 0).all()


def test_nothing_there_gives_nothing() -> None:
    assert not decode(np.zeros((3, 5, 7), np.uint8), DecodeSettings()).any()
    patch = decode_block(
        np.zeros((3, 5, 7), np.uint8), Box((0, 0), (5, 7)), Box((0, 0), (5, 7)), EAGER
    )
    assert (patch.count, patch.labels.size, patch.box.size) == (0, 0, 0)


def test_everything_is_one_object() -> None:
    assert (decode(np.full((3, 30, 30), 255, np.uint8), DecodeSettings()) == 1).all()


def test_a_faint_object_without_a_seed_is_one_object() -> None:
    maps = np.zeros((3, 30, 30), np.uint8)
    maps[0, 5:15, 5:15] = 200
    found = decode(maps, DecodeSettings())
    assert ((found > 0) == (maps[0] > 0)).all()
    assert len(np.unique(found)) == 2


def test_small_objects_are_left_out() -> None:
    maps = np.zeros((3, 40, 40), np.uint8)
    maps[0, 2:5, 2:5] = 255
    maps[0, 10:30, 10:30] = 255
    for diameter, count in ((0, 2), (4, 1), (30, 0)):
        found = decode(maps, DecodeSettings(minimum_diameter=diameter))
        assert len(np.unique(found)) - 1 == count


def test_higher_sensitivity_gives_wider_outlines() -> None:
    maps = probability_maps(blob_labels(3, (100, 100), 24), noise=25)
    areas = [(decode(maps, DecodeSettings(sensitivity=v)) > 0).sum() for v in (0.2, 0.5, 0.8)]
    assert areas == sorted(areas)
    assert areas[0] < areas[2]


def test_higher_separation_splits_where_the_distance_dips() -> None:
    maps = np.zeros((3, 30, 60), np.uint8)
    maps[0, 5:25, 5:55] = 255
    dip = 0.75 + 0.25 * np.abs(np.arange(50) - 25) / 25  # 1 at both ends, less in the middle
    maps[2, 5:25, 5:55] = 255 * dip
    counts = [len(np.unique(decode(maps, DecodeSettings(separation=v)))) - 1 for v in (0.3, 0.8)]
    assert counts == [1, 2]


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_every_object_belongs_to_one_block(seed: int) -> None:
    maps = probability_maps(blob_labels(seed, (64, 72)), seed)
    total = len(np.unique(decode(maps, EAGER))) - 1
    assert sum(patch.count for _, patch, _ in cut(maps, 24, EAGER)) == total
    assert OVERLAP > 28


def test_class_block_is_the_class_of_every_pixel() -> None:
    maps = np.random.default_rng(0).integers(0, 256, (1, 20, 20)).astype(np.uint8)
    owned = Box((105, 52), (112, 60))
    patch = class_block(maps, Box((100, 50), (120, 70)), owned)
    assert patch.box == owned
    assert (patch.labels == maps[0, 5:12, 2:10]).all()
    assert patch.count == len(set(np.unique(patch.labels)) - {0})


def test_diameter_is_that_of_the_circle_of_equal_area() -> None:
    whole = Box((0, 0), (50, 50))
    maps = np.zeros((3, 50, 50), np.uint8)
    maps[0, 10:30, 10:30] = 255
    (diameter,) = object_diameters(decode_block(maps, whole, whole, EAGER).labels)
    assert np.pi * (diameter / 2) ** 2 == pytest.approx(400)


@settings(max_examples=200)
@given(
    arrays(np.float32, st.tuples(st.integers(3, 24), st.integers(3, 24)),
           elements=st.integers(0, 9).map(float)),
    st.integers(0, 6),
)  # fmt: skip
def test_basins_that_stay_are_the_maxima_of_the_h_maxima_transform(
    height: np.ndarray, prominence: int
) -> None:
    """Joined along their passes, found by reconstruction: the same summits (no ties)."""
    height, least = height + 1, prominence + 0.5
    summits = ndimage.label(local_maxima(height, connectivity=1))[0]
    basins = watershed(-height, summits, connectivity=1).astype(np.int32)
    merged = merge_shallow(basins, height, least)
    cross = ndimage.generate_binary_structure(2, 1)
    lowered = reconstruction(height - least, height, footprint=cross)
    plain, count = ndimage.label(local_maxima(lowered, connectivity=1))
    assert len(np.unique(merged)) == max(1, count)
    owners = [set(np.unique(merged[plain == i])) for i in range(1, count + 1)]
    assert len(set().union(*owners)) == sum(map(len, owners)) == count
