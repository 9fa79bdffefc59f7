"""Measurements of linked objects, made in the background whenever planes were linked."""

from typing import Any

import numpy as np
from psygnal import Signal

from napari_unet.image import Plane
from napari_unet.measure import ObjectTable
from napari_unet.measure.columns import Columns
from napari_unet.plugin.objects.measurements import Measurements
from napari_unet.plugin.result.result import LinkedShown, Result
from napari_unet.plugin.widgets.background import in_background


class LinkedMeasurements:
    """The objects of one result through Z, and at each time of their tracks.

    Parameters
    ----------
    result : Result
        Whose objects.

    Attributes
    ----------
    columns : dict of ndarray
        As `ObjectTable.columns` gives them for linked objects; empty until they are measured.
    """

    changed = Signal()
    failed = Signal(str)  # a sentence

    def __init__(self, result: Result) -> None:
        self.result, self.columns = result, Columns()
        self._of: LinkedShown | None = None  # what the columns are of
        self._measuring: LinkedShown | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether the columns are of what was linked last."""
        return self._of is self.result.linked

    def bring_up_to_date(self) -> None:
        """Measure all in the background, unless nothing was linked since."""
        linked, image = self.result.linked, self.result.image
        if linked is None or self.ready or self._measuring is not None:
            return
        self._measuring, labels = linked, linked.labels
        painted = linked.ids_of(np.array([*self.result.correcting.tracker.ids], np.int64))
        corrected = frozenset(painted.tolist())

        def measured() -> Columns:
            table = ObjectTable(labels, image, linked=True)
            return table.columns(parents=linked.parents, corrected=corrected)

        in_background(measured, self._take)

    def close(self) -> None:
        """Tell nobody any more; what the layer's features hold would soon be wrong."""
        self._closed = True
        if self._of is not None:
            self._of.layer.features = {}

    def _take(self, columns: Columns | None, problem: str | None) -> None:
        self._of, self._measuring = self._measuring, None
        if self._closed or self._of is None:
            return
        if columns is None:
            self.failed.emit(problem or "")
            return
        self.columns = columns
        ids = columns["label"]
        one_row = len(np.unique(ids)) == len(ids)  # napari knows no times
        rest = {name: values for name, values in columns.items() if name != "label"}
        self._of.layer.features = {"index": ids, **rest} if one_row else {}
        self.changed.emit()
        self.bring_up_to_date()

    # ---- where an object is ----------------------------------------------------------------

    @property
    def labels(self) -> Any:
        """The objects ``(..., Y, X)`` by their ids."""
        linked = self.result.linked
        return self.result.shown if linked is None else linked.labels

    def id_of(self, painted: int) -> int:
        """Return the id of the object that has an id in the layer that is painted on; or 0."""
        linked = self.result.linked
        return 0 if linked is None else int(linked.ids_of(np.array([painted]))[0])

    def painted_id(self, number: int, plane: Plane) -> int:
        """Return the id of an object in a plane of the layer that is painted on; or 0."""
        there = np.unique(self.result.shown[plane][self.labels[plane] == number])
        return next((one for one in there.tolist() if one and self.id_of(one) == number), 0)

    def nearest(self, number: int, plane: Plane, seen: Plane) -> Plane:
        """Return the plane with an object that is nearest to a seen one, at the time of `plane`."""
        axes, labels = self.result.image.leading_axes, self.labels
        if "Z" not in axes:
            return plane
        at = axes.index("Z")
        for z in sorted(range(labels.shape[at]), key=lambda z: abs(z - seen[at])):
            there = (*plane[:at], z, *plane[at + 1 :])
            if (labels[there] == number).any():
                return there
        return plane


Measured = Measurements | LinkedMeasurements
"""The objects that a table shows: of single planes, or linked ones."""
