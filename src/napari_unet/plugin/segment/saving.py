"""Save labels…: asks for a file, writes a copy in the background, and notes it in the journal.

A window that a person closes before that asks whether to save.
"""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from magicgui.widgets import PushButton
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_unet.io.ome_zarr import ENDING, LabelPyramid, copy_labels
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.layers.labels_files import METADATA_KEY, opens_as_labels, write_labels
from napari_unet.plugin.linking.linked import Linked, can_link
from napari_unet.plugin.linking.linked_results import LinkedResults
from napari_unet.plugin.objects.leaving_out import ForFile, in_the_file
from napari_unet.plugin.result.result import REPLACED, Result
from napari_unet.plugin.result.slide_result import SlideResult, slide_result
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.setting_widgets import NOT_ASKED, offer
from napari_unet.segmentation import in_file
from napari_unet.settings import FilterSettings, LinkSettings

OME_TIFF = ".ome.tif"
AS_IMAGE = (
    "napari opens a file of this name as an image; with a name that ends in _labels it opens as "
    "labels."
)
UNSAVED = (
    "{} not saved. What you have corrected is kept, and offered when you open the image again."
)
TIP = "As OME-TIFF, with ids and pixel size"
NOT_YET = "There are no labels to save yet. Press Segment first."
ONLY_PAINTED = (
    "Only what you painted or restored is in these labels: the rest of the image is not segmented. "
    "Press Segment first to find it."
)
NOTHING = "There is nothing to save: the image has no result any more. Press Segment first."


def with_ending(path: Path, ending: str) -> Path:
    """Return a path with an ending, added if it has none."""
    return path if path.suffix else path.with_name(path.name + ending)


class Saved(NamedTuple):
    """What the labels in a file depend on, beside the last run."""

    edits: int
    filters: FilterSettings  # what was left out
    link: LinkSettings | None  # how planes were linked; None = not at all


class Saving:
    """Button that writes the labels of the chosen image.

    Parameters
    ----------
    session : Session
        What is worked on.
    for_file : callable
        Makes labels ready for a file; see `leaving_out`.
    link : LinkedResults
        Links planes of labels on disk where that is wanted.
    """

    def __init__(self, session: Session, for_file: ForFile, link: LinkedResults) -> None:
        self._session, self._for_file, self._link = session, for_file, link
        self._saved: weakref.WeakKeyDictionary[Result, Saved] = weakref.WeakKeyDictionary()
        self._closing: Closing | None = None
        self.save = PushButton(text="Save labels…")
        offer(self.save, TIP, NOT_YET)
        self.save.clicked.connect(self.ask)
        session.runs.found.connect(self._on_found)
        session.closing.connect(self._leave_window)
        session.intent_changed.connect(self.refresh)
        for signal in (session.results.added, session.results.changed):
            signal.connect(self.refresh)

    def refresh(self) -> None:
        """Offer to save where there is something."""
        there = self._session.results.current is not None
        offer(self.save, TIP, "" if there or self._slide() is not None else NOT_YET)
        window = self.save.native.window()
        if self._closing is None and not self._session.closed and window.windowHandle() is not None:
            self._closing = Closing(window, self.unsaved, self.ask)

    def _on_found(self, _event: object) -> None:
        """Count a result that a run changes as not saved."""
        result = self._session.results.current
        if result is not None:
            self._saved.pop(result, None)

    def unsaved(self) -> list[str]:
        """Return the names of the layers whose labels would be lost."""
        return [
            result.layer.name
            for result in self._session.results.all()
            if self._saved.get(result) != self._state(result) and result.holds_any
        ]

    def _state(self, result: Result) -> Saved:
        link = self._link.chosen() if can_link(result) else None
        return Saved(result.correcting.edits, result.filters, link)

    def _leave_window(self) -> None:
        if self._closing is not None:
            self._closing.leave()
            self._closing = None

    def _slide(self) -> SlideResult | None:
        layer = self._session.intent.layer
        return slide_result(self._session.viewer, layer) if layer is not None else None

    def ask(self) -> None:
        """Ask for a file and write it."""
        slide, result = self._slide(), self._session.results.current
        found = slide or result
        if found is None:
            self._session.say(NOTHING)
            return
        if isinstance(found, Result) and found.only_painted and not self._save_anyway():
            return
        kind = "classes" if found.classes else "labels"
        ending = ENDING if slide else OME_TIFF
        suggestion = f"{found.image.name}_{kind}{ending}"
        offered = f"Labels ({f'*{ENDING} ' if slide else ''}*.ome.tif *.tif)"
        parent = self.save.native.window()
        chosen, _ = QFileDialog.getSaveFileName(parent, "Save labels", suggestion, offered)
        if chosen:
            path = with_ending(Path(chosen), ending)
            if path != Path(chosen) and path.exists():  # the dialog has asked for another name
                self._session.say(NOT_ASKED.format(path.name, "Save labels…"))
            else:
                self.save_to(path)

    def _save_anyway(self) -> bool:
        """Ask whether to save labels of which nothing but what was painted is there."""
        box = QMessageBox(self.save.native.window())
        box.setText(ONLY_PAINTED)
        anyway = box.addButton("Save anyway", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.exec()
        return box.clickedButton() is anyway

    def save_to(self, path: Path) -> None:
        """Write the labels, in the background, as they are now."""
        session, slide, result = self._session, self._slide(), self._session.results.current
        reason = session.runs.reason_to_wait("save") if slide is not None else None
        if reason:
            session.say(reason)
        elif slide is not None:
            path = with_ending(path, ENDING)
            self._write(path, _writer_of_slide(slide, path, self._link), lambda: None)
        elif result is None:
            session.say(NOTHING)
        elif not result.correcting.fits:
            session.say(REPLACED)
        else:
            self._save_result(result, with_ending(path, OME_TIFF))

    def _save_result(self, result: Result, path: Path) -> None:
        result.correcting.look_everywhere()
        state = self._state(result)
        shown, made = result.shown.copy(), result.record
        meta, grid = layers.attributes(result.layer), grid_of(result.layer)
        ready = self._for_file(result, shown)

        def write() -> str:
            labels, told = ready()
            metadata = {**meta["metadata"], METADATA_KEY: in_file(made, told, labels, shown)}
            write_labels(str(path), grid.on_layer(labels), {**meta, "metadata": metadata})
            return in_the_file(labels, told)

        def note() -> None:
            self._saved[result] = state
            if result.correcting.edits == state.edits:
                self._note(result, path)

        self._write(path, write, note)

    def _write(self, path: Path, write: Callable[[], str], note: Callable[[], None]) -> None:
        """Write a file in the background; `write` returns what is to be said of it besides."""
        session, runs = self._session, self._session.runs
        session.say(f"Saving {path.name}…")
        runs.problem = None

        def saved(told: str | None, problem: str | None) -> None:
            runs.problem = problem
            if not (problem or session.closed):
                note()  # before others are told that nothing is written any more
            runs.end(Activity.SAVING)
            hint = "" if opens_as_labels(path) else f" {AS_IMAGE}"
            session.say(problem or f"Saved {path}.{told}{hint}")

        runs.begin(Activity.SAVING)
        in_background(write, saved)

    def _note(self, result: Result, path: Path) -> None:
        """Note in the journal that the file holds everything that was painted."""
        journal = result.correcting.journal
        # the journal of a layer that was removed meanwhile is closed, and is offered to be restored
        if journal is not None and result.layer in self._session.viewer.layers:
            journal.note("saved", path=str(path))


class Closing(QObject):
    """Asks before a person closes a window with labels that are not saved.

    Parameters
    ----------
    window : QWidget
        The window.
    unsaved : callable
        Returns the names of the layers whose labels would be lost.
    save : callable
        Asks for a file, and writes it.
    """

    def __init__(
        self, window: QWidget, unsaved: Callable[[], list[str]], save: Callable[[], None]
    ) -> None:
        super().__init__(window)
        self._unsaved, self._save = unsaved, save
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """Keep the window open until the person has decided; a program that closes is not asked."""
        asked = event is not None and event.type() == QEvent.Type.Close and event.spontaneous()
        if watched is not self.parent() or not asked or event is None or self.may_close():
            return False
        event.ignore()
        return True

    def leave(self) -> None:
        """Watch the window no longer."""
        window = self.parent()
        if window is not None:
            window.removeEventFilter(self)
        self.deleteLater()

    def may_close(self) -> bool:
        """Ask, where there is anything to lose."""
        names = self._unsaved()
        if not names:
            return True
        layers = f"The labels of {names[0]} are" if len(names) == 1 else f"{len(names)} layers are"
        parent = self.parent()
        box = QMessageBox(parent if isinstance(parent, QWidget) else None)
        box.setText(UNSAVED.format(layers))
        save = box.addButton("Save labels…", QMessageBox.ButtonRole.AcceptRole)
        close = box.addButton("Close without saving", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is save:
            self._save()
        return box.clickedButton() is close


def _writer_of_slide(slide: SlideResult, path: Path, link: LinkedResults) -> Callable[[], str]:
    """Return what writes the labels of a large image: a folder, or a file read from it."""
    assert slide.layer is not None, "only what is shown is saved"
    data, meta, grid = [*slide.layer.data], layers.attributes(slide.layer), grid_of(slide.layer)
    linked, in_folder = link.for_folder(slide), path.suffix.lower() == ENDING
    if linked is None and in_folder:
        return lambda: _quietly(copy_labels, slide.incremental.output, path)
    if linked is None:
        return lambda: _quietly(write_labels, str(path), data, meta)

    def write() -> str:
        found = linked()
        record = {**meta["metadata"].get(METADATA_KEY, {}), **found.told}
        try:
            if in_folder:
                _copy_linked(found, record, path)
            else:
                levels = [grid.on_layer(level) for level in found.levels]
                metadata = {**meta["metadata"], METADATA_KEY: record}
                write_labels(str(path), levels, {**meta, "metadata": metadata})
        finally:
            found.remove()
        return ""

    return write


def _quietly(write: Callable[..., Any], *given: Any) -> str:
    write(*given)
    return ""


def _copy_linked(linked: Linked, record: dict[str, Any], path: Path) -> None:
    assert linked.folder is not None, "labels on disk"
    told = {name: value for name, value in record.items() if name != "link_ids"}
    LabelPyramid(linked.folder).note(told)  # of a folder no labels are gone on with
    copy_labels(linked.folder, path)
