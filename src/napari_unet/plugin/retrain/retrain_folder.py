"""One line of the Retrain section: a folder of images and masks to learn from, too."""

from pathlib import Path

from magicgui.widgets import PushButton
from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget
from superqt import QElidingLabel

from napari_unet.io.training_pairs import Pairs, find_pairs
from napari_unet.plugin.widgets.background import in_background

ADD = "Add a folder of images and masks…"
KINDS = (
    "It holds the folders images and masks, or both kinds of files side by side (a.tif and "
    "a_mask.tif); a mask must be right everywhere"
)
LOOKING = "Looking which images and masks belong together…"
NOTHING = "Nothing was added, as there are no masks without their folder."


class FolderRow(QWidget):
    """A button that asks for a folder; once there is one, what is in it and how to remove it.

    Only names are looked at here, and that in the background; Retrain reads the files.
    """

    said = Signal(str)  # a sentence for the person
    changed = Signal()  # what there is, or that it is looked for

    def __init__(self) -> None:
        super().__init__()
        self.pairs: Pairs | None = None
        self._closed = False
        self.add = PushButton(text=ADD, tooltip=KINDS)
        self.remove = PushButton(text="Remove", tooltip="Retrain without them; the files stay")
        self._line = QElidingLabel()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.add.native)
        layout.addWidget(self._line, stretch=1)
        layout.addWidget(self.remove.native)
        self.add.clicked.connect(self._ask)
        self.remove.clicked.connect(self._remove)
        self._show()

    @property
    def line(self) -> str:
        """What is said to be in the folder, empty without one."""
        return str(self._line.text())

    @property
    def looking(self) -> bool:
        """Whether a folder was chosen whose names are not known yet."""
        return not self.add.enabled

    def close_down(self) -> None:
        """Ask and show nothing any more."""
        self._closed = True

    def look(self, images: Path, masks: Path | None = None) -> None:
        """Find the pairs of a folder, or of two, and ask for the masks if they are not there."""
        self.add.enabled = False
        self.changed.emit()
        self.said.emit(LOOKING)
        in_background(
            lambda: find_pairs(images, masks),
            lambda found, problem: self._looked(images, found, problem),
        )

    def _looked(self, images: Path, found: Pairs | None, problem: str | None) -> None:
        if self._closed:
            return  # the widgets are gone
        self.add.enabled = True
        self.changed.emit()
        if problem:
            self.said.emit(problem)
        elif found is None:
            self._ask_for_masks(images)
        else:
            self.pairs = found
            self._show()
            self.said.emit(found.sentence)

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "A folder of images and masks", "")
        if chosen:
            self.look(Path(chosen))

    def _ask_for_masks(self, images: Path) -> None:
        title = f"The folder of the masks for the images in {images.name}"
        chosen = QFileDialog.getExistingDirectory(self, title, str(images.parent))
        if chosen:
            self.look(images, Path(chosen))
        else:
            self.said.emit(NOTHING)

    def _remove(self) -> None:
        self.pairs = None
        self._show()

    def _show(self) -> None:
        there = self.pairs
        self._line.setText(f"{there.number} from {there.folder.name}" if there else "")
        self._line.setToolTip(there.sentence if there else "")
        self.add.native.setVisible(not there)
        self._line.setVisible(bool(there))
        self.remove.native.setVisible(bool(there))
        self.changed.emit()
