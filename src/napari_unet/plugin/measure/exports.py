"""The menu Export…: files for other programs, outlines as a layer, sentences and a script."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_unet.errors import InputError, UNetError
from napari_unet.image import Image
from napari_unet.io.atomic import write_bytes
from napari_unet.io.exports import save_geojson, save_into_image, save_rois, save_table
from napari_unet.labels.outlines import contours
from napari_unet.measure import measure, measure_linked
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.objects.leaving_out import ForFile, in_the_file
from napari_unet.plugin.result.result import REPLACED, Result
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.setting_widgets import NOT_ASKED
from napari_unet.segmentation import in_file, parents_recorded
from napari_unet.segmentation.methods import methods_script, methods_text

MOST_OUTLINES = 2000  # napari takes long over more shapes, and the window waits
NOTHING = "There is nothing to export: the image has no result. Press Segment first."
CLASSES = (
    "This result holds classes. Tables and outlines are made of objects; Save labels… writes it."
)
TOO_MANY = (
    "{} outlines are too many for a layer of shapes: napari would stand still. Export them for "
    "ImageJ or QuPath instead."
)
NO_FILE = (
    "This image was not opened from a file, so a script could not open it. Save it with napari, "
    "open that file, and segment it."
)
COPIED = "Copied, to be pasted into your methods: {}"
SAME = " It makes the same labels."
UNCORRECTED = " It makes the labels as the model does, without what you corrected."
FILES = {  # kind: title, how its name ends, filter of the dialog
    "csv": ("Table of objects (CSV)…", "_objects.csv", "Tables (*.csv)"),
    "roi": ("Outlines for ImageJ (ROI zip)…", "_rois.zip", "ROIs (*.zip)"),
    "geojson": ("Outlines for QuPath (GeoJSON)…", "_objects.geojson", "GeoJSON (*.geojson)"),
}
INTO, OUTLINES = "Labels into an OME-Zarr image…", "Outlines as a layer"
METHODS, SCRIPT = "Copy methods text", "Save as script…"


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """What goes into files: labels ``(..., Y, X)``, linked if that is wanted; image; record.

    `said` is what a person should know of the file.
    """

    labels: NDArray[Any]
    image: Image
    record: dict[str, Any]
    said: str

    def write(self, kind: str, path: Path) -> Path:
        """Write a file of one of the kinds of `FILES`."""
        axes = self.image.leading_axes + "YX"
        if kind == "roi":
            return save_rois(path, self.labels, axes)
        known, linked = self.record.get("corrected"), "link" in self.record
        if linked:
            parents = parents_recorded(self.record)
            table = measure_linked(self.labels, self.image, parents, corrected=known)
        else:
            table = measure(self.labels, self.image, corrected=known)
        if kind == "csv":
            return save_table(path, table)
        return save_geojson(path, self.labels, axes, table)

    def write_into(self, folder: Path) -> Path:
        """Write the labels into an image's folder, under a name that is free."""
        names = ("cells" if i == 1 else f"cells-{i}" for i in count(1))
        name = next(name for name in names if not (folder / "labels" / name).exists())
        return save_into_image(folder, name, self.labels, self.image, self.record)


class Exports:
    """What the button offers for the chosen image's result.

    Parameters
    ----------
    session : Session
        What is worked on.
    button : QWidget
        Whose window the dialogs belong to.
    for_file : callable
        Takes a result and a copy of its labels ``(..., Y, X)``. What it returns is called in a
        thread, and returns the labels as they go into a file, and what their record tells more.
    """

    def __init__(self, session: Session, button: QWidget, for_file: ForFile) -> None:
        self._session, self._button, self._for_file = session, button, for_file
        self.menu = QMenu(button)
        for kind, (title, *_) in FILES.items():
            self._offer(title, partial(self._save, kind))
        self._offer(INTO, self._save_into)
        self._offer(OUTLINES, self._add_outlines)
        self.menu.addSeparator()
        self._offer(METHODS, self._copy_methods)
        self._offer(SCRIPT, self._save_script)

    def _offer(self, title: str, act: Callable[[], None]) -> None:
        def chosen() -> None:
            try:
                act()
            except UNetError as error:
                self._session.say(str(error))

        action = self.menu.addAction(title)
        assert action is not None, "just made"
        action.triggered.connect(lambda _checked=False: chosen())

    # ---- what there is ---------------------------------------------------------------------

    def _result(self) -> Result:
        """Return the chosen image's result; `InputError` where it cannot be used now."""
        result, runs = self._session.results.current, self._session.runs
        if result is None:
            raise InputError(NOTHING)
        if not result.correcting.fits:
            raise InputError(REPLACED)
        reason = runs.reason_to_wait("export")
        if reason is not None:
            raise InputError(reason)
        result.correcting.look_everywhere()
        return result

    def _snapshot(self, *, objects: bool = True) -> Callable[[], Ready]:
        """Copy the result; return what makes it ready in a thread."""
        result = self._result()
        if objects and result.classes:
            raise InputError(CLASSES)
        shown, image, record = result.shown.copy(), result.image, result.record
        # what was painted counts without a run, too
        painted = {"corrected": sorted(result.correcting.tracker.ids)}
        finish = self._for_file(result, shown)

        def ready() -> Ready:
            labels, told = finish()
            made = in_file(record or painted, told, labels, shown)
            return Ready(labels, image, made, in_the_file(labels, told))

        return ready

    # ---- files -----------------------------------------------------------------------------

    def _save(self, kind: str) -> None:
        ready = self._snapshot()
        _, ending, kinds = FILES[kind]
        path = self._ask(ending, kinds)
        if path is not None:
            self._write(path.name, ready, lambda it: it.write(kind, path))

    def _save_into(self) -> None:
        ready = self._snapshot()
        layer = self._session.intent.layer
        start = str(layer.source.path or "") if layer is not None else ""
        title = "Folder of the OME-Zarr image"
        chosen = QFileDialog.getExistingDirectory(self._button.window(), title, start)
        if chosen:
            self._write(Path(chosen).name, ready, lambda it: it.write_into(Path(chosen)))

    def _save_script(self) -> None:
        ready, result = self._snapshot(objects=False), self._result()
        layer = self._session.intent.layer
        source = layer.source.path if layer is not None else None
        methods_text(result.record)  # says so if there is no record
        if not source:
            raise InputError(NO_FILE)
        path = self._ask("_segment.py", "Python (*.py)")
        if path is None:
            return
        labels = path.with_name(f"{path.stem}_labels.tif")

        def write(it: Ready) -> Path:
            text = methods_script(it.record, Path(source), labels, made=it.labels)
            return write_bytes(path, text.encode())

        # Of classes no record says which a person painted.
        painted = result.correcting.any if result.classes else result.record["corrected"]
        self._write(path.name, ready, write, UNCORRECTED if painted else SAME)

    def _ask(self, ending: str, kinds: str) -> Path | None:
        """Ask for a file; None if the person wants none, or a name that nobody asked about."""
        parent, title, suggestion = (
            self._button.window(),
            "Export",
            self._result().image.name + ending,
        )
        chosen, _ = QFileDialog.getSaveFileName(parent, title, suggestion, kinds)
        if not chosen:
            return None
        path = Path(chosen)
        if not path.suffix:
            path = path.with_name(path.name + Path(suggestion).suffix)
            if path.exists():
                self._session.say(NOT_ASKED.format(path.name, "Export…"))
                return None
        return path

    def _write(
        self, name: str, ready: Callable[[], Ready], write: Callable[[Ready], Path], hint: str = ""
    ) -> None:
        session, runs = self._session, self._session.runs
        session.say(f"Writing {name}…")

        def work() -> str:
            it = ready()
            return f"Wrote {write(it)}.{hint or it.said}"

        def written(sentence: str | None, problem: str | None) -> None:
            runs.end(Activity.SAVING)
            session.say(problem or sentence or "")

        runs.begin(Activity.SAVING)
        in_background(work, written)

    # ---- beside files ----------------------------------------------------------------------

    def _add_outlines(self) -> None:
        session, ready, result = self._session, self._snapshot(), self._result()
        name, grid = f"{result.image.name} outlines", grid_of(result.layer)

        def add(found: Any, problem: str | None) -> None:
            if session.closed or result.layer not in session.viewer.layers:
                return
            if problem or len(found.data) > MOST_OUTLINES:
                session.say(problem or TOO_MANY.format(len(found.data)))
                return
            shapes = layers.add_rectangles(session.viewer, result.layer, name)
            rings = [np.vstack([line, line[:1]]) for line in found.data]
            shapes.data = [(np.array([grid.to_layer(p) for p in one]), "path") for one in rings]
            shapes.features = {"label": found.labels}
            shapes.metadata = {layers.BESIDE: True}  # none of them is a rectangle to segment
            session.viewer.layers.selection.active = result.layer
            session.say(f"{name} has {len(rings)} lines, with the id of each as a feature.")

        in_background(lambda: contours(ready().labels), add)

    def _copy_methods(self) -> None:
        ready = self._snapshot(objects=False)
        methods_text(self._result().record)  # says so if there is no record

        def copy(text: str | None, problem: str | None) -> None:
            clipboard = QGuiApplication.clipboard()
            assert clipboard is not None, "there is a window"
            if text is not None:
                clipboard.setText(text)
            self._session.say(problem or COPIED.format(text))

        in_background(lambda: methods_text(ready().record), copy)
