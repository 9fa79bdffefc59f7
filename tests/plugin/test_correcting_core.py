"""Corrections on napari's layers, without a window: what is found, undone, kept and locked."""

import numpy as np
import pytest
from napari.components import ViewerModel
from scene import SHAPE, A, B, Scene

from napari_unet.image import Box
from napari_unet.journal.journal import Journal, JournalHeader
from napari_unet.journal.recovery import replay
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.painted import BACKGROUND, MARK_BACKGROUND, MARK_CONFIRMED
from napari_unet.plugin.result.correcting import Correcting


def test_strokes_undo_and_redo_are_kept(scene):
    layer = scene.layer
    layer.brush_size = 10
    layer.paint((100, 20), 9)
    scene.settle()
    stroke = layer.data == 9
    np.testing.assert_array_equal(scene.kept(), np.where(stroke, 9, 0))
    layer.undo()
    scene.settle()
    assert not scene.kept().any()
    layer.redo()
    scene.settle()
    np.testing.assert_array_equal(scene.kept(), np.where(stroke, 9, 0))
    assert scene.journal.acknowledged == 3


def test_silent_edits_are_found_by_the_sweep_and_before_it_matters(scene):
    scene.layer.data[0:5, 0:5] = 9
    scene.correcting._tick()
    scene.correcting._tick()
    assert scene.kept()[0:5, 0:5].all()
    scene.layer.data[10:15, 0:5] = 9
    painted = scene.correcting.painted()
    assert (painted[10:15, 0:5] == 9).all()
    np.testing.assert_array_equal(scene.kept(), painted)
    scene.layer.data[100:105, 0:5] = 9
    scene.correcting.close()
    assert replay(scene.journal.paths)[0][100:105, 0:5].all()


def test_background_brush_and_undo_on_either_layer(scene):
    layer, correcting = scene.layer, scene.correcting
    before = layer.data.copy()
    correcting.marks.brush_background()
    marks = scene.viewer.layers.selection.active
    assert correcting.marks.is_layer(marks)
    assert (marks.mode, marks.selected_label) == ("paint", MARK_BACKGROUND)
    marks.brush_size = 10
    marks.paint((25, 20), 1)
    scene.settle()
    stroke = correcting.marks.array == MARK_BACKGROUND
    assert stroke.any()
    assert not layer.data[stroke].any()
    np.testing.assert_array_equal(layer.data[~stroke], before[~stroke])
    np.testing.assert_array_equal(scene.kept(), np.where(stroke, BACKGROUND, 0))
    marks.undo()
    scene.settle()
    np.testing.assert_array_equal(layer.data, before)
    assert not scene.kept().any()
    marks.redo()
    scene.settle()
    assert not layer.data[stroke].any()
    correcting.marks.brush_background(on=False)
    assert scene.viewer.layers.selection.active is layer


def test_confirm_is_undone_with_the_result(scene):
    layer, correcting = scene.layer, scene.correcting
    correcting.marks.confirm((), (30, 30))
    assert (correcting.marks.array[A.slices] == MARK_CONFIRMED).all()
    layer.paint((100, 20), 9)
    layer.undo()
    assert correcting.marks.array.any()
    layer.undo()
    assert not correcting.marks.array.any()
    layer.redo()
    assert np.count_nonzero(correcting.marks.array) == A.size
    scene.settle()
    np.testing.assert_array_equal(scene.kept() > 0, correcting.marks.array > 0)
    correcting.marks.confirm((), (30, 30))
    assert not correcting.marks.array.any()


def test_runs_change_nothing_that_is_painted(scene):
    layer, correcting = scene.layer, scene.correcting
    correcting.marks.confirm((), (30, 30))
    correcting.marks.layer().paint((110, 150), 1)
    layer.paint((85, 130), int(layer.data[85, 110]))  # one object is made longer
    correcting.marks.mark_box((), Box((0, 100), (30, 160)))
    painted = correcting.painted()
    layer_before = layer.data.copy()
    assert (painted == BACKGROUND).any()
    scene.says(A.grow(3), Box((60, 80), (115, 159)), Box((2, 80), (20, 158)), painted=painted)
    is_painted = painted != 0
    np.testing.assert_array_equal(layer.data[is_painted], layer_before[is_painted])
    np.testing.assert_array_equal(correcting.painted(), painted)
    for number in np.unique(layer_before[is_painted & (layer_before > 0)]):
        np.testing.assert_array_equal(layer.data == number, layer_before == number)
    assert layer.data[5, 85] > 0  # a new object goes up to the box


def test_marks_layer_removed_keeps_the_marks(scene):
    correcting = scene.correcting
    correcting.marks.confirm((), (30, 30))
    scene.viewer.layers.remove("cells marks")
    assert np.count_nonzero(correcting.painted()) == A.size
    correcting.marks.confirm((), (80, 100))
    assert correcting.marks.layer() in scene.viewer.layers
    assert np.count_nonzero(correcting.painted()) == A.size + B.size


def test_what_counts_is_shown(scene):
    scene.layer.data[B.slices] = 0
    scene.layer.data[100:110, 10:20] = 9
    scene.correcting.look_everywhere()
    scene.correcting.overlay.show(on=True)
    overlay = scene.viewer.layers["cells corrected"]
    assert scene.viewer.layers.selection.active is scene.layer
    assert overlay.data.shape == SHAPE
    painted = scene.correcting.tracker.recorded
    shown = overlay.data > 0
    assert shown.any()
    assert (painted[shown] > 0).all()
    scene.correcting.overlay.show(on=False)
    assert not overlay.visible


def test_stacks(qapp, tmp_path):
    scene = Scene(tmp_path, (3, *SHAPE))
    scene.viewer.dims.set_point(0, 1)
    scene.layer.brush_size = 8
    scene.layer.paint((1, 100, 20), 50)
    scene.settle()
    kept = scene.kept()
    np.testing.assert_array_equal(kept, np.where(scene.layer.data == 50, 50, 0))
    scene.correcting.marks.confirm((2,), (30, 30))
    painted = scene.correcting.painted()
    assert (painted[(2, *A.slices)] == scene.layer.data[2, 30, 30]).all()
    assert not painted[0].any()
    scene.correcting.close()


def test_changes_before_the_image_is_known_are_not_lost(qapp, tmp_path):
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint32))
    correcting = Correcting(viewer, layer, LiveLabels.empty(SHAPE), name="cells")
    layer.data[5:9, 5:9] = 3
    correcting.look_everywhere()
    journal = Journal(tmp_path, JournalHeader("0" * 32, SHAPE, "YX"))
    correcting.keep_in(journal)
    correcting.close()
    layer.paint((50, 50), 4)  # nobody listens any more
    assert np.count_nonzero(replay(journal.paths)[0]) == 16


def test_listeners_are_told_once(scene, monkeypatch):
    told = []
    scene.correcting.changed.connect(lambda: told.append(1))
    monkeypatch.setattr("napari_unet.plugin.result.correcting.QUIET", 0.0)
    scene.layer.paint((100, 20), 9)
    scene.settle()
    for _ in range(3):
        scene.correcting._tick()
    assert told == [1]
    assert scene.correcting.count == (1, 0)


def test_the_journal_holds_touched_objects_as_a_whole(scene):
    layer = scene.layer
    layer.brush_size = 8
    layer.paint((50, 35), int(layer.data[30, 30]))  # the model's object is made longer
    scene.settle()
    assert scene.journal.flush(10)
    header_and_stroke = scene.journal.size
    assert header_and_stroke < 5000
    kept = scene.kept()
    np.testing.assert_array_equal(kept > 0, layer.data == layer.data[30, 30])
    np.testing.assert_array_equal(kept, scene.correcting.painted())


def test_a_stroke_undone_after_another_run_is_nothing_painted(scene):
    layer = scene.layer
    layer.brush_size = 6
    layer.paint((110, 20), 50)
    stroke = layer.data == 50
    for found in ((A, B), (A, B, Box((100, 10), (118, 30)))):  # in the end the model sees one there
        scene.says(*found, painted=scene.correcting.painted())
        assert (layer.data[stroke] == 50).all()
    layer.undo()
    assert not scene.correcting.painted().any()
    assert not scene.kept().any()
    scene.says(*found, painted=None)
    assert len(set(layer.data[100:118, 10:30].ravel())) == 1
    assert layer.data[110, 20] > 0
    layer.redo()
    np.testing.assert_array_equal(scene.correcting.painted() == 50, stroke)


def test_what_was_erased_on_purpose_stays_background(scene):
    layer = scene.layer
    layer.brush_size = 6
    layer.paint((30, 30), 0)
    erased = (layer.data == 0)[A.slices].copy()
    assert erased.any()
    for found in ((A, B), (B,), (A, B)):
        scene.says(*found, painted=scene.correcting.painted())
        assert (scene.correcting.painted()[A.slices][erased] == BACKGROUND).all()
    layer.undo()
    assert not scene.correcting.painted().any()


def test_taking_a_box_back_leaves_what_was_marked_inside_it_since(scene):
    layer, correcting = scene.layer, scene.correcting
    correcting.marks.mark_box((), Box((0, 0), (60, 80)))
    correcting.marks.brush_background()
    marks = correcting.marks.layer()
    marks.brush_size = 8
    marks.paint((10, 60), MARK_BACKGROUND)
    scene.settle()
    stroke = correcting.marks.array == MARK_BACKGROUND
    layer.undo()
    np.testing.assert_array_equal(correcting.marks.array, np.where(stroke, MARK_BACKGROUND, 0))
    marks.paint((50, 10), MARK_BACKGROUND)
    scene.settle()
    stroke = correcting.marks.array == MARK_BACKGROUND
    layer.redo()
    np.testing.assert_array_equal(correcting.marks.array == MARK_BACKGROUND, stroke)
    assert (correcting.marks.array[:60, :80] > 0).all()


@pytest.mark.parametrize("tool", ["brush", "fill", "key"])
def test_paint_in_planes_that_are_not_shown_is_kept_at_once(qapp, tmp_path, tool):
    scene = Scene(tmp_path, (5, *SHAPE))
    layer = scene.layer
    layer.n_edit_dimensions = 3
    if tool == "brush":
        layer.brush_size = 9
        layer.paint((2, 60, 60), 50)
    elif tool == "fill":
        layer.fill((0, 110, 20), 50)
    else:
        layer.data_setitem((np.array([1, 3]), np.array([60, 61]), np.array([60, 5])), 50)
    scene.settle()
    planes = np.unique(np.nonzero(layer.data == 50)[0])
    assert len(planes) > 1
    np.testing.assert_array_equal(scene.kept() == 50, layer.data == 50)
    scene.correcting.close()


def test_an_object_painted_outside_the_view_is_shown_as_corrected(scene, monkeypatch):
    layer = scene.layer
    layer.brush_size = 4
    layer.paint((50, 25), int(layer.data[30, 30]))
    scene.settle()
    view = Box((0, 0), (40, 40))  # the object reaches into it, the stroke does not
    monkeypatch.setattr("napari_unet.plugin.layers.layers.shown_window", lambda *_: ((), view))
    scene.correcting.overlay.show(on=True)
    overlay = scene.viewer.layers["cells corrected"].data
    np.testing.assert_array_equal(overlay[view.slices] > 0, layer.data[view.slices] > 0)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_strokes_on_a_layer_of_another_type_are_kept(scene, kind):
    """As after napari's *Convert data type*, while every id can be told."""
    layer, troubles = scene.layer, []
    scene.correcting.trouble.connect(troubles.append)
    layer.data = layer.data.astype(kind)
    layer.brush_size = 10
    layer.paint((100, 20), 9)
    scene.correcting._tick()
    scene.settle()
    stroke = layer.data == 9
    assert stroke.any()
    np.testing.assert_array_equal(scene.kept(), np.where(stroke, 9, 0))
    assert troubles == []


@pytest.mark.parametrize("spoil", ["too small", "shape"])
def test_a_layer_that_tells_nothing_any_more_is_told_once(scene, spoil):
    layer, troubles = scene.layer, []
    scene.correcting.trouble.connect(troubles.append)
    layer.data[0:5, 0:5] = 300
    scene.correcting.look_everywhere()
    layer.data = layer.data.astype(np.uint8) if spoil == "too small" else layer.data[:100].copy()
    assert len(troubles) == 1  # at once: what is said next is about what is done next
    layer.data[80:85, 0:5] = 9
    for _ in range(3):
        scene.correcting._tick()
    assert len(troubles) == 1
    assert troubles[0].startswith("What you paint on cells objects is not kept:")
    assert "Press Segment" in troubles[0]
    kept = np.zeros(SHAPE, np.uint32)
    kept[0:5, 0:5] = 300
    np.testing.assert_array_equal(scene.kept(), kept)
