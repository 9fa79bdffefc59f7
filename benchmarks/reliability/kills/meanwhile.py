"""What goes on while a person paints: saving, exporting, linking, putting back, retraining.

Each is called while the painter waits, begins anew once it has ended, and tells so.
"""

from pathlib import Path
from typing import Any

from benchmarks.reliability.kills.by_hand import Window
from benchmarks.reliability.kills.painter import encode, tell
from napari_unet.image import Box


class Saver:
    """Saves the labels to the same file again and again."""

    def __init__(self, window: Window, path: Path) -> None:
        self._panel, self._path = window.panel, path
        self.begun = self.saved = 0

    def __call__(self) -> None:
        """Begin another save once the one before has ended."""
        session = self._panel.session
        if session.runs.busy:
            return
        if self.begun > self.saved:
            if session.runs.problem:
                raise RuntimeError(session.runs.problem)
            self.saved = self.begun
            tell("saved", self.saved)
        self.begun += 1
        result = session.results.current
        result.correcting.look_everywhere()  # saving begins with it, too
        tell("saving", self.begun, encode(result.layer.data))
        self._panel.saving.save_to(self._path)


class Exporter:
    """Exports a table and outlines, one after the other, to the same files again and again."""

    def __init__(self, window: Window, folder: Path) -> None:
        from qtpy.QtWidgets import QFileDialog

        from napari_unet.plugin.measure.exports import FILES

        self._panel, self._files = window.panel, [*FILES.values()]
        self.begun = self.done = 0
        # A person would type the name; the dialog is the system's and not ours.
        QFileDialog.getSaveFileName = lambda _, __, name, ___: (str(folder / name), "")

    def __call__(self) -> None:
        """Begin another export once the one before has ended."""
        session, title = self._panel.session, self._files[self.begun % len(self._files)][0]
        if session.runs.busy:
            return
        if self.begun > self.done:
            if not self._panel.sentence.startswith("Wrote"):
                raise RuntimeError(self._panel.sentence)
            self.done = self.begun
            tell("exported", self.done, self._panel.sentence.removeprefix("Wrote ").rstrip("."))
            title = self._files[self.begun % len(self._files)][0]
        self.begun += 1
        tell("exporting", self.begun, title)
        actions = self._panel.measure.exports.menu.actions()
        next(action for action in actions if action.text() == title).trigger()


class Linker:
    """Tells when planes begin to be linked, which the panel does by itself, and saves meanwhile."""

    def __init__(self, window: Window, saver: Saver) -> None:
        self._link, self._saver, self._runs = window.panel.link, saver, False

    def __call__(self) -> None:
        """Look, and save where nothing is linked."""
        if self._link.running and not self._runs:
            tell("linking")
        self._runs = self._link.running
        if not self._runs:
            self._saver()


class PutBack:
    """Puts what is painted on a part of a large image back into its labels, again and again."""

    def __init__(self, window: Window, result: Any, output: Path, box: Box) -> None:
        self._window, self._result = window, result
        self.begun = self.done = 0
        tell("folder", *box.start, *box.stop, output)

    def __call__(self) -> None:
        """Press Put back once the one before has ended."""
        panel = self._window.panel
        if panel.session.runs.busy:
            return
        if self.begun > self.done:
            self.done = self.begun
            tell("put", self.done)
        self.begun += 1
        self._result.correcting.look_everywhere()
        tell("putting", self.begun, encode(self._result.painted()))
        self._window.click(panel.large.put_back)


class Trainer:
    """Retrains again and again; `steps` are the sentences about learning so far."""

    def __init__(self, window: Window, seconds: float) -> None:
        self._window, self._section = window, window.panel.retrain
        self._section.form.time.min = self._section.form.time.value = seconds
        self._said = ""
        self.on = False
        self.steps = 0

    def __call__(self) -> None:
        """Press Retrain unless something runs; tell what goes on."""
        panel = self._window.panel
        if panel.sentence != self._said:
            self._said = panel.sentence
            self.steps += "Learning" in self._said
            tell("does", self._said)
        if self.on and not panel.session.runs.busy:
            if self._section.problem:
                raise RuntimeError(self._section.problem)
            self._window.click(self._section.form.retrain)
