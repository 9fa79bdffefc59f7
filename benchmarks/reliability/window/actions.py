"""Random actions in a real napari window with the panel; `benchmarks.reliability.window` starts it.

    python -m benchmarks.reliability.window.actions ACTIONS LOG

ACTIONS holds an action in each line: its name and a number, from which the action takes whatever is
left to chance. Before an action is done its line is on the disk in LOG, so the last line of a
window that crashed names the action. What must hold after each action is in `Checks`.
"""

import faulthandler
import os
import random
import sys
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QWidget

from benchmarks.reliability.window.checks import Checks, wait_until
from benchmarks.reliability.window.mouse import Mouse, answer_soon, click
from napari_unet.plugin.samples import sample_folder
from napari_unet.plugin.session.session import PLANE, RECTANGLE, VIEW, WHOLE

PLUGIN, PANEL = "napari-unet-interactive", "Segment, retrain"
SIDE, PLANES, STACK = 256, 4, 128  # pixels of an image; planes of a stack, and their pixels
MOST = 12  # layers; with more, the next image takes the place of all others
SHORT = 5.0  # seconds of a retraining
PATIENCE = 60.0  # seconds that a run of such an image may take on a busy machine
KEYS = "DCGNMW"
HANGS, VIOLATED, THOROUGH = 150.0, 3, 4  # seconds; exit code; every fourth action


class Hand:
    """A viewer with the panel, and what a person may do to it.

    Parameters
    ----------
    folder : Path
        Where labels are saved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cells = tifffile.imread(sample_folder() / "nuclei.tif")
        self._random = random.Random(0)
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1400, 900)
        self.mouse = Mouse(self.viewer, self._random)
        self._dock, self.panel = self._add_panel()
        self.checks = Checks(self.viewer)
        self.checks.follow(self.panel)
        QFileDialog.getSaveFileName = self._name_file  # a dialog would wait for a person
        self.do("open_image", 0)
        QTest.qWait(200)

    def do(self, name: str, seed: int) -> None:
        """Do one action."""
        self._random.seed(seed)
        getattr(self, f"do_{name}")()
        QTest.qWait(self._random.choice((1, 10, 60)))

    # ---- the panel -------------------------------------------------------------------------

    def _add_panel(self) -> Any:
        return self.viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)

    def _name_file(self, *_: Any) -> tuple[str, str]:
        return str(self._folder / f"saved{self._random.randrange(3)}.ome.tif"), ""

    def do_segment(self) -> None:
        """Press Segment, or Cancel while it runs."""
        click(self.panel.segment.segment)

    def do_wait(self) -> None:
        """Wait until nothing runs."""
        wait_until(lambda: not self.panel.session.runs.busy, PATIENCE)

    def do_pause(self) -> None:
        """Wait a moment."""
        QTest.qWait(self._random.randrange(600))

    def do_retrain(self) -> None:
        """Press Retrain, or Stop while it runs."""
        time = self.panel.retrain.form.time
        time.min = time.value = SHORT
        click(self.panel.retrain.form.retrain)

    do_stop = do_retrain

    def do_cancel(self) -> None:
        """Cancel the retraining."""
        click(self.panel.retrain.form.cancel)

    def do_look(self) -> None:
        """Show the preview, or the result again."""
        click(self.panel.retrain.form.look)

    def do_compare(self) -> None:
        """Show what was before, or not."""
        click(self.panel.retrain.form.compare)

    def do_keep(self) -> None:
        """Keep the new model."""
        click(self.panel.retrain.form.keep)

    def do_discard(self) -> None:
        """Discard the new model."""
        click(self.panel.retrain.form.discard)

    def do_back(self) -> None:
        """Go back to a model that was in use."""
        click(self.panel.retrain.form.back)

    def do_link(self) -> None:
        """Link planes, or no longer."""
        click(self.panel.link.link)

    def do_table(self) -> None:
        """Open the table."""
        click(self.panel.measure.table)

    def do_undock_table(self) -> None:
        """Close the table."""
        dock = self.panel.measure._dock
        if dock is not None:  # plugins see it through a proxy of napari's
            self.viewer.window.remove_dock_widget(getattr(dock, "__wrapped__", dock))

    def do_slider(self) -> None:
        """Move a slider or a number with the keyboard."""
        slider = self._random.choice(self.panel.form.sliders)
        native = slider.native
        if native.isVisible() and native.isEnabled():
            inner = next(iter(native.findChildren(QWidget, "qt_spinbox_lineedit")), native)
            for _ in range(self._random.randint(1, 8)):
                QTest.keyClick(inner, self._random.choice((Qt.Key.Key_Up, Qt.Key.Key_Down)))
            QTest.keyClick(inner, Qt.Key.Key_Return)

    def do_region(self) -> None:
        """Choose what of the image is wanted."""
        self.panel.form.where.value = self._random.choice((WHOLE, WHOLE, PLANE, VIEW, RECTANGLE))

    def do_overlay(self) -> None:
        """Show what counts as corrected, or not."""
        click(self.panel.correct.show_corrected)

    def do_heat(self) -> None:
        """Show where the model is unsure, or not."""
        click(self.panel.correct.heat)

    def do_all_correct(self) -> None:
        """Press All correct, which asks for a rectangle at first, and draw one."""
        if click(self.panel.correct.all_correct):
            self.mouse.drag(self.mouse.path(1))
            click(self.panel.correct.all_correct)

    def do_save(self) -> None:
        """Save the labels, or not if the panel asks whether to."""
        answer_soon(self._random)
        click(self.panel.saving.save)

    def do_classes(self) -> None:
        """Work on classes, or on objects again."""
        results = self.panel.session.results
        if not self.panel.session.runs.busy:
            results.work_on(classes=not results.classes)
            results.changed.emit()

    def do_reopen(self) -> None:
        """Close the panel and open it again; the labels are taken over."""
        self.viewer.window.remove_dock_widget(self._dock)
        QTest.qWait(self._random.choice((1, 200)))
        self._dock, self.panel = self._add_panel()
        self.checks.follow(self.panel)

    # ---- napari's own buttons --------------------------------------------------------------

    def do_remove(self) -> None:
        """Remove one layer or two with napari's button."""
        layers = [*self.viewer.layers]
        if layers:
            chosen = self._random.sample(layers, min(len(layers), self._random.choice((1, 1, 2))))
            self.viewer.layers.selection = set(chosen)
            click(self._qt.layerButtons.deleteButton)

    def do_clear(self) -> None:
        """Remove all layers."""
        self.viewer.layers.clear()

    def do_three_d(self) -> None:
        """Switch between the 2-D and the 3-D view."""
        click(self._qt.viewerButtons.ndisplayButton)

    def do_roll(self) -> None:
        """Roll the axes."""
        click(self._qt.viewerButtons.rollDimsButton)

    def do_transpose(self) -> None:
        """Transpose the axes."""
        click(self._qt.viewerButtons.transposeDimsButton)

    def do_plane(self) -> None:
        """Show another plane."""
        for axis in self.viewer.dims.not_displayed:
            steps = self.viewer.dims.nsteps[axis]
            self.viewer.dims.set_current_step(axis, self._random.randrange(int(steps)))

    def do_zoom(self) -> None:
        """Turn the mouse's wheel."""
        self.mouse.turn_wheel(self._random.choice((-240, -120, 120, 240)))

    def do_pan(self) -> None:
        """Drag the view, or have all of it again."""
        active = self.viewer.layers.selection.active
        if active is None or self._random.random() < 0.4:
            click(self._qt.viewerButtons.resetViewButton)
            return
        active.mode = "pan_zoom"
        self.mouse.drag(self.mouse.path(2))

    def do_choose(self) -> None:
        """Make another layer the active one."""
        if self.viewer.layers:
            self.viewer.layers.selection.active = self._random.choice([*self.viewer.layers])

    def do_hide(self) -> None:
        """Hide a layer, or show it."""
        if self.viewer.layers:
            layer = self._random.choice([*self.viewer.layers])
            layer.visible = not layer.visible

    def do_move(self) -> None:
        """Move a layer in the list."""
        count = len(self.viewer.layers)
        if count > 1:
            self.viewer.layers.move(self._random.randrange(count), self._random.randrange(count))

    # ---- images ----------------------------------------------------------------------------

    def _part(self, side: int) -> Any:
        height, width = self._cells.shape
        y, x = self._random.randrange(height - side), self._random.randrange(width - side)
        return self._cells[y : y + side, x : x + side].copy()

    def _make_room(self) -> None:
        if len(self.viewer.layers) >= MOST:
            self.viewer.layers.clear()

    def do_open_image(self) -> None:
        """Open an image."""
        self._make_room()
        self.viewer.add_image(self._part(SIDE), name="cells")

    def do_open_stack(self) -> None:
        """Open a stack."""
        self._make_room()
        self.viewer.add_image(np.stack([self._part(STACK) for _ in range(PLANES)]), name="stack")

    def do_open_sample(self) -> None:
        """Open a sample from the menu's command; the large one is cancelled by what follows."""
        self._make_room()
        self.viewer.open_sample(PLUGIN, self._random.choice(("nuclei", "tissue", "large")))

    # ---- mouse and keys on the canvas ------------------------------------------------------

    @property
    def _qt(self) -> Any:
        return self.viewer.window._qt_viewer

    def _result(self) -> Any:
        result = self.panel.session.results.current
        if result is not None:
            self.viewer.layers.selection.active = result.layer
        return result

    def do_paint(self) -> None:
        """Draw a stroke on the result, most often with a new number."""
        result = self._result()
        if result is None:
            return
        layer = result.layer
        if self._random.random() < 0.7:
            self.mouse.press(Qt.Key.Key_M)
        layer.mode, layer.brush_size = "paint", self._random.randint(2, 25)
        with self.checks.stroke(result):
            self.mouse.drag(self.mouse.path())

    def do_erase(self) -> None:
        """Rub something out."""
        result = self._result()
        if result is not None:
            result.layer.mode = "erase"
            self.mouse.drag(self.mouse.path())

    def do_fill(self) -> None:
        """Fill an object."""
        result = self._result()
        if result is not None:
            result.layer.mode = "fill"
            place = self.mouse.anywhere()
            self.mouse.move(place)
            self.mouse.click(place)

    def do_polygon(self) -> None:
        """Draw a polygon, and close it or give it up."""
        result = self._result()
        if result is None:
            return
        result.layer.mode = "polygon"
        # Convex: vispy cannot draw some outlines that cross themselves (AssertionError).
        for place in self.mouse.around():
            self.mouse.move(place)
            self.mouse.click(place)
        end = self._random.choice((Qt.Key.Key_Escape, Qt.Key.Key_Return))
        self.mouse.press(end)

    def do_undo(self) -> None:
        """Press Ctrl+Z."""
        self.mouse.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def do_redo(self) -> None:
        """Press Ctrl+Shift+Z."""
        both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        self.mouse.press(Qt.Key.Key_Z, both)

    def do_key(self) -> None:
        """Press one of the keys of the panel above some place."""
        self.mouse.move(self.mouse.anywhere())
        self.mouse.press(self._random.choice(KEYS))

    def do_line(self) -> None:
        """Press the key of a line and draw it, or call it off."""
        self.mouse.press(self._random.choice("SJ"))
        if self._random.random() < 0.2:
            self.mouse.press(Qt.Key.Key_Escape)
        elif self._random.random() < 0.8:
            self.mouse.drag(self.mouse.path())


def main(actions: Path, log: Path) -> None:
    """Do the actions of a file; ends with `VIOLATED` where something that must hold does not."""
    faulthandler.enable()
    todo = [line.split() for line in actions.read_text(encoding="utf-8").splitlines()]
    hand = Hand(log.parent)
    with log.open("a", encoding="utf-8") as told:
        for name, seed in todo:
            told.write(f"{name} {seed}\n")
            told.flush()
            faulthandler.dump_traceback_later(HANGS, exit=True)
            hand.do(name, int(seed))
            hand.checks.look(thorough=int(seed) % THOROUGH == 0)
            if hand.checks.problems:
                print(*hand.checks.problems, sep="\n", file=sys.stderr, flush=True)
                os._exit(VIOLATED)  # whatever is wrong, it may not let the program end
        told.write("close 0\n")
        told.flush()
        hand.checks.look(thorough=True)
        hand.viewer.close()
        QTest.qWait(200)
    problems = hand.checks.problems
    print(*problems, sep="\n", file=sys.stderr, flush=True)
    faulthandler.cancel_dump_traceback_later()
    sys.exit(VIOLATED if problems else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
