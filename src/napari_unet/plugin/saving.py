"""Save labels…: asks for a file, writes a copy in the background, and notes it in the journal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_unet.plugin import layers
from napari_unet.plugin.hooks import write_labels
from napari_unet.plugin.jobs import in_background
from napari_unet.plugin.part import Part
from napari_unet.plugin.results import Result

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

NOTHING = "There is nothing to save: the image has no result any more. Press Segment first."


class Saving(Part):
    """Writes the labels of the chosen image."""

    def __init__(self, host: "SegmentPanel") -> None:
        super().__init__(host)
        self.running = False

    def ask(self) -> None:
        """Ask for a file and write it."""
        result = self._host.current_result()
        if result is None:
            self._host.say(NOTHING)
            return
        suggestion = f"{result.image.name}_{'classes' if result.classes else 'labels'}.ome.tif"
        chosen, _ = QFileDialog.getSaveFileName(
            self._host.native, "Save labels", suggestion, "Labels (*.ome.tif *.tif)"
        )
        if chosen:
            self.save_to(Path(chosen))

    def save_to(self, path: Path) -> None:
        """Write the labels, in the background, from a copy taken now."""
        host, result = self._host, self._host.current_result()
        if result is None:
            host.say(NOTHING)
            return
        result.correcting.look_everywhere()
        edits = result.correcting.edits
        data, meta = result.layer.data.copy(), layers.attributes(result.layer)
        if not path.suffix:
            path = path.with_name(path.name + ".ome.tif")
        host.say(f"Saving {path.name}…")
        self.running, host.problem = True, None

        def saved(_files: Any, problem: str | None) -> None:
            if host.closed:
                return
            self.running, host.problem = False, problem
            host.say(problem or f"Saved {path}.")
            if not problem and result.correcting.edits == edits:
                self._note(result, path)

        in_background(lambda: write_labels(str(path), data, meta), saved)

    def _note(self, result: Result, path: Path) -> None:
        """Note in the journal that the file holds everything that was painted."""
        journal = result.correcting.journal
        # the journal of a layer that was removed meanwhile is closed, and is offered to be restored
        if journal is not None and result.layer in self._viewer.layers:
            journal.note("saved", path=str(path))
