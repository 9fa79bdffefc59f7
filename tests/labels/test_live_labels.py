"""Putting blocks together: stable ids, any order, and what a person painted stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image import Box
from napari_unet.labels.live_labels import PERSONAL, Assembly, LiveLabels, empty_labels
from napari_unet.labels.painted import BACKGROUND
from napari_unet.labels.watershed import Patch, class_block, decode_block
from napari_unet.settings import DecodeSettings
from tests.strategies import blob_labels, probability_maps, same_partition

SHAPE = (64, 72)
OVERLAP = 44
Block = tuple[Box, Patch, int]


def cut(maps: np.ndarray, tile: int, decode: DecodeSettings) -> list[Block]:
    """Decode a probability map block by block, as a plan would."""
    height, width = maps.shape[1:]
    whole = Box((0, 0), (height, width))
    blocks = []
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            owned = Box((y, x), (min(y + tile, height), min(x + tile, width)))
            window = owned.grow(OVERLAP).intersect(whole)
            patch = decode_block(maps[(slice(None), *window.slices)], window, owned, decode)
            blocks.append((owned, patch, len(blocks)))
    return blocks


def put(blocks: list[Block], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    assembly = Assembly(empty_labels(shape))
    assembly.begin(1)
    for owned, patch, number in blocks:
        assembly.place((), owned, patch, number)
    return assembly.labels


def square(start: tuple[int, int], side: int, owned: Box) -> tuple[Box, Patch]:
    box = Box(start, (start[0] + side, start[1] + side))
    return owned, Patch(box, np.ones((side, side), np.int32), 1)


ALL = Box((0, 0), SHAPE)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([16, 24, 40]), st.randoms(use_true_random=False))
def test_order_changes_numbers_never_shapes(seed: int, tile: int, random: object) -> None:
    maps = probability_maps(blob_labels(seed, SHAPE), seed, noise=30)
    blocks = cut(maps, tile, DecodeSettings())
    expected = put(blocks)
    random.shuffle(blocks)
    assert same_partition(put(blocks), expected)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_a_second_run_leaves_nothing_of_the_first(seed: int, random: object) -> None:
    """Whatever was there before, after a whole run the objects are those of a fresh one."""
    maps = probability_maps(blob_labels(seed, SHAPE), seed, noise=30)
    assembly = Assembly(empty_labels(SHAPE))
    for sensitivity in (0.5, 0.9, 0.2, 0.6):
        blocks = cut(maps, 24, DecodeSettings(sensitivity=sensitivity))
        fresh = put(blocks)
        random.shuffle(blocks)
        assembly.begin(1)
        for owned, patch, number in blocks:
            assembly.place((), owned, patch, number)
        assert same_partition(assembly.labels, fresh)
        assert assembly.count >= len(np.unique(fresh)) - 1


def test_an_object_that_shrinks_leaves_no_rim_and_keeps_its_id() -> None:
    assembly = Assembly(empty_labels(SHAPE))
    assembly.begin(1)
    assembly.place((), *square((10, 10), 20, ALL), 0)
    assembly.begin(1)
    changed = assembly.place((), *square((15, 15), 8, ALL), 0)
    assert changed == ALL
    assert (assembly.labels == 1).sum() == 64
    assert set(np.unique(assembly.labels)) == {0, 1}


def test_an_object_that_shrinks_is_cleared_also_outside_its_block() -> None:
    left, right = Box((0, 0), (64, 36)), Box((0, 36), SHAPE)
    live, shown = LiveLabels.empty(SHAPE), empty_labels(SHAPE)
    live.begin(shown)
    live.update(shown, (), *square((10, 20), 30, left), 0)
    live.begin(shown)
    area = live.update(shown, (), *square((10, 20), 12, left), 0)
    assert area.intersect(Box((10, 20), (40, 50))) == Box((10, 20), (40, 50))
    assert (shown > 0).sum() == 144
    assert not live.corrected.any()
    empty = Patch(Box((0, 0), (0, 0)), np.zeros((0, 0), np.int32), 0)
    live.update(shown, (), right, empty, 1)
    assert not live.corrected.any()


def test_two_blocks_that_claim_one_pixel_the_lower_number_has_it() -> None:
    left, right = Box((0, 0), (64, 36)), Box((0, 36), SHAPE)
    claims = [(*square((10, 20), 20, left), 0), (*square((10, 37), 20, right), 1)]
    for blocks in (claims, claims[::-1]):
        labels = put(blocks)
        assert len(np.unique(labels[10:30, 20:40])) == 1
        assert (labels > 0).sum() == 400 + 400 - 20 * 3


def test_ids_of_unchanged_objects_stay_when_a_slider_goes_forth_and_back() -> None:
    maps = probability_maps(blob_labels(5, SHAPE), noise=5)
    live, shown = LiveLabels.empty(SHAPE), empty_labels(SHAPE)
    seen = []
    for sensitivity in (0.5, 0.5, 0.6, 0.5):
        live.begin(shown)
        for owned, patch, number in cut(maps, 24, DecodeSettings(sensitivity=sensitivity)):
            live.update(shown, (), owned, patch, number)
        seen.append(shown.copy())
    assert len(np.unique(seen[0])) > 8
    assert (seen[1] == seen[0]).all()
    assert (seen[3] == seen[0]).all()


def test_a_very_large_id_of_the_person_costs_no_memory_and_no_collision() -> None:
    live, shown = LiveLabels.empty(SHAPE), empty_labels(SHAPE)
    for painted in (2**31 - 1, 2**32 - 1):
        shown[0, 0] = painted
        live.begin(shown, above=painted)
        live.update(shown, (), *square((10, 10), 5, ALL), 0)
        assert shown[0, 0] == painted
        assert 0 < shown[12, 12] < PERSONAL
        assert len(live.assembly._block_of) < 1000


def test_seventy_thousand_objects_have_seventy_thousand_ids() -> None:
    labels = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280)
    assembly = Assembly(empty_labels((250, 280)))
    assembly.begin(1)
    whole = Box((0, 0), (250, 280))
    assembly.place((), whole, Patch(whole, labels, 70_000), 0)
    assert assembly.count == len(np.unique(assembly.labels)) == 70_000


def test_classes_have_no_identity() -> None:
    maps = np.zeros((1, *SHAPE), np.uint8)
    maps[0, 10:20, 10:20] = 200
    assembly = Assembly(empty_labels(SHAPE), classes=True)
    for _ in range(2):
        assembly.begin(1)
        assembly.place((), ALL, class_block(maps, ALL, ALL), 0)
        assert (assembly.labels == maps[0]).all()


@st.composite
def actions(draw: st.DrawFn) -> list[tuple]:
    """What a person may do: run (perhaps cancelled) with some threshold, paint, erase."""
    steps: list[tuple] = []
    for kind in draw(st.lists(st.sampled_from(["run", "paint"]), min_size=2, max_size=8)):
        if kind == "run":
            steps.append((kind, draw(st.sampled_from([0.2, 0.5, 0.8])), draw(st.integers(0, 12))))
        else:
            corner = draw(st.integers(0, 60)), draw(st.integers(0, 60))
            steps.append(
                (kind, corner, draw(st.integers(1, 12)), draw(st.sampled_from([0, 1, 3, 500])))
            )
    return steps


@settings(max_examples=40)
@given(st.integers(0, 99), actions(), st.randoms(use_true_random=False))
def test_painted_pixels_never_change(seed: int, steps: list[tuple], random: object) -> None:
    maps = probability_maps(blob_labels(seed, SHAPE), seed, noise=30)
    live, shown = LiveLabels.empty(SHAPE), empty_labels(SHAPE)
    painted = np.full(SHAPE, -1, np.int64)  # -1 = not changed by the person
    was = shown.copy()  # what was there before; to paint that again takes a change back
    for step in [("run", 0.5, 12), *steps, ("run", 0.7, 12)]:
        if step[0] == "paint":
            (y, x), side, value = step[1:]
            part = np.s_[y : y + side, x : x + side]
            np.copyto(was[part], shown[part], where=painted[part] < 0)
            painted[part] = np.where(was[part] == value, -1, value)
            shown[part] = value
            continue
        live.begin(shown)
        by_hand = set(np.unique(painted)) - {-1, 0}
        before = live.assembly.next_id
        blocks = cut(maps, 24, DecodeSettings(sensitivity=step[1]))
        random.shuffle(blocks)
        for owned, patch, number in blocks[: step[2]]:
            live.update(shown, (), owned, patch, number)
        assert (shown == painted)[painted >= 0].all()
        assert not by_hand & set(range(before, live.assembly.next_id))
        assert (shown == live.assembly.labels)[painted < 0].all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, np.int64])
def test_any_type_of_labels_can_be_shown(dtype: type) -> None:
    live, shown = LiveLabels.empty(SHAPE), np.zeros(SHAPE, dtype)
    live.begin(shown)
    live.update(shown, (), *square((3, 3), 6, ALL), 0)
    assert (shown > 0).sum() == 36


def test_painted_objects_stay_whole_and_others_flow_around() -> None:
    live = LiveLabels.empty(SHAPE)
    shown = np.zeros(SHAPE, np.uint32)
    live.begin(shown)
    live.update(shown, (), *square((10, 10), 20, ALL), block=0)
    kept = shown.copy()
    live.begin(shown, painted=kept)
    # The same object a little larger, and one behind it that reaches under it.
    patch = np.zeros((40, 40), np.int32)
    patch[8:32, 8:32] = 1
    patch[20:38, 26:39] = 2
    live.update(shown, (), ALL, Patch(Box((0, 0), (40, 40)), patch, 2), block=0)
    assert (shown[kept > 0] == kept[kept > 0]).all()
    assert np.count_nonzero(shown == 1) == 400
    assert set(np.unique(shown)) == {0, 1, shown[35, 35]}
    assert (shown[32:38, 26:39] == shown[35, 35]).all()
    assert shown[35, 35] > 1
    live.begin(shown, painted=kept)
    live.update(shown, (), *square((10, 10), 25, ALL), block=0)
    assert np.count_nonzero(shown == 1) == 400  # nobody else is called by its number
    live.begin(shown)  # nothing is painted any more
    live.update(shown, (), *square((10, 10), 5, ALL), block=0)
    assert np.count_nonzero(shown) == 25


def test_marks_made_during_a_run_hold() -> None:
    live = LiveLabels.empty(SHAPE)
    shown = np.zeros(SHAPE, np.uint32)
    live.begin(shown)
    live.marks[20:30, 20:30] = 1
    live.update(shown, (), *square((10, 10), 40, ALL), block=0)
    assert not shown[20:30, 20:30].any()
    assert not live.corrected.any()  # the stroke can be taken back


def test_no_tile_gives_an_id_that_a_person_took_while_the_run_went_on() -> None:
    live = LiveLabels.empty(SHAPE)
    shown = np.zeros(SHAPE, np.uint32)
    live.begin(shown)
    left, right = Box((0, 0), (64, 36)), Box((0, 36), SHAPE)
    live.update(shown, (), *square((10, 10), 10, left), block=0)
    mine = int(shown.max()) + 1
    live.keep_clear(mine)
    shown[40:45, 10:15] = mine
    live.update(shown, (), *square((10, 50), 10, right), block=1)
    assert int(shown[12, 52]) not in {0, 1, mine}
    live.keep_clear(PERSONAL + 5)  # far beyond all others: counting on from there takes memory
    assert live.assembly.next_id < 10


def test_background_that_was_taken_back_is_filled_by_the_next_run() -> None:
    live, shown = LiveLabels.empty(SHAPE), empty_labels(SHAPE)
    painted = np.zeros(SHAPE, np.uint32)
    painted[12:16, 12:16] = BACKGROUND
    live.begin(shown, painted=painted)
    live.update(shown, (), *square((10, 10), 10, ALL), block=0)
    assert not shown[12:16, 12:16].any()
    live.begin(shown)
    live.update(shown, (), *square((10, 10), 10, ALL), block=0)
    assert np.count_nonzero(shown) == 100
