"""The part of the panel that scrolls: never wider by its bar, never in a person's way."""

import time

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QCursor, QShowEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFrame,
    QScrollArea,
    QScrollBar,
    QVBoxLayout,
    QWidget,
)

from napari_unet.plugin.widgets.fold import unfold

LEAST = 120  # screen pixels that are seen of what scrolls, however low the window is
SETTLED = 50  # milliseconds in which Qt lays out what was just shown
HELD = 2.0  # seconds for which what was brought into view is kept there
PATIENCE = 400  # milliseconds between two looks whether the person is still busy in the panel
MARGIN = 6  # screen pixels above and below what is brought into view


class Scrolling(QScrollArea):
    """A column of widgets that scrolls up and down.

    The room of the scroll bar is kept free while there is none, so nothing moves when it comes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wanted: QWidget | None = None  # what is to be brought into view
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._try)
        self._held: tuple[QWidget, float] | None = None  # what just was, and until when it stays
        self._left_at = 0  # where that left the scroll bar
        bar = self.verticalScrollBar()
        assert bar is not None, "every scroll area has one"
        self._bar, self._content = bar, QWidget()
        self._column = QVBoxLayout(self._content)
        self._column.setContentsMargins(0, 0, 4, 0)
        self._column.addStretch()
        self.setWidget(self._content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._bar.installEventFilter(self)
        self._bar.rangeChanged.connect(self._hold)
        self._keep_room()

    def add(self, widget: QWidget) -> None:
        """Add a widget below those there are."""
        self._column.insertWidget(self._column.count() - 1, widget)
        let_wheel_pass(widget)

    # ---- size ------------------------------------------------------------------------------

    def _keep_room(self) -> None:
        there = self._bar.isVisibleTo(self)
        self.setViewportMargins(0, 0, 0 if there else self._bar.sizeHint().width(), 0)
        self.updateGeometry()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802  Qt's
        """Measure anew: it has napari's style by now."""
        super().showEvent(event)
        self._keep_room()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """See the bar come and go, and what is inside ask for more room."""
        kind = event.type() if event is not None else None
        if watched is self._bar and kind in (QEvent.Type.Show, QEvent.Type.Hide):
            self._keep_room()
        if watched is self._content and kind == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's
        """As wide as what is inside, which is never scrolled sideways; low."""
        return QSize(self._around(self._content.minimumSizeHint().width()), LEAST)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's
        """As large as what is inside."""
        hint = self._content.sizeHint()
        return QSize(self._around(hint.width()), max(LEAST, hint.height()))

    def _around(self, width: int) -> int:
        # napari's style gives it a frame, whatever its own shape is
        return width + self._bar.sizeHint().width() + 2 * self.frameWidth()

    # ---- bringing into view ----------------------------------------------------------------

    def reveal(self, widget: QWidget) -> None:
        """Unfold and scroll to a widget, as soon as the person is at nothing else in here."""
        self._wanted = widget
        unfold(widget)
        self._timer.start(SETTLED)

    def _try(self) -> None:
        widget = self._wanted
        if widget is None or not widget.isVisible():
            self._wanted = None
            return
        if self._in_use_beside(widget):
            self._timer.start(PATIENCE)
            return
        self._wanted = None
        self._scroll_to(widget)
        self._held = widget, time.monotonic() + HELD

    def _scroll_to(self, widget: QWidget) -> None:
        self.ensureWidgetVisible(widget, 0, MARGIN)
        self._left_at = self._bar.value()

    def _hold(self) -> None:
        """Keep in view what was just brought there, when it or the rest changes its height."""
        if self._held is None:
            return
        widget, until = self._held
        moved = self._bar.value() != self._left_at  # by the person
        if moved or time.monotonic() > until or self._in_use_beside(widget):
            self._held = None
        else:
            self._scroll_to(widget)

    def _in_use_beside(self, widget: QWidget) -> bool:
        """Whether the person is at another widget in here, by mouse or by keyboard."""
        pressed = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if pressed or QApplication.activePopupWidget() is not None:
            return True
        under, focus = QApplication.widgetAt(QCursor.pos()), QApplication.focusWidget()
        if isinstance(focus, QAbstractButton):  # pressed some time ago
            focus = None
        inside = self._content.isAncestorOf
        others = [one for one in (under, focus) if one is not None and inside(one)]
        return any(one is not widget and not widget.isAncestorOf(one) for one in others)


class _WheelGuard(QObject):
    """Leaves the wheel to what scrolls, unless a person has clicked into the widget before."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """Pass a wheel on."""
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget):
            return False
        if watched.hasFocus():
            return False
        event.ignore()  # the next widget below gets it
        return True


def let_wheel_pass(widget: QWidget) -> None:
    """Keep values from changing under the wheel of a person who scrolls past them."""
    guard = _WheelGuard(widget)
    for kind in (QComboBox, QAbstractSpinBox, QAbstractSlider):
        for child in widget.findChildren(kind):
            if not isinstance(child, QScrollBar):
                child.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                child.installEventFilter(guard)
