"""Outlines enclose just the pixels of their object, and no ring touches itself."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Shapes
from skimage.draw import polygon2mask

from napari_unet.labels import outlines as module
from napari_unet.labels.outlines import contours, outlines, ring_area
from tests.strategies import blob_labels, label_images

RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1]])


def drawn(outline, shape):
    """Fill polygons by the even-odd rule, at the middle of each pixel."""
    mask = np.zeros(shape, bool)
    for polygon in outline.polygons:
        for ring in polygon:
            mask ^= polygon2mask(shape, ring - 0.5)
    return mask


@given(labels=label_images(max_side=24), window=st.integers(2, 30))
def test_outlines_drawn_again_are_the_labels(labels, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW", window)
        every = list(outlines(labels))
    found = {outline.label: outline for outline in every}
    assert len(found) == len(every)
    assert set(found) == set(np.unique(labels)) - {0}
    for label, outline in found.items():
        assert outline.area == (labels == label).sum()
        np.testing.assert_array_equal(drawn(outline, labels.shape), labels == label)


@pytest.mark.parametrize("seed", range(20))
def test_rings_of_any_mask_are_simple(seed):
    mask = np.random.default_rng(seed).random((12, 13)) < 0.6
    [outline] = outlines(mask)
    np.testing.assert_array_equal(drawn(outline, mask.shape), mask)
    for outer, *holes in outline.polygons:
        assert ring_area(outer) > 0
        assert all(ring_area(hole) < 0 for hole in holes)
        for ring in (outer, *holes):
            assert max(Counter(map(tuple, ring.tolist())).values()) == 1


def test_pieces_and_holes_that_meet_at_a_corner_are_apart():
    [outline] = outlines(RING)
    pieces = outline.polygons
    assert [len(piece) for piece in pieces] == [2, 1]
    assert outline.area == RING.sum()


def test_planes_and_large_ids():
    labels = np.zeros((2, 3, 9, 9), np.uint32)
    labels[1, 2, 3:5, 4:8] = 2**31
    [outline] = outlines(labels)
    assert (outline.plane, outline.label, outline.area) == ((1, 2), 2**31, 8)
    assert outline.polygons[0][0].min(axis=0).tolist() == [3, 4]


def test_contours_for_shapes():
    labels = np.stack([blob_labels(3, (80, 90)), np.zeros((80, 90), np.int32)])
    labels[1, 5:20, 5:20] = 7
    labels[1, 8:12, 8:12] = 0
    found = contours(labels)
    assert set(found.labels) == set(np.unique(labels)) - {0}
    assert found.data[-1].shape[1] == 3
    assert set(found.data[-1][:, 0]) == {1}
    assert (found.labels == 7).sum() == (labels[0] == 7).any() + 1  # the hole is left out
    large = [i for i in np.unique(labels[0]) if i and (labels[0] == i).sum() > 50]
    for label in large:
        areas = [
            abs(ring_area(line[:, 1:]))
            for line, number in zip(found.data, found.labels, strict=True)
            if number == label and line[0, 0] == 0
        ]
        assert sum(areas) == pytest.approx((labels[0] == label).sum(), rel=0.2)


def test_a_layer_of_shapes_takes_contours():
    labels = np.stack([blob_labels(seed, (60, 60)) for seed in range(2)])
    found = contours(labels)
    layer = Shapes(found.data, shape_type="polygon", features={"label": found.labels})
    assert layer.ndim == 3
    assert layer.nshapes == len(found.labels) > 10
    assert layer.features["label"].tolist() == found.labels.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_valid(seed):
    shapely = pytest.importorskip("shapely")
    mask = np.random.default_rng(seed).random((25, 31)) < 0.35 + seed / 40
    [outline] = outlines(mask)
    whole = shapely.MultiPolygon([(one[0], one[1:]) for one in outline.polygons])
    assert shapely.is_valid_reason(whole) == "Valid Geometry"
    assert whole.area == mask.sum()
