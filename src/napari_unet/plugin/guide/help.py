"""Help in the panel: the documents, and from what the panel says a link to its paragraph."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QImage, QTextCursor, QTextDocument
from qtpy.QtWidgets import QMenu, QPushButton, QTextBrowser, QVBoxLayout, QWidget

FIRST_STEPS = "first-steps.md"
WIDTH, HEIGHT = 760, 700  # screen pixels of the documents' window
PAGES = {
    "First steps": FIRST_STEPS,
    "Correct and retrain": f"{FIRST_STEPS}#5-correct",
    "Measure and export": "exports.md#in-the-panel",
    "Stacks and movies": "stacks.md#in-the-panel",
    "Large images": f"{FIRST_STEPS}#large-images",
    "Many images": f"{FIRST_STEPS}#many-images",
    "Files and channels": "files.md",
    "The bundled models": "models.md",
}
# What the panel may say, by a phrase of it, and the paragraph that tells more.
PARAGRAPHS = {
    "No objects were found": f"{FIRST_STEPS}#if-nothing-is-found",
    "has no contrast": f"{FIRST_STEPS}#if-nothing-is-found",
    "set the object diameter": f"{FIRST_STEPS}#3-segment",
    "The sliders have nothing to act on": f"{FIRST_STEPS}#3-segment",
    "fits the cells of this image better": "models.md",
    "Nothing is painted yet": f"{FIRST_STEPS}#5-correct",
    "Only background is painted": f"{FIRST_STEPS}#5-correct",
    "Only one class is painted": "retraining.md#classes",
    "The new model is": f"{FIRST_STEPS}#6-retrain",
    "There was no time to learn": f"{FIRST_STEPS}#6-retrain",
    "The old model stays; look at the new one": f"{FIRST_STEPS}#6-retrain",
    "This is only a preview": f"{FIRST_STEPS}#6-retrain",
    "corrections are restored": f"{FIRST_STEPS}#next-week",
    "choose Convert to Labels": f"{FIRST_STEPS}#next-week",
    "napari opens a file of this name as an image": f"{FIRST_STEPS}#8-save-and-export",
    "Copied, to be pasted into your methods": "exports.md#in-the-panel",
    "outlines are too many for a layer of shapes": "exports.md#in-the-panel",
    "too large to be painted on as a whole": f"{FIRST_STEPS}#large-images",
    "of a large image are opened at once": f"{FIRST_STEPS}#large-images",
    "zoom in and press Edit this view": f"{FIRST_STEPS}#large-images",
    "Labels of a large image are there": f"{FIRST_STEPS}#large-images",
    "Planes are segmented in 2-D": "stacks.md#in-the-panel",
    "shows them; paint corrections on": "stacks.md#in-the-panel",
    "one letter for each dimension is needed": "files.md",
    "name no Y and X": "files.md",
}


def paragraph_of(sentence: str) -> str:
    """Return the paragraph that tells more of what was said; empty if there is none."""
    return next((place for phrase, place in PARAGRAPHS.items() if phrase in sentence), "")


def documents() -> Path:
    """Return the folder of documents, of an installed package or of a working copy."""
    installed = Path(str(files("napari_unet") / "docs"))
    return installed if installed.is_dir() else Path(__file__).resolve().parents[4] / "docs"


def anchor(heading: str) -> str:
    """Return how a link names a heading: in lower case, with hyphens, as on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


class Documents(QTextBrowser):
    """The documents, with pictures as wide as the window; links lead to others."""

    def __init__(self) -> None:
        super().__init__()
        self.setOpenExternalLinks(True)
        self.resize(WIDTH, HEIGHT)

    def open(self, place: str) -> None:
        """Show a document in a window, from a heading on: ``first-steps.md#3-segment``."""
        name, _, heading = place.partition("#")
        address = QUrl.fromLocalFile(str(documents() / name))
        address.setFragment(heading)
        self.show()  # first: a heading has its place once lines have their width
        self.raise_()
        self.setSource(address)

    def doSetSource(  # noqa: N802  Qt's name
        self,
        name: QUrl,
        type: QTextDocument.ResourceType = QTextDocument.ResourceType.UnknownResource,  # noqa: A002
    ) -> None:
        """Show what a link leads to, from its heading on: Qt knows no anchors of Markdown."""
        super().doSetSource(name, type)
        document, wanted = self.document(), name.fragment()
        assert document is not None, "every browser has one"
        block = document.begin()
        self.setWindowTitle(f"{block.text()} – Interactive U-Net")
        while wanted and block.isValid():
            if block.blockFormat().headingLevel() and anchor(block.text()) == wanted:
                self._begin_at(QTextCursor(block))
                return
            block = block.next()

    def _begin_at(self, cursor: QTextCursor) -> None:
        """Bring a place to the top of the window."""
        bar = self.verticalScrollBar()
        assert bar is not None, "every browser has one"
        self.moveCursor(QTextCursor.MoveOperation.End)  # so all is laid out
        self.setTextCursor(cursor)
        bar.setValue(bar.value() + self.cursorRect(cursor).top())

    def loadResource(self, kind: int, name: QUrl) -> Any:  # noqa: N802  Qt's name
        """Load a file that a document names; pictures become as narrow as the window."""
        found = super().loadResource(kind, name)
        picture = QImage(self.source().resolved(name).toLocalFile())
        room = self.width() - 48
        if picture.isNull() or picture.width() <= room:
            return found
        return picture.scaledToWidth(room, Qt.TransformationMode.SmoothTransformation)


class Help(QWidget):
    """Two small buttons beside what the panel says: *More…* of just that, and *Help*."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: Documents | None = None
        self._place = ""
        self.more, self.all = QPushButton("More…"), QPushButton("Help")
        self.more.setToolTip("Read more about what the panel says, without the internet")
        self.more.clicked.connect(lambda _checked=False: self.open(self._place))
        self.all.setToolTip("First steps, with pictures, and all else; without the internet")
        self.menu = QMenu(self.all)
        for title, place in PAGES.items():
            action = self.menu.addAction(title)
            assert action is not None, "just made"
            action.triggered.connect(lambda _checked=False, place=place: self.open(place))
        self.all.setMenu(self.menu)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for button in (self.more, self.all):
            layout.addWidget(button)
        room = self.more.sizePolicy()
        room.setRetainSizeWhenHidden(True)  # else the panel moves while somebody reads
        self.more.setSizePolicy(room)
        self.follow("")

    def follow(self, sentence: str) -> None:
        """Offer to read more about a sentence, where there is more."""
        self._place = paragraph_of(sentence)
        self.more.setVisible(bool(self._place))

    def open(self, place: str = FIRST_STEPS) -> None:
        """Open the documents at a place."""
        if self.documents is None:
            self.documents = Documents()
        self.documents.open(place)

    def close_down(self) -> None:
        """Close the documents with the panel."""
        if self.documents is not None:
            self.documents.close()
