"""One-key corrections: only what is meant changes, and every object stays whole."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.errors import InputError
from napari_unet.image import Box
from napari_unet.labels.edits import (
    BRIDGE,
    WINDOW,
    Edit,
    confirm,
    delete_object,
    find_object,
    mark_box,
    merge_along,
    next_object,
    object_box,
    split_along,
)
from napari_unet.labels.painted import MARK_BACKGROUND, MARK_CONFIRMED, MARK_NONE
from tests.strategies import label_images

NEW = 2**26 + 5
COORDINATES = st.tuples(st.floats(-10, 50), st.floats(-10, 50))
STROKES = st.lists(COORDINATES, min_size=1, max_size=5)


def done(edit: Edit, labels: np.ndarray) -> np.ndarray:
    """Carry an edit out on a copy, after a look at whether it fits the image."""
    height, width = labels.shape
    assert Box((0, 0), (height, width)).intersect(edit.box) == edit.box
    assert edit.pixels.shape == edit.box.shape
    after = labels.astype(np.uint32)
    edit.apply(after)
    return after


def attempt(look: Callable[[], Edit]) -> tuple[Edit | None, str]:
    """Return the edit, or None and the sentence that says why there is none."""
    try:
        return look(), ""
    except InputError as error:
        return None, str(error)


def squares(gap: int, *, side: int = 10) -> np.ndarray:
    """Two squares, 1 and 2, beside each other."""
    labels = np.zeros((side + 6, 2 * side + gap + 6), np.uint32)
    labels[3 : 3 + side, 3 : 3 + side] = 1
    labels[3 : 3 + side, 3 + side + gap : 3 + 2 * side + gap] = 2
    return labels


def pieces(mask: np.ndarray) -> int:
    return int(ndimage.label(mask, np.ones((3, 3)))[1])


# an edit


def test_an_edit_is_what_a_layer_takes() -> None:
    values = np.arange(6, dtype=np.uint32).reshape(2, 3)
    pixels = np.array([[True, False, True], [False, False, True]])
    edit = Edit(Box((4, 1), (6, 4)), pixels, values).on((2, 0))
    stack = np.full((3, 1, 8, 8), 9, np.uint32)
    stack[edit.indices] = edit.new
    assert len(edit.indices) == 4
    assert np.argwhere(stack != 9).tolist() == [[2, 0, 4, 1], [2, 0, 4, 3], [2, 0, 5, 3]]
    assert stack[2, 0][stack[2, 0] != 9].tolist() == [0, 2, 5]


@given(label_images(), STROKES)
def test_looking_changes_nothing(labels: np.ndarray, points: list[tuple[float, float]]) -> None:
    before = labels.copy()
    attempt(lambda: merge_along(labels, points))
    attempt(lambda: split_along(labels, points, new_id=NEW))
    attempt(lambda: delete_object(labels, points[0]))
    np.testing.assert_array_equal(labels, before)


# delete


@given(label_images(), st.data())
def test_deleting_takes_the_object_and_nothing_else(
    labels: np.ndarray, data: st.DataObject
) -> None:
    y, x = (data.draw(st.integers(0, side - 1)) for side in labels.shape)
    if labels[y, x] == 0:
        with pytest.raises(InputError, match="no object under the cursor"):
            delete_object(labels, (y, x))
        return
    after = done(delete_object(labels, (y + 0.4, x - 0.4)), labels)
    np.testing.assert_array_equal(after, np.where(labels == labels[y, x], 0, labels))


@pytest.mark.parametrize("point", [(-1, 3), (3, -1), (16, 3), (3, 99), (-0.6, 3)])
def test_outside_the_image_is_no_object(point: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="no object"):
        delete_object(np.ones((16, 16), np.uint32), point)


@pytest.mark.parametrize("length", [3, WINDOW - 1, WINDOW, WINDOW + 1, 700, 1000])
def test_a_long_object_is_found_whole(length: int) -> None:
    labels = np.zeros((1000, 1000), np.uint32)
    labels[500, :length] = 7
    labels[500 - min(length, 400) : 500, length - 1] = 7
    assert object_box(labels, (500, 0)) == Box((500 - min(length, 400), 0), (501, length))


def test_a_large_image_is_not_searched() -> None:
    """A mask of the whole plane alone would take 16 MB."""
    labels = np.zeros((4000, 4000), np.uint32)
    labels[3000:3020, 2000:2030] = 3
    tracemalloc.start()
    edit = delete_object(labels, (3003, 2010))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert edit.box == Box((3000, 2000), (3020, 2030))
    assert peak < 2**20


# merge


@pytest.mark.parametrize("gap", range(BRIDGE + 4))
def test_merged_squares_become_one_object(gap: int) -> None:
    labels = squares(gap)
    after = done(merge_along(labels, [(8, 20 + gap), (8, 5)]), labels)
    assert set(np.unique(after)) == {0, 2}  # the stroke began in the second
    assert (after[labels > 0] == 2).all()
    assert pieces(after > 0) == (1 if gap <= BRIDGE else 2)
    assert np.count_nonzero(after) == 200 + (3 * gap if gap <= BRIDGE else 0)


def test_a_stroke_from_the_background_takes_the_first_object_it_meets() -> None:
    labels = squares(4)
    after = done(merge_along(labels, [(0, 0), (8, 5), (8, 40)]), labels)
    assert set(np.unique(after)) == {0, 1}


def test_a_bridge_leaves_a_third_object_alone() -> None:
    labels = squares(4)
    labels[7, 13:17] = 5  # a thin one between them, beside the stroke
    after = done(merge_along(labels, [(8, 5), (8, 20)]), labels)
    np.testing.assert_array_equal(after == 5, labels == 5)
    assert pieces(after == 1) == 1


@given(label_images(), STROKES)
def test_merging_keeps_all_other_pixels(
    labels: np.ndarray, points: list[tuple[float, float]]
) -> None:
    edit, refusal = attempt(lambda: merge_along(labels, points))
    if edit is None:
        assert "two or more are needed" in refusal
        return
    after = done(edit, labels)
    assert isinstance(edit.values, int)
    assert edit.values in labels
    changed = after != labels
    assert (after[changed] == edit.values).all()
    assert (after[labels > 0] > 0).all()
    gone = np.setdiff1d(labels, after)
    assert len(gone[gone > 0]) >= 1  # at least one object became part of the first
    others = ~np.isin(labels, [0, edit.values, *gone])
    np.testing.assert_array_equal(after[others], labels[others])


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(8, 5)], r"touches 1 object"),
        ([(0, 0), (0, 30)], r"touches 0 object"),
        ([(-9, -9), (-9, -5)], r"touches 0 object"),
        ([], "no points"),
        ([(np.nan, 1), (2, 2)], "no points"),
    ],
)
def test_a_stroke_across_fewer_than_two_is_refused(
    points: list[tuple[float, float]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        merge_along(squares(2), points)


# split


@pytest.mark.parametrize("slope", [0, 1, 3, -2, 7])
def test_a_line_across_cuts_in_two(slope: int) -> None:
    labels = np.zeros((40, 60), np.uint32)
    labels[10:30, 5:55] = 4
    line = [(9, 20 - slope), (31, 20 + slope)]
    after = done(split_along(labels, line, new_id=NEW), labels)
    assert set(np.unique(after)) == {0, 4, NEW}
    np.testing.assert_array_equal(after > 0, labels > 0)
    assert after[20, 50] == 4  # the larger part keeps its id
    assert after[20, 6] == NEW
    assert pieces(after == 4) == pieces(after == NEW) == 1


def test_a_line_that_stops_just_short_cuts_too() -> None:
    labels = squares(3)
    after = done(split_along(labels, [(5, 6), (10, 6)], new_id=NEW), labels)
    assert np.count_nonzero(after == NEW) in (30, 40)
    np.testing.assert_array_equal(after == 2, labels == 2)


def test_only_the_object_with_most_of_the_line_is_cut() -> None:
    labels = squares(0)
    labels[3, 13:16] = 0
    after = done(split_along(labels, [(8, 0), (8, 15)], new_id=NEW), labels)
    assert set(np.unique(after)) == {0, 1, 2, NEW}
    np.testing.assert_array_equal(after == 2, labels == 2)


def test_crumbs_at_the_edge_make_no_objects() -> None:
    labels = np.zeros((30, 30), np.uint32)
    labels[5:25, 5:25] = 1
    labels[4, 6:24:3] = 1  # a ragged edge: teeth of one pixel
    with pytest.raises(InputError, match="across the whole object"):
        split_along(labels, [(5, 0), (5, 29)], new_id=NEW)


def test_several_pieces_count_on() -> None:
    labels = np.zeros((30, 60), np.uint32)
    labels[10:20, 5:55] = 1
    zigzag = [(5, 15), (25, 15), (25, 40), (5, 40)]
    after = done(split_along(labels, zigzag, new_id=NEW), labels)
    areas = [np.count_nonzero(after == number) for number in (1, NEW, NEW + 1)]
    assert sum(areas) == 500
    assert areas == sorted(areas, reverse=True)


@given(label_images(), STROKES)
def test_splitting_loses_no_pixel(labels: np.ndarray, points: list[tuple[float, float]]) -> None:
    edit, refusal = attempt(lambda: split_along(labels, points, new_id=NEW))
    if edit is None:
        assert "The line" in refusal
        return
    after = done(edit, labels)
    np.testing.assert_array_equal(after > 0, labels > 0)
    (cut,) = np.unique(labels[after != labels])
    np.testing.assert_array_equal(after[labels != cut], labels[labels != cut])
    parts = np.unique(after[labels == cut])
    assert parts.tolist() == [cut, *range(NEW, NEW + len(parts) - 1)]
    assert len(parts) >= 2


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(8, 8)], "whole object"),
        ([(8, 8), (8, 9)], "whole object"),
        ([(0, 0), (0, 30)], "crosses no object"),
        ([(-5, 0), (-5, 9)], "crosses no object"),
        ([], "no points"),
        ([(1, 1), (np.inf, 2)], "no points"),
    ],
)
def test_a_line_that_divides_nothing_is_refused(
    points: list[tuple[float, float]], words: str
) -> None:
    labels = np.zeros((20, 40), np.uint32)
    labels[2:18, 2:18] = 1
    with pytest.raises(InputError, match=words):
        split_along(labels, points, new_id=NEW)


# confirm


def test_confirming_twice_takes_it_back() -> None:
    labels, marks = squares(2), np.zeros((16, 28), np.uint8)
    confirm(labels, marks, (5, 5)).apply(marks)
    np.testing.assert_array_equal(marks == MARK_CONFIRMED, labels == 1)
    confirm(labels, marks, (5, 5)).apply(marks)
    assert (marks == MARK_NONE).all()


def test_confirming_what_is_half_confirmed_confirms_all() -> None:
    labels, marks = squares(2), np.zeros((16, 28), np.uint8)
    marks[:6] = MARK_CONFIRMED
    confirm(labels, marks, (5, 5)).apply(marks)
    assert (marks[labels == 1] == MARK_CONFIRMED).all()


def test_a_background_stroke_stays_and_cannot_be_confirmed() -> None:
    labels, marks = squares(2), np.zeros((16, 28), np.uint8)
    marks[:6] = MARK_BACKGROUND
    confirm(labels, marks, (5, 5)).apply(marks)
    assert (marks[:6] == MARK_BACKGROUND).all()
    assert (marks[6:][labels[6:] == 1] == MARK_CONFIRMED).all()
    marks[:] = MARK_BACKGROUND
    with pytest.raises(InputError, match="background stroke"):
        confirm(labels, marks, (5, 5))


@pytest.mark.parametrize(
    ("box", "size"),
    [
        (Box((2, 3), (5, 9)), 18),
        (Box((-5, -5), (2, 2)), 4),
        (Box((50, 50), (60, 60)), 0),
        (Box((0, 0), (99, 99)), 16 * 28),
    ],
)
def test_a_box_is_marked_where_it_lies_on_the_image(box: Box, size: int) -> None:
    marks = np.zeros((16, 28), np.uint8)
    mark_box(marks, box).apply(marks)
    assert np.count_nonzero(marks == MARK_CONFIRMED) == size


def test_a_box_keeps_background_strokes() -> None:
    marks = np.zeros((6, 6), np.uint8)
    marks[2] = MARK_BACKGROUND
    mark_box(marks, Box((0, 0), (6, 6))).apply(marks)
    assert (marks[2] == MARK_BACKGROUND).all()
    assert np.count_nonzero(marks == MARK_CONFIRMED) == 30


# stepping


@given(label_images())
def test_an_object_is_found_wherever_it_is(labels: np.ndarray) -> None:
    for number in np.unique(labels):
        y, x = np.nonzero(labels == number)
        box = Box((int(y.min()), int(x.min())), (int(y.max()) + 1, int(x.max()) + 1))
        assert find_object(labels, int(number)) == box
    assert find_object(labels, 70_000) is None


def test_an_object_is_found_across_stripes() -> None:
    labels = np.zeros((5000, 8), np.uint32)
    labels[1000:4100, 2:5] = 3
    assert find_object(labels, 3) == Box((1000, 2), (4100, 5))


@given(st.sets(st.integers(1, 50), min_size=1), st.integers(0, 60), st.sampled_from((1, -1)))
def test_stepping_visits_every_object_once(ids: set[int], current: int, step: int) -> None:
    ordered = np.array(sorted(ids), np.uint32)
    visited, at = [], current
    for _ in ids:
        found = next_object(ordered, at, step)
        assert found is not None
        at = found
        visited.append(at)
    assert sorted(visited) == sorted(ids)


def test_without_objects_there_is_no_next_one() -> None:
    assert next_object(np.zeros(0, np.uint32), 4) is None
