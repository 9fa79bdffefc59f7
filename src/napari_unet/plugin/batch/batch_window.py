"""The window "Segment all": which images, where results go, and what became of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.widgets import PushButton
from napari.layers import Image as ImageLayer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import UNetError
from napari_unet.io.formats.facts import Scene
from napari_unet.io.images import SUFFIXES
from napari_unet.io.results import find_scenes
from napari_unet.measure.filters import left_out
from napari_unet.models.library import load_model
from napari_unet.plugin.batch.batch_items import items_of_files, items_of_layers, open_images
from napari_unet.plugin.batch.batch_run import BatchRun
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.segmentation.batch import (
    BatchEvent,
    BatchItem,
    BatchSettings,
    ItemDone,
    ItemFailed,
    ItemProgress,
    ItemSkipped,
)
from napari_unet.settings import FilterSettings, LinkSettings
from napari_unet.wording import counted

Linking = Callable[[], LinkSettings | None]
WIDTH, HEIGHT = 760, 520  # screen pixels
COLUMNS = ("Image", "Result", "State")
LOOKING = "Looking for images…"
NOTHING = "There are no images yet. Open some, or press Files… or Folder…."
BESIDE = "beside each image"
PLAN = (
    "{count} with the model {model}; each gets NAME_labels.tif and NAME_objects.csv {where}. Whole "
    "images are segmented, as the panel is set now; axes of files are as the files say."
)
FILTERED = "As Filter objects is set, {} are left out."
AT_WORK = "You can close this window and work on: napari's activity shows how far it is."
SHOWN = 10  # failures in the sentence; the table has all


class BatchWindow(QDialog):
    """Chooses images, and shows how far each is; closed while it works, it goes on.

    Parameters
    ----------
    session : Session
        Model, settings and channels.
    linking : callable
        Tells how planes are linked now; None = not at all.
    parent : QWidget
        The panel.
    """

    def __init__(self, session: Session, linking: Linking, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._linking = session, linking
        self._layers: list[ImageLayer] | None = []  # None where files were chosen
        self._scenes: list[Scene] = []
        self._folder: Path | None = None
        self._problems: list[str] = []  # of files that were chosen
        self._run: BatchRun | None = None
        self._names: list[str] = []
        self._failed: dict[int, str] = {}
        self._counts = {ItemDone: 0, ItemSkipped: 0}
        self.setWindowTitle("Segment all")
        self.resize(WIDTH, HEIGHT)
        self._build()
        self._lay_out()
        session.intent_changed.connect(self._describe)

    def _build(self) -> None:
        self.open_images = _button("Open images", "The images that are open", self.take_open)
        self.files = _button("Files…", "Choose image files", self._ask_files)
        self.from_folder = _button("Folder…", "All images of a folder", self._ask_folder)
        self.beside = _button("Beside the images", "Results go beside each image", self._go_beside)
        self.into = _button("Into a folder…", "Choose where results go", self._ask_output)
        self.overwrite = QCheckBox("Overwrite")
        self.overwrite.setToolTip(
            "Make results anew that exist, with all that was corrected in them; else they are left"
        )
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        assert header is not None, "every table has one"
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.progress = QProgressBar()
        self.start = _button("Segment all", "Begin, or go on where it was stopped", self._press)
        self.start.setDefault(True)
        self._sentence = Wrapped(fewest=3, most=8)

    def _lay_out(self) -> None:
        layout, images, results = QVBoxLayout(self), QHBoxLayout(), QHBoxLayout()
        for button in (self.open_images, self.files, self.from_folder):
            images.addWidget(button)
        for button in (self.beside, self.into):
            results.addWidget(button)
        results.addWidget(self.overwrite)
        layout.addLayout(images)
        layout.addLayout(results)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.progress)
        layout.addWidget(self._sentence)
        layout.addWidget(self.start)

    @property
    def sentence(self) -> str:
        """What the window says at the moment."""
        return self._sentence.text

    @property
    def running(self) -> bool:
        """Whether images are segmented now."""
        return self._run is not None and self._run.running

    def states(self) -> list[str]:
        """Return what the table says of each image."""
        cells = (self.table.item(row, 2) for row in range(self.table.rowCount()))
        return [cell.text() for cell in cells if cell is not None]

    # ---- which images ----------------------------------------------------------------------

    def take_open(self) -> None:
        """Take the images that are open."""
        self._layers, self._scenes, self._problems = open_images(self._session), [], []
        self._list()

    def _ask_files(self) -> None:
        offered = f"Images ({' '.join(f'*{suffix}' for suffix in SUFFIXES)})"
        chosen, _ = QFileDialog.getOpenFileNames(self, "Images to segment", "", offered)
        if chosen:
            self._take([Path(one) for one in chosen])

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of images to segment")
        if chosen:
            self._take([Path(chosen)])

    def _take(self, paths: list[Path]) -> None:
        """Look for the images of files, which may lie on a slow disk."""
        self._enable(on=False)
        self._sentence.say(LOOKING)

        def found(result: tuple[list[Scene], list[str]] | None, problem: str | None) -> None:
            if self._session.closed:
                return
            self._enable(on=True)
            self._layers = None
            self._scenes, self._problems = result or ([], [str(problem)])
            self._list()

        in_background(lambda: find_scenes(paths), found)

    def _go_beside(self) -> None:
        self._folder = None
        self._list()

    def _ask_output(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the results")
        if chosen:
            self._folder = Path(chosen)
            self._list()

    def _items(self) -> list[BatchItem]:
        if self._layers is None:
            return items_of_files(self._session, self._scenes, self._folder)
        there = [one for one in self._layers if one in self._session.viewer.layers]
        return items_of_layers(self._session, there, self._folder)

    def _list(self) -> None:
        """Show what would be segmented, and where results would go."""
        try:
            items = self._items()
        except UNetError as error:
            self._fill([])
            self._sentence.say(str(error))
            return
        self._fill(items)
        self._describe()

    def _fill(self, items: list[BatchItem]) -> None:
        self._failed, self._counts = {}, {ItemDone: 0, ItemSkipped: 0}
        self._names = [item.name for item in items]
        self.table.setRowCount(len(items))
        for row, item in enumerate(items):
            for column, text in enumerate((item.name, item.target.path.name, "")):
                cell = QTableWidgetItem(text)
                cell.setToolTip(str(item.target.path) if column == 1 else text)
                self.table.setItem(row, column, cell)
        self.progress.setRange(0, max(1, len(items)))
        self.progress.setValue(0)
        self.start.setEnabled(bool(items))

    def _describe(self, *_: Any) -> None:
        if self.running or self._failed or any(self._counts.values()):
            return
        count = counted(len(self._names), "image")
        where = BESIDE if self._folder is None else f"in {self._folder}"
        plan = PLAN.format(count=count, model=self._session.intent.model, where=where)
        told = [plan, *self._filter_told()] if self._names else [NOTHING]
        self._sentence.say("\n".join([" ".join(told), *self._problems]))

    def _filters(self) -> FilterSettings:
        """Return the filter of the result that is worked on; it is used for all images."""
        result = self._session.results.current
        return FilterSettings() if result is None else result.filters

    def _filter_told(self) -> list[str]:
        filters = self._filters()
        return [FILTERED.format(left_out(filters))] if filters.active else []

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802  Qt's name
        """Say what is set now: a person comes back from the panel."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ActivationChange:
            self._describe()

    # ---- the run ---------------------------------------------------------------------------

    def _press(self) -> None:
        if self.running:
            self.stop()
        else:
            self._begin()

    def _begin(self) -> None:
        session = self._session
        try:
            items, chosen = self._items(), session.settings()
            model = load_model(chosen.model)
        except UNetError as error:
            self._sentence.say(str(error))
            return
        finds_objects = model.card.finds_objects
        settings = BatchSettings(
            model,
            chosen,
            session.scratch,
            linking=self._linking(),
            filters=self._filters() if finds_objects else FilterSettings(),
            overwrite=self.overwrite.isChecked(),
        )
        self._fill(items)
        run = self._run = BatchRun(items, settings)
        run.told.connect(self._on_event)
        run.ended.connect(self._on_end)
        run.start()
        self._enable(on=False)
        self.start.setEnabled(True)
        self.start.setText("Stop")
        self._sentence.say(" ".join([*(self._filter_told() if finds_objects else ()), AT_WORK]))

    def stop(self) -> None:
        """Stop; pressed again, the button goes on with what has no result yet."""
        if self._run is not None and self._run.running:
            self._run.stop()
            self._sentence.say("Stopping…")

    def close_down(self) -> None:
        """Stop for good: the panel is closed."""
        if self._run is not None:
            self._run.close()
        self.hide()

    def _on_event(self, event: BatchEvent) -> None:
        if isinstance(event, ItemProgress):
            tiles = f"tile {event.done} of {event.total}" if event.total else "being looked at"
            self._put(event.number, tiles)
            return
        if isinstance(event, ItemDone):
            self._put(event.number, event.text, " ".join(event.notices))
        elif isinstance(event, ItemSkipped):
            self._put(event.number, "has a result already")
        elif isinstance(event, ItemFailed):
            self._failed[event.number] = event.text
            self._put(event.number, f"failed: {event.text}")
        if isinstance(event, ItemDone | ItemSkipped):
            self._counts[type(event)] += 1
        self.progress.setValue(self.progress.value() + 1)

    def _put(self, row: int, text: str, further: str = "") -> None:
        cell = self.table.item(row, 2)
        assert cell is not None, "filled when the run began"
        cell.setText(text)
        cell.setToolTip(f"{text} {further}".strip())
        self.table.scrollToItem(cell)

    def _on_end(self, problem: str | None) -> None:
        self._enable(on=True)
        self.start.setText("Segment all")
        stopped = self._run is not None and self._run.stopped
        for row, state in enumerate(self.states()):
            if stopped and (not state or state.startswith(("tile", "being"))):
                self._put(row, "stopped")
        self._sentence.say(problem or self._conclusion(stopped=stopped))

    def _conclusion(self, *, stopped: bool) -> str:
        """Return what came of all of it, with the failures one by one."""
        done, there = self._counts[ItemDone], self._counts[ItemSkipped]
        lines = [f"{done} of {len(self._names)} images segmented."]
        if there:
            lines[0] += f" {there} had a result already."
        if stopped:
            lines[0] += " Stopped; press Segment all to go on: what has a result is left alone."
        if self._failed:
            lines[0] += f" {len(self._failed)} failed:"
        shown = [*self._failed.items()][:SHOWN]
        lines += [f"{self._names[number]}: {text}" for number, text in shown]
        if len(self._failed) > SHOWN:
            lines.append(f"and {len(self._failed) - SHOWN} more, in the table")
        return "\n".join(lines)

    def _enable(self, *, on: bool) -> None:
        buttons = [self.open_images, self.files, self.from_folder, self.beside, self.into]
        for widget in [*buttons, self.overwrite, self.start]:
            widget.setEnabled(on)


class Batch:
    """The button *Segment all…* and its window.

    Parameters
    ----------
    session : Session
        What is worked on.
    linking : callable
        Tells how planes are linked now; None = not at all.
    """

    def __init__(self, session: Session, linking: Linking) -> None:
        self._session, self._linking = session, linking
        self.window: BatchWindow | None = None
        self.button = PushButton(
            text="Segment all…", tooltip="Segment all open images, or a folder of files"
        )
        self.button.clicked.connect(self.show)
        session.closing.connect(self._close)

    def show(self) -> None:
        """Show the window; it may be at work."""
        if self.window is None:
            self.window = BatchWindow(self._session, self._linking, self.button.native.window())
            self.window.take_open()
        self.window.show()
        self.window.raise_()

    def _close(self) -> None:
        if self.window is not None:
            self.window.close_down()


def _button(text: str, tooltip: str, deed: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setAutoDefault(False)
    button.clicked.connect(lambda _checked=False: deed())
    return button
