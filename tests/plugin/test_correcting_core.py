"""Corrections on napari's layers, without a window: what is found, undone, kept and locked."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.assembly import LiveLabels
from napari_unet.corrections import BACKGROUND, MARK_BACKGROUND, MARK_CONFIRMED
from napari_unet.errors import InputError
from napari_unet.image import Box
from napari_unet.instances import Patch
from napari_unet.io.journal import Journal, JournalHeader
from napari_unet.io.recovery import replay
from napari_unet.plugin.correcting import Correcting
from napari_unet.plugin.keys import Keys
from napari_unet.plugin.rectangles import correct_box

SHAPE = (120, 160)
ALL = Box((0, 0), SHAPE)
A, B = Box((20, 20), (50, 50)), Box((70, 90), (100, 130))


class Scene:
    """An image with a result on which the model found two objects."""

    def __init__(self, folder, shape=SHAPE) -> None:
        self.viewer = ViewerModel()
        self.layer = self.viewer.add_labels(np.zeros(shape, np.uint32), name="cells objects")
        self.live = LiveLabels.empty(shape)
        self.says(A, B)
        self.correcting = Correcting(self.viewer, self.layer, self.live, name="cells")
        self.journal = Journal(folder, JournalHeader("0" * 32, shape, "TYX"[-len(shape) :]))
        self.correcting.keep_in(self.journal)
        self.viewer.layers.selection.active = self.layer

    def says(self, *boxes, painted=None) -> None:
        """Segment again."""
        self.live.begin(self.layer.data, painted=painted)
        for number, plane in enumerate(np.ndindex(self.layer.data.shape[:-2])):
            picture = np.zeros(SHAPE, np.int32)
            for i, box in enumerate(boxes, 1):
                picture[box.slices] = i
            patch = Patch(ALL, picture, len(boxes))
            self.live.update(self.layer.data, plane, ALL, patch, number)

    def settle(self) -> None:
        """Let the timers' work be done."""
        for _ in range(20):
            self.correcting._work()

    def kept(self) -> np.ndarray:
        """What is on the disk."""
        assert self.journal.flush(10)
        return replay(self.journal.paths)[0]


@pytest.fixture
def scene(qapp, tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.correcting.close()


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
    correcting.brush_background()
    marks = scene.viewer.layers.selection.active
    assert correcting.is_marks(marks)
    assert (marks.mode, marks.selected_label) == ("paint", MARK_BACKGROUND)
    marks.brush_size = 10
    marks.paint((25, 20), 1)
    scene.settle()
    stroke = correcting.marks == MARK_BACKGROUND
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
    correcting.brush_background(on=False)
    assert scene.viewer.layers.selection.active is layer


def test_confirm_is_undone_with_the_result(scene):
    layer, correcting = scene.layer, scene.correcting
    correcting.confirm((), (30, 30))
    assert (correcting.marks[A.slices] == MARK_CONFIRMED).all()
    layer.paint((100, 20), 9)
    layer.undo()
    assert correcting.marks.any()
    layer.undo()
    assert not correcting.marks.any()
    layer.redo()
    assert np.count_nonzero(correcting.marks) == A.size
    scene.settle()
    np.testing.assert_array_equal(scene.kept() > 0, correcting.marks > 0)
    correcting.confirm((), (30, 30))
    assert not correcting.marks.any()


def test_runs_change_nothing_that_is_painted(scene):
    layer, correcting = scene.layer, scene.correcting
    correcting.confirm((), (30, 30))
    correcting.marks_layer().paint((110, 150), 1)
    layer.paint((85, 130), int(layer.data[85, 110]))  # one object is made longer
    correcting.mark_box((), Box((0, 100), (30, 160)))
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
    correcting.confirm((), (30, 30))
    scene.viewer.layers.remove("cells marks")
    assert np.count_nonzero(correcting.painted()) == A.size
    correcting.confirm((), (80, 100))
    assert correcting.marks_layer() in scene.viewer.layers
    assert np.count_nonzero(correcting.painted()) == A.size + B.size


def test_what_counts_is_shown(scene):
    scene.layer.data[B.slices] = 0
    scene.layer.data[100:110, 10:20] = 9
    scene.correcting.look_everywhere()
    scene.correcting.overlay.show(on=True)
    overlay = scene.viewer.layers["cells corrected"]
    assert scene.viewer.layers.selection.active is scene.layer
    assert overlay.data.shape == SHAPE
    painted = scene.correcting.tracker.known
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
    scene.correcting.confirm((2,), (30, 30))
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
    monkeypatch.setattr("napari_unet.plugin.correcting.QUIET", 0.0)
    scene.layer.paint((100, 20), 9)
    scene.settle()
    for _ in range(3):
        scene.correcting._tick()
    assert told == [1]
    assert scene.correcting.count == (1, 0)


def test_a_label_chosen_while_tiles_come_in_stays_the_persons(scene):
    layer = scene.layer
    scene.live.begin(layer.data)
    layer.selected_label = int(layer.data.max()) + 1  # as napari's key M does
    mine, pieces = layer.selected_label, scene.correcting.tracker.new_id
    assert pieces > mine
    patch = Patch(Box((5, 100), (15, 110)), np.ones((10, 10), np.int32), 1)
    scene.live.update(layer.data, (), Box((0, 80), SHAPE), patch, 1)
    assert layer.data[10, 105] not in (0, mine)


def test_pieces_of_a_split_keep_their_ids(scene):
    layer = scene.layer
    keys = Keys(scene.viewer, scene.correcting, lambda _text: None, lambda: None)
    keys.split()
    keys._armed._finish([(35.0, 10.0), (35.0, 60.0)])
    piece = int(layer.data.max())
    assert scene.live.assembly.next_id > piece


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


def test_objects_joined_by_key_are_restored_as_one(scene, tmp_path):
    keys = Keys(scene.viewer, scene.correcting, lambda _text: None, lambda: None)
    keys.merge()
    keys._armed._finish([(30.0, 40.0), (80.0, 100.0)])
    scene.settle()
    painted, kept = scene.correcting.painted(), scene.kept()
    np.testing.assert_array_equal(kept, painted)
    assert np.count_nonzero(painted) == A.size + B.size
    after = Scene(tmp_path / "after")  # a crash, and the program started again
    after.correcting.adopt(kept)
    np.testing.assert_array_equal(after.correcting.painted() > 0, painted > 0)
    assert len(after.correcting.tracker.ids) == 1
    after.correcting.close()


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
    correcting.mark_box((), Box((0, 0), (60, 80)))
    correcting.brush_background()
    marks = correcting.marks_layer()
    marks.brush_size = 8
    marks.paint((10, 60), MARK_BACKGROUND)
    scene.settle()
    stroke = correcting.marks == MARK_BACKGROUND
    layer.undo()
    np.testing.assert_array_equal(correcting.marks, np.where(stroke, MARK_BACKGROUND, 0))
    marks.paint((50, 10), MARK_BACKGROUND)
    scene.settle()
    stroke = correcting.marks == MARK_BACKGROUND
    layer.redo()
    np.testing.assert_array_equal(correcting.marks == MARK_BACKGROUND, stroke)
    assert (correcting.marks[:60, :80] > 0).all()


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


@pytest.mark.parametrize("times", [1, 2])
def test_choosing_the_brush_calls_the_line_off(scene, times):
    layer = scene.layer
    keys = Keys(scene.viewer, scene.correcting, lambda _text: None, lambda: None)
    callbacks, count = list(layer.mouse_drag_callbacks), len(scene.viewer.layers)
    keys.split()
    for _ in range(times):
        keys.brush()
    assert keys._armed is None
    active = scene.viewer.layers.selection.active
    assert (active is layer) == (times == 2)
    assert active.mode == "paint"
    if times == 2:
        assert len(layer.mouse_drag_callbacks) == len(callbacks) + 1  # napari's own brush
    assert [item.name for item in scene.viewer.layers][count:] == ["cells marks"]


def test_a_tool_of_napari_calls_the_line_off_too(scene):
    layer = scene.layer
    keys = Keys(scene.viewer, scene.correcting, lambda _text: None, lambda: None)
    keys.merge()
    layer.mode = "erase"
    assert keys._armed is None
    assert layer.mode == "erase"
    assert not layer.mouse_pan
    keys.merge()
    keys.disarm()
    assert layer.mode == "erase"


CORNERS = np.array([[10, 10], [10, 40], [30, 40], [30, 10]])


def rectangle(scene, plane=None, corners=CORNERS, **kinds):
    """Add a shapes layer with one shape, selected."""
    if plane is not None:
        corners = np.insert(corners.astype(float), 0, plane, axis=1)
    shapes = scene.viewer.add_shapes([corners], **{"shape_type": "rectangle", **kinds})
    shapes.selected_data = {0}
    return shapes


def test_all_correct_takes_the_rectangle_that_is_selected_in_this_plane(qapp, tmp_path):
    scene = Scene(tmp_path, (3, *SHAPE))
    scene.viewer.dims.set_point(0, 1)
    shapes = rectangle(scene, plane=1)
    assert correct_box(scene.viewer, scene.layer) == Box((10, 10), (30, 40))
    shapes.selected_data = set()
    flat = rectangle(scene)
    assert correct_box(scene.viewer, scene.layer) == Box((10, 10), (30, 40))
    flat.visible = False
    turned = np.array([[10, 25], [20, 40], [30, 25], [20, 10]])
    for others in ({"plane": 2}, {"shape_type": "polygon"}, {"corners": turned}):
        rectangle(scene, **others)
        with pytest.raises(InputError, match="Draw a rectangle in this plane"):
            correct_box(scene.viewer, scene.layer)
    scene.correcting.close()


def test_an_object_painted_outside_the_view_is_shown_as_corrected(scene, monkeypatch):
    layer = scene.layer
    layer.brush_size = 4
    layer.paint((50, 25), int(layer.data[30, 30]))
    scene.settle()
    view = Box((0, 0), (40, 40))  # the object reaches into it, the stroke does not
    monkeypatch.setattr("napari_unet.plugin.layers.shown_window", lambda *_: ((), view))
    scene.correcting.overlay.show(on=True)
    overlay = scene.viewer.layers["cells corrected"].data
    np.testing.assert_array_equal(overlay[view.slices] > 0, layer.data[view.slices] > 0)


@pytest.mark.parametrize("turn", ["rolled", "3-D"])
def test_keys_do_nothing_out_of_sight(qapp, tmp_path, turn):
    scene, said = Scene(tmp_path, (3, *SHAPE)), []
    keys = Keys(scene.viewer, scene.correcting, said.append, lambda: None)
    scene.viewer.cursor.position = (1.0, 30.0, 30.0)
    before = scene.layer.data.copy()
    if turn == "rolled":
        scene.viewer.dims.roll()
    else:
        scene.viewer.dims.ndisplay = 3
    for key in (keys.delete, keys.confirm, keys.split, keys.merge, lambda: keys.go(1)):
        key()
    assert len(said) == 5
    assert all("2-D view" in text for text in said)
    assert keys._armed is None
    np.testing.assert_array_equal(scene.layer.data, before)
    assert not scene.correcting.marks.any()
    scene.viewer.dims.ndisplay = 2
    scene.viewer.dims.order = (0, 2, 1)
    scene.viewer.cursor.position = (1.0, 30.0, 30.0)
    keys.delete()  # a plane shown the other way about is in sight
    assert len(said) == 5, said[-1]
    assert not scene.layer.data[(scene.viewer.dims.current_step[0], 30, 30)]
    scene.correcting.close()


def test_a_line_begun_before_the_view_was_rolled_cuts_nothing(qapp, tmp_path):
    scene, said = Scene(tmp_path, (3, *SHAPE)), []
    keys = Keys(scene.viewer, scene.correcting, said.append, lambda: None)
    before = scene.layer.data.copy()
    keys.split()
    scene.viewer.dims.roll()
    keys._armed._finish([(35.0, 10.0), (35.0, 60.0)])
    np.testing.assert_array_equal(scene.layer.data, before)
    assert "2-D view" in said[-1]
    scene.correcting.close()
