"""Only the next sensible button stands out."""

import numpy as np
from flow import SHAPE


def test_the_next_button_stands_out(viewer, network, panel, image, click, idle, qtbot):
    step = panel.next_step
    segment, retrain, save = panel.segment.segment, panel.retrain.form.retrain, panel.saving.save
    panel.session.refresh()
    assert step.button is segment
    assert "bold" in segment.native.styleSheet()
    click(segment)
    assert step.button is None  # while it runs there is something to wait for
    idle()
    assert step.button is save
    assert not segment.native.styleSheet()
    result = panel.session.results.current
    for number in range(5):
        place = tuple(np.full(4, 8 * number + 4 + i) for i in (0, 1))
        result.layer.data_setitem((place[0], place[1] + np.arange(4)), 900 + number)
    result.correcting.look_everywhere()
    qtbot.waitUntil(lambda: step.button is retrain, timeout=10_000)
    network.outcome = "refused"
    click(retrain)
    idle()
    assert step.button is not retrain  # what was corrected is learned
    viewer.add_image(np.zeros(SHAPE), name="next")
    panel.session.choose(viewer.layers["next"])
    assert step.button is segment
    viewer.layers.clear()
    assert step.button is None
