"""Keys, lines and rectangles on napari's layers, without a window."""

import numpy as np
import pytest
from napari.components import ViewerModel
from scene import SHAPE, A, B, Scene

from napari_unet.errors import InputError
from napari_unet.image import Box
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.watershed import Patch
from napari_unet.plugin.correct.keys import BRUSH, CONFIRM, DELETE, MERGE, NEXT, SPLIT, Keys
from napari_unet.plugin.layers.rectangles import correct_box
from napari_unet.plugin.result.correcting import Correcting


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
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _text: None, lambda: None)
    keys.press(SPLIT)
    keys._armed._finish([(35.0, 10.0), (35.0, 60.0)])
    piece = int(layer.data.max())
    assert scene.live.assembly.next_id > piece


def split(scene) -> tuple[int, int]:
    """Split `A` in two, and return the ids of its upper and its lower half."""
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _text: None, lambda: None)
    keys.press(SPLIT)
    keys._armed._finish([(35.0, 10.0), (35.0, 60.0)])
    scene.settle()
    upper, lower = scene.layer.data[21, 30], scene.layer.data[48, 30]
    assert upper != lower
    return int(upper), int(lower)


def test_no_later_run_changes_either_half_of_a_split(scene):
    halves = split(scene)
    assert scene.correcting.count == (2, 0)
    before = scene.layer.data.copy()
    scene.says(B, painted=scene.correcting.painted())  # A is too small to be an object now
    np.testing.assert_array_equal(scene.layer.data, before)
    assert {*np.unique(scene.kept())} == {0, *halves}


def test_one_undo_takes_a_split_back(scene):
    layer, before = scene.layer, scene.layer.data.copy()
    layer.data_setitem((np.array([5, 6]), np.array([5, 6])), 9)  # and what was done before stays
    split(scene)
    after = layer.data.copy()
    layer.undo()
    scene.settle()
    assert scene.correcting.count == (1, 0)
    assert not scene.correcting.marks.array.any()
    np.testing.assert_array_equal(layer.data[10:], before[10:])
    layer.redo()
    scene.settle()
    assert scene.correcting.count == (3, 0)
    np.testing.assert_array_equal(layer.data, after)


def test_no_later_run_changes_what_was_joined(scene):
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _text: None, lambda: None)
    keys.press(MERGE)
    keys._armed._finish([(30.0, 40.0), (80.0, 100.0)])
    scene.settle()
    before = scene.layer.data.copy()
    scene.says(painted=scene.correcting.painted())
    np.testing.assert_array_equal(scene.layer.data, before)
    assert scene.correcting.count == (1, 0)


def test_objects_joined_by_key_are_restored_as_one(scene, tmp_path):
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _text: None, lambda: None)
    keys.press(MERGE)
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


@pytest.mark.parametrize("times", [1, 2])
def test_choosing_the_brush_calls_the_line_off(scene, times):
    layer = scene.layer
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _text: None, lambda: None)
    callbacks, count = list(layer.mouse_drag_callbacks), len(scene.viewer.layers)
    keys.press(SPLIT)
    for _ in range(times):
        keys.press(BRUSH)
    assert keys._armed is None
    active = scene.viewer.layers.selection.active
    assert (active is layer) == (times == 2)
    assert active.mode == "paint"
    if times == 2:
        assert len(layer.mouse_drag_callbacks) == len(callbacks) + 1  # napari's own brush
    assert [item.name for item in scene.viewer.layers][count:] == ["cells marks"]


def test_a_tool_of_napari_calls_the_line_off_too(scene):
    layer = scene.layer
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _text: None, lambda: None)
    keys.press(MERGE)
    layer.mode = "erase"
    assert keys._armed is None
    assert layer.mode == "erase"
    assert not layer.mouse_pan
    keys.press(MERGE)
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


@pytest.mark.parametrize("turn", ["rolled", "3-D"])
def test_keys_do_nothing_out_of_sight(qapp, tmp_path, turn):
    scene, said = Scene(tmp_path, (3, *SHAPE)), []
    keys = Keys(scene.viewer, lambda: scene.correcting, said.append, lambda: None)
    scene.viewer.cursor.position = (1.0, 30.0, 30.0)
    before = scene.layer.data.copy()
    if turn == "rolled":
        scene.viewer.dims.roll()
    else:
        scene.viewer.dims.ndisplay = 3
    for key in (DELETE, CONFIRM, SPLIT, MERGE, NEXT):
        keys.press(key)
    assert len(said) == 5
    assert all("2-D view" in text for text in said)
    assert keys._armed is None
    np.testing.assert_array_equal(scene.layer.data, before)
    assert not scene.correcting.marks.array.any()
    scene.viewer.dims.ndisplay = 2
    scene.viewer.dims.order = (0, 2, 1)
    scene.viewer.cursor.position = (1.0, 30.0, 30.0)
    keys.press(DELETE)  # a plane shown the other way about is in sight
    assert len(said) == 5, said[-1]
    assert not scene.layer.data[(scene.viewer.dims.current_step[0], 30, 30)]
    scene.correcting.close()


def test_a_line_begun_before_the_view_was_rolled_cuts_nothing(qapp, tmp_path):
    scene, said = Scene(tmp_path, (3, *SHAPE)), []
    keys = Keys(scene.viewer, lambda: scene.correcting, said.append, lambda: None)
    before = scene.layer.data.copy()
    keys.press(SPLIT)
    scene.viewer.dims.roll()
    keys._armed._finish([(35.0, 10.0), (35.0, 60.0)])
    np.testing.assert_array_equal(scene.layer.data, before)
    assert "2-D view" in said[-1]
    scene.correcting.close()


def test_keys_of_objects_say_that_classes_are_painted(qapp):
    viewer, said = ViewerModel(), []
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint32))
    live = LiveLabels.empty(SHAPE, classes=True)
    correcting = Correcting(viewer, layer, live, name="cells")
    keys = Keys(viewer, lambda: correcting, said.append, lambda: None)
    keys.press(DELETE)
    assert "classes are painted" in said[-1]
    correcting.close()


def test_a_key_of_the_person_stays_theirs(scene):
    scene.viewer.bind_key("D", lambda _: None)
    theirs = dict(scene.viewer.keymap)
    keys = Keys(scene.viewer, lambda: scene.correcting, lambda _: None, lambda: None)
    keys.bind()
    assert theirs.items() <= scene.viewer.keymap.items()
    keys.unbind()
    assert dict(scene.viewer.keymap) == theirs
