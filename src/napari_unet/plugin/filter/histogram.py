"""A histogram with two handles; what lies between them stays."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, QPointF, QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

HEIGHT = 120  # screen pixels
BARS = 50
MARGIN = 0.03  # of the width, beyond the first and the last bar
STEPS = 200  # places that a handle can have
SOON = 50  # milliseconds from a move of a handle until it is told
BAR, STAYS, HANDLE = "#8f98a3", (76, 156, 217, 60), "#4c9ed9"
EMPTY = "There is nothing to show yet."

Limit = float | None


class Histogram(QWidget):
    """How often values occur, and the part of them that stays.

    It is drawn with pyqtgraph, which is imported when there is something to draw.
    """

    moved = Signal(object, object)  # least and most, None = no limit; handles moved by the person

    def __init__(self) -> None:
        super().__init__()
        self._plot: Any = None
        self._told = QLabel(EMPTY)
        self._ends = (0.0, 1.0)  # of the values
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tell)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._told)

    @property
    def plot(self) -> Any:
        """The widget of pyqtgraph; there is one once there was something to draw."""
        return self._plot.widget

    @property
    def held(self) -> bool:
        """Whether the person is moving a handle."""
        return self._plot is not None and bool(self._plot.held)

    def handle_at(self, which: int) -> Any:
        """Return where on the plot's widget a handle is: 0 = the left one, 1 = the right one."""
        return self._plot.place(self._plot.region.getRegion()[which])

    def show_values(self, values: NDArray[Any], least: Limit, most: Limit) -> None:
        """Draw values ``(N,)``; a handle without limit stands beyond the last value."""
        finite = values[np.isfinite(values)].astype(np.float64)
        self._told.setVisible(not len(finite))
        if self._plot is not None:
            self._plot.widget.setVisible(bool(len(finite)))
        if not len(finite):
            return
        if self._plot is None:
            self._plot = _Plot(self)
            self._plot.region.sigRegionChanged.connect(self._on_move)
            self._plot.region.sigRegionChangeFinished.connect(self._on_move)
        low, high = float(finite.min()), float(finite.max())
        self._ends = (low, high) if high > low else (low - 0.5, high + 0.5)
        self._plot.draw(finite, self._ends)
        self.show_limits(least, most)

    def show_limits(self, least: Limit, most: Limit) -> None:
        """Put the handles where they belong, unless the person holds one."""
        if self._plot is not None and not self.held:
            self._plot.put(self._ends, least, most)

    def _on_move(self) -> None:
        if not self._plot.busy:
            self._timer.start(SOON)

    def _tell(self) -> None:
        """Tell the limits; a handle that takes nothing away is none."""
        low, high = self._ends
        place = self._plot.region.getRegion()
        step = 10.0 ** math.floor(math.log10((high - low) / STEPS))
        found = [*self._plot.limits]
        for i, (now, before) in enumerate(zip(place, self._plot.places, strict=True)):
            if now != before:
                inside = low < now if i == 0 else now < high
                found[i] = float(f"{round(now / step) * step:.12g}") if inside else None
        self._plot.limits, self._plot.places = tuple(found), place
        self.moved.emit(*found)


class _Plot:
    """What pyqtgraph draws."""

    def __init__(self, parent: Histogram) -> None:
        import pyqtgraph  # a third of a second: only when it is needed

        self.busy = False
        self.limits: tuple[Limit, ...] = (None, None)  # as they were put or told last
        self.places: tuple[float, ...] = (0.0, 1.0)  # of the handles at that time
        self.widget = pyqtgraph.PlotWidget(parent, background=None)
        self.widget.setFixedHeight(HEIGHT)
        self._guard = _NoWheel(self.widget)
        self._item = self.widget.getPlotItem()
        self._item.setMenuEnabled(False)
        self._item.hideButtons()
        self._item.setMouseEnabled(False, False)
        self._item.hideAxis("left")
        self._bars = pyqtgraph.PlotDataItem(
            stepMode="center", fillLevel=0, brush=BAR, pen=pyqtgraph.mkPen(None)
        )
        self._item.addItem(self._bars)
        pen, hover = pyqtgraph.mkPen(HANDLE, width=3), pyqtgraph.mkPen("w", width=3)
        self.region = pyqtgraph.LinearRegionItem(
            brush=STAYS, hoverBrush=STAYS, pen=pen, hoverPen=hover, swapMode="block"
        )
        self.region.movable = False  # as a whole; its lines are
        self._item.addItem(self.region)
        layout = parent.layout()
        assert layout is not None, "made with the histogram"
        layout.addWidget(self.widget)

    @property
    def held(self) -> bool:
        return any(line.moving for line in self.region.lines)

    def place(self, value: float) -> Any:
        """Return where on the widget a value is, halfway up."""
        box = self._item.vb
        middle = sum(box.viewRange()[1]) / 2
        return self.widget.mapFromScene(box.mapViewToScene(QPointF(value, middle)))

    def draw(self, values: NDArray[np.float64], ends: tuple[float, float]) -> None:
        counts, edges = np.histogram(values, BARS, ends)
        self._bars.setData(edges, counts)
        self._item.setYRange(0, max(1, int(counts.max())), padding=0.05)

    def put(self, ends: tuple[float, float], least: Limit, most: Limit) -> None:
        beyond = MARGIN * (ends[1] - ends[0])
        given = [limit for limit in (least, most) if limit is not None]
        low, high = min([ends[0] - beyond, *given]), max([ends[1] + beyond, *given])
        place = low if least is None else least, high if most is None else most
        self.busy = True
        self._item.setXRange(low, high, padding=0.04)
        self.region.setBounds((low, high))
        self.region.setRegion(place)
        self.busy = False
        self.limits, self.places = (least, most), tuple(self.region.getRegion())


class _NoWheel(QObject):
    """Leaves the wheel to what scrolls; a plot that takes it would not scroll the panel."""

    def __init__(self, plot: Any) -> None:
        super().__init__(plot)
        plot.viewport().installEventFilter(self)

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  Qt's
        """Pass a wheel on."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()
        return True
