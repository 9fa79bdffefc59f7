"""Made-up cells: repeatable, with exact labels, of many sizes and looks."""

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.training import synthetic
from napari_unet.training.synthetic import (
    BENCHMARK_SEEDS,
    SIDE,
    MadeUp,
    made_up_cells,
    made_up_nuclei,
)
from napari_unet.training.synthetic_shapes import (
    LAYOUTS,
    LEAST_AREA,
    Layout,
    edges,
    pick,
    smooth_noise,
    whole,
)

SEEDS = range(BENCHMARK_SEEDS, BENCHMARK_SEEDS + 40)


@pytest.fixture(scope="module")
def drawn() -> list[MadeUp]:
    return [made_up_cells(seed) for seed in SEEDS]


def test_a_seed_repeats_an_image_and_another_seed_does_not(drawn: list[MadeUp]) -> None:
    again = made_up_cells(SEEDS[0])
    np.testing.assert_array_equal(again.image, drawn[0].image)
    np.testing.assert_array_equal(again.labels, drawn[0].labels)
    assert not np.array_equal(drawn[1].labels, drawn[0].labels)


def test_images_are_of_the_promised_kind_and_use_the_whole_range(drawn: list[MadeUp]) -> None:
    for one in drawn:
        assert one.image.shape == one.labels.shape == (SIDE, SIDE)
        assert one.image.dtype == np.float32
        assert one.labels.dtype == np.int32
        assert one.image.min() == 0
        assert one.image.max() == 1


def test_objects_are_numbered_without_a_gap_connected_and_no_specks(drawn: list[MadeUp]) -> None:
    for one in drawn:
        areas = np.bincount(one.labels.ravel())[1:]
        assert len(areas) >= 3
        assert areas.min() >= LEAST_AREA
        for number, window in enumerate(ndimage.find_objects(one.labels), start=1):
            assert ndimage.label(one.labels[window] == number)[1] == 1


def test_the_diameter_is_that_of_the_objects(drawn: list[MadeUp]) -> None:
    for one in drawn:
        diameters = 2 * np.sqrt(np.bincount(one.labels.ravel())[1:] / np.pi)
        assert diameters.min() <= one.diameter <= diameters.max() * 1.001


def test_sizes_range_from_bacteria_to_giants(drawn: list[MadeUp]) -> None:
    diameters = [one.diameter for one in drawn]
    assert min(diameters) < 18
    assert 20 < np.median(diameters) < 45
    assert max(diameters) > 50


def test_the_size_of_the_image_can_be_chosen() -> None:
    assert made_up_cells(BENCHMARK_SEEDS, side=128).image.shape == (128, 128)


def test_cells_show_in_every_look() -> None:
    """Drawn of the same cells, each look differs from the others and shows where the cells are."""
    found = []
    labels = np.zeros((128, 128), np.int32)
    for number, (y, x) in enumerate([(30, 30), (30, 60), (80, 40), (90, 90)], start=1):
        rows, columns = np.mgrid[:128, :128]
        labels[(rows - y) ** 2 + (columns - x) ** 2 < 14**2] = number
    near = ndimage.distance_transform_edt(~edges(labels)) < 3
    for look in synthetic.LOOKS:
        differences = []
        for seed in range(20):
            image = look(synthetic._scene(labels, np.random.default_rng(seed)))
            image = (image - image.mean()) / image.std()
            middle, ground = image[(labels > 0) & ~near], image[(labels == 0) & ~near]
            rim = image[near]
            pairs = ((middle, ground), (rim, ground), (rim, middle))
            steps = [abs(a.mean() - b.mean()) for a, b in pairs]
            steps += [abs(a.std() - b.std()) for a, b in pairs]
            differences.append(max(steps))
        assert np.median(differences) > 0.3, look.__name__
        found.append(image)
    assert np.abs(np.corrcoef([f.ravel() for f in found]) - np.eye(len(found))).max() < 0.98


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.__name__ for layout in LAYOUTS])
@pytest.mark.parametrize("diameter", [9.0, 30.0, 110.0])
def test_every_layout_draws_objects_of_about_the_wanted_size(
    layout: Layout, diameter: float
) -> None:
    sizes: list[float] = []
    for seed in range(8):
        labels = whole(layout(256, diameter, np.random.default_rng(seed)))
        inner = np.setdiff1d(np.unique(labels[1:-1, 1:-1]), np.r_[labels[0], labels[-1]])
        areas = np.bincount(labels.ravel())[inner]
        sizes += (2 * np.sqrt(areas / np.pi)).tolist()
    assert diameter / 2.5 < np.median(sizes) < 1.6 * diameter


def test_noise_is_of_unit_strength_and_coarse_where_wanted() -> None:
    random = np.random.default_rng(0)
    for grain in (1.0, 8.0):
        noise = smooth_noise(200, grain, random)
        assert noise.shape == (200, 200)
        assert abs(noise.mean()) < 1e-6
        assert noise.std() == pytest.approx(1, abs=1e-3)
        step = np.abs(np.diff(noise, axis=0)).mean()
        assert (step > 0.3) == (grain < 4)


def test_pieces_and_specks_are_dropped() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[2:12, 2:12] = 5  # kept
    labels[20:24, 2:6] = 5  # a second piece of it
    labels[30:32, 30:32] = 7  # a speck
    kept = whole(labels)
    assert kept.max() == 1
    assert (kept > 0).sum() == 100


def test_one_of_the_numbers_is_picked() -> None:
    random = np.random.default_rng(0)
    assert {pick(random, 1, 2.5) for _ in range(30)} == {1.0, 2.5}


def test_nuclei_lie_in_the_cells_and_follow_from_the_seed(drawn: list[MadeUp]) -> None:
    for seed, made in zip(SEEDS[:6], drawn[:6], strict=True):
        nuclei = made_up_nuclei(seed, made.labels)
        assert nuclei.dtype == np.float32
        assert nuclei.min() >= 0
        assert nuclei.max() <= 1
        assert (nuclei == made_up_nuclei(seed, made.labels)).all()
        assert nuclei[made.labels > 0].mean() > nuclei[made.labels == 0].mean()
