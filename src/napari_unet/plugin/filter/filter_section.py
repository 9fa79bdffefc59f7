"""Filter objects: hides those that are too small, too large, too faint, or at the image's edge."""

from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, PushButton
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit

from napari_unet.errors import InputError
from napari_unet.measure.columns import Columns
from napari_unet.measure.filters import filterable, left_out, noun_and_unit, title_of
from napari_unet.plugin.filter.histogram import Histogram, Limit
from napari_unet.plugin.objects.objects import Objects, ObjectsOfResults
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.setting_widgets import keep_narrow
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.settings import FilterSettings, checked
from napari_unet.wording import counted

TITLE = "Filter objects"
USER = "filter"  # of the objects
NOTHING = (
    "There are no objects to filter in this image. Press Segment first; a large image is filtered "
    "by napari-unet segment --filter."
)
MEASURING, WAITING = "Measuring…", "Measured anew when the run has ended."
NO_LIMIT = "no limit"
TIP = (
    "Objects beyond the two handles are hidden, and left out of files. The labels stay as they "
    "are: move a handle back, and they are there again. What you painted is never hidden."
)
NO_NUMBER = "{!r} is no number. Give a number, or nothing for no limit."
EDGE = FilterSettings.model_fields["at_edge"]


class FilterSection(Container):  # type: ignore[type-arg]
    """Widgets for the filter of the chosen image's result.

    Parameters
    ----------
    session : Session
        What is worked on.
    objects : ObjectsOfResults
        Gives numbers, and hides objects.

    Attributes
    ----------
    fold : Fold
        What it is in; folded at first.
    """

    def __init__(self, session: Session, objects: ObjectsOfResults) -> None:
        super().__init__(labels=False)
        self._session, self._all = session, objects
        self._shown: Objects | None = None
        self._complaint = ""  # about what was typed last
        self._build()
        self.fold = Fold(TITLE, self.native)
        self.fold.toggled.connect(self._refresh)
        results, runs = session.results, session.runs
        for signal in (results.changed, results.added, results.linked, session.intent_changed):
            signal.connect(self._refresh)
        for signal in (results.removed, results.lost):
            signal.connect(self._forget)
        for signal in (runs.started, runs.ended):
            signal.connect(self._refresh)
        self._refresh()

    def _build(self) -> None:
        self.column = ComboBox(choices=(), nullable=True, tooltip="What objects are filtered by")
        keep_narrow(self.column)
        self.histogram = Histogram()
        self.histogram.setToolTip(TIP)
        self.least, self.most, self.unit = QLineEdit(), QLineEdit(), QLabel()
        limits = QHBoxLayout()
        for field, word in ((self.least, "less"), (self.most, "more")):
            field.setPlaceholderText(NO_LIMIT)
            field.setToolTip(f"Objects with {word} are hidden; empty = no limit")
            field.editingFinished.connect(self._on_typed)
        for widget in (self.least, QLabel("to"), self.most, self.unit):
            limits.addWidget(widget)
        self.edge = CheckBox(text=str(EDGE.title), tooltip=str(EDGE.description))
        self.told = Wrapped()
        self.show_all = PushButton(text="Show all", tooltip="Take away every limit")
        self.margins = (0, 0, 0, 0)
        layout = self.native.layout()
        layout.addWidget(self.column.native)
        layout.addWidget(self.histogram)
        layout.addLayout(limits)
        for below in (self.edge.native, self.told, self.show_all.native):
            layout.addWidget(below)
        self.column.changed.connect(self._show_values)
        self.histogram.moved.connect(self._limit)
        self.edge.changed.connect(self._on_edge)
        self.show_all.clicked.connect(lambda: self._filter_by(FilterSettings()))

    # ---- whose objects ---------------------------------------------------------------------

    def _current(self) -> Result | None:
        """Return the result that is worked on, if it has objects to filter."""
        result = self._session.results.current
        usable = result is not None and not result.classes and result.correcting.fits
        return result if usable else None

    def _refresh(self, *_: Any) -> None:
        """Show the filter of the chosen image's result; measure what is not measured yet."""
        if self._session.closed:
            return
        result = self._current()
        if result is not None and not (self.fold.isExpanded() or result.filters.active):
            result = None
        self._show_of(result)
        if self._shown is not None and not self._session.runs.segmenting:
            self._shown.bring_up_to_date()
        self._show()

    def _show_of(self, result: Result | None) -> None:
        before = self._shown
        if result is (before.result if before is not None else None):
            return
        if before is not None:
            before.changed.disconnect(self._show)
            before.hidden.disconnect(self._tell)
            if not before.result.filters.active:
                self._all.leave(before.result, USER)
        self._shown = None
        if result is not None:
            self._shown = objects = self._all.take(result, USER)
            objects.changed.connect(self._show)
            objects.hidden.connect(self._tell)

    def _forget(self, result: Result) -> None:
        """Let go of a result that nobody looks after any more."""
        if self._shown is not None and result is self._shown.result:
            self._show_of(None)
            self._show()
        self._all.leave(result, USER)

    # ---- what is shown ---------------------------------------------------------------------

    @property
    def _columns(self) -> Columns:
        return {} if self._shown is None else self._shown.columns

    @property
    def _filters(self) -> FilterSettings:
        return FilterSettings() if self._shown is None else self._shown.result.filters

    def _show(self, *_: Any) -> None:
        """Show columns, values, limits and counts as they are now."""
        names = filterable(self._columns)
        choices = [(title_of(name), name) for name in names]
        if [*self.column.choices] != names:
            chosen = self.column.value
            with self.column.changed.blocked():
                self.column.choices = choices
                self.column.value = chosen if chosen in names else next(iter(names), None)
        for widget in (self.column, self.edge):
            widget.enabled = bool(names)
        self._show_values()

    def _show_values(self, *_: Any) -> None:
        """Draw the values of the chosen column, if anybody can see it."""
        column = self.column.value
        if self.fold.isExpanded():
            values = self._columns.get(column, np.zeros(0)) if column else np.zeros(0)
            self.histogram.show_values(values, *self._filters.limits(column or ""))
        self.unit.setText(noun_and_unit(column)[1] if column else "")
        self._show_limits()

    def _show_limits(self) -> None:
        """Show the limits of the chosen column, and what they hide."""
        limits = self._filters.limits(self.column.value or "")
        self.histogram.show_limits(*limits)
        for field, limit in zip((self.least, self.most), limits, strict=True):
            if not field.isModified():  # by the person, who may just be typing
                field.setText("" if limit is None else f"{limit:.6g}")
            field.setEnabled(bool(self.column.value))
        with self.edge.changed.blocked():
            self.edge.value = self._filters.at_edge
        self.show_all.enabled = self._filters.active
        self._tell()

    def _tell(self) -> None:
        """Say how many are hidden, and why."""
        result = self._current()
        if self._shown is None or result is None:
            self.told.say(NOTHING if result is None else "")
            self.fold.rename(TITLE)
            return
        there, hidden = self._shown.count
        if not self._shown.ready:
            self.told.say(WAITING if self._session.runs.segmenting else MEASURING)
        else:
            text = f"{there - hidden} of {counted(there, 'object')}; {hidden} "
            text += f"{'is' if hidden == 1 else 'are'} filtered out"
            why = f": {left_out(self._filters)}" if self._filters.active else ""
            self.told.say(
                f"{text}{why}." if why else f"{counted(there, 'object')}; none is filtered out."
            )
        self.fold.rename(f"{TITLE} ({hidden} hidden)" if self._filters.active else TITLE)

    # ---- what the person does --------------------------------------------------------------

    def _limit(self, least: Limit, most: Limit) -> None:
        column = self.column.value
        if column and (least, most) != self._filters.limits(column):
            try:
                self._filter_by(self._filters.with_limits(column, least, most))
            except InputError as error:
                self._complain(str(error))

    def _on_typed(self) -> None:
        """Take the limits whose fields the person has changed."""
        limits = [*self._filters.limits(self.column.value or "")]
        if self.least.isModified() or self.most.isModified():
            self._session.take_back(self._complaint)
        for i, field in enumerate((self.least, self.most)):
            if not field.isModified():
                continue
            field.setModified(False)
            text = field.text().strip().replace(",", ".")
            try:
                limits[i] = float(text) if text else None
            except ValueError:
                self._complain(NO_NUMBER.format(field.text()))
        self._limit(*limits)
        self._show_limits()

    def _on_edge(self, on: bool) -> None:
        self._filter_by(checked(FilterSettings, ranges=self._filters.ranges, at_edge=on))

    def _complain(self, sentence: str) -> None:
        self._complaint = sentence
        self._session.say(sentence)

    def _filter_by(self, filters: FilterSettings) -> None:
        self._session.take_back(self._complaint)
        if self._shown is not None:
            self._shown.filter_by(filters)
            self._show_limits()
