"""What goes on in a window beside a measurement: strokes, moves of the view, ticks of a timer."""

import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from benchmarks.common.tables import ROOT
from napari_unet.image import Box

TICK = 0.005  # seconds
LATE = 0.03  # seconds after which a tick is looked into
MOVE = 200  # milliseconds between two moves of the view
EVERY = 16  # milliseconds between two moves of the mouse
MOVES = 40  # of a stroke
PAUSE = 20  # moves between two strokes
STEP = 6.0  # image pixels of a move
TURN = 0.6  # radians; a stroke bends as a person's does
BRUSH = 12  # image pixels
SEED = 20261124


class Strokes:
    """Paints one new object after the other, each with one stroke.

    Moves are events sent to the canvas, so napari and the plugin do all they do for a person; the
    cursor of the screen stays where it is.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer; what is painted on must be in view.
    layer : napari Labels layer
        What is painted on, 2-D.
    area : Box
        Where, image pixels.
    """

    def __init__(self, viewer: Any, layer: Any, area: Box) -> None:
        self._viewer, self._layer, self._area = viewer, layer, area
        self._native = viewer.window._qt_viewer.canvas.native
        self._random = np.random.default_rng(SEED)
        self._place, self._heading, self._moves = np.zeros(2), 0.0, 0
        self.done = 0

    @contextmanager
    def painting(self) -> Iterator[None]:
        """Paint while the event loop runs; a stroke that is under way is ended at the end."""
        layer = self._layer
        self._viewer.layers.selection.active = layer
        layer.mode, layer.brush_size = "paint", BRUSH
        layer.selected_label = int(layer.data.max()) + 1  # a stroke never joins an object
        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(self._go_on)
        timer.start(EVERY)
        try:
            yield
        finally:
            timer.stop()
            if 0 < self._moves <= MOVES:
                self._send(QEvent.Type.MouseButtonRelease)
            self._moves = 0

    def _go_on(self) -> None:
        if self._moves == 0:
            self._begin()
        elif self._moves < MOVES:
            self._move()
        elif self._moves == MOVES:
            self._send(QEvent.Type.MouseButtonRelease)
            self.done += 1
        self._moves = (self._moves + 1) % (MOVES + PAUSE)

    def _begin(self) -> None:
        self._place = self._random.uniform(self._area.start, self._area.stop)
        self._heading = self._random.uniform(0, 2 * np.pi)
        self._layer.selected_label += 1
        self._send(QEvent.Type.MouseMove, Qt.MouseButton.NoButton)
        self._send(QEvent.Type.MouseButtonPress)

    def _move(self) -> None:
        self._heading += self._random.uniform(-TURN, TURN)
        step = STEP * np.array([np.sin(self._heading), np.cos(self._heading)])
        self._place = np.clip(self._place + step, self._area.start, self._area.stop)
        self._send(QEvent.Type.MouseMove)

    def _send(self, kind: QEvent.Type, held: Qt.MouseButton = Qt.MouseButton.LeftButton) -> None:
        """Send one event at the place of now; `held` is the button that is down meanwhile."""
        moves = kind == QEvent.Type.MouseMove
        button = Qt.MouseButton.NoButton if moves else Qt.MouseButton.LeftButton
        if kind == QEvent.Type.MouseButtonRelease:
            held = Qt.MouseButton.NoButton
        here = self._on_canvas()
        there = QPointF(self._native.mapToGlobal(here.toPoint()))
        event = QMouseEvent(kind, here, there, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._native, event)

    def _on_canvas(self) -> QPointF:
        camera = self._viewer.scene.camera
        (cy, cx), zoom = camera.center[-2:], camera.zoom
        width, height = self._native.width(), self._native.height()
        y, x = self._place
        return QPointF(width / 2 + (x - cx) * zoom, height / 2 + (y - cy) * zoom)


@contextmanager
def moving(viewer: napari.Viewer) -> Iterator[None]:
    """Zoom in and out and move about, as somebody does who watches."""
    timer, moments = QTimer(), iter(range(10**9))
    centre, zoom = np.array(viewer.scene.camera.center[-2:]), viewer.scene.camera.zoom

    def move() -> None:
        angle = next(moments) / 20
        viewer.scene.camera.zoom = zoom * 2 ** (2 + 2 * np.sin(angle / 3))
        viewer.scene.camera.center = centre * (1 + 0.5 * np.array([np.sin(angle), np.cos(angle)]))

    timer.timeout.connect(move)
    timer.start(MOVE)
    try:
        yield
    finally:
        timer.stop()


@contextmanager
def ticks() -> Iterator[list[float]]:
    """Note the time of every tick of a timer."""
    times: list[float] = [time.perf_counter()]
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: times.append(time.perf_counter()))
    timer.start(int(TICK * 1000))
    try:
        yield times
    finally:
        timer.stop()
        times.append(time.perf_counter())  # a block at the end counts as well


def delays(times: list[float]) -> list[float]:
    """Seconds that each tick came late."""
    return [max(0.0, gap - TICK) for gap in np.diff(times).tolist()]


@contextmanager
def late_stacks(times: list[float], *, report: bool) -> Iterator[None]:
    """Look what the main thread does when a tick is late; list the most frequent places."""
    if not report:
        yield
        return
    main, over, places = threading.get_ident(), threading.Event(), Counter[str]()

    def watch() -> None:
        while not over.wait(TICK):
            if time.perf_counter() - times[-1] > LATE:
                frame = sys._current_frames()[main]
                places[_place(frame)] += 1

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        for place, number in places.most_common(12):
            print(f"{number * TICK * 1000:6.0f} ms  {place}", file=sys.stderr)


def _place(frame: Any) -> str:
    """Name the calls from the outside in, without those of the benchmark."""
    calls = traceback.extract_stack(frame)
    names = [f"{Path(c.filename).stem}.{c.name}:{c.lineno}" for c in calls]
    inner = [n for n, c in zip(names, calls, strict=True) if not _is_here(c.filename)]
    if len(inner) > 7:
        inner = [*inner[:4], "…", *inner[-3:]]
    return " > ".join(inner) or "event loop"


def _is_here(filename: str) -> bool:
    return Path(filename).is_relative_to(ROOT / "benchmarks") or "runpy" in filename
