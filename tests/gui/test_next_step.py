"""Only the next sensible button stands out."""

import numpy as np
import pytest
from flow import SHAPE

from napari_unet.plugin.correct.keys import WHERE
from napari_unet.segmentation.uncertainty_events import NOTHING_KEPT


@pytest.fixture
def correct(panel, qtbot):
    """Paint some objects of the chosen image's result."""

    def paint(first: int, count: int) -> None:
        result = panel.session.results.current
        for number in range(first, first + count):
            place = tuple(np.full(4, 8 * number + 4 + i) for i in (0, 1))
            result.layer.data_setitem((place[0], place[1] + np.arange(4)), 900 + number)
        result.correcting.look_everywhere()
        qtbot.waitUntil(lambda: not result.correcting._news, timeout=10_000)

    return paint


def test_the_next_button_stands_out(viewer, network, panel, image, click, idle, correct, qtbot):
    step = panel.next_step
    segment, retrain, save = panel.segment.segment, panel.retrain.form.retrain, panel.saving.save
    where, table = panel.correct.buttons[WHERE], panel.measure.table
    panel.session.refresh()
    assert step.button is segment
    assert "bold" in segment.native.styleSheet()
    click(segment)
    assert step.button is None  # while it runs there is something to wait for
    idle()
    assert step.button is where  # a person looks at what was found
    assert not segment.native.styleSheet()
    correct(0, 5)
    qtbot.waitUntil(lambda: step.button is retrain, timeout=10_000)
    network.outcome = "accepted"
    click(retrain)
    idle()
    qtbot.waitUntil(lambda: step.button is where, timeout=10_000)  # there is another result
    assert not retrain.native.styleSheet()
    click(where)  # of this stand-in no maps are kept, so there is nothing to look at
    assert panel.sentence == NOTHING_KEPT
    assert step.button is table
    click(table)
    assert step.button is save
    assert [b for b in step._buttons if b.native.styleSheet()] == [save]
    viewer.add_image(np.zeros(SHAPE), name="next")
    panel.session.choose(viewer.layers["next"])
    assert step.button is segment
    viewer.layers.clear()
    assert step.button is None


def test_a_question_comes_first(network, panel, image, click, idle, correct, qtbot):
    step, form = panel.next_step, panel.retrain.form
    click(panel.segment.segment)
    idle()
    correct(0, 6)
    qtbot.waitUntil(lambda: step.button is form.retrain, timeout=10_000)
    click(form.retrain)
    idle()
    qtbot.waitUntil(form.keep.native.isVisible, timeout=10_000)
    assert step.button is None  # keep it, or discard it: that is for the person to say
    click(form.discard)
    assert step.button is panel.correct.buttons[WHERE]  # what was corrected is learned
    correct(6, 1)
    qtbot.waitUntil(lambda: step.button is form.retrain, timeout=10_000)


def test_nothing_found_is_neither_measured_nor_saved(network, panel, image, click, idle):
    network.finds[panel.session.intent.model] = []
    click(panel.segment.segment)
    idle()
    assert not panel.session.results.current.holds_any
    assert panel.saving.unsaved() == []
    assert panel.next_step.button is None


def test_an_image_whose_labels_were_removed_is_segmented_again(
    viewer, network, panel, image, click, idle, qtbot
):
    click(panel.segment.segment)
    idle()
    viewer.layers.remove(panel.session.results.current.layer)
    qtbot.waitUntil(lambda: panel.next_step.button is panel.segment.segment, timeout=10_000)


def test_what_only_was_painted_is_segmented_first(network, panel, image):
    painted = np.zeros(SHAPE, np.uint32)
    painted[10:20, 10:20] = 3
    panel.session.take_corrections(image, painted)
    assert panel.session.results.current.only_painted
    assert panel.next_step.button is panel.segment.segment
    assert panel.saving.unsaved()
