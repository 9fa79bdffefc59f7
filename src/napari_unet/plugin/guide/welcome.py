"""What an empty panel says: the first three things to do, the samples, and the tutorial."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from napari import Viewer
from npe2 import PluginManager
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QTextBrowser, QVBoxLayout, QWidget

from napari_unet.plugin.layers import layers
from napari_unet.settings import APPLICATION

STEPS = (
    "<ol><li>Open an image: drop its file here, or take a sample.</li>"
    "<li>Press <b>Segment</b>: the model outlines every cell.</li>"
    "<li>Correct ten cells and press <b>Retrain</b>: a minute later the model knows them.</li></ol>"
)
FIRST_STEPS = "First steps…"
WIDTH, HEIGHT = 760, 700  # screen pixels of the tutorial's window


class Welcome(QWidget):
    """Shown while there is no image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where samples are opened.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._tutorial: Tutorial | None = None
        steps = QLabel(STEPS)
        steps.setWordWrap(True)
        layout, grid = QVBoxLayout(self), QGridLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        self.samples = {key: QPushButton(name) for key, name in samples().items()}
        for number, (key, button) in enumerate(self.samples.items()):
            button.setToolTip("Opens this sample")
            button.clicked.connect(lambda _=False, key=key: self._open(key))
            grid.addWidget(button, number, 0)
        self.first_steps = QPushButton(FIRST_STEPS)
        self.first_steps.setToolTip("Opens the tutorial: ten minutes, with pictures")
        self.first_steps.clicked.connect(self.show_tutorial)
        grid.addWidget(self.first_steps, len(self.samples), 0)
        layout.addWidget(steps)
        layout.addLayout(grid)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show this only where there is no image."""
        self.setVisible(not layers.image_layers(self._viewer))

    def leave(self) -> None:
        """Listen to the viewer no longer."""
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.disconnect(self.refresh)

    def _open(self, key: str) -> None:
        self._viewer.open_sample(APPLICATION, key)

    def show_tutorial(self) -> None:
        """Open the tutorial in a window of its own."""
        if self._tutorial is None:
            self._tutorial = Tutorial(documents())
        self._tutorial.show()
        self._tutorial.raise_()


class Tutorial(QTextBrowser):
    """The first steps, with pictures as wide as the window; other documents are a click away.

    Parameters
    ----------
    folder : Path
        Where the documents are.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.setWindowTitle("First steps with the Interactive U-Net")
        self.setOpenExternalLinks(True)
        self.resize(WIDTH, HEIGHT)
        self.setSource(QUrl.fromLocalFile(str(folder / "first-steps.md")))

    def loadResource(self, kind: int, name: QUrl) -> Any:  # noqa: N802  Qt's name
        """Load a file that a document names; pictures become as narrow as the window."""
        found = super().loadResource(kind, name)
        picture = QImage(self.source().resolved(name).toLocalFile())
        room = self.width() - 48
        if picture.isNull() or picture.width() <= room:
            return found
        return picture.scaledToWidth(room, Qt.TransformationMode.SmoothTransformation)


def samples() -> dict[str, str]:
    """Return the keys and the names of our samples, as the manifest has them."""
    ours = (m for m in PluginManager.instance().iter_manifests() if m.name == APPLICATION)
    found = [sample for manifest in ours for sample in manifest.contributions.sample_data or ()]
    return {sample.key: sample.display_name for sample in found}


def documents() -> Path:
    """Return the folder of documents, of an installed package or of a working copy."""
    installed = Path(str(files("napari_unet") / "docs"))
    return installed if installed.is_dir() else Path(__file__).resolve().parents[4] / "docs"
