"""A real mouse and real keys over the canvas of a napari window, and on its widgets."""

import math
import random
from typing import Any

from napari import Viewer
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QCheckBox, QMessageBox, QScrollArea

LEFT = Qt.MouseButton.LeftButton
NO_KEY = Qt.KeyboardModifier.NoModifier
SOON = 300  # milliseconds until a question is answered
STEP = 15  # milliseconds between two moves; moves that follow at once are dropped


def click(widget: Any) -> bool:
    """Click a widget if a person could; returns whether that was so."""
    native = getattr(widget, "native", widget)
    if not (native.isVisible() and native.isEnabled()):
        return False
    parent = native.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(native)
        parent = parent.parentWidget()
    place = native.rect().center()
    QTest.mouseClick(native, LEFT, pos=QPoint(8, place.y()) if _is_box(native) else place)
    return True


def answer_soon(chance: random.Random) -> None:
    """Click any button of the question that is about to be asked, if one is."""

    def answer() -> None:
        question = QApplication.activeModalWidget()
        if isinstance(question, QMessageBox):
            QTest.mouseClick(chance.choice(question.buttons()), LEFT)

    QTimer.singleShot(SOON, answer)


def _is_box(native: Any) -> bool:
    return isinstance(native, QCheckBox)


class Mouse:
    """Moves the mouse over the canvas and presses keys there.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose canvas.
    chance : random.Random
        Decides where to.
    """

    def __init__(self, viewer: Viewer, chance: random.Random) -> None:
        self._chance, self._viewer = chance, viewer

    @property
    def _canvas(self) -> Any:
        return self._viewer.window._qt_viewer.canvas.native

    def anywhere(self) -> QPoint:
        """Return a place well inside of the canvas."""
        width, height = self._canvas.width(), self._canvas.height()
        across, down = (self._chance.uniform(0.25, 0.75) for _ in range(2))
        return QPoint(round(width * across), round(height * down))

    def path(self, most: int = 4) -> list[QPoint]:
        """Return a few places, none far from the one before."""
        path = [self.anywhere()]
        for _ in range(self._chance.randint(1, most)):
            path.append(path[-1] + QPoint(*(self._chance.randint(-60, 60) for _ in range(2))))
        return path

    def around(self) -> list[QPoint]:
        """Return a few places around another one, in order."""
        centre, far = self.anywhere(), self._chance.randint(20, 60)
        turns = sorted(self._chance.uniform(0, math.tau) for _ in range(self._chance.randint(2, 5)))
        places = (QPointF(far * math.cos(turn), far * math.sin(turn)) for turn in turns)
        return [centre + place.toPoint() for place in places]

    def move(self, place: QPoint) -> None:
        """Move to a place."""
        for one in (place + QPoint(0, 3), place):  # staying would be no move
            QTest.mouseMove(self._canvas, one)
            QTest.qWait(STEP)

    def click(self, place: QPoint) -> None:
        """Move to a place and click."""
        self.move(place)
        QTest.mouseClick(self._canvas, LEFT, pos=place)

    def drag(self, path: list[QPoint]) -> None:
        """Draw from place to place with the left button."""
        self.move(path[0])
        QTest.mousePress(self._canvas, LEFT, pos=path[0])
        for place in path[1:]:
            QTest.mouseMove(self._canvas, place)
            QTest.qWait(STEP)
        QTest.mouseRelease(self._canvas, LEFT, pos=path[-1])

    def turn_wheel(self, angle: int) -> None:
        """Turn the wheel somewhere; `angle` as Qt counts it, 120 for a notch."""
        canvas, place = self._canvas, self.anywhere()
        on_screen, turn = canvas.mapToGlobal(place), QPoint(0, angle)
        button, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
        where = QPointF(place), QPointF(on_screen)
        event = QWheelEvent(*where, QPoint(), turn, button, NO_KEY, phase, False)
        QApplication.sendEvent(canvas, event)

    def press(self, key: Any, modifier: Any = NO_KEY) -> None:
        """Press a key over the canvas."""
        QTest.keyClick(self._canvas, key, modifier)
