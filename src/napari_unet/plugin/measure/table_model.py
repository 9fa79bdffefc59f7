"""The rows of the table of objects, for Qt."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_unet.image import Plane
from napari_unet.measure.columns import Columns
from napari_unet.plugin.objects.words import in_words

ROOT = QModelIndex()


class TableModel(QAbstractTableModel):
    """Columns of numbers, sorted by one of them.

    napari's own table measures the width of every cell whenever the features change, and takes the
    number of a row for the id of an object.

    Parameters
    ----------
    leading : str
        Letters of the axes before Y and X.
    """

    def __init__(self, leading: str) -> None:
        super().__init__()
        self._leading = leading
        self._columns: Columns = {}
        self._names: list[str] = []
        self._hidden: NDArray[np.bool_] = np.zeros(0, bool)  # rows
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)
        self._sorted: tuple[str, bool] | None = None  # by which column, and whether downwards

    def show(self, columns: Columns, hidden: NDArray[np.bool_]) -> None:
        """Show other numbers, sorted as before, without the hidden ones of the rows ``(N,)``."""
        new = [*columns] != self._names
        # Never both: what a view keeps for the one, the other makes void.
        (self.beginResetModel if new else self.layoutAboutToBeChanged.emit)()
        self._columns, self._names, self._hidden = columns, [*columns], hidden
        self._arrange()
        (self.endResetModel if new else self.layoutChanged.emit)()

    @property
    def rows(self) -> int:
        """Rows there are, hidden ones too."""
        return len(self._columns["label"]) if self._columns else 0

    # ---- where an object is ----------------------------------------------------------------

    def place(self, row: int) -> tuple[int, Plane]:
        """Return id and plane of the object in a row; of one through Z its middle plane."""
        at, known = self._order[row], self._columns
        middle = known.get("centroid_z")
        plane = (
            known[axis][at] if axis in known or middle is None else np.rint(middle[at])
            for axis in self._leading
        )
        return int(known["label"][at]), tuple(int(index) for index in plane)

    def row_of(self, number: int, plane: Plane) -> int | None:
        """Return the row of an object, in a plane if it is there; None if there is none."""
        if not self._columns:
            return None
        rows = np.flatnonzero(self._columns["label"][self._order] == number)
        here = np.ones(len(rows), bool)
        for axis, index in zip(self._leading, plane, strict=True):
            if axis in self._columns:  # else the row is that of all planes
                here &= self._columns[axis][self._order[rows]] == index
        return next(iter([*rows[here].tolist(), *rows.tolist()]), None)

    # ---- what Qt asks ----------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = ROOT) -> int:  # noqa: N802  Qt's
        """Return the number of objects."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = ROOT) -> int:  # noqa: N802  Qt's
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return in_words(self._columns[self._names[index.column()]][self._order[index.row()]])

    def headerData(  # noqa: N802  Qt's
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column; a view that is given this model asks for its old ones."""
        known = orientation == Qt.Orientation.Horizontal and 0 <= section < len(self._names)
        return self._names[section] if known and role == Qt.ItemDataRole.DisplayRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; empty cells come last. Without one, by plane and id."""
        self.layoutAboutToBeChanged.emit()
        down = order == Qt.SortOrder.DescendingOrder
        self._sorted = (self._names[column], down) if 0 <= column < len(self._names) else None
        self._arrange()
        self.layoutChanged.emit()

    def _arrange(self) -> None:
        self._order = np.arange(self.rows)
        if self._sorted is not None and self._sorted[0] in self._columns:
            name, down = self._sorted
            values = self._columns[name].astype(np.float64)
            self._order = np.argsort(-values if down else values, kind="stable")
        self._order = self._order[~self._hidden[self._order]]
