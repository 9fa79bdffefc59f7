"""A window with labels that are not saved asks before it closes."""

import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox


class Clicked(QCloseEvent):
    """What the window system sends where a person closes a window."""

    def spontaneous(self) -> bool:
        return True


@pytest.fixture
def close(viewer, panel):
    """Close the window as a person does; returns the question, empty if there was none."""

    def press(button: str) -> tuple[str, bool]:
        window, asked = panel.native.window(), []

        def answer() -> None:
            box = QApplication.activeModalWidget()
            if isinstance(box, QMessageBox):
                asked.append(box.text())
                next(one for one in box.buttons() if one.text().strip("&") == button).click()

        event = Clicked()
        QTimer.singleShot(200, answer)
        refused = panel.saving._closing.eventFilter(window, event)
        assert refused != event.isAccepted()
        return (asked[0] if asked else ""), refused

    return press


def test_labels_that_are_not_saved_are_asked_for(
    viewer, network, panel, painted, close, idle, tmp_path, monkeypatch
):
    text, refused = close("Cancel")
    assert f"The labels of {painted.layer.name} are not saved" in text
    assert refused
    assert close("Close without saving")[1] is False
    target = tmp_path / "cells_labels.ome.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    assert close("Save labels…")[1]
    idle()
    assert target.exists()
    assert close("Cancel") == ("", False)
    painted.layer.data_setitem((np.array([1]), np.array([1])), 77)
    painted.correcting.look_everywhere()
    assert close("Cancel")[1]


def test_an_image_alone_is_not_asked_for(viewer, network, panel, image, close):
    panel.session.refresh()
    assert close("Cancel") == ("", False)


@pytest.mark.parametrize(("pressed", "written"), [("Cancel", False), ("Save anyway", True)])
def test_save_warns_where_only_corrections_are_there(
    pressed, written, network, panel, image, click, idle, tmp_path, monkeypatch
):
    painted, asked = np.zeros(image.data.shape, np.uint32), []
    painted[10:20, 10:20] = 3
    panel.session.take_corrections(image, painted)
    target = tmp_path / "cells_labels.ome.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))

    def answer() -> None:
        box = QApplication.activeModalWidget()
        asked.append(box.text())
        next(one for one in box.buttons() if one.text().strip("&") == pressed).click()

    QTimer.singleShot(200, answer)
    click(panel.saving.save)
    idle()
    assert "the rest of the image is not segmented" in asked[0]
    assert target.exists() is written
    click(panel.segment.segment)
    idle()
    click(panel.saving.save)  # now it is all there, and nobody asks
    idle()
    assert target.exists()


LEAVES = """
import napari, numpy
viewer = napari.Viewer()
viewer.add_image(numpy.zeros((64, 64), numpy.uint8))
_, panel = viewer.window.add_plugin_dock_widget("napari-unet-interactive", "Segment, retrain")
assert panel.session.engine.pid
"""


def test_a_session_that_ends_with_its_window_open_ends_in_order():
    done = subprocess.run(
        [sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
