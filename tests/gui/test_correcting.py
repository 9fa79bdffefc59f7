"""Painting in a real window: with the real mouse and the real keys, kept on the disk."""

import time

import numpy as np
import pytest
from flow import ALL, SHAPE, A, B, C
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QPoint, Qt

from napari_unet.engine.client import Engine
from napari_unet.journal.identity import identity_of
from napari_unet.journal.journal import journal_folder
from napari_unet.journal.recovery import recoverable, replay
from napari_unet.labels.painted import BACKGROUND, MARK_BACKGROUND, MARK_CONFIRMED
from napari_unet.labels.watershed import Patch
from napari_unet.plugin.correct.keys import (
    CONFIRM,
    DELETE,
    KEYS,
    MERGE,
    NAPARIS_KEYS,
    NEW,
    NEXT,
    SPLIT,
)
from napari_unet.plugin.segment_panel import SegmentPanel

PATIENCE = 30_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton


def says(panel, result, boxes) -> None:
    """The model says that there is an object in each box, as in a run."""
    picture = np.zeros(SHAPE, np.int32)
    for number, box in enumerate(boxes, 1):
        picture[box.slices] = number
    result.begin(result.settings)
    result.live.update(result.layer.data, (), ALL, Patch(ALL, picture, len(boxes)), 0)
    result.layer.refresh()


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    monkeypatch.setattr(Engine, "warm_up", lambda *_: None)  # nothing here needs a network


@pytest.fixture
def panel(viewer, image):
    viewer.window.resize(1500, 900)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="panel")
    yield panel
    panel.close_down()


@pytest.fixture
def result(viewer, image, panel, qtbot):
    result = panel.session.results.make(image, panel.session.opened(image), classes=False)
    says(panel, result, [A, B, C])
    viewer.layers.selection.active = result.layer
    panel.session.refresh()
    qtbot.wait(100)  # the dock takes its room before the image is fitted to the rest
    viewer.reset_view()
    qtbot.wait(100)
    return result


def kept(image, panel) -> np.ndarray | None:
    """What a reader of the files finds, without the writer's help."""
    files = sorted(journal_folder().glob("*.journal"))
    return replay(files)[0] if files else None


def wait_kept(qtbot, image, panel, wanted, timeout=1_000) -> None:
    def same() -> None:
        found = kept(image, panel)
        assert found is not None
        np.testing.assert_array_equal(found, wanted())

    qtbot.waitUntil(lambda: _passes(same), timeout=timeout)


def _passes(check) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True


def known_journal(qtbot, result) -> None:
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)


def test_stroke_is_on_the_disk_within_a_second_and_so_is_undo(image, panel, result, mouse, qtbot):
    known_journal(qtbot, result)
    layer = result.layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 10, 9
    mouse.drag((20, 200), (20, 220), (30, 240))
    assert (layer.data == 9).sum() > 300
    wait_kept(qtbot, image, panel, lambda: np.where(layer.data == 9, 9, 0))
    mouse.undo()
    assert not (layer.data == 9).any()
    wait_kept(qtbot, image, panel, lambda: np.zeros(SHAPE))
    mouse.redo()
    wait_kept(qtbot, image, panel, lambda: np.where(layer.data == 9, 9, 0))
    layer.data[190:195, 5:10] = 12  # behind napari's back: the sweep finds it
    wait_kept(
        qtbot, image, panel, lambda: np.where(layer.data >= 9, layer.data, 0), timeout=PATIENCE
    )
    assert result.correcting.count == (2, 0)
    qtbot.waitUntil(lambda: "2 objects corrected" in panel.correct.counter.text, timeout=5_000)


def test_background_brush(viewer, image, panel, result, mouse, click, qtbot):
    known_journal(qtbot, result)
    layer = result.layer
    before = layer.data.copy()
    layer.brush_size = 12
    click(panel.correct.brush)
    marks = viewer.layers.selection.active
    assert marks.name == "cells marks"
    assert panel.correct.brush.text == "Paint objects (G)"
    mouse.drag((60, 20), (60, 60))
    qtbot.waitUntil(lambda: not layer.data[60, 40:60].any(), timeout=PATIENCE)
    stroke = marks.data == MARK_BACKGROUND
    assert (layer.data[~stroke] == before[~stroke]).all()
    wait_kept(qtbot, image, panel, lambda: np.where(stroke, BACKGROUND, 0))
    mouse.undo()
    qtbot.waitUntil(lambda: np.array_equal(layer.data, before), timeout=PATIENCE)
    mouse.redo()
    qtbot.waitUntil(lambda: not layer.data[60, 40:60].any(), timeout=PATIENCE)
    says(panel, result, [A, B, C])  # another run
    assert not layer.data[stroke].any()
    np.testing.assert_array_equal(layer.data[~stroke], before[~stroke])
    mouse.press(Qt.Key.Key_G)
    assert viewer.layers.selection.active is layer


def test_confirm_and_undo(viewer, panel, result, mouse, qtbot):
    layer, correcting = result.layer, result.correcting
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_C)
    assert viewer.layers.selection.active is layer
    assert (correcting.marks.array[A.slices] == MARK_CONFIRMED).all()
    painted = result.painted()
    assert (painted[A.slices] == layer.data[60, 60]).all()
    assert np.count_nonzero(painted) == A.size
    layer.selected_label, layer.mode = 9, "paint"
    layer.paint((20, 200), 9)
    mouse.undo()
    assert correcting.marks.array.any()
    mouse.undo()
    assert not correcting.marks.array.any()
    mouse.redo()
    assert (correcting.marks.array[A.slices] == MARK_CONFIRMED).all()
    number = layer.data[60, 60]
    says(panel, result, [A.grow(3), B, C])  # the model draws it larger now
    assert np.count_nonzero(layer.data == number) == A.size
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_C)
    assert not correcting.marks.array.any()


def test_delete_merge_split(viewer, panel, result, mouse):
    layer = result.layer
    before = layer.data.copy()
    layer.mode = "paint"
    mouse.move(140, 200)
    mouse.press(Qt.Key.Key_D)
    assert not layer.data[C.slices].any()
    mouse.undo()
    np.testing.assert_array_equal(layer.data, before)
    mouse.press(Qt.Key.Key_J)
    assert "Draw a line" in panel.sentence
    mouse.drag((60, 60), (60, 80), (60, 110))
    assert layer.data[60, 110] == layer.data[60, 60] == before[60, 60]
    assert layer.mode == "paint"
    assert "line" not in viewer.layers
    assert viewer.layers.selection.active is layer
    mouse.undo()
    np.testing.assert_array_equal(layer.data, before)
    mouse.press(Qt.Key.Key_S)
    mouse.drag((110, 200), (150, 200), (180, 200))
    pieces = {int(layer.data[140, 160]), int(layer.data[140, 240])}
    assert len(pieces) == 2
    assert 0 not in pieces
    assert (layer.data > 0).sum() == (before > 0).sum()
    mouse.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_line_called_off(viewer, panel, result, mouse):
    layer = result.layer
    before, layer.mode = layer.data.copy(), "paint"
    keys, callbacks = set(layer.keymap), list(layer.mouse_drag_callbacks)
    for call_off in (Qt.Key.Key_Escape, Qt.Key.Key_S):
        mouse.press(Qt.Key.Key_S)
        assert layer.mode == "pan_zoom"
        mouse.press(call_off)
        assert layer.mode == "paint"
        assert panel.sentence == ""
    assert set(layer.keymap) == keys
    assert layer.mouse_drag_callbacks == callbacks
    np.testing.assert_array_equal(layer.data, before)


def test_problem_of_a_key_is_a_sentence(panel, result, mouse):
    mouse.move(10, 10)
    mouse.press(Qt.Key.Key_D)
    assert "no object under the cursor" in panel.sentence


def test_next_object_is_shown_in_the_middle(viewer, panel, result, mouse):
    for box in (A, B, C, A):
        result.layer.selected_label = 0 if box is A else result.layer.selected_label
        mouse.press(Qt.Key.Key_N)
        middle = viewer.scene.camera.center[-2:]
        assert np.allclose(middle, np.array(box.centre) - 0.5)
        number = result.layer.data[tuple(np.round(middle).astype(int))]
        assert panel.sentence == f"Object {number} is in the middle."
    mouse.press(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert result.layer.selected_label == result.layer.data[140, 200]


def test_next_object_of_none_is_a_sentence(viewer, panel, result, mouse):
    before = viewer.scene.camera.center
    result.layer.data[:] = 0
    mouse.press(Qt.Key.Key_N)
    assert panel.sentence == "There is no object in this plane."
    assert viewer.scene.camera.center == before


def test_no_key_of_ours_is_napari_s(viewer, panel, result):
    ours = {coerce_keybinding(key) for key in KEYS}
    used = {key for name, keys in default_shortcuts.items() for key in keys if used_by_us(name)}
    for owner in [*type(result.layer).__mro__, *type(viewer).__mro__]:
        used |= set(getattr(owner, "class_keymap", {}))
    assert not ours & used
    assert ours <= set(viewer.keymap)
    assert {coerce_keybinding(key) for key in NAPARIS_KEYS} <= used  # listed, and one made better
    assert coerce_keybinding(NEW) in result.layer.keymap
    assert set(result.layer.keymap) == {coerce_keybinding(key) for key in NAPARIS_KEYS}
    panel.close_down()
    assert not (ours | {coerce_keybinding(NEW)}) & set(viewer.keymap)


def test_keys_work_whatever_layer_is_selected(viewer, image, panel, result, mouse):
    layer = result.layer
    viewer.layers.selection.active = image
    mouse.move(140, 200)
    mouse.press(Qt.Key.Key_D)
    assert not layer.data[C.slices].any()
    mouse.press(Qt.Key.Key_J)
    mouse.drag((60, 60), (60, 80), (60, 110))
    assert layer.data[60, 110] == layer.data[60, 60]
    assert viewer.layers.selection.active is layer
    viewer.layers.selection.clear()
    mouse.press(Qt.Key.Key_N)
    assert layer.selected_label == layer.data[60, 60]


def test_keys_of_napari_for_images_correct_too(viewer, image, panel, result, mouse):
    image.contrast_limits = limits = [0, 1000]
    viewer.layers.selection.active = image
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_C)
    assert (result.correcting.marks.array[A.slices] == MARK_CONFIRMED).all()
    assert image.contrast_limits == limits
    for active in (image, None, result.correcting.marks.layer()):
        result.layer.mode = "pan_zoom"
        viewer.layers.selection.active = active
        mouse.press(Qt.Key.Key_M)
        assert viewer.layers.selection.active is result.layer
        assert result.layer.mode == "paint"
    later = viewer.add_image(image.data, contrast_limits=limits)
    mouse.press(Qt.Key.Key_C)
    assert later.contrast_limits != limits  # with nothing to correct it is napari's
    panel.close_down()
    assert not {*image.keymap, *later.keymap}


def test_a_key_with_nothing_to_correct_says_what_to_do(viewer, panel, mouse):
    mouse.press(Qt.Key.Key_D)
    assert "Press Segment first" in panel.sentence


def test_m_takes_the_brush_with_a_new_number(viewer, panel, result, mouse):
    layer = result.layer
    assert layer.mode == "pan_zoom"
    mouse.press(Qt.Key.Key_M)
    assert layer.mode == "paint"
    assert layer.selected_label not in np.unique(layer.data)
    mouse.drag((20, 200), (20, 240))
    assert (layer.data == layer.selected_label).any()


@pytest.mark.parametrize("key", [DELETE, CONFIRM])
def test_a_button_asks_for_a_click_on_the_object(panel, result, mouse, click, key):
    layer = result.layer
    click(panel.correct.buttons[key])
    assert "Click the object" in panel.sentence
    mouse.drag((60, 60), (60, 60))
    gone = key == DELETE
    assert layer.data[A.slices].any() != gone
    assert (result.correcting.marks.array[A.slices] == MARK_CONFIRMED).all() != gone
    click(panel.correct.buttons[key])
    click(panel.correct.buttons[key])  # called off
    assert panel.sentence == ""
    before = layer.data.copy()
    mouse.drag((140, 200), (140, 200))
    np.testing.assert_array_equal(layer.data, before)


def test_a_confirmed_object_that_is_deleted_leaves_no_mark(result, mouse, qtbot):
    marks, before = result.correcting.marks, result.layer.data.copy()
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_C)
    mouse.press(Qt.Key.Key_D)
    assert not result.layer.data[A.slices].any()
    assert not marks.array[A.slices].any()
    qtbot.waitUntil(lambda: result.correcting.count == (0, A.size), timeout=PATIENCE)
    mouse.undo()
    np.testing.assert_array_equal(result.layer.data, before)
    assert (marks.array[A.slices] == MARK_CONFIRMED).all()


def test_buttons_split_join_and_go_on(panel, result, mouse, click):
    layer = result.layer
    click(panel.correct.buttons[SPLIT])
    mouse.drag((110, 200), (150, 200), (180, 200))
    assert layer.data[140, 160] != layer.data[140, 240]
    click(panel.correct.buttons[MERGE])
    mouse.drag((140, 160), (140, 200), (140, 240))
    assert layer.data[140, 160] == layer.data[140, 240]
    layer.selected_label = 0
    click(panel.correct.buttons[NEXT])
    assert layer.selected_label == layer.data[60, 60]


def test_the_list_of_keys_is_shown_and_folded(panel, result, mouse, click):
    shown = panel.correct.key_list
    mouse.press(Qt.Key.Key_Question)
    assert shown.isExpanded()
    click(panel.correct.help)
    assert not shown.isExpanded()


def used_by_us(name: str) -> bool:
    """Whether an action of napari can be called while a labels layer is active."""
    action = action_manager._actions.get(name)
    owner = type(action.keymapprovider).__name__ if action is not None else ""
    kind = action.keymapprovider.__name__ if action is not None else owner
    return kind not in {"Points", "Shapes", "Image", "Vectors", "Tracks", "Surface"}


def test_all_correct(viewer, panel, result, mouse, click, qtbot):
    click(panel.correct.all_correct)
    assert "Draw a rectangle" in panel.sentence
    shapes = viewer.layers.selection.active
    assert shapes.mode == "add_rectangle"
    mouse.drag((30, 30), (60, 60), (100, 100))
    assert len(shapes.data) == 1
    click(panel.correct.all_correct)
    assert "marked as right" in panel.sentence
    assert shapes not in viewer.layers
    painted = result.painted()
    assert (painted[A.slices] == result.layer.data[A.slices]).all()
    assert (painted[85:99, 35:99] == BACKGROUND).all()
    assert (painted[B.slices] == result.layer.data[B.slices]).all()  # touched, so wholly
    mouse.undo()
    assert not result.painted().any()


def test_show_what_counts(viewer, image, panel, result, qtbot):
    result.layer.data[C.slices] = 0
    result.layer.data[10:20, 10:20] = 9
    result.painted()
    box = panel.correct.show_corrected.native
    qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    overlay = viewer.layers["cells corrected"].data
    qtbot.waitUntil(lambda: np.count_nonzero(overlay) == 100 + C.size, timeout=PATIENCE)
    assert (overlay[10:20, 10:20] == 1).all()
    assert (overlay[C.slices] == 2).all()
    result.layer.data[10:20, 10:20] = 0
    qtbot.waitUntil(lambda: not overlay[10:20, 10:20].any(), timeout=PATIENCE)
    assert panel.correct.show_corrected.value
    other = viewer.add_image(np.zeros(SHAPE, np.uint16), name="others")
    panel.form.image.value = other
    panel.session.results.make(other, panel.session.opened(other), classes=False)
    panel.correct.refresh()
    assert not panel.correct.show_corrected.value
    panel.form.image.value = image
    assert panel.correct.show_corrected.value
    viewer.layers["cells corrected"].visible = False
    panel.correct.refresh()
    assert not panel.correct.show_corrected.value


def test_take_a_labels_layer(viewer, image, panel, click, qtbot):
    labels = np.zeros(SHAPE, np.uint16)
    labels[A.slices], labels[C.slices] = 41, 17
    viewer.add_labels(labels, name="by hand")
    click(panel.correct.other_labels.toggleButton())
    panel.correct.others.layer.value = viewer.layers["by hand"]
    click(panel.correct.others.take)
    assert "by hand" in panel.sentence
    result = panel.session.results.current
    np.testing.assert_array_equal(result.layer.data, labels)  # with their ids
    assert result.layer.data is not labels
    np.testing.assert_array_equal(
        result.painted(), np.where(labels, labels.astype(np.uint32), BACKGROUND)
    )
    says(panel, result, [B])
    np.testing.assert_array_equal(result.layer.data, labels)


def test_painting_costs_little_time(image, panel, result, qtbot):
    known_journal(qtbot, result)
    correcting, layer = result.correcting, result.layer
    times = []
    for i in range(40):
        layer.paint((20 + i * 3, 20 + i * 5), 9 + i)
        begun = time.process_time()
        correcting._work()
        times.append(time.process_time() - begun)
    assert np.percentile(times, 95) < 0.005


def test_restart_offers_and_restores(viewer, image, panel, result, mouse, click, qtbot):
    known_journal(qtbot, result)
    layer = result.layer
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_C)
    layer.mode, layer.brush_size, layer.selected_label = "paint", 10, 9
    mouse.drag((20, 200), (20, 240))
    result.correcting.marks.brush_background()
    mouse.drag((100, 20), (100, 60))
    painted = result.painted()
    assert (painted == BACKGROUND).any()
    files = result.correcting.journal.paths
    panel.close_down()  # as when the window is closed
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    image = viewer.add_image(image.data.copy(), name="cells again")
    again = SegmentPanel(viewer)
    viewer.window.add_dock_widget(again, name="again")
    try:
        qtbot.waitUntil(lambda: again.restoring.visible, timeout=PATIENCE)
        assert "(2 objects)" in again.restoring.offer_text.text
        click(again.restoring.restore)
        qtbot.waitUntil(lambda: "are restored" in again.sentence, timeout=PATIENCE)
        assert "press Segment, which finds the other objects" in again.sentence
        assert again.session.results.current.only_painted
        result = again.session.results.current
        np.testing.assert_array_equal(result.painted(), painted)
        assert not any(path.exists() for path in files)
        found = recoverable(journal_folder(), identity_of(again.session.opened(image)))
        assert found == []  # the new one is alive
        known_journal(qtbot, result)
        np.testing.assert_array_equal(kept(image, again), painted)
    finally:
        again.close_down()


def test_removed_result_can_be_restored(viewer, image, panel, result, click, qtbot):
    known_journal(qtbot, result)
    result.layer.data[10:20, 10:20] = 9
    viewer.layers.remove(result.layer)
    qtbot.waitUntil(lambda: panel.restoring.visible, timeout=PATIENCE)
    click(panel.restoring.not_now)
    assert not panel.restoring.visible


def test_no_line_is_drawn_in_the_3d_view(viewer, panel, result, mouse, qtbot):
    mouse.press(Qt.Key.Key_S)
    viewer.dims.ndisplay = 3  # napari can draw no line of a plane there
    assert not [layer for layer in viewer.layers if layer.name == "line"]
    mouse.press(Qt.Key.Key_S)
    assert "Switch to the 2-D view" in panel.sentence
    assert not [layer for layer in viewer.layers if layer.name == "line"]
    viewer.dims.ndisplay = 2
    qtbot.wait(50)
    mouse.press(Qt.Key.Key_S)
    mouse.drag((60, 30), (60, 90))
    assert len(np.unique(result.layer.data[40:80, 40:80])) == 2
