"""Take the pictures of the documents in a real napari window, with a real mouse and keys.

    python scripts/make_screenshots.py                    all of them; writes docs/screenshots
    python scripts/make_screenshots.py --only stacks      those of docs/stacks.md; steps: those of
                                                          docs/first-steps.md; filter: that of
                                                          docs/exports.md
    python scripts/make_screenshots.py --target FOLDER    writes to another folder

The window has the size of a small laptop's screen, 1366 × 768. Without a screen, or with another
one, the script starts a virtual screen (xvfb-run). It finds buttons by the text on them, as a
person does.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
from PIL import Image
from qtpy.QtCore import QPoint, QRect, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QDialogButtonBox,
    QFileDialog,
    QScrollArea,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.common.made_up_stacks import SPACING, Scene, movie, volume  # noqa: E402

TARGET = ROOT / "docs" / "screenshots"
SIZE = (1366, 768)
SCREEN = ("xvfb-run", "-a", "-s", f"-screen 0 {SIZE[0]}x{SIZE[1]}x24")
VIRTUAL = "NAPARI_UNET_SCREENSHOTS"  # set where this script has started the screen
PLUGIN, PANEL, MENU = "napari-unet-interactive", "Segment, retrain", "Interactive U-Net"
SAMPLE = "Nuclei (16 bit)"
DIALOG = (640, 380)
LIMIT = 300.0  # seconds that one step may take
SECONDS = 120.0  # of the retraining, as the document says
RING = "#ff9a1f"
SEED = 2026  # of the made-up volume and movie
LARGEST = 250_000  # bytes of a picture; a larger one gets a palette

# What is corrected, as (y, x) in pixels of the sample.
CENTRE, ZOOM = (122.0, 124.0), 2.4
SPLIT_ALONG = ((152.0, 222.0), (152.0, 262.0))
MISSED = (21.0, 1.0), (17.0, 3.0), (25.0, 3.0), (21.0, 4.0)
BACKGROUND = ((180.0, 72.0), (180.0, 140.0))
CONFIRMED = (28, 123), (43, 178), (96, 172), (79, 35), (141, 32), (154, 126), (213, 41), (107, 58)


class Window:
    """A napari window and what a person does in it.

    Parameters
    ----------
    target : Path
        Folder for the pictures.
    """

    def __init__(self, target: Path) -> None:
        self.viewer = napari.Viewer(title="napari")
        self.main = self.viewer.window._qt_window
        self.main.setGeometry(0, 0, *SIZE)
        self._target = target
        self.rest(1.0)

    # ---- time -----------------------------------------------------------------------------

    def rest(self, seconds: float) -> None:
        """Let Qt work for some time."""
        QTest.qWait(round(seconds * 1000))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let Qt work until something holds."""
        waited = 0.0
        while not condition():
            self.rest(0.05)
            waited += 0.05
            if waited > LIMIT:
                raise TimeoutError(f"not within {LIMIT:.0f} s: {condition}")

    # ---- buttons and menus ----------------------------------------------------------------

    def button(self, *texts: str) -> Any:
        """Return the visible button with one of these texts."""
        found = [b for b in self.main.findChildren(QAbstractButton) if b.isVisible()]
        return next((b for b in found if b.text() in texts), None)

    def click(self, text: str) -> None:
        """Click a button, scrolled to first."""
        button = self.reveal(text)
        box = isinstance(button, QCheckBox)
        at = QPoint(8, button.height() // 2) if box else button.rect().center()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=at)

    def reveal(self, text: str) -> Any:
        """Scroll to a button; returns it."""
        button = self.button(text)
        area = button.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(button)
        return button

    @contextmanager
    def menus(self, *titles: str) -> Iterator[Any]:
        """Open menus one below the other; give the place of the last entry on the screen."""
        opened, holder = [], self.main.menuBar()
        for title in titles:
            texts = [a.text().replace("&", "") for a in holder.actions()]
            action = holder.actions()[texts.index(title)]
            place = holder.actionGeometry(action)
            corner = place.bottomLeft() if holder is self.main.menuBar() else place.topRight()
            where = QRect(holder.mapToGlobal(place.topLeft()), place.size())
            holder.setActiveAction(action)
            if action.menu() is not None:
                action.menu().popup(holder.mapToGlobal(corner))
                self.rest(0.3)
                holder = action.menu()
                opened.append(holder)
        yield where, action
        for menu in reversed(opened):
            menu.close()
        self.rest(0.2)

    # ---- the canvas -----------------------------------------------------------------------

    @property
    def canvas(self) -> Any:
        """The widget that shows the image."""
        return self.viewer.window._qt_viewer.canvas.native

    def _at(self, y: float, x: float) -> Any:
        (cy, cx), zoom = self.viewer.scene.camera.center[-2:], self.viewer.scene.camera.zoom
        width, height = self.canvas.width(), self.canvas.height()
        return QPoint(round(width / 2 + (x - cx) * zoom), round(height / 2 + (y - cy) * zoom))

    def move(self, y: float, x: float) -> None:
        """Move the mouse to a pixel of the image."""

        def arrived() -> bool:
            for point in ((y + 2, x), (y, x)):
                QTest.mouseMove(self.canvas, self._at(*point))
                self.rest(0.05)
            at = self.viewer.cursor.position[-2:]
            return math.dist(at, (y, x)) < 1.5

        self.wait(arrived)

    def drag(self, *points: tuple[float, float]) -> None:
        """Draw a line through pixels of the image."""
        left = Qt.MouseButton.LeftButton
        self.move(*points[0])
        QTest.mousePress(self.canvas, left, pos=self._at(*points[0]))
        for point in points[1:]:
            QTest.mouseMove(self.canvas, self._at(*point))
            self.rest(0.05)
        QTest.mouseRelease(self.canvas, left, pos=self._at(*points[-1]))
        self.rest(0.2)

    def press(self, key: str) -> None:
        """Press a letter over the canvas."""
        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{key}"))
        self.rest(0.2)

    # ---- pictures -------------------------------------------------------------------------

    def _place(self, text: str) -> QRect:
        button = self.button(text)
        return QRect(button.mapToGlobal(QPoint(0, 0)), button.size())

    def picture(self, name: str, *rings: Any) -> None:
        """Write the screen as a PNG, with a ring around buttons (texts) or places (QRect)."""
        self.rest(0.6)
        grabbed = QApplication.primaryScreen().grabWindow(0)
        painter = QPainter(grabbed)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(RING), 3))
        for ring in rings:
            place = self._place(ring) if isinstance(ring, str) else ring
            painter.drawRoundedRect(place.adjusted(-3, -2, 3, 2), 7, 7)
        painter.end()
        path = self._target / f"{name}.png"
        grabbed.save(str(path))
        Image.open(path).convert("RGB").save(path, optimize=True)
        if path.stat().st_size > LARGEST:
            few = Image.open(path).quantize(256, kmeans=1, dither=Image.Dither.NONE)
            few.save(path, optimize=True)


# ---- the steps ---------------------------------------------------------------------------------


def open_sample(window: Window) -> Any:
    """File, Open Sample, Interactive U-Net, Nuclei; then from Plugins the panel, returned."""
    with window.menus("File", "Open Sample", MENU, SAMPLE) as (place, _):
        window.picture("step-1-open-sample", place)
    window.viewer.open_sample(PLUGIN, "nuclei")
    with window.menus("Plugins", MENU, f"{PANEL} ({MENU})") as (place, _):
        window.picture("step-2-open-panel", place)
    _, panel = window.viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    window.rest(1.0)
    window.wait(lambda: not panel.advice.running)  # it looks at the image with all models
    window.viewer.reset_view()
    return panel


def segment(window: Window) -> None:
    """Press Segment and wait for the objects."""
    window.picture("step-3-press-segment", "Segment")
    window.click("Segment")
    window.wait(lambda: window.button("Cancel") is None)
    window.rest(1.0)
    window.picture("segmented")


def correct(window: Window) -> None:
    """Split an object, confirm some, paint one that was missed, and a stroke of background."""
    camera, layer = window.viewer.scene.camera, window.viewer.layers.selection.active
    camera.center, camera.zoom = CENTRE, ZOOM
    window.rest(0.5)
    window.picture("step-4-look-closer")
    window.move(*SPLIT_ALONG[0])
    window.press("S")
    window.drag(*between(*SPLIT_ALONG))
    for place in CONFIRMED:
        window.move(*place)
        window.press("C")
    window.press("M")
    layer.mode, layer.brush_size = "paint", 7
    window.drag(*MISSED)
    layer.mode = "pan_zoom"
    window.press("G")
    window.drag(*between(*BACKGROUND))
    window.press("G")
    layer.mode = "pan_zoom"
    window.click("Show what counts as corrected")
    window.rest(1.0)
    window.picture("step-5-corrected", "Show what counts as corrected")
    window.click("Show what counts as corrected")


def between(first: tuple[float, float], last: tuple[float, float]) -> list[tuple[float, float]]:
    """Return points on the line from one point to another."""
    steps = [i / 20 for i in range(21)]
    return [tuple(a + (b - a) * s for a, b in zip(first, last, strict=True)) for s in steps]


def retrain(window: Window, panel: Any) -> None:
    """Set the time, press Retrain, look at the curve on the way, and wait for the outcome."""
    window.viewer.reset_view()
    QTest.mouseMove(window.canvas, window.canvas.rect().center())
    panel.retrain.form.time.value = SECONDS
    window.click("Retrain")
    window.wait(lambda: window.button("Stop") is not None)
    started = time.monotonic()
    window.wait(lambda: time.monotonic() - started > 0.9 * SECONDS or not window.button("Stop"))
    window.picture("step-6-retraining", "Stop")
    window.wait(lambda: window.button("Stop") is None)
    window.rest(2.0)
    window.wait(lambda: not panel.session.runs.busy)  # a preview is made, or the image anew
    window.rest(3.0)
    rings = [text for text in ("Keep the new model",) if window.button(text)]
    window.picture("step-7-outcome", *rings)
    if rings:
        window.click("Discard")


def measure(window: Window, panel: Any) -> None:
    """Open the table, colour by the area, and choose the largest object."""
    window.click("Open table")
    table = panel.measure.objects
    window.wait(lambda: table.colour.findText("area") > 0)
    table.colour.setCurrentText("area")
    table.colour.activated.emit(table.colour.currentIndex())
    model = table.model
    across = range(model.columnCount())
    headers = [model.headerData(i, Qt.Orientation.Horizontal) for i in across]
    table.view.sortByColumn(headers.index("area"), Qt.SortOrder.DescendingOrder)
    table.view.selectRow(0)
    window.rest(1.0)
    window.viewer.reset_view()
    window.reveal("Open table")
    window.picture("step-8-measure", "Open table")


def answer_dialog(window: Window, picture: str) -> None:
    """Answer the file dialog that is about to open, after a picture if it has a name."""

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            QTimer.singleShot(200, answer)
            return
        dialog.resize(*DIALOG)
        dialog.move((SIZE[0] - DIALOG[0]) // 2, (SIZE[1] - DIALOG[1]) // 2)
        if picture:
            window.picture(picture, "Save labels…", dialog.geometry())
        box = dialog.findChild(QDialogButtonBox)
        box.button(QDialogButtonBox.StandardButton.Save).click()

    QTimer.singleShot(500, answer)


def save(window: Window, folder: Path) -> None:
    """Press Save labels… and answer the file dialog."""
    answer_dialog(window, "step-9-save")
    os.chdir(folder)
    window.click("Save labels…")
    window.wait(lambda: any(folder.glob("*.tif")))
    window.rest(1.0)
    window.picture("step-10-saved")


def export(window: Window, folder: Path) -> None:
    """Open the menu of Export… and choose the table."""
    button = window.reveal("Export…")
    window.rest(0.3)
    menu = button.menu()
    menu.popup(button.mapToGlobal(button.rect().bottomLeft()))
    window.rest(0.5)
    first = menu.actions()[0]
    place = menu.actionGeometry(first)
    menu.setActiveAction(first)
    window.picture("step-11-export", QRect(menu.mapToGlobal(place.topLeft()), place.size()))
    menu.close()
    answer_dialog(window, "")
    first.trigger()
    window.wait(lambda: any(folder.glob("*.csv")))
    window.rest(1.0)
    window.picture("step-12-exported")


# ---- stacks and movies -------------------------------------------------------------------------


def linked(window: Window, image: Any, axes: str, scale: tuple[float, ...]) -> None:
    """Open a made-up image, segment it, and wait until its planes are linked."""
    labels = tuple(axes.lower())
    window.viewer.add_image(image, name="nuclei", scale=scale, axis_labels=labels)
    _, panel = window.viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    window.rest(1.0)
    window.wait(lambda: not panel.advice.running)
    window.click("Segment")
    window.wait(lambda: not panel.session.runs.busy)
    window.wait(lambda: not panel.link.running)
    window.rest(1.0)


def take_stack(target: Path) -> None:
    """Show the objects of a volume in three dimensions."""
    window = Window(target)
    linked(window, volume(SEED)[1], "ZYX", (SPACING, 1, 1))
    layers = window.viewer.layers
    layers["nuclei objects"].visible = layers["nuclei"].visible = False
    layers["nuclei linked"].visible = True
    window.viewer.dims.ndisplay = 3
    window.viewer.reset_view()
    window.viewer.scene.camera.angles = (20, 35, 60)
    window.picture("stack-linked", "Link planes")
    window.viewer.close()


def take_movie(target: Path) -> None:
    """Show the tracks of a movie over its image."""
    window = Window(target)
    linked(window, movie(Scene(cells=15, dividing=0.02), SEED).image, "TYX", (1, 1, 1))
    layers = window.viewer.layers
    layers["nuclei objects"].visible, layers["nuclei linked"].visible = False, True
    layers["nuclei tracks"].tail_length = 30
    window.viewer.dims.set_point(0, 30)
    window.viewer.reset_view()
    window.picture("movie-tracks", "Link planes")
    window.viewer.close()


def take_steps(target: Path) -> None:
    """Do all steps in one window."""
    window = Window(target)
    panel = open_sample(window)
    segment(window)
    correct(window)
    retrain(window, panel)
    measure(window, panel)
    with tempfile.TemporaryDirectory(prefix="nuclei-") as folder:
        save(window, Path(folder))
        export(window, Path(folder))
        os.chdir(ROOT)
    window.viewer.close()


def take_filter(target: Path) -> None:
    """Hide small nuclei with the handle of a histogram, and those at the image's edge."""
    window = Window(target)
    window.viewer.open_sample(PLUGIN, "nuclei")
    _, panel = window.viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    window.rest(1.0)
    window.wait(lambda: not panel.advice.running)
    window.click("Segment")
    window.wait(lambda: window.button("Cancel") is None)
    window.click(panel.filter.fold.text())
    window.wait(lambda: "objects" in panel.filter.told.text)
    window.click(panel.filter.edge.text)
    histogram = panel.filter.histogram
    panel.session.reveal.emit(panel.filter.fold)
    window.rest(2.0)
    plot, start = histogram.plot.viewport(), histogram.handle_at(0)
    QTest.mouseMove(plot, start)
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 7):
        place = start + QPoint(10 * step, 0)
        QTest.mouseMove(plot, place)
        window.rest(0.05)
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=place)
    window.viewer.reset_view()
    window.rest(1.0)
    corner = panel.filter.fold.mapToGlobal(QPoint(0, 0))
    window.picture("filter", QRect(corner, panel.filter.fold.size()))
    window.viewer.close()


def take_pictures(target: Path, only: str) -> None:
    """Take the pictures of the steps, of stacks and movies, of the filter, or all of them."""
    target.mkdir(parents=True, exist_ok=True)
    application = QApplication.instance() or QApplication([])
    application.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)
    takers = {"steps": [take_steps], "stacks": [take_stack, take_movie], "filter": [take_filter]}
    for take in takers[only] if only else [one for some in takers.values() for one in some]:
        take(target)


def main() -> int:
    """Start a screen of the right size; returns the exit code."""
    parser = argparse.ArgumentParser(description="Take the pictures of the documents.")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder for the pictures")
    parser.add_argument(
        "--only", choices=("steps", "stacks", "filter"), default="", help="some of them"
    )
    given = parser.parse_args()
    target = given.target.resolve()
    if VIRTUAL in os.environ:
        take_pictures(target, given.only)
        return 0
    with tempfile.TemporaryDirectory(prefix="napari-unet-pictures-") as home:
        folders = {f"XDG_{n}_HOME": str(Path(home, n)) for n in ("CONFIG", "CACHE", "DATA")}
        folders["HOME"] = str(Path(home, "user"))
        Path(home, "user").mkdir()
        settings = {"NAPARI_CONFIG": str(Path(home, "napari.yaml")), VIRTUAL: "1"}
        command = [*SCREEN, sys.executable, __file__, "--target", str(target)]
        command += ["--only", given.only] if given.only else []
        environment = {**os.environ, **folders, **settings}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
