"""A part of the panel that folds away, and unfolds by itself when it matters."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

FOLDED, UNFOLDED = "▸", "▾"
UNLIMITED = (1 << 24) - 1  # Qt's own largest height, which its bindings do not all name
TITLE = (
    "QPushButton {{ text-align: left; border: none; background: transparent; padding: 2px 0px; "
    "font-weight: {weight}; }} "
    "QPushButton:hover, QPushButton:focus {{ text-decoration: underline; }}"
)
INDENT = 8  # screen pixels, of what is inside a fold inside a fold


class Fold(QCollapsible):
    """A title that a click folds or unfolds; what is folded takes no part in anything.

    superqt's own freezes its content at the height it had when unfolded, and leaves it reachable by
    the keyboard when folded: ours is shown and hidden instead.

    Parameters
    ----------
    title : str
        What is in it.
    content : QWidget
        What is folded.
    main : bool, default False
        Whether it is one of the main parts of the panel, unfolded at first and with a bold title.
    """

    def __init__(self, title: str, content: QWidget, *, main: bool = False) -> None:
        super().__init__(title)
        self._title = title
        self.setDuration(0)  # a panel that moves for a while moves under the mouse
        self._take(content)
        self._lay_out(0 if main else INDENT)
        self._dress("bold" if main else "normal")
        self.toggled.connect(self._show)
        if main:
            self.expand(animate=False)
        else:
            self.collapse(animate=False)

    # superqt takes an icon that shows nothing for none under PySide6, and then misses it.
    def setCollapsedIcon(self, icon: QIcon | str | None = None) -> None:  # noqa: N802  superqt's
        """Show no icon: the title has a sign of its own."""
        self._collapsed_icon = QIcon()

    def setExpandedIcon(self, icon: QIcon | str | None = None) -> None:  # noqa: N802  superqt's
        """Show no icon: the title has a sign of its own."""
        self._expanded_icon = QIcon()

    def rename(self, title: str) -> None:
        """Give it another title."""
        self._title = title
        self.setText(f"{UNFOLDED if self.isExpanded() else FOLDED} {title}")

    def _lay_out(self, indent: int) -> None:
        # wrapped text needs more than its hint, which superqt makes the most there is, twice
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        layout, inside = self.layout(), self.content().layout()
        assert isinstance(layout, QVBoxLayout), "superqt's own"
        layout.setAlignment(Qt.AlignmentFlag(0))
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        if inside is not None:
            inside.setContentsMargins(indent, 0, 0, 0)
        else:  # a label
            self.content().setContentsMargins(indent, 0, 0, 0)

    def _dress(self, weight: str) -> None:
        button = self.toggleButton()
        button.setStyleSheet(TITLE.format(weight=weight))
        button.setCursor(Qt.CursorShape.PointingHandCursor)

    def _take(self, content: QWidget) -> None:
        """Put our content in the place of superqt's empty one."""
        empty = self.content()
        self.setContent(content)
        empty.setParent(None)
        empty.deleteLater()

    def _show(self, on: bool) -> None:
        self.setText(f"{UNFOLDED if on else FOLDED} {self._title}")
        content = self.content()
        content.setMaximumHeight(UNLIMITED)
        content.setVisible(on)


def unfold(widget: QWidget) -> None:
    """Unfold everything that a widget is in."""
    parent: QWidget | None = widget
    while parent is not None:
        if isinstance(parent, Fold) and not parent.isExpanded():
            parent.expand(animate=False)
        parent = parent.parentWidget()
