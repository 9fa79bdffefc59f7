"""The panel "Models": what is in the library, what each model is, and what one can do with it."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Literal

from magicgui.widgets import PushButton
from qtpy.compat import isalive
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QProgressBar,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_unet.engine.commands import Command
from napari_unet.engine.logs import VIEWER, keep_log
from napari_unet.errors import UNetError
from napari_unet.models import store
from napari_unet.models.bioimage_io.packages import is_package
from napari_unet.models.bioimage_io.reading import TOLD_BY
from napari_unet.models.card import SUFFIX, describe, plain, sha256_of
from napari_unet.models.library import bundled_folder, lineage, model_files
from napari_unet.models.names import free_name
from napari_unet.plugin.widgets.background import in_background, sentence
from napari_unet.plugin.widgets.docks import DockTitle, tab_beside
from napari_unet.plugin.widgets.library_watch import LibraryWatch
from napari_unet.plugin.widgets.setting_widgets import NOT_ASKED, offer

FILES = f"Models (*{SUFFIX})"
PACKAGE = ".zip"
PACKAGES = f"BioImage.IO packages (*{PACKAGE})"
PANEL = "Segment, retrain"  # which this one is docked beside, as a tab
IMPORTED = f"Models and packages of BioImage.IO (*{SUFFIX} *{PACKAGE} *.yaml)"
IMPORTING = "Importing {!r}, a package of BioImage.IO. Its own test runs first."
OUTPUTS = (  # usual ones; another order can be typed
    "foreground,boundary",
    "boundary,foreground",
    "foreground,distance",
    "background,foreground,boundary",
    "foreground",
    "boundary",
    "background,class",
)
EXPORTING = "Exporting {!r} as a BioImage.IO package, which is tested first. This takes a minute."
COLUMNS = 3
IMPORTABLE = "a model file of this plugin, or a package of BioImage.IO"
NO_MODEL = "There is no model to choose. Import one."
BUNDLED = "This model came with the plugin and stays as it is. Duplicate it, and change the copy."


@dataclass(frozen=True, slots=True)
class Row:
    """A button: its text, what it does, what must be chosen for it, and its tooltip.

    `needs` is a model ("any"), one that did not come with the plugin ("own"), or "nothing".
    """

    text: str
    deed: Callable[[], None]
    needs: Literal["nothing", "any", "own"]
    tip: str


class ModelsPanel(QWidget):
    """Dock widget "Models"."""

    def __init__(self) -> None:
        super().__init__()
        keep_log(VIEWER)
        self.problem: str | None = None  # what went wrong last
        self._asked = 0
        self._undo: Path | None = None  # in the bin, what was deleted last
        self._shown = False  # and so docked, where it stays from then on
        self._placed = False  # as a tab, if there is another panel
        self.list = QListWidget()
        self.card = QTextBrowser()
        self.card.setOpenLinks(False)
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        self._sentence.setTextFormat(Qt.TextFormat.PlainText)
        self._sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.buttons = {row.text: PushButton(text=row.text) for row in self._rows()}
        self.undo = PushButton(text="Undo", tooltip="Bring back what was deleted last")
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)  # it goes on, nobody knows how far
        self.progress.hide()
        self._lay_out()
        self.list.currentTextChanged.connect(lambda _name: self._describe())
        DockTitle(self, "Models")
        LibraryWatch(self).changed.connect(self.refresh)
        self.refresh()

    def _rows(self) -> list[Row]:
        return [
            Row("Rename…", self._ask_name_and_rename, "own", "Give this model another name"),
            Row("Duplicate…", self._ask_name_and_duplicate, "any", "Copy this model"),
            Row("Delete", self.delete, "own", "Move this model to the bin"),
            Row("Import…", self._ask_file_and_import, "nothing", f"Add {IMPORTABLE}"),
            Row("Export…", self._ask_file_and_export, "any", f"Write {IMPORTABLE}"),
        ]

    def _lay_out(self) -> None:
        layout, grid = QVBoxLayout(self), QGridLayout()
        for number, row in enumerate(self._rows()):
            button = self.buttons[row.text]
            button.clicked.connect(row.deed)
            grid.addWidget(button.native, number // COLUMNS, number % COLUMNS)
        grid.addWidget(self.undo.native, len(self.buttons) // COLUMNS, COLUMNS - 1)
        self.undo.clicked.connect(self.restore)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.card, 2)
        layout.addLayout(grid)
        layout.addWidget(self.progress)
        layout.addWidget(self._sentence)

    # ---- what is shown ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the model chosen; empty if there is none."""
        item = self.list.currentItem()
        return item.text() if item is not None else ""

    @property
    def sentence(self) -> str:
        """What the panel says at the moment."""
        return self._sentence.text()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802  Qt's
        """Become a tab beside the other panel, once."""
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            QTimer.singleShot(0, self._become_tab)  # napari has not docked it yet

    def _become_tab(self) -> None:
        if _alive(self):
            tab_beside(self, PANEL)
            self._placed = True
            self.updateGeometry()

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's
        """Ask for no room before this is a tab: below the other panel the window would grow."""
        return super().minimumSizeHint() if self._placed else QSize(0, 0)

    def refresh(self, choose: str = "") -> None:
        """List the models there are now, bundled ones first."""
        chosen = choose or self.name
        names = list(model_files())
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems(names)
        self.list.blockSignals(False)
        self.list.setCurrentRow(names.index(chosen) if chosen in names else 0)
        self._describe()

    def _describe(self) -> None:
        """Show the card; reading it and finding its ancestors may take a moment."""
        name = self.name
        path = model_files().get(name)
        met = {"nothing"} if path is None else {"nothing", "any", "own"}
        if path is not None and path.parent == bundled_folder():
            met.remove("own")
        for row in self._rows():
            missing = NO_MODEL if path is None else BUNDLED
            offer(self.buttons[row.text], row.tip, "" if row.needs in met else missing)
        self.undo.enabled = self._undo is not None
        self._asked += 1
        asked = self._asked
        if path is None:
            self.card.clear()
            return

        def described(html: str | None, problem: str | None) -> None:
            if _alive(self) and asked == self._asked:  # else another was chosen meanwhile
                self.card.setHtml(html or f"<p>{escape(problem or '')}</p>")

        in_background(lambda: card_as_html(path), described)

    def say(self, text: str) -> None:
        """Show one sentence."""
        self._sentence.setText(without_option(text))

    # ---- what can be done ------------------------------------------------------------------

    def rename(self, new: str) -> None:
        """Give the model chosen another name."""
        old = self.name
        self._do(lambda: store.rename(old, new), f"{old!r} is called {{name!r}} now.")

    def duplicate(self, new: str) -> None:
        """Copy the model chosen."""
        old = self.name
        self._do(lambda: store.duplicate(old, new), f"Copied {old!r} to {{name!r}}.")

    def delete(self) -> None:
        """Move the model chosen to the bin."""
        name = self.name

        def deed() -> Path:
            self._undo = store.delete(name)
            return self._undo

        self._do(deed, f"Moved {name!r} to the bin. Undo brings it back.")

    def restore(self) -> None:
        """Bring back what was deleted last."""
        path = self._undo
        if path is None:
            return

        def deed() -> Path:
            restored = store.restore(path)
            self._undo = None
            return restored

        self._do(deed, "{name!r} is back.")

    def import_from(self, path: Path) -> None:
        """Copy a file into the library after checking all of it."""
        if is_package(path):
            self.import_package(path)
        else:
            self._do(lambda: store.import_model(path), "Imported {name!r}.")

    def import_package(self, path: Path, outputs: str = "") -> None:
        """Import a package of BioImage.IO in a process that may load torch."""
        told = [TOLD_BY, outputs] if outputs else []
        command = Command("models", "import", *told, "--", str(path))
        self.destroyed.connect(command.stop)

        def deed() -> Path:
            return Path(command.run().splitlines()[-1].partition("\t")[2])

        def failed(problem: str) -> None:
            if TOLD_BY in problem:  # also where the answer does not fit
                self._ask_outputs_and_import(path, problem)

        self.say(IMPORTING.format(path.name))
        self.progress.show()
        self._do(deed, "Imported {name!r}.", failed)

    def export_to(self, path: Path) -> None:
        """Copy the model chosen to a file; the dialog has asked whether it may be replaced."""
        name, file = self.name, path.with_name(path.name.removesuffix(SUFFIX) + SUFFIX)
        if file != path and file.exists():  # the dialog has asked for another name
            self.say(NOT_ASKED.format(file.name, "Export…"))
            return
        self._do(
            lambda: store.export_model(name, file, overwrite=True), f"Exported {name!r} to {file}."
        )

    def export_package(self, path: Path) -> None:
        """Write the model chosen as a BioImage.IO package, in a process that may load torch."""
        name, file = self.name, path.with_name(path.name.removesuffix(PACKAGE) + PACKAGE)
        if file != path and file.exists():
            self.say(NOT_ASKED.format(file.name, "Export…"))
            return
        asked = ["models", "export", name, "--bioimageio", str(file), "--overwrite"]
        command = Command(*asked)
        self.destroyed.connect(command.stop)

        def deed() -> Path:
            command.run()
            return Path(name + SUFFIX)

        self.say(EXPORTING.format(name))
        self.progress.show()
        self._do(deed, f"Exported {name!r} to {file}, and tested it.")

    def _do(
        self, deed: Callable[[], Path], done: str, failed: Callable[[str], None] | None = None
    ) -> None:
        """Do something with a file in the background, then say what came of it."""
        self.setEnabled(False)
        self.problem = None

        def ended(path: Path | None, problem: str | None) -> None:
            if not _alive(self):
                return  # the window was closed meanwhile
            self.setEnabled(True)
            self.progress.hide()
            self.problem = problem
            name = path.stem if path is not None else ""
            self.refresh(name)
            self.say(problem or done.format(name=name))
            if problem and failed:
                failed(problem)

        in_background(deed, ended)

    # ---- what is asked ---------------------------------------------------------------------

    def _ask_name_and_rename(self) -> None:
        self._ask_name("Rename", f"New name of {self.name!r}:", self.name, self.rename)

    def _ask_name_and_duplicate(self) -> None:
        try:
            proposal = free_name(self.name)
        except UNetError as error:  # a file that a person has renamed
            self.say(sentence(error))
            proposal = ""
        self._ask_name("Duplicate", f"Name of the copy of {self.name!r}:", proposal, self.duplicate)

    def _ask_name(self, title: str, text: str, proposal: str, deed: Callable[[str], None]) -> None:
        normal = QLineEdit.EchoMode.Normal
        name, agreed = QInputDialog.getText(self, title, text, normal, proposal)
        if agreed:
            deed(name)

    def _ask_file_and_import(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Import a model", "", IMPORTED)
        if chosen:
            self.import_from(Path(chosen))

    def _ask_outputs_and_import(self, path: Path, problem: str) -> None:
        title = f"Import {path.name!r}"
        text = "\n".join(wrap(without_option(problem), 80))
        outputs, agreed = QInputDialog.getItem(self, title, text, OUTPUTS)
        if agreed and outputs:
            self.import_package(path, outputs)

    def _ask_file_and_export(self) -> None:
        title, suggestion = f"Export {self.name!r}", self.name + SUFFIX
        kinds = f"{FILES};;{PACKAGES}"
        chosen, kind = QFileDialog.getSaveFileName(self, title, suggestion, kinds)
        if not chosen:
            return
        path = Path(chosen)
        if kind == PACKAGES:  # the name was suggested for the other kind
            path = path.with_name(path.name.removesuffix(SUFFIX))
        if kind == PACKAGES or path.suffix.lower() == PACKAGE:
            self.export_package(path)
        else:
            self.export_to(path)


def without_option(sentence: str) -> str:
    """Return a sentence of the command line without its option, which no panel has."""
    return sentence.replace(f" ({TOLD_BY})", "")


def card_as_html(path: Path) -> str:
    """Return a model's card and its ancestors; text from the file is shown, never obeyed."""
    cards = [model.card for model in lineage(path)]
    rows = describe(cards[0])
    if cards[0].parent:
        names = [plain(card.name) for card in cards]
        if cards[-1].parent:  # its file is gone
            names.append(f"{plain(cards[-1].parent)} (not in the library)")
        rows.insert(1, ("Lineage", " ← ".join(names)))
    rows.append(("sha256", sha256_of(path)))
    cells = "".join(
        f"<tr><td><b>{escape(title)}</b>&nbsp;</td><td>{escape(value)}</td></tr>"
        for title, value in rows
    )
    return f"<table>{cells}</table>"


def _alive(widget: QWidget) -> bool:
    """Whether a widget is still there: its window may be closed while something runs."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]  # qtpy has none
