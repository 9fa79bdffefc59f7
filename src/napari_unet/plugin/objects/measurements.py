"""Measurements of one result, made in the background and kept right while a person paints."""

import time
from typing import Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.image import Box, Plane
from napari_unet.labels.change_tracker import Change
from napari_unet.labels.live_labels import index_of
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.measure import ObjectTable
from napari_unet.measure.columns import Columns
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
    def labels(self) -> Any:
        """The objects ``(..., Y, X)`` by their ids."""
        return self.result.shown

    def id_of(self, painted: int) -> int:
        """Return the id of the object that has an id in the layer that is painted on."""
        return painted

    def painted_id(self, number: int, _plane: Plane) -> int:
        """Return the id of an object in a plane of the layer that is painted on."""
        return number

    def nearest(self, _number: int, plane: Plane, _seen: Plane) -> Plane:
        """Return the plane that an object is in."""
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
