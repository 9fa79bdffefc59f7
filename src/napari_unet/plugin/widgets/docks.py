"""Tells when a person closes the dock a widget is in."""

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget


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
