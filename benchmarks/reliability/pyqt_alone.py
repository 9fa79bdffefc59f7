"""PyQt6 alone ends with a segmentation fault where a program ends with many windows open.

    QT_QPA_PLATFORM=offscreen python -m benchmarks.reliability.pyqt_alone     ends with SIGSEGV

At the end of a program PyQt6 visits all the objects it knows in a table, and deletes those that
belong to Python. Event filters in Python are still called then, and each event makes objects that
enter the same table. Where it has to grow, the visit goes on in memory that was given back. Here
the filter makes many objects at once; magicgui has a filter for each of its widgets.
"""

from PyQt6.QtCore import QEvent, QObject, QSize
from PyQt6.QtWidgets import QApplication, QWidget

MANY = 100_000  # objects; the table is so large that its memory is given back to the system
left: list[QObject | QSize] = []  # when the program ends


class Filter(QObject):
    """Makes new objects at the first event after the program's last line."""

    ending = False

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """Make them once."""
        if Filter.ending:
            Filter.ending = False
            left.extend([QSize() for _ in range(10 * MANY)])
        return super().eventFilter(watched, event)


def main() -> None:
    """Open windows, and leave them to the end of the program."""
    app = QApplication(["PyQt6 alone"])
    left.extend([app, *(QSize() for _ in range(MANY))])
    for _ in range(20):
        window, watching = QWidget(), Filter()
        child = QWidget(window)
        for widget in (window, child):
            widget.installEventFilter(watching)
        window.show()
        left.extend([window, watching])
    app.processEvents()
    Filter.ending = True


if __name__ == "__main__":
    main()
