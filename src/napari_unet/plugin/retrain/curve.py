"""The curve of a retraining: its loss, and how well the held-out objects are found."""

import math
import time
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.training.events import TrainingStep

HEIGHT = 130  # screen pixels
PAUSE = 0.25  # seconds between two drawings: the brush goes first
LOSS, SCORE = "#4c9ed9", "#e8a33d"


class Curve(QWidget):
    """Loss on the left axis, score of the held-out objects on the right one, over seconds.

    It is drawn with pyqtgraph, which is imported when there is something to draw; where that is
    missing, a line of text says the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plot: Any = None
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._next = 0.0
        self.losses: list[tuple[float, float]] = []  # seconds and loss
        self.scores: list[tuple[float, float]] = []  # seconds and mean overlap
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._text)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.hide()

    @property
    def text(self) -> str:
        """The newest values in words."""
        return self._text.text()

    def begin(self, limit: float) -> None:
        """Empty it, and hide it until there is a point; it is as wide as the seconds there are."""
        self.losses, self.scores, self._next = [], [], 0.0
        self._text.setText("")
        if self._plot is None:
            self._plot = _make_plot(self)
        if self._plot is not None:
            self._plot.begin(limit)
        self.hide()

    def add(self, event: TrainingStep) -> None:
        """Note one event; drawn at once if the last drawing is a while ago."""
        if math.isfinite(event.loss):
            self.losses.append((event.seconds, event.loss))
        if event.score is not None:
            self.scores.append((event.seconds, event.score))
        if time.monotonic() >= self._next:
            self.draw()

    def draw(self) -> None:
        """Draw what was noted."""
        self._text.setText(", ".join(_words(self.losses, self.scores)))
        if self._plot is not None:
            self._plot.draw(self.losses, self.scores)
        self.setVisible(bool(self.losses or self.scores))
        self._next = time.monotonic() + PAUSE


def _words(losses: list[tuple[float, float]], scores: list[tuple[float, float]]) -> list[str]:
    words = [f"training error {losses[-1][1]:.2f}"] if losses else []
    return words + ([f"agreement with your held-out objects {scores[-1][1]:.2f}"] if scores else [])


def _make_plot(parent: Curve) -> "_Plot | None":
    try:
        import pyqtgraph  # a third of a second: only when it is needed
    except ImportError:
        return None
    return _Plot(pyqtgraph, parent)


class _Plot:
    """Two curves with an axis each."""

    def __init__(self, library: Any, parent: Curve) -> None:
        self._widget = library.PlotWidget(parent, background=None)
        self._widget.setFixedHeight(HEIGHT)
        # it has nothing to click, and a wheel that it takes would not scroll the panel
        self._widget.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._item = self._widget.getPlotItem()
        self._item.setMenuEnabled(False)
        self._item.hideButtons()
        self._item.setMouseEnabled(False, False)
        self._item.setLabel("bottom", "seconds")
        self._item.setLabel("left", "error", color=LOSS)
        self._item.getAxis("left").enableAutoSIPrefix(False)  # "(x0.001)" would not fit
        self._item.setLabel("right", "overlap", color=SCORE)
        self._losses = self._item.plot(pen=library.mkPen(LOSS, width=2))
        self._scores = library.PlotDataItem(
            pen=library.mkPen(SCORE, width=1), symbol="o", symbolSize=7, symbolBrush=SCORE
        )
        self._right = library.ViewBox(enableMenu=False)
        self._item.scene().addItem(self._right)
        self._item.getAxis("right").linkToView(self._right)
        self._right.setXLink(self._item)
        self._right.setYRange(0, 1, padding=0.05)
        self._right.addItem(self._scores)
        self._item.vb.sigResized.connect(self._follow)
        layout = parent.layout()
        assert layout is not None, "made with the curve"
        layout.addWidget(self._widget)

    def _follow(self) -> None:
        self._right.setGeometry(self._item.vb.sceneBoundingRect())

    def begin(self, limit: float) -> None:
        self._item.setXRange(0, limit, padding=0)
        self.draw([], [])
        self._follow()

    def draw(self, losses: list[tuple[float, float]], scores: list[tuple[float, float]]) -> None:
        for curve, values in ((self._losses, losses), (self._scores, scores)):
            curve.setData([x for x, _ in values], [y for _, y in values])
