"""What an empty panel says: the first three things to do, the samples, and the tutorial."""

from collections.abc import Callable
from typing import Any

from napari import Viewer
from npe2 import PluginManager
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.plugin.layers import layers
from napari_unet.settings import APPLICATION

STEPS = (
    "<ol><li>Open an image: drop its file here, or take a sample.</li>"
    "<li>Press <b>Segment</b>: the model outlines every cell.</li>"
    "<li>Correct ten cells and press <b>Retrain</b>: a minute later the model knows them.</li></ol>"
)
FIRST_STEPS = "First steps…"


class Welcome(QWidget):
    """Shown while there is no image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where samples are opened.
    first_steps : callable
        Opens the tutorial.
    """

    def __init__(self, viewer: Viewer, first_steps: Callable[[], None]) -> None:
        super().__init__()
        self._viewer = viewer
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
        self.first_steps.clicked.connect(lambda _checked=False: first_steps())
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


def samples() -> dict[str, str]:
    """Return the keys and the names of our samples, as the manifest has them."""
    ours = (m for m in PluginManager.instance().iter_manifests() if m.name == APPLICATION)
    found = [sample for manifest in ours for sample in manifest.contributions.sample_data or ()]
    return {sample.key: sample.display_name for sample in found}
