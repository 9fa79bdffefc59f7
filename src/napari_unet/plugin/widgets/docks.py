"""Docks: a widget as a tab beside another one, and the moment when a person closes its dock."""

from typing import Any

from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QWidget

TITLE = "{} – Interactive U-Net"


class Undocking(QObject):
    """Watches a widget lose its dock.

    napari takes the widget out of the dock and forgets it: it lives on unseen until Python happens
    to collect it.

    Parameters
    ----------
    widget : QWidget
        The widget; the watch ends with it.
    """

    happened = Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """See that the parent has changed; docks may change it for a moment only."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            self._timer.start(0)
        return super().eventFilter(watched, event)

    def _look(self) -> None:
        if self._widget.parent() is None:
            self.happened.emit()


class DockTitle(QObject):
    """Gives a widget's dock a title that fits: that of napari ends in the plugin's long name.

    Parameters
    ----------
    widget : QWidget
        The widget, docked now or later.
    title : str
        What the panel is called.
    """

    def __init__(self, widget: QWidget, title: str) -> None:
        super().__init__(widget)
        self._widget, self._title = widget, TITLE.format(title)
        self._dock: QDockWidget | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._give)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """See that the widget was docked."""
        if event is not None and event.type() in (QEvent.Type.ParentChange, QEvent.Type.Show):
            self._later()
        return super().eventFilter(watched, event)

    def _later(self, *_: Any) -> None:
        self._timer.start(0)

    def _give(self) -> None:
        dock = _dock_of(self._widget)
        if dock is None:
            return
        if dock is not self._dock:  # whose title napari makes anew when it is moved
            self._dock = dock
            for moved in (dock.topLevelChanged, dock.dockLocationChanged):
                moved.connect(self._later)
        dock.setWindowTitle(self._title)  # of its tab
        bar = dock.titleBarWidget()
        label = bar.findChild(QLabel) if bar is not None else None
        if label is not None:
            label.setText(self._title)


def in_open_window(widget: QWidget) -> bool:
    """Whether a widget is in a window that is open; one that closes takes its docks along."""
    window = widget.window() if isalive(widget) else None  # type: ignore[no-untyped-call]
    return window is not None and window.isVisible()


def tab_beside(widget: QWidget, name: str) -> None:
    """Make a widget's dock a tab beside a dock whose name begins so, if both are docked.

    Parameters
    ----------
    widget : QWidget
        In a dock.
    name : str
        How the name of the other dock begins; napari adds that of the plugin.
    """
    window, dock = widget.window(), _dock_of(widget)
    if dock is None or dock.isFloating() or not isinstance(window, QMainWindow):
        return
    for other in window.findChildren(QDockWidget):
        named = other is not dock and other.objectName().startswith(name)
        if named and other.isVisible() and not other.isFloating():
            window.tabifyDockWidget(other, dock)
            dock.raise_()
            return


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent: QWidget | None = widget
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
