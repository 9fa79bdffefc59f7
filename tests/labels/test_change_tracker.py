"""What is painted, found by looking; background strokes and the result agree."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image import Box
from napari_unet.labels.change_tracker import ChangeTracker
from napari_unet.labels.live_labels import PERSONAL, LiveLabels
from napari_unet.labels.painted import BACKGROUND, MARK_BACKGROUND, MARK_CONFIRMED

SHAPE = (60, 80)
ALL = Box((0, 0), SHAPE)


class Scene:
    """A result with two objects that the model found, and a person."""

    def __init__(self, shape=SHAPE) -> None:
        self.live = LiveLabels.empty(shape)
        said = self.live.assembly.labels
        said[..., 10:20, 10:20] = 1
        said[..., 30:40, 30:50] = 2
        self.live.assembly.next_id = 3
        self.shown = said.copy()
        self.tracker = ChangeTracker(self.live)

    def compare(self, plane=()):
        for edit, array in zip(
            self.tracker.reconcile(self.shown, plane, ALL),
            (self.shown, self.live.marks),
            strict=False,
        ):
            edit.apply(array)
        change = self.tracker.compare(self.shown, plane, ALL)
        assert self.tracker.compare(self.shown, plane, ALL) is None
        return change

    def brush(self, rows, columns, mark=MARK_BACKGROUND) -> None:
        self.live.marks[rows, columns] = mark


def test_untouched_is_nothing():
    scene = Scene()
    assert scene.compare() is None
    assert not scene.tracker.painted().any()


def test_strokes_are_found_and_counted():
    scene = Scene()
    scene.shown[50:55, 60:70] = 7
    change = scene.compare()
    assert change.box == Box((50, 60), (55, 70))
    assert not change.before.any()
    assert (change.after == 7).all()
    assert (len(scene.tracker.ids), scene.tracker.background) == (1, 0)
    assert scene.tracker.new_id == 8
    scene.shown[50:55, 60:70] = 0
    assert (scene.compare().after == 0).all()
    assert len(scene.tracker.ids) == 0


def test_background_stroke_and_undo():
    scene = Scene()
    before = scene.shown.copy()
    scene.brush(slice(5, 15), slice(5, 15))
    scene.compare()
    assert (scene.shown[5:15, 5:15] == 0).all()
    assert scene.tracker.background == 100
    scene.brush(slice(5, 15), slice(5, 15), 0)
    scene.compare()
    np.testing.assert_array_equal(scene.shown, before)
    assert scene.tracker.background == len(scene.tracker.ids) == 0


def test_undone_background_stroke_gives_back_what_the_person_painted():
    scene = Scene()
    scene.shown[50:55, 60:70] = 7
    scene.compare()
    scene.brush(slice(50, 60), slice(60, 65))
    scene.compare()
    assert (scene.shown[50:55, 60:65] == 0).all()
    scene.brush(slice(50, 60), slice(60, 65), 0)
    scene.compare()
    assert (scene.shown[50:55, 60:70] == 7).all()


def test_undone_background_stroke_shows_what_the_model_says_now():
    scene = Scene()
    scene.brush(slice(5, 15), slice(5, 15))
    scene.compare()
    scene.live.assembly.labels[10:20, 10:20] = 3
    scene.brush(slice(5, 15), slice(5, 15), 0)
    scene.compare()
    assert (scene.shown[10:15, 10:15] == 3).all()
    assert (scene.shown[5:10, 5:10] == 0).all()


def test_object_painted_over_a_stroke_hides_it():
    scene = Scene()
    scene.brush(slice(50, 60), slice(0, 10))
    scene.compare()
    scene.shown[52:54, 0:10] = 9
    scene.compare()
    assert not scene.live.marks[52:54, 0:10].any()
    painted = scene.tracker.painted()
    assert (painted[52:54, 0:10] == 9).all()
    scene.shown[52:54, 0:10] = 0  # undone
    scene.compare()
    assert (scene.live.marks[50:60, 0:10] == MARK_BACKGROUND).all()
    assert scene.tracker.background == 100


def test_touched_objects_count_wholly_in_their_plane():
    scene = Scene((2, *SHAPE))
    scene.shown[0, 40:42, 30:50] = 2  # a person makes it longer
    scene.compare((0,))
    scene.compare((1,))
    painted = scene.tracker.painted()
    assert (painted[0, 30:42, 30:50] == 2).all()
    assert np.count_nonzero(painted[0]) == 12 * 20
    assert not painted[1].any()


def test_confirmed_box_is_object_and_background():
    scene = Scene()
    scene.brush(slice(0, 25), slice(0, 25), MARK_CONFIRMED)
    scene.compare()
    painted = scene.tracker.painted()
    assert (painted[10:20, 10:20] == 1).all()
    assert (painted[0:10, 0:25] == BACKGROUND).all()
    assert not painted[25:].any()


def test_adopting_keeps_ids_unless_another_object_has_them():
    scene = Scene()
    scene.shown[50:55, 60:70] = 7
    scene.compare()
    painted = np.zeros(SHAPE, np.uint32)
    painted[8:20, 8:20] = 5  # over object 1, which goes
    painted[50:55, 65:75] = 7  # another 7, which reaches into the person's own
    painted[0:5, 0:5] = BACKGROUND
    painted[30:32, 0:5] = 2  # the model's 2 is elsewhere
    before = scene.tracker.recorded.copy()
    scene.tracker.adopt(scene.shown, painted)
    scene.compare()
    assert (scene.shown[8:20, 8:20] == 5).all()
    assert (scene.shown[50:55, 60:70] == 7).all()
    ids = {int(scene.shown[52, 72]), int(scene.shown[30, 2])}
    assert len(ids) == 2
    assert not ids & {0, 1, 2, 5, 7}
    assert (scene.shown[30:40, 30:50] == 2).all()
    counted = scene.tracker.painted()
    np.testing.assert_array_equal(counted != 0, (painted != 0) | (before == 7))
    assert (counted[0:5, 0:5] == BACKGROUND).all()


def test_ids_that_were_painted_are_free_no_more():
    scene = Scene()
    scene.shown[50:55, 60:70] = 7
    scene.compare()
    assert scene.live.assembly.next_id == 8


def test_an_object_made_longer_counts_as_a_whole_until_that_is_undone():
    scene = Scene()
    scene.shown[40:44, 30:50] = 2
    change = scene.compare()
    assert change.box == Box((30, 30), (44, 50))
    assert not change.before.any()
    assert (change.after == 2).all()
    assert scene.live.locked[30:40, 30:50].all()
    assert 2 in scene.live.assembly.kept
    scene.shown[40:44, 30:50] = 0
    change = scene.compare()
    assert change.box == Box((30, 30), (44, 50))
    assert not change.after.any()
    assert not scene.live.locked.any()
    assert not scene.tracker.painted().any()


def test_an_object_is_completed_beyond_the_window_that_was_looked_at():
    scene = Scene()
    scene.shown[35:39, 50:55] = 2
    window = Box((35, 50), (39, 55))
    change = scene.tracker.compare(scene.shown, (), window)
    assert change.box == Box((30, 30), (40, 55))
    np.testing.assert_array_equal(scene.tracker.painted() == 2, scene.shown == 2)
    scene.shown[35:39, 50:55] = 0
    scene.tracker.compare(scene.shown, (), window)
    assert not scene.tracker.painted().any()


def test_joined_objects_are_one_whole():
    scene = Scene()
    scene.shown[10:20, 10:20] = 2  # as the key joins them
    scene.compare()
    np.testing.assert_array_equal(scene.tracker.painted() == 2, scene.shown == 2)


def test_classes_are_never_completed():
    scene = Scene()
    scene.live.assembly.classes = True
    scene.shown[40:44, 30:50] = 2
    scene.compare()
    assert np.count_nonzero(scene.tracker.painted()) == 80


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 55), st.integers(0, 75), st.integers(0, 4)), max_size=12))
def test_changes_together_are_what_is_painted(strokes):
    """In any order of windows the journal's strokes add up to what is locked and learned."""
    scene, replayed = Scene(), np.zeros(SHAPE, np.uint32)
    windows = [Box((y, x), (y + 20, x + 20)) for y in (0, 20, 40) for x in (0, 20, 40, 60)]
    for y, x, number in strokes:
        scene.shown[y : y + 5, x : x + 5] = number
        for window in 3 * windows:
            change = scene.tracker.compare(scene.shown, (), window)
            if change is not None:
                there = replayed[change.box.slices]
                np.testing.assert_array_equal(there, change.before)
                there[...] = change.after
        np.testing.assert_array_equal(replayed, scene.tracker.painted())
    said = scene.live.assembly.labels
    touched = np.unique(scene.shown[(scene.shown != said) & (scene.shown > 0)])
    whole = np.isin(scene.shown, touched)
    np.testing.assert_array_equal(replayed[whole], scene.shown[whole])
    assert not replayed[~whole & (scene.shown == said)].any()


def test_objects_with_very_large_ids_are_completed_too():
    scene = Scene()
    large = PERSONAL + 5
    for array in (scene.shown, scene.live.assembly.labels):
        array[10:20, 10:20] = large
    scene.shown[20:22, 10:20] = large
    scene.shown[40:42, 30:50] = 2
    scene.compare()
    np.testing.assert_array_equal(scene.tracker.painted(), scene.shown)
