"""Colours of objects by what was measured, and the legend to them."""

from collections.abc import Collection
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_unet.measure.columns import Columns
from napari_unet.plugin.objects.hiding import HidingDirect, hiding, marked
from napari_unet.plugin.objects.linked_measurements import Measured
from napari_unet.plugin.objects.words import in_words
from napari_unet.plugin.widgets.background import in_background

MAP = "viridis"
STEPS = 64  # different colours; napari is faster with few
ENDS = 2, 98  # percentiles; one giant would leave all others alike
UNKNOWN = np.array([0.5, 0.5, 0.5, 1.0])  # of objects that are not measured yet, or have no value
CLEAR = np.zeros(4)
MOST = 2**16  # the largest id to which napari gives a colour of its own without numba
SOME_GREY = (
    f"Objects with numbers above {MOST} stay grey: napari colours them only where the package "
    "numba is installed."
)
REST = 800  # milliseconds without news until colours follow: napari draws the whole layer anew

Limits = tuple[float, float]


class Colours:
    """Gives the objects of a layer the colours of one column, and hidden ones none.

    Parameters
    ----------
    layer : Labels
        The layer.
    measured : Measurements or LinkedMeasurements
        Of its objects.
    instead_of : Labels, optional
        A layer that is hidden while a column colours the other one.

    Attributes
    ----------
    column : str
        Name; empty = napari's own colours.
    limits : tuple of float or None
        What the first and the last colour stand for, fixed when the column was chosen.
    """

    changed = Signal()  # other limits
    told = Signal(str)  # a sentence

    def __init__(self, layer: Labels, measured: Measured, instead_of: Labels | None = None) -> None:
        self.layer, self._measured, self._instead_of = layer, measured, instead_of
        self._visible: tuple[bool, bool] | None = None  # both layers, before a column was chosen
        self.column = ""
        self.limits: Limits | None = None
        self._hidden = marked(())
        self._plain: Any = None  # the layer's own colours
        self._thinned: Any = None  # the same, without what is hidden
        self._by_column: HidingDirect | None = None
        self._ours: Any = None  # what of ours the layer shows
        self._steps: dict[int, int] = {}  # of each id
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._follow)
        measured.changed.connect(self._soon)
        self.layer.events.colormap.connect(self._on_colormap)

    def choose(self, column: str) -> None:
        """Colour by a column; by none if it is empty."""
        self.column, self.limits, self._steps = column, None, {}
        if column:
            self._follow()
        else:
            self._timer.stop()
            self._by_column = None
            self._show()
        self.changed.emit()

    def hide(self, ids: Collection[int]) -> None:
        """Show objects of these ids no more, and all others again."""
        self._hidden = marked(ids)
        self._show()

    def put_back(self) -> None:
        """Show the colours that the layer had, unless a person has chosen others since."""
        self._timer.stop()
        self.column, self._by_column, self._hidden = "", None, marked(())
        self._show()
        self.layer.events.colormap.disconnect(self._on_colormap)

    def _show(self) -> None:
        """Show the colours of the column, or else the layer's own, without what is hidden."""
        if self._ours is None:
            self._plain, self._thinned = self.layer.colormap, None
        wanted = self._by_column
        if wanted is None and self._hidden.any():
            if self._thinned is None:
                self._thinned = hiding(self._plain)
            wanted = self._thinned
        if wanted is not None:
            wanted.hide(self._hidden)
        if wanted is not self._ours:
            self._ours = wanted
            self.layer.colormap = self._plain if wanted is None else wanted
        elif wanted is not None:
            self.layer.refresh(extent=False)
        self._swap()

    def _swap(self) -> None:
        """Show the layer instead of the other one, for as long as a column is chosen."""
        other, before = self._instead_of, self._visible
        if other is None or bool(self.column) == (before is not None):
            return
        self._visible = (self.layer.visible, other.visible) if self.column else None
        self.layer.visible, other.visible = before or (True, False)

    def _on_colormap(self, _event: Any = None) -> None:
        """A person has chosen other colours: show these, without what is hidden."""
        if self.layer.colormap is self._ours or self._ours is None:
            return
        self._ours = self._by_column = None
        if self._hidden.any():
            self._show()

    def _soon(self) -> None:
        if self.column:
            self._timer.start(REST)

    def _follow(self) -> None:
        """Colour anew if any object has another colour now."""
        columns, column = self._measured.columns, self.column
        if not column or column not in columns:
            return
        ids, values = of_each(columns, column)
        if self.limits is None:
            self.limits = limits_of(values)
            self.changed.emit()
        steps = dict(zip(ids.tolist(), steps_of(values, self.limits).tolist(), strict=True))
        if steps == self._steps:
            return
        self._steps = steps
        in_background(lambda: colormap(steps), lambda made, _: self._take(made, steps))

    def _take(self, made: HidingDirect | None, steps: dict[int, int]) -> None:
        if made is None or not self.column or steps is not self._steps:
            return  # another one is under way, or none is wanted any more
        self._by_column = made
        self._show()
        if not made.color_dict.keys() >= steps.keys():
            self.told.emit(SOME_GREY)


def of_each(columns: Columns, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ids and the value of each, its mean over planes."""
    ids, inverse, count = np.unique(columns["label"], return_inverse=True, return_counts=True)
    values = np.bincount(inverse, columns[column].astype(np.float64), len(ids)) / count
    return ids, values


def limits_of(values: NDArray[np.float64]) -> Limits:
    """Return what the first and the last colour stand for."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, ENDS).tolist()
    return (low, high) if high > low else (float(finite.min()), float(finite.max()))


def steps_of(values: NDArray[np.float64], limits: Limits) -> NDArray[np.int64]:
    """Return the number of the colour of each value; -1 where there is none."""
    low, high = limits
    share = (np.nan_to_num(values, nan=low) - low) / (high - low or 1.0)
    steps = np.rint(share.clip(0, 1) * (STEPS - 1)).astype(np.int64)
    return np.where(np.isfinite(values), steps, -1)


def colormap(steps: dict[int, int]) -> HidingDirect:
    """Make the colours of ids; takes a while with thousands."""
    colours = np.vstack([ensure_colormap(MAP).map(np.linspace(0, 1, STEPS)), UNKNOWN])
    named: dict[Any, Any] = {number: colours[step] for number, step in steps.items()}
    while True:
        made = HidingDirect(color_dict={**named, 0: CLEAR, None: UNKNOWN})
        try:
            made.map(np.zeros((1, 1), np.uint32))  # makes what the first drawing needs, here
        except RuntimeError:  # no numba
            named = {number: colour for number, colour in named.items() if number <= MOST}
        else:
            return made


class Legend(QWidget):
    """The colours from left to right, with the numbers that the ends stand for."""

    def __init__(self) -> None:
        super().__init__()
        self._limits: Limits | None = None
        self.setMinimumWidth(180)
        self.setFixedHeight(22)
        self.hide()

    def show_limits(self, limits: Limits | None) -> None:
        """Show what the ends stand for; None hides it."""
        self._limits = limits
        self.setVisible(limits is not None)
        self.update()

    @property
    def text(self) -> tuple[str, str]:
        """What is written at the ends; values beyond have the same colours."""
        low, high = self._limits or (0.0, 0.0)
        return f"≤ {in_words(low)}", f"{in_words(high)} ≤"

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802  Qt's
        """Paint the colours, and the numbers on them."""
        painter, area = QPainter(self), self.rect()
        gradient = QLinearGradient(0, 0, area.width(), 0)
        for share in np.linspace(0, 1, 9).tolist():
            red, green, blue, _ = ensure_colormap(MAP).map([share])[0].tolist()
            gradient.setColorAt(share, QColor.fromRgbF(red, green, blue))
        painter.fillRect(area, gradient)
        first, last = self.text
        inside = area.adjusted(6, 0, -6, 0)
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, first)
        painter.setPen(Qt.GlobalColor.black)
        painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, last)
        painter.end()
