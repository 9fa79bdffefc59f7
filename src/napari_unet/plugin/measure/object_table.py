"""The table of objects, docked below the image."""

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_unet.image import Plane
from napari_unet.plugin.layers import layers
from napari_unet.plugin.measure.outlined import Outlined
from napari_unet.plugin.measure.table_model import TableModel
from napari_unet.plugin.objects.colours import Legend
from napari_unet.plugin.objects.linked_measurements import Measured
from napari_unet.plugin.objects.objects import Objects, ObjectsOfResults
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.wording import counted

PLAIN = "none"
NOTHING = "There are no objects to measure. Press Segment, or paint some."
CLASSES = "This result holds classes. A table is made of objects."
MEASURING = "Measuring…"
WAITING = "Measured anew when the run has ended."
UNCOLOURED = {"label"}
USER = "table"  # of the objects
TOLD = "Click a row to see its object; click an object with napari's picker to see its row."


class ObjectsTable(QWidget):
    """Table of the objects of the chosen image's result, and their colours.

    Parameters
    ----------
    session : Session
        What is worked on.
    objects : ObjectsOfResults
        Gives numbers and colours.
    """

    def __init__(self, session: Session, objects: ObjectsOfResults) -> None:
        super().__init__()
        self._session, self._all = session, objects
        self._objects: weakref.WeakKeyDictionary[Result, Objects] = weakref.WeakKeyDictionary()
        self._shown: Result | None = None
        self._measured: Measured | None = None  # what the rows are of
        self._selected: tuple[int, Plane] | None = None  # the object of the selected row
        self._busy = False  # rows are selected by us, not by the person
        self._outlined = Outlined(session.viewer)
        self._build()
        self._connect()
        self._refresh()

    def _build(self) -> None:
        self.note, self.colour, self.legend = QLabel(), QComboBox(), Legend()
        self.colour.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.colour.setToolTip("Show objects in colours of what was measured; none = as before")
        self.view = QTableView()
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setToolTip(TOLD)
        self.view.setSortingEnabled(True)
        for header in (self.view.verticalHeader(), self.view.horizontalHeader()):
            assert header is not None, "a table has both"
            header.setHighlightSections(False)
        rows = self.view.verticalHeader()
        assert rows is not None, "a table has them"
        rows.hide()
        rows.setDefaultSectionSize(20)
        top = QHBoxLayout()
        for widget in (QLabel("Colour by"), self.colour, self.legend):
            top.addWidget(widget)
        top.addStretch(1)
        top.addWidget(self.note)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.addLayout(top)
        layout.addWidget(self.view)
        self._use(TableModel(""))

    def _use(self, model: TableModel) -> None:
        """Show the rows of another model."""
        self.model = model
        self.view.setModel(model)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # by plane and id, until a click
        chosen = self.view.selectionModel()
        assert chosen is not None, "a model comes with one"
        chosen.currentRowChanged.connect(self._on_row)
        model.layoutChanged.connect(self._select_again)

    def _connect(self) -> None:
        for signal, listener in self._listeners():
            signal.connect(listener)
        self.colour.activated.connect(self._choose_colour)

    def _listeners(self) -> list[tuple[Any, Callable[..., None]]]:
        session, results, runs = self._session, self._session.results, self._session.runs
        news = (results.changed, results.added, results.linked, session.intent_changed)
        return [
            *((signal, self._refresh) for signal in (*news, runs.started, runs.ended)),
            *((signal, self._forget) for signal in (results.removed, results.lost)),
            (session.viewer.layers.events.removed, self._on_removed),
        ]

    # ---- whose objects ---------------------------------------------------------------------

    def _refresh(self, *_: Any) -> None:
        """Show the objects of the chosen image's result."""
        result = self._session.results.current
        if result is None or result.classes or not result.correcting.fits:
            self._show_of(None)
            self.note.setText(NOTHING if result is None or not result.classes else CLASSES)
            return
        self._show_of(result)
        if not self._session.runs.segmenting:
            self._objects[result].in_table.bring_up_to_date()
        self._tell()

    def _show_of(self, result: Result | None) -> None:
        if result is self._shown:
            return
        if self._shown is not None:
            self._shown.layer.events.selected_label.disconnect(self._on_label)
        if result is not None and result not in self._objects:
            self._follow(result)
        self._shown = result
        if result is None:
            self._start_anew(None)
        else:
            result.layer.events.selected_label.connect(self._on_label)
            self._show_numbers()

    def _start_anew(self, measured: Measured | None) -> None:
        """Show rows of something else than before; none is selected."""
        self._measured, self._selected = measured, None
        self._use(TableModel("" if measured is None else measured.result.image.leading_axes))
        self._show_colours()
        self._outlined.remove()  # the end of a layer is news, and may call for other rows

    def _follow(self, result: Result) -> None:
        self._objects[result] = objects = self._all.take(result, USER)
        objects.changed.connect(self._show_numbers)
        objects.hidden.connect(self._show_rows)
        objects.recoloured.connect(self._show_legend)

    def _forget(self, result: Result) -> None:
        """Let go of a result that nobody looks after any more."""
        if result is self._shown:
            self._show_of(None)
        objects = self._objects.pop(result, None)
        if objects is not None:
            objects.changed.disconnect(self._show_numbers)
            objects.hidden.disconnect(self._show_rows)
            objects.recoloured.disconnect(self._show_legend)
            objects.colours.choose("")
            self._all.leave(result, USER)

    def close_down(self) -> None:
        """Leave everything as it was before."""
        for signal, listener in self._listeners():
            signal.disconnect(listener)
        for result in [*self._objects]:
            self._forget(result)

    # ---- numbers and colours ---------------------------------------------------------------

    def _show_numbers(self, ids: frozenset[int] | None = None) -> None:
        """Show what was measured; the line around the chosen object follows if it is one of ids."""
        if self._shown is None:
            return
        objects = self._objects[self._shown]
        measured, columns = objects.in_table, objects.in_table.columns
        if measured is not self._measured:
            self._start_anew(measured)
        bar = self.view.verticalScrollBar()
        assert bar is not None, "a table has one"
        fresh, at = self.model.columnCount() != len(columns), bar.value()
        self._busy = True
        self.model.show(columns, objects.hidden_rows)
        self._busy = False
        if fresh:
            self.view.resizeColumnsToContents()
            self._show_colours()
        self._select_again()
        bar.setValue(at)
        chosen = self._selected
        if chosen is not None and (ids is None or chosen[0] in ids):
            self._selected = chosen if self._outlined.draw(measured, *chosen) else None
        self._tell()

    def _show_rows(self) -> None:
        """Show the rows of other objects than before."""
        self._show_numbers(frozenset())

    def _tell(self) -> None:
        if self._shown is None or self._measured is None:
            return
        rows, measured = self.model.rowCount(), self._measured
        there = self._objects[self._shown].colours.layer in self._session.viewer.layers
        self.colour.setEnabled(there and self.colour.count() > 1)
        hidden = self.model.rows - rows
        if measured.ready:
            text = f"{rows} of {counted(self.model.rows, 'object')}; {hidden} filtered out"
            self.note.setText(text if hidden else counted(rows, "object").capitalize())
        else:
            self.note.setText(WAITING if self._session.runs.segmenting else MEASURING)

    def _show_colours(self) -> None:
        """Offer the columns there are."""
        names = [] if self._measured is None else [*self._measured.columns]
        chosen = "" if self._shown is None else self._objects[self._shown].colours.column
        self.colour.clear()
        self.colour.addItems([PLAIN, *(name for name in names if name not in UNCOLOURED)])
        self.colour.setCurrentText(chosen or PLAIN)
        self.colour.setEnabled(bool(names))
        self._show_legend()
        self._tell()

    def _choose_colour(self, _index: int) -> None:
        if self._shown is not None:
            chosen = self.colour.currentText()
            self._objects[self._shown].colours.choose("" if chosen == PLAIN else chosen)

    def _on_removed(self, event: Any) -> None:
        """Show what is painted on, if a person took the coloured layer away."""
        objects = None if self._shown is None else self._objects.get(self._shown)
        if objects is not None and event.value is objects.colours.layer:
            objects.colours.choose("")
            self._show_colours()

    def _show_legend(self) -> None:
        self.legend.show_limits(
            None if self._shown is None else self._objects[self._shown].colours.limits
        )

    # ---- rows and objects ------------------------------------------------------------------

    def _on_row(self, now: QModelIndex, _before: QModelIndex) -> None:
        """Show the object of a row that a person chose."""
        measured = self._measured
        if self._busy or measured is None or not now.isValid():
            return
        number, middle = self.model.place(now.row())
        self._selected = _, plane = number, measured.nearest(number, middle, middle)
        self._busy = True  # the label follows the row, not the row the label
        layer = measured.result.layer
        layer.selected_label = measured.painted_id(number, plane) or layer.selected_label
        self._busy = False
        self._outlined.centre(measured, number, plane)
        self._outlined.draw(measured, number, plane)

    def _on_label(self, _event: Any = None) -> None:
        """Show the row of the object that was picked."""
        measured = self._measured
        if self._busy or measured is None:
            return
        layer = measured.result.layer
        seen = layers.shown_plane(self._session.viewer, layer)
        row = self.model.row_of(measured.id_of(int(layer.selected_label)), seen)
        if row is None:
            self._selected = None
            self._outlined.remove()
        else:
            number, plane = self.model.place(row)
            self._selected = number, measured.nearest(number, plane, seen)
            self._outlined.draw(measured, *self._selected)
        self._select_again(scroll=True)

    def _select_again(self, *_: Any, scroll: bool = False) -> None:
        """Select the row of the chosen object, wherever it is now."""
        row = None if self._selected is None else self.model.row_of(*self._selected)
        self._busy = True
        if row is None:
            self.view.clearSelection()
        else:
            self.view.selectRow(row)
            if scroll:
                self.view.scrollTo(self.model.index(row, 0))
        self._busy = False
