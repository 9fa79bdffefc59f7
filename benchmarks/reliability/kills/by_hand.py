"""A real napari window with an image and the panel, worked with a real mouse and real keys.

For processes of their own, without pytest; napari is imported when the window opens.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

SHAPE = (256, 256)
PLUGIN, PANEL = "napari-unet-interactive", "Segment, retrain"
PATIENCE = 600.0  # seconds; what takes longer on a busy machine never comes


def wait_until(there: Callable[[], object], what: str) -> None:
    """Let Qt work until something is there."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(what)
        QTest.qWait(5)


def cells() -> np.ndarray:
    """Return a part of the sample, of `SHAPE`."""
    import tifffile

    from napari_unet.plugin.samples import sample_folder

    return np.asarray(tifffile.imread(sample_folder() / "nuclei.tif")[: SHAPE[0], : SHAPE[1]])


class Window:
    """The viewer with an image and the panel, and a mouse that is moved.

    Parameters
    ----------
    pixels : ndarray or list of ndarray, optional
        An image, or the levels of a large one; default `cells`.

    Attributes
    ----------
    origin : tuple of float
        Where the first pixel of what is painted on lies in the world.
    """

    def __init__(self, pixels: Any = None) -> None:
        import napari
        from qtpy.QtTest import QTest

        self.origin = 0.0, 0.0
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1000, 800)
        given = cells() if pixels is None else pixels
        several = isinstance(given, list)
        self.image = self.viewer.add_image(given, name="cells", multiscale=several)
        _, self.panel = self.viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
        self.panel.form.image.value = self.image
        QTest.qWait(100)  # the dock takes its room before the image is fitted to the rest
        self.viewer.reset_view()
        QTest.qWait(50)
        self._canvas = self.viewer.window._qt_viewer.canvas.native

    def wait(self) -> None:
        """Wait until nothing runs; raise what went wrong."""
        runs = self.panel.session.runs
        wait_until(lambda: not runs.busy, "it does not end")
        if runs.problem:
            raise RuntimeError(runs.problem)

    def click(self, widget: Any) -> None:
        """Click a button that can be clicked."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        if not (widget.native.isVisible() and widget.native.isEnabled()):
            raise RuntimeError(f"{widget.text!r} cannot be clicked. {self.panel.sentence}")
        QTest.mouseClick(widget.native, Qt.MouseButton.LeftButton)

    def segment(self) -> Any:
        """Press Segment, wait for the end, and return the result."""
        self.click(self.panel.segment.segment)
        self.wait()
        return self.panel.session.results.current

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Draw with the left button from point to point, in image pixels."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        button = Qt.MouseButton.LeftButton
        self._move(points[0])
        QTest.mousePress(self._canvas, button, pos=self._at(points[0]))
        for point in points[1:]:
            QTest.mouseMove(self._canvas, self._at(point))
            QTest.qWait(15)  # moves that follow at once are dropped
        QTest.mouseRelease(self._canvas, button, pos=self._at(points[-1]))

    def press_undo(self, *, again: bool) -> None:
        """Press Ctrl+Z, or Ctrl+Shift+Z to make it `again`."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        modifier = Qt.KeyboardModifier.ControlModifier
        if again:
            modifier |= Qt.KeyboardModifier.ShiftModifier
        QTest.keyClick(self._canvas, Qt.Key.Key_Z, modifier)

    def _move(self, point: tuple[float, float]) -> None:
        from qtpy.QtTest import QTest

        world = np.add(point, self.origin)

        def arrived() -> bool:
            for y, x in ((point[0] + 2, point[1]), point):  # staying would be no move
                QTest.mouseMove(self._canvas, self._at((y, x)))
                QTest.qWait(15)
            return bool(np.allclose(self.viewer.cursor.position[-2:], world, atol=2))

        wait_until(arrived, "the mouse does not get there")

    def _at(self, point: tuple[float, float]) -> Any:
        from qtpy.QtCore import QPoint

        camera = self.viewer.scene.camera
        (cy, cx), zoom = camera.center[-2:], camera.zoom
        width, height = self._canvas.width(), self._canvas.height()
        y, x = np.add(point, self.origin)
        return QPoint(round(width / 2 + (x - cx) * zoom), round(height / 2 + (y - cy) * zoom))
