"""Save labels…: asks for a file, writes a copy in the background, and notes it in the journal."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_unet.io.ome_zarr import ENDING, copy_labels
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.labels_files import write_labels
from napari_unet.plugin.result.result import REPLACED, Result
from napari_unet.plugin.result.slide_result import SlideResult
from napari_unet.plugin.session.part import Part
from napari_unet.plugin.widgets.jobs import in_background
from napari_unet.plugin.widgets.setting_widgets import NOT_ASKED

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

WAIT = "The image is being segmented. Wait for it or cancel it, then save."
OME_TIFF = ".ome.tif"
NOTHING = "There is nothing to save: the image has no result any more. Press Segment first."


def with_ending(path: Path, ending: str) -> Path:
    """Return a path with an ending, added if it has none."""
    return path if path.suffix else path.with_name(path.name + ending)


class Saving(Part):
    """Writes the labels of the chosen image."""

    def __init__(self, host: "SegmentPanel") -> None:
        super().__init__(host)
        self.running = False

    def ask(self) -> None:
        """Ask for a file and write it."""
        host = self._host
        slide, result = host.slides.result_of(host.image.value), host.current_result()
        found = slide or result
        if found is None:
            host.say(NOTHING)
            return
        kind = "classes" if found.classes else "labels"
        suggestion = f"{found.image.name}_{kind}{ENDING if slide else OME_TIFF}"
        offered = f"Labels ({f'*{ENDING} ' if slide else ''}*.ome.tif *.tif)"
        chosen, _ = QFileDialog.getSaveFileName(host.native, "Save labels", suggestion, offered)
        if chosen:
            path = with_ending(Path(chosen), ENDING if slide else OME_TIFF)
            if path != Path(chosen) and path.exists():  # the dialog has asked for another name
                host.say(NOT_ASKED.format(path.name, "Save labels…"))
            else:
                self.save_to(path)

    def save_to(self, path: Path) -> None:
        """Write the labels, in the background, as they are now."""
        host = self._host
        slide, result = host.slides.result_of(host.image.value), host.current_result()
        if slide is not None and host.busy:
            host.say(WAIT)
        elif slide is None and result is not None and not result.correcting.fits:
            host.say(REPLACED)
        elif slide is not None:
            path = with_ending(path, ENDING)
            self._write(path, self._of_slide(slide, path), lambda: None)
        elif result is not None:
            path = with_ending(path, OME_TIFF)
            result.correcting.look_everywhere()
            edits = result.correcting.edits
            data, meta = result.layer.data.copy(), layers.attributes(result.layer)

            def note() -> None:
                if result.correcting.edits == edits:
                    self._note(result, path)

            self._write(path, lambda: write_labels(str(path), data, meta), note)
        else:
            host.say(NOTHING)

    def _of_slide(self, slide: SlideResult, path: Path) -> Callable[[], Any]:
        """Return what writes the labels of a large image: a folder, or a file read from it."""
        if path.suffix.lower() == ENDING:
            return lambda: copy_labels(slide.growing.output, path)
        assert slide.layer is not None, "only what is shown is saved"
        data, meta = [*slide.layer.data], layers.attributes(slide.layer)
        return lambda: write_labels(str(path), data, meta)

    def _write(self, path: Path, write: Callable[[], Any], note: Callable[[], None]) -> None:
        host = self._host
        host.say(f"Saving {path.name}…")
        self.running, host.problem = True, None

        def saved(_files: Any, problem: str | None) -> None:
            if host.closed:
                return
            self.running, host.problem = False, problem
            host.say(problem or f"Saved {path}.")
            if not problem:
                note()

        in_background(write, saved)

    def _note(self, result: Result, path: Path) -> None:
        """Note in the journal that the file holds everything that was painted."""
        journal = result.correcting.journal
        # the journal of a layer that was removed meanwhile is closed, and is offered to be restored
        if journal is not None and result.layer in self._viewer.layers:
            journal.note("saved", path=str(path))
