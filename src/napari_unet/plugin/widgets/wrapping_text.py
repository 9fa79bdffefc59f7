"""Text that wraps at any width, so that a long word never makes the panel wider."""

import math

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent, QTextOption
from qtpy.QtWidgets import QFrame, QSizePolicy, QTextEdit

MARGIN = 2  # screen pixels around the text
PLAIN = "QTextEdit, QTextEdit > QWidget { background: transparent; border: none; padding: 0px; }"


class Wrapped(QTextEdit):
    """Some lines that a person can read and copy; as high as they are, up to a limit.

    A `QLabel` breaks lines between words only: the path of a file, or the name of a model, would
    widen the whole panel.

    Parameters
    ----------
    fewest : int, default 1
        Lines there is room for in any case.
    most : int, optional
        Lines after which it scrolls; by default it never does.
    """

    def __init__(self, fewest: int = 1, most: int | None = None) -> None:
        super().__init__()
        self._fewest, self._most = fewest, most
        self.setReadOnly(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # no stop for the Tab key
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet(PLAIN)
        document = self.document()
        assert document is not None, "every editor has one"
        self._document = document
        self._document.setDocumentMargin(MARGIN)
        bars = Qt.ScrollBarPolicy
        self.setHorizontalScrollBarPolicy(bars.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(
            bars.ScrollBarAlwaysOff if most is None else bars.ScrollBarAsNeeded
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit()

    @property
    def text(self) -> str:
        """The text that is shown."""
        return self.toPlainText()

    def say(self, text: str) -> None:
        """Show a text; the same text is left alone, as a person may be selecting it."""
        if text != self.text:
            self.setPlainText(text)
        self._fit()

    def _fit(self, *_: object) -> None:
        """Take the height of the text, within the limits."""
        line, needed = self.fontMetrics().lineSpacing(), self._document.size().height()
        height = max(needed, self._fewest * line + 2 * MARGIN)
        if self._most is not None:
            height = min(height, self._most * line + 2 * MARGIN)
        self.setFixedHeight(math.ceil(height))
        self.setToolTip(self.text if height < needed else "")

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802  Qt's
        """Other lines at another width."""
        super().resizeEvent(event)
        self._fit()

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's
        """Nothing of its own: it takes the width there is."""
        return QSize(0, self.minimumHeight())
