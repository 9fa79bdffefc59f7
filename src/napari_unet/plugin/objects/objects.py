"""Numbers, colours and hidden objects of results, for as long as a section needs them."""

import weakref
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.errors import InputError
from napari_unet.measure.columns import Columns
from napari_unet.measure.filters import (
    hidden_ids,
    hidden_rows,
    hidden_sections,
    ids_of_rows,
    rows_without_sections,
)
from napari_unet.plugin.objects.colours import Colours
from napari_unet.plugin.objects.linked_measurements import LinkedMeasurements, Measured
from napari_unet.plugin.objects.measurements import Measurements
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.settings import FilterSettings


class Objects:
    """The objects of one result: measured, coloured, and hidden by its filter.

    Where planes are linked, tables and colours are those of linked objects. Where they are linked
    through Z, the filter is one of objects through Z.

    Parameters
    ----------
    result : Result
        Whose objects.

    Attributes
    ----------
    measured : Measurements
        The sections.
    linked : LinkedMeasurements
        The objects through Z, and at each time of their tracks.
    """

    changed = Signal(object)  # ids of the objects that were measured anew; None = all
    filtered = Signal()  # by another filter
    hidden = Signal()  # others than before
    recoloured = Signal()  # another column, or other limits
    told = Signal(str)  # a sentence

    def __init__(self, result: Result) -> None:
        self.result = result
        self.measured, self.linked = Measurements(result), LinkedMeasurements(result)
        self._own_colours = self._colours_of(result.layer, self.measured)
        self._linked_colours: Colours | None = None
        self.measured.changed.connect(self._follow)
        self.linked.changed.connect(lambda: self._follow(None))
        for measured in (self.measured, self.linked):
            measured.failed.connect(self._tell)
        self._follow_layer()

    # ---- where planes are linked, or not ---------------------------------------------------

    @property
    def in_table(self) -> Measured:
        """What a table shows: linked objects where planes are linked, sections elsewhere."""
        return self.measured if self.result.linked is None else self.linked

    @property
    def colours(self) -> Colours:
        """The colours of what a table shows."""
        return self._linked_colours or self._own_colours

    @property
    def hidden_rows(self) -> NDArray[np.bool_]:
        """Which rows of the table are hidden."""
        linked, columns, sections = self.result.linked, self.in_table.columns, self.measured.columns
        if not columns or not sections:
            return np.zeros(len(columns.get("label", ())), bool)
        gone = np.isin(sections["label"], [*self.result.hidden])
        if linked is None:
            return gone
        axes = self.result.image.leading_axes.replace("Z", "")
        return rows_without_sections(
            sections, linked.ids_of(sections["label"]), columns, gone, axes
        )

    def _colours_of(
        self, layer: Labels, measured: Measured, instead_of: Labels | None = None
    ) -> Colours:
        colours = Colours(layer, measured, instead_of)
        colours.changed.connect(self._tell_recoloured)
        colours.told.connect(self._tell)
        return colours

    # Methods, as psygnal would try out an ``emit`` that it is given: the panel would say "1".
    def _tell(self, text: str) -> None:
        self.told.emit(text)

    def _tell_recoloured(self) -> None:
        self.recoloured.emit()

    def _follow_layer(self) -> None:
        """Colour the layer of linked objects, where there is one now."""
        linked, before = self.result.linked, self._linked_colours
        layer = None if linked is None else linked.layer
        if layer is (None if before is None else before.layer):
            return
        if before is not None:
            before.put_back()
        self._linked_colours = None
        if layer is not None:
            self._own_colours.choose("")
            self._linked_colours = self._colours_of(layer, self.linked, self.result.layer)

    # ---- the filter ------------------------------------------------------------------------

    @property
    def _through_z(self) -> bool:
        return self.result.linked is not None and "Z" in self.result.image.leading_axes

    @property
    def columns(self) -> Columns:
        """What the filter looks at: a table of sections, or of objects through Z."""
        return self.linked.columns if self._through_z else self.measured.columns

    @property
    def ready(self) -> bool:
        """Whether the columns are of what the result holds now, but for the last strokes."""
        return self.measured.ready and (self.linked.ready or not self._through_z)

    @property
    def count(self) -> tuple[int, int]:
        """Objects there are, and hidden ones of them."""
        if not self.columns:
            return 0, 0
        there = len(np.unique(self.columns["label"]))
        return there, len(self._hidden_linked if self._through_z else self.result.hidden)

    def bring_up_to_date(self) -> None:
        """Measure what the filter looks at and is not measured yet, in the background."""
        self.measured.bring_up_to_date()
        if self._through_z:
            self.linked.bring_up_to_date()

    def follow_links(self) -> None:
        """Hide what is to be hidden: planes were linked anew, or are not linked any more."""
        self._follow_layer()
        if self.result.filters.active:
            if self._through_z:
                self.linked.bring_up_to_date()
            self._hide()
        self._hide_linked()
        self.changed.emit(None)

    def filter_by(self, filters: FilterSettings) -> None:
        """Hide other objects."""
        self.result.filters = filters
        self._hide()
        self.filtered.emit()

    def close(self) -> None:
        """Leave the layers as they were; the filter is kept, for files and for later."""
        for colours in (self._linked_colours, self._own_colours):
            if colours is not None:
                colours.put_back()
        self.measured.close()
        self.linked.close()
        self.result.hidden = frozenset()

    def _follow(self, ids: frozenset[int] | None) -> None:
        if ids is None:
            self.result.correcting.forget_cut()
        self._hide()
        self.changed.emit(ids)

    def _hide(self) -> None:
        result = self.result
        try:
            found = self._found()
        except InputError as error:  # other sizes are known now, or planes were linked
            result.filters = FilterSettings()
            self.filtered.emit()
            self.told.emit(f"{error} The filter was taken away.")
            found = frozenset()
        if found != result.hidden:
            result.hidden = found
            self._own_colours.hide(found)
            self._hide_linked()
            self.hidden.emit()

    def _found(self) -> frozenset[int]:
        """Return the ids that the filter hides."""
        result, filters, sections = self.result, self.result.filters, self.measured.columns
        if not (filters.active and sections and self.columns):
            return frozenset()  # it follows when they are measured
        kept, linked = result.correcting.changed_ids, result.linked
        if linked is None or not self._through_z:
            return frozenset(hidden_ids(sections, filters, kept).tolist())
        volumes = self.linked.columns
        stay = linked.ids_of(np.array([*kept], np.int64))
        out = hidden_rows(volumes, filters) & ~np.isin(volumes["label"], stay)
        axes = result.image.leading_axes.replace("Z", "")
        own = linked.ids_of(sections["label"])
        gone = hidden_sections(sections, own, volumes, out, axes)
        return frozenset(ids_of_rows(sections, gone, kept).tolist())

    @property
    def _hidden_linked(self) -> NDArray[np.int64]:
        """Ids of linked objects of which nothing is shown."""
        linked, columns = self.result.linked, self.measured.columns
        if linked is None or not columns:
            return np.zeros(0, np.int64)
        own, gone = (
            linked.ids_of(columns["label"]),
            np.isin(columns["label"], [*self.result.hidden]),
        )
        return np.setdiff1d(own[gone], own[~gone])

    def _hide_linked(self) -> None:
        if self._linked_colours is not None:
            self._linked_colours.hide(self._hidden_linked.tolist())


class ObjectsOfResults:
    """Gives sections the objects of results, the same to all; what nobody needs is closed.

    Parameters
    ----------
    session : Session
        Whose results.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: weakref.WeakKeyDictionary[Result, Objects] = weakref.WeakKeyDictionary()
        self._users: weakref.WeakKeyDictionary[Result, set[str]] = weakref.WeakKeyDictionary()
        for end in (session.results.removed, session.results.lost):
            end.connect(self._close)
        session.results.linked.connect(self._on_linked)

    def take(self, result: Result, user: str) -> Objects:
        """Return the objects of a result, and keep them for a user until it leaves them."""
        if result not in self._known:
            self._known[result] = found = Objects(result)
            found.told.connect(self._session.say)
            found.filtered.connect(lambda: self._session.results.filtered.emit(result))
        self._users.setdefault(result, set()).add(user)
        return self._known[result]

    def leave(self, result: Result, user: str) -> None:
        """Keep the objects of a result for a user no longer."""
        users = self._users.get(result, set())
        users.discard(user)
        if not users:
            self._close(result)

    def _on_linked(self, result: Result) -> None:
        if result in self._known:
            self._known[result].follow_links()

    def _close(self, result: Result) -> None:
        self._users.pop(result, None)
        known: Any = self._known.pop(result, None)
        if known is not None:
            known.close()
