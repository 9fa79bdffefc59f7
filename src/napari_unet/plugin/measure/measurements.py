"""Measurements of one result, made in the background and kept right while a person paints."""

import time
from typing import Any

import numpy as np
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.image import Box, Plane
from napari_unet.labels.change_tracker import Change
from napari_unet.labels.live_labels import index_of
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.measure import ObjectTable
from napari_unet.measure.columns import Columns
from napari_unet.plugin.linking.linked import Linked
from napari_unet.plugin.linking.linked_results import LinkedResults
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.widgets.background import in_background

AT_ONCE = 2**20  # painted pixels from which on all is measured anew, out of the person's way
PAUSE = 1000  # milliseconds without news until the layer's features are filled
SHARE = 20  # features take at most one part in so many of the time, whoever listens to them

Place = tuple[Plane, Box, frozenset[int]]


class Measurements:
    """The objects of one result, measured.

    Parameters
    ----------
    result : Result
        Whose objects; its layer's features hold the same numbers.

    Attributes
    ----------
    columns : dict of ndarray
        As `ObjectTable.columns` gives them; empty until they are measured.
    """

    changed = Signal(object)  # ids of the objects that were measured anew; None = all
    failed = Signal(str)  # a sentence
    linked = False

    def __init__(self, result: Result) -> None:
        self.result = result
        self.columns: Columns = {}
        self._table: ObjectTable | None = None
        self._drawn = -1  # `Result.drawn` that the table was made of
        self._measuring = self._again = self._closed = False
        self._places: list[Place] = []  # painted, but not measured yet
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._fill_features)
        self._next = 0.0  # when features may be filled
        result.correcting.found.connect(self._note)
        result.correcting.changed.connect(self._catch_up)

    @property
    def layer(self) -> Labels:
        """Shows the objects by their ids."""
        return self.result.layer

    @property
    def shown(self) -> Any:
        """The objects ``(..., Y, X)``."""
        return self.result.shown

    def of_painted(self, own: int) -> int:
        """Return the id of the object that has an id in the layer that is painted on."""
        return own

    def painted(self, number: int, plane: Plane) -> int:
        """Return the id that an object has in a plane of the layer that is painted on."""
        return number

    def nearest(self, number: int, plane: Plane) -> Plane:
        """Return the plane nearest to one in which an object is."""
        return plane

    @property
    def ready(self) -> bool:
        """Whether the columns are of what the result holds now, but for the last strokes."""
        return self._table is not None and not self._measuring and self._drawn == self.result.drawn

    def bring_up_to_date(self) -> None:
        """Measure all in the background, unless that is done or a run has drawn nothing since."""
        if self._measuring:
            self._again = self._drawn != self.result.drawn
        elif not self.ready and self.result.correcting.fits:
            self._measure()

    def close(self) -> None:
        """Follow the result no longer; what its features hold would soon be wrong."""
        self._closed = True
        self._timer.stop()
        self.result.correcting.found.disconnect(self._note, missing_ok=True)
        self.result.correcting.changed.disconnect(self._catch_up, missing_ok=True)
        if self._table is not None:
            self.result.layer.features = {}

    # ---- everything ------------------------------------------------------------------------

    def _measure(self) -> None:
        result = self.result
        labels, image = result.shown, result.image
        self._measuring, self._again, self._drawn = True, False, result.drawn
        self._places.clear()  # from now on: the array is read while it may be painted on
        in_background(lambda: ObjectTable(labels, image), self._take)

    def _take(self, table: ObjectTable | None, problem: str | None) -> None:
        self._measuring = False
        if self._closed:
            return
        if table is None:
            self.failed.emit(problem or "")
        elif self._again:
            self._measure()
        else:
            self._table = table
            self._catch_up(show=True)

    # ---- what was painted ------------------------------------------------------------------

    def _note(self, change: Change) -> None:
        """Note where something was painted, and every id that was or is there."""
        index = index_of(change.plane, change.box)
        shown, predicted = self.result.shown[index], self.result.live.assembly.labels[index]
        there = [np.unique(part) for part in (change.before, change.after, shown, predicted)]
        ids = set(np.concatenate(there).tolist()) - {0, BACKGROUND, UNLABELLED}
        self._places.append((change.plane, change.box, frozenset(ids)))

    def _catch_up(self, *, show: bool = False) -> None:
        """Measure anew what was painted."""
        if self._table is None or self._measuring:
            return
        if not self.result.correcting.fits:
            self._table, self.columns = None, {}
            self.changed.emit(None)
            return
        places, self._places = self._places, []
        if sum(box.size for _, box, _ in places) > AT_ONCE:
            self._measure()
            return
        for plane, box, ids in places:
            self._table.update(self.result.shown, plane, box, ids)
        if places or show:
            self._show(None if show else frozenset().union(*(ids for *_, ids in places)))

    def _show(self, ids: frozenset[int] | None) -> None:
        assert self._table is not None, "measured"
        self.columns = self._table.columns(corrected=self.result.correcting.tracker.ids)
        self.changed.emit(ids)
        wait = max(PAUSE, round(1000 * (self._next - time.monotonic())))
        self._timer.start(wait)

    def _fill_features(self) -> None:
        """Give napari the numbers: its status bar shows those of the object under the cursor."""
        start = time.monotonic()
        columns = {name: values for name, values in self.columns.items() if name != "label"}
        self.result.layer.features = {"index": self.columns["label"], **columns}
        end = time.monotonic()
        self._next = end + SHARE * (end - start)


class LinkedMeasurements:
    """The linked objects of one result, measured; anew what was linked anew.

    Parameters
    ----------
    result : Result
        Whose objects.
    results : LinkedResults
        Links them.

    Attributes
    ----------
    columns : dict of ndarray
        As `ObjectTable.columns` gives them for linked labels; empty until they are measured.
    """

    changed = Signal(object)  # None = all
    failed = Signal(str)  # a sentence
    linked = True

    def __init__(self, result: Result, results: LinkedResults) -> None:
        self.result, self._results = result, results
        self.columns: Columns = {}
        self._table: ObjectTable | None = None
        self._of: Linked | None = None  # what the table was made of
        self._measuring = self._closed = False
        results.made.connect(self._on_made)

    @property
    def layer(self) -> Labels:
        """Shows the objects by their ids; what is painted on until they are linked."""
        made = self._results.of(self.result)
        return self.result.layer if made is None or made.layer is None else made.layer

    @property
    def shown(self) -> Any:
        """The objects ``(..., Y, X)`` that the columns are of."""
        return self.result.shown if self._of is None else self._of.levels[0]

    @property
    def ready(self) -> bool:
        """Whether the columns are of what was linked last."""
        made = self._results.of(self.result)
        return made is not None and made.linked is self._of and not self._measuring

    def of_painted(self, own: int) -> int:
        """Return the id of the object that has an id in the layer that is painted on."""
        return self._of.copy.known.get(own, 0) if self._of is not None else 0

    def painted(self, number: int, plane: Plane) -> int:
        """Return the id that an object has in a plane of the layer that is painted on."""
        there = np.asarray(self.result.shown[plane])[self.shown[plane] == number]
        return int(there[0]) if len(there) else 0

    def nearest(self, number: int, plane: Plane) -> Plane:
        """Return the plane of its stack nearest to one in which an object is."""
        axes, shown = self.result.image.leading_axes, self.shown
        if "Z" not in axes:
            return plane
        at = axes.index("Z")
        for z in sorted(range(shown.shape[at]), key=lambda z: abs(z - plane[at])):
            there = (*plane[:at], z, *plane[at + 1 :])
            if (shown[there] == number).any():
                return there
        return plane

    def bring_up_to_date(self) -> None:
        """Measure in the background what was linked since."""
        made = self._results.of(self.result)
        if made is not None and not self._measuring and made.linked is not self._of:
            self._measure(made.linked)

    def close(self) -> None:
        """Follow the result no longer."""
        self._closed = True
        self._results.made.disconnect(self._on_made, missing_ok=True)

    def _on_made(self, target: object) -> None:
        if target is self.result:
            self.bring_up_to_date()

    def _measure(self, linked: Linked) -> None:
        image, table, before = self.result.image, self._table, self._of
        labels = linked.levels[0]
        self._measuring = True

        def measured() -> ObjectTable:
            if table is None or before is None:
                return ObjectTable(labels, image, linked=True)
            sums = zip(before.copy.sums, linked.copy.sums, strict=True)
            changed = [old != new for old, new in sums]
            plane = Box((0, 0), labels.shape[-2:])
            for index, differs in zip(np.ndindex(*labels.shape[:-2]), changed, strict=True):
                if differs:
                    table.update(labels, index, plane)
            return table

        in_background(measured, lambda made, problem: self._take(made, linked, problem))

    def _take(self, table: ObjectTable | None, linked: Linked, problem: str | None) -> None:
        self._measuring = False
        if self._closed:
            return
        if table is None:
            self.failed.emit(problem or "")
            return
        copy, ids = linked.copy, self.result.correcting.tracker.ids
        self._table, self._of = table, linked
        corrected = {copy.known[own] for own in ids if own in copy.known}
        self.columns = table.columns(parents=copy.links.parents, corrected=corrected)
        self.changed.emit(None)
        self._fill_features()
        self.bring_up_to_date()

    def _fill_features(self) -> None:
        """Give napari the numbers, unless an object has a row for each time."""
        labels = self.columns["label"]
        if self.layer is not self.result.layer and len(np.unique(labels)) == len(labels):
            columns = {name: values for name, values in self.columns.items() if name != "label"}
            self.layer.features = {"index": labels, **columns}


Subject = Measurements | LinkedMeasurements
"""The objects that a table shows: of single planes, or linked ones."""
