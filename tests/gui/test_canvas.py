"""napari's canvas survives that layers are removed."""

import numpy as np
from qtpy.QtGui import QOpenGLContext


def test_what_is_queued_is_finished_in_the_canvas_s_own_context(viewer, panel, qtbot, monkeypatch):
    canvas = viewer.window._qt_viewer.canvas
    context, own = canvas._scene_canvas.context, canvas.native.context()
    labels = [viewer.add_labels(np.zeros((64, 64), np.uint32)) for _ in range(3)]
    qtbot.wait(100)
    carry_out, current = context.flush_commands, []

    def noted(*_):
        current.append(QOpenGLContext.currentContext() == own)
        carry_out()

    with monkeypatch.context() as patch:
        patch.setattr(context, "flush_commands", noted)
        viewer.layers.remove(labels[0])
        viewer.layers.clear()
    assert len(current) >= 2
    assert all(current)
