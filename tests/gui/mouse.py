"""Real mouse and real keys."""

import numpy as np
from qtpy.QtCore import QPoint, Qt

PATIENCE = 30_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton


class Mouse:
    """Moves the mouse over the canvas, in units of the world, and presses keys."""

    def __init__(self, viewer, qtbot) -> None:
        self._viewer, self._qtbot = viewer, qtbot
        self._native = viewer.window._qt_viewer.canvas.native

    def _at(self, y: float, x: float) -> QPoint:
        camera = self._viewer.scene.camera
        (cy, cx), zoom = camera.center[-2:], camera.zoom
        width, height = self._native.width(), self._native.height()
        return QPoint(round(width / 2 + (x - cx) * zoom), round(height / 2 + (y - cy) * zoom))

    def move(self, y: float, x: float) -> None:
        def arrived() -> bool:
            for point in ((y + 2, x), (y, x)):  # staying would be no move
                self._qtbot.mouseMove(self._native, self._at(*point))
                self._qtbot.wait(30)  # moves that follow at once are dropped
            position = [self._viewer.cursor.position[i] for i in self._viewer.dims.displayed]
            return bool(np.allclose(position, (y, x), atol=1))

        self._qtbot.waitUntil(arrived, timeout=PATIENCE)

    def drag(self, *points) -> None:
        self.move(*points[0])
        self._qtbot.mousePress(self._native, LEFT, pos=self._at(*points[0]))
        for point in points[1:]:
            self._qtbot.mouseMove(self._native, self._at(*point))
            self._qtbot.wait(20)
        self._qtbot.mouseRelease(self._native, LEFT, pos=self._at(*points[-1]))

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        self._qtbot.keyClick(self._native, key, modifier)

    def undo(self) -> None:
        self.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def redo(self) -> None:
        both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        self.press(Qt.Key.Key_Z, both)
