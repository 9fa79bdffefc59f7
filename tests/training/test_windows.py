"""Windows around paint: every stroke is in one, objects are whole, little is read."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image import Box, Image
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.library import load_card
from napari_unet.training.windows import (
    SIDE,
    Painting,
    painted_diameter,
    smallest_diameter,
    taught_diameters,
    training_windows,
    windows,
)

CARD = load_card("nuclei")
LIMITS = ((0.0, 1.0),)


def painting(painted: np.ndarray, image: Any = None) -> Painting:
    data = np.zeros(painted.shape, np.float32) if image is None else image
    return Painting(Image(data, "YX"), painted, LIMITS)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(40, 900), st.integers(40, 900))
def test_every_painted_object_is_whole_in_a_window(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    painted = np.zeros((height, width), np.uint32)
    for number in range(1, 6):
        y, x = random.integers(0, height - 20), random.integers(0, width - 20)
        painted[y : y + 20, x : x + 20] = number
    seen: set[int] = set()
    card = CARD.model_copy(update={"usual_diameter": 20.0, "taught_diameters": (2.0, 30.0)})
    assert card.zoom(20.0) == 1
    for window in training_windows([painting(painted)], card):
        for number in np.unique(window.painted[window.painted > 0]):
            assert (window.painted == number).sum() == (painted == number).sum()
            seen.add(int(number))
    assert seen == set(np.unique(painted[painted > 0]).tolist())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_every_stroke_of_background_is_in_a_window(seed: int) -> None:
    random = np.random.default_rng(seed)
    painted = np.zeros((700, 500), np.uint32)
    for _ in range(4):
        y, x = random.integers(0, 690), random.integers(0, 400)
        painted[y : y + 8, x : x + 100] = BACKGROUND
    covered = np.zeros(painted.shape, bool)
    for box in windows(painted, SIDE, 64):
        covered[box.slices] = True
    assert covered[painted > 0].all()


def test_a_giant_and_a_long_cell_among_small_ones_are_whole() -> None:
    painted = np.zeros((900, 900), np.uint32)
    for number in range(100):
        y, x = 20 + 30 * (number // 10), 500 + 30 * (number % 10)
        painted[y : y + 20, x : x + 20] = number + 1
    painted[430:830, 420:470], painted[60:64, 200:460] = 998, 999
    card = CARD.model_copy(update={"usual_diameter": 20.0, "taught_diameters": (2.0, 30.0)})
    areas = {998: 0, 999: 0}
    for window in training_windows([painting(painted)], card):
        for number in areas:
            areas[number] = max(areas[number], int((window.painted == number).sum()))
    assert window.zoom == 1
    assert areas == {998: 400 * 50, 999: 4 * 260}


def test_long_strokes_of_classes_are_shown_all_along() -> None:
    painted = np.zeros((1000, 1000), np.uint32)
    painted[50:62, 20:980], painted[20:980, 500:512] = 17, 18
    covered = np.zeros(painted.shape, bool)
    for box in windows(painted, SIDE, 64, whole=None):
        covered[box.slices] = True
    assert covered[painted > 0].all()


def test_only_the_neighbourhood_of_paint_is_read() -> None:
    class Watched:
        shape, dtype = (100_000, 100_000), np.dtype(np.uint8)
        read = 0

        def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
            size = tuple(s.stop - s.start for s in key)
            self.read += size[0] * size[1]
            return np.zeros(size, np.uint8)

    image, painted = Watched(), np.zeros((100_000, 1_000), np.uint32)
    image.shape = painted.shape
    painted[50_000:50_030, 500:530] = 4
    training_windows([painting(painted, image)], CARD)
    assert image.read <= 2 * SIDE**2


def test_objects_of_another_size_are_resized() -> None:
    painted = np.zeros((1200, 1200), np.uint32)
    painted[400:700, 400:700] = 4  # 339 px in diameter; the model is made for 48 at most
    [window] = training_windows([painting(painted)], CARD)
    side = (window.painted == 4).sum() ** 0.5
    assert abs(side / 300 * 339 - CARD.object_diameter) < 3


def test_held_out_objects_are_hidden_from_training() -> None:
    painted = np.zeros((300, 300), np.uint32)
    for number, (y, x) in enumerate(np.ndindex(3, 4), start=1):
        painted[20 + 80 * y : 40 + 80 * y, 10 + 70 * x : 30 + 70 * x] = number
    found = training_windows([painting(painted)], CARD)
    held = {i for e in found for i in e.held}
    assert 2 <= len(held) <= 4
    judged = [i for e in found for i in e.judged]
    assert sorted(judged) == sorted(held)  # once each, although windows overlap
    for window in found:
        assert not np.isin(window.training_paint, list(held)).any()
        assert np.isin(list(window.held), window.painted).all()


def test_images_are_held_out_together() -> None:
    painted = np.zeros((300, 300), np.uint32)
    painted[20:40, 20:40], painted[100:120, 100:120] = 1, 2
    found = training_windows([painting(painted), painting(painted), painting(painted)], CARD)
    assert any(e.held for e in found)  # six objects, although two in each image


def test_typical_diameter() -> None:
    painted = np.zeros((300, 300), np.uint32)
    assert painted_diameter([painting(painted)]) is None
    painted[20:40, 20:40] = 1
    diameter = painted_diameter([painting(painted)])
    assert diameter is not None
    assert abs(diameter - 22.6) < 0.1


def squares(*sides: int) -> np.ndarray:
    painted = np.zeros((100 + 100 * len(sides), 110), np.uint32)
    for number, side in enumerate(sides, start=1):
        painted[number * 100 - 90 : number * 100 - 90 + side, 10 : 10 + side] = number
    return painted


def test_two_specks_among_ten_do_not_decide_the_size() -> None:
    cells = [16, 18, 18, 20, 22, 24, 26, 30]
    found = painted_diameter([painting(squares(*cells))])
    specked = painted_diameter([painting(squares(4, 4, *cells))])
    assert found is not None
    assert specked is not None
    assert found / specked < 1.2


def test_one_giant_does_not_decide_the_size() -> None:
    many = painting(squares(*[20] * 19))
    giant = painting(np.full((300, 300), 7, np.uint32))
    assert painted_diameter([many, giant]) == painted_diameter([many])
    assert painted_diameter([many]) == 22.6


def test_four_in_five_painted_objects_lie_between_the_diameters_of_the_card() -> None:
    assert taught_diameters([painting(squares())]) is None
    found = taught_diameters([painting(squares(10, *[20] * 8, 30))])
    assert found is not None
    low, high = found
    assert 11 < low <= 22.6 <= high < 34


def test_debris_is_smaller_than_any_painted_object() -> None:
    assert smallest_diameter(40, 40) == 16
    assert smallest_diameter(40, 10) == 7.5  # small ones were painted, too


def test_all_images_are_trained_on_at_one_scale() -> None:
    """Slices of one volume: what happens to be painted on one must not change its size."""
    card = CARD.model_copy(update={"usual_diameter": 30.0, "taught_diameters": (10.0, 60.0)})
    found = training_windows([painting(squares(9)), painting(squares(80))], card)
    [zoom] = {window.zoom for window in found}
    assert zoom == card.zoom(30.0)


def test_windows_stay_in_the_image() -> None:
    painted = np.zeros((100, 700), np.uint32)
    painted[90:99, 690:699] = 3
    [box] = windows(painted, SIDE, 64)
    assert box == Box((0, 380), (100, 700))
