"""The part of the panel that makes numbers and files of the objects."""

from typing import Any

from magicgui.widgets import Container, PushButton
from qtpy.QtWidgets import QWidget

from napari_unet.plugin.measure.exports import Exports
from napari_unet.plugin.measure.object_table import ObjectsTable
from napari_unet.plugin.objects.leaving_out import ForFile
from napari_unet.plugin.objects.objects import ObjectsOfResults
from napari_unet.plugin.session.result_registry import NO_IMAGE
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.docks import Undocking, in_open_window
from napari_unet.plugin.widgets.setting_widgets import offer, row_of

TITLE = "Objects"
NONE = (
    "There are no objects to measure in this image. Press Segment first; a large image is measured "
    "with napari-unet segment --csv."
)
TABLE = "Size, shape and grey values of each object; colours by them"
EXPORT = "For ImageJ, QuPath, spreadsheets, and for your methods"


class MeasureSection(Container):  # type: ignore[type-arg]
    """Widgets for the table of objects and for exports.

    Parameters
    ----------
    session : Session
        What is worked on.
    objects : ObjectsOfResults
        Gives numbers and colours.
    for_file : callable
        Returns what makes labels of a result ready for a file; see `leaving_out`.
    filters : QWidget
        What hides objects.
    """

    def __init__(
        self, session: Session, objects: ObjectsOfResults, for_file: ForFile, filters: QWidget
    ) -> None:
        super().__init__(labels=False)
        self._session, self._all = session, objects
        self.objects: ObjectsTable | None = None
        self._dock: Any = None
        self.table, self.export = PushButton(text="Open table"), PushButton(text="Export…")
        self.exports = Exports(session, self.export.native, for_file)
        self.export.native.setMenu(self.exports.menu)
        self.margins = (0, 0, 0, 0)
        self.append(row_of(self.table, self.export))
        self.native.layout().addWidget(filters)
        self.table.clicked.connect(self._press_table)
        session.closing.connect(self._close_table)
        results = session.results
        for signal in (results.added, results.changed, session.intent_changed):
            signal.connect(self._offer)
        self._offer()

    def _offer(self, *_: Any) -> None:
        """Let the buttons be pressed where there is something to measure, or to export."""
        result = self._session.results.current
        missing = NO_IMAGE if self._session.intent.layer is None else NONE
        offer(self.table, TABLE, missing if result is None or result.classes else "")
        offer(self.export, EXPORT, missing if result is None else "")

    def _press_table(self) -> None:
        """Open the table, or bring it to the front."""
        if self._dock is None:
            self.objects = ObjectsTable(self._session, self._all)
            window = self._session.viewer.window
            self._dock = window.add_dock_widget(self.objects, name=TITLE, area="bottom")
            self._undocking = Undocking(self.objects)
            self._undocking.happened.connect(self._on_undocked)
        else:
            self._dock.show()
            self._dock.raise_()

    def _on_undocked(self) -> None:
        """Let go of the table whose dock was closed."""
        if self.objects is not None:
            self.objects.close_down()
        self.objects = self._dock = None

    def _close_table(self) -> None:
        if self._dock is not None and self.objects is not None:
            dock, there = self._dock, in_open_window(self.objects)
            self._on_undocked()
            if there:  # else napari has no window any more to take it from
                self._session.viewer.window.remove_dock_widget(dock)
