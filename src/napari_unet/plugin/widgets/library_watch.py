"""Tells when any program adds or removes models."""

from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import QFileSystemWatcher, QObject, QTimer

from napari_unet.models.library import user_folder

PAUSE = 200  # milliseconds without a change after which it is told


class LibraryWatch(QObject):
    """Watches the person's folder of models.

    Parameters
    ----------
    parent : QObject
        What it belongs to, and ends with.
    """

    changed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._tell)
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(lambda _path: self._timer.start())
        self._follow()

    def _follow(self) -> None:
        """Watch the folder, or what there is of the way to it until somebody makes it."""
        folder = user_folder()
        there = next((f for f in (folder, *folder.parents) if f.is_dir()), Path.home())
        if str(there) not in self._watcher.directories():
            if self._watcher.directories():
                self._watcher.removePaths(self._watcher.directories())
            self._watcher.addPath(str(there))

    def _tell(self) -> None:
        self._follow()
        self.changed.emit()
