"""Measurements of objects through Z, made in the background whenever planes were linked."""

from psygnal import Signal

from napari_unet.measure import ObjectTable
from napari_unet.measure.columns import Columns
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.result.result import LinkedShown, Result
from napari_unet.plugin.widgets.background import in_background


class Volumes:
    """The objects of one result through Z.

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
        self._result, self.columns = result, Columns()
        self._of: LinkedShown | None = None  # what the columns are of
        self._measuring: LinkedShown | None = None
        self._closed = False

    @property
    def wanted(self) -> bool:
        """Whether there are objects through Z."""
        return self._result.linked is not None and "Z" in self._result.image.leading_axes

    @property
    def ready(self) -> bool:
        """Whether the columns are of what was linked last."""
        return self._of is self._result.linked

    def bring_up_to_date(self) -> None:
        """Measure all in the background, unless nothing was linked since."""
        linked = self._result.linked
        if not self.wanted or self.ready or self._measuring is not None or linked is None:
            return
        self._measuring, image = linked, self._result.image
        labels = grid_of(linked.layer).labels(linked.layer.data)
        in_background(lambda: ObjectTable(labels, image, linked=True).columns(), self._take)

    def close(self) -> None:
        """Tell nobody any more."""
        self._closed = True

    def _take(self, columns: Columns | None, problem: str | None) -> None:
        self._of, self._measuring = self._measuring, None
        if self._closed:
            return
        if columns is None:
            self.failed.emit(problem or "")
            return
        self.columns = columns
        self.changed.emit()
        self.bring_up_to_date()
