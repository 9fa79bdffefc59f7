"""Ctrl+Z takes back the last thing that was done, whichever layer it was done on."""

import numpy as np
import pytest
from flow import B, C
from qtpy.QtCore import Qt

from napari_unet.labels.painted import MARK_BACKGROUND, MARK_CONFIRMED

PATIENCE = 30_000


@pytest.fixture
def result(network, panel, image, click, idle):
    """Segmented, and no more."""
    network.finds["nuclei"] = [B, C]
    click(panel.segment.segment)
    idle()
    return panel.session.results.current


class Steps:
    """Does four things with mouse and keys, and notes what there was before and after each."""

    def __init__(self, viewer, panel, result, mouse, qtbot) -> None:
        self.viewer, self.panel, self.result, self.mouse = viewer, panel, result, mouse
        self.qtbot = qtbot
        self.states = [self.state()]

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """The objects, and the marks."""
        self.result.correcting.look_everywhere()
        return self.result.layer.data.copy(), self.result.correcting.marks.array.copy()

    def note(self) -> None:
        """Note what there is; something must be different."""
        self.states.append(self.state())
        assert not self.same(-1, -2)

    def same(self, one: int, other: int) -> bool:
        pairs = zip(self.states[one], self.states[other], strict=True)
        return all(np.array_equal(a, b) for a, b in pairs)

    def do_all(self) -> None:
        """Paint an object, paint background across it, confirm one, and delete one."""
        layer, mouse = self.result.layer, self.mouse
        layer.brush_size = 12
        mouse.press(Qt.Key.Key_M)
        mouse.drag((20, 200), (20, 240))
        self.note()
        mouse.press(Qt.Key.Key_G)
        self.viewer.layers.selection.active.brush_size = 8
        mouse.drag((10, 220), (40, 220), (60, 100))
        self.qtbot.waitUntil(lambda: layer.data[20, 220] == 0, timeout=PATIENCE)
        self.note()
        mouse.move(140, 200)
        mouse.press(Qt.Key.Key_C)
        self.note()
        assert (self.result.correcting.marks.array[C.slices] == MARK_CONFIRMED).all()
        mouse.move(46, 88)
        mouse.press(Qt.Key.Key_D)
        self.note()
        assert not layer.data[46, 88]

    def is_as(self, number: int) -> None:
        labels, marks = self.states[number]
        np.testing.assert_array_equal(self.result.correcting.marks.array, marks)
        np.testing.assert_array_equal(self.result.layer.data, labels)


@pytest.fixture
def steps(viewer, panel, result, mouse, qtbot) -> Steps:
    return Steps(viewer, panel, result, mouse, qtbot)


def activate(viewer, image, result, which: str) -> None:
    chosen = {
        "image": image,
        "objects": result.layer,
        "marks": result.correcting.marks.shown,
        "nothing": None,
    }
    viewer.layers.selection.active = chosen[which]


@pytest.mark.parametrize("which", ["image", "objects", "marks", "nothing"])
def test_the_last_thing_is_taken_back_first(viewer, image, steps, which):
    steps.do_all()
    activate(viewer, image, steps.result, which)
    for number in (3, 2, 1, 0):
        steps.panel.session.say("91 × 71 pixels are marked as right.")
        steps.mouse.undo()
        steps.is_as(number)
        assert "is taken back" in steps.panel.sentence
    steps.mouse.undo()
    steps.is_as(0)
    assert "nothing to take back" in steps.panel.sentence
    for number in (1, 2, 3, 4):
        steps.mouse.redo()
        steps.is_as(number)
        assert "Done again" in steps.panel.sentence
    steps.mouse.redo()
    steps.is_as(4)
    assert "nothing to do again" in steps.panel.sentence
    assert (steps.result.correcting.marks.array == MARK_BACKGROUND).any()


def test_hidden_layers_are_taken_back_too(viewer, image, steps):
    steps.do_all()
    steps.result.layer.visible = steps.result.correcting.marks.shown.visible = False
    activate(viewer, image, steps.result, "image")
    for number in (3, 2, 1, 0):
        steps.mouse.undo()
        steps.is_as(number)


def test_what_is_done_after_an_undo_ends_what_can_be_done_again(viewer, image, steps):
    steps.do_all()
    for _ in range(3):
        steps.mouse.undo()
    steps.is_as(1)
    viewer.layers.selection.active = steps.result.layer
    steps.mouse.press(Qt.Key.Key_M)
    steps.mouse.drag((100, 180), (100, 220))
    after = steps.state()
    steps.mouse.redo()
    np.testing.assert_array_equal(steps.result.layer.data, after[0])
    np.testing.assert_array_equal(steps.result.correcting.marks.array, after[1])
    steps.mouse.undo()
    steps.is_as(1)
    steps.mouse.undo()
    steps.is_as(0)


def test_a_layer_of_ones_own_keeps_naparis_keys(viewer, steps):
    steps.do_all()
    own = viewer.add_labels(np.zeros((200, 300), np.uint8), name="mine")
    own.brush_size, own.mode = 10, "paint"
    steps.mouse.drag((100, 20), (100, 60))
    assert own.data.any()
    steps.mouse.undo()
    assert not own.data.any()
    steps.is_as(4)


def test_a_panel_that_is_closed_gives_the_keys_back(viewer, image, steps):
    steps.do_all()
    layer, marks = steps.result.layer, steps.result.correcting.marks.shown
    steps.panel.close_down()
    for owner in (viewer, layer, marks):
        assert not [key for key in owner.keymap if "Z" in str(key)]
    viewer.layers.selection.active = layer
    steps.mouse.undo()
    assert layer.data[46, 88]
