"""What must hold after each action in a napari window with the panel."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari import Viewer
from napari.utils.notifications import Notification, NotificationSeverity, notification_manager
from qtpy.QtTest import QTest

from napari_unet.journal.recovery import replay
from napari_unet.labels.painted import BACKGROUND
from napari_unet.plugin.correct.correct_section import NOTHING_YET
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.widgets.background import UNEXPECTED

TOLD = 5.0  # seconds after which the panel shows what is corrected
NO_SENTENCE = (UNEXPECTED[:20], "Traceback", "Error", "Exception", "None ", "<")

# Errors of napari's own that lose nothing: a click where the layer ends before the sliders stand.
KNOWN, OURS = ("is out of bounds for axis",), "napari_unet"


def wait_until(there: Callable[[], object], seconds: float) -> bool:
    """Let Qt work until something is there; returns whether it came."""
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            return False
        QTest.qWait(10)
    return True


class Checks:
    """Collects what went wrong.

    Parameters
    ----------
    viewer : napari.Viewer
        What is looked at.

    Attributes
    ----------
    problems : list of str
        What went wrong so far.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._panel = viewer, None
        self.problems: list[str] = []
        sys.excepthook = self._on_error
        threading.excepthook = lambda told: self._on_error(
            told.exc_type, told.exc_value, told.exc_traceback
        )
        sys.unraisablehook = lambda told: self._on_error(
            told.exc_type, told.exc_value, told.exc_traceback
        )
        notification_manager.notification_ready.connect(self._on_notification)
        for name in ("napari_unet", "napari", "vispy"):
            logging.getLogger(name).addHandler(_Errors(self.problems))

    def follow(self, panel: Any) -> None:
        """Hear what a panel says."""
        self._panel = panel
        panel.session.said.connect(self._on_said)

    def _on_error(self, kind: Any, error: Any, where: Any) -> None:
        told = "".join(traceback.format_exception(kind, error, where))
        if OURS not in told and any(known in told for known in KNOWN):
            return
        print(told, file=sys.stderr, flush=True)  # an error of ours ends the window
        self.problems.append(told)

    def _on_notification(self, notification: Notification) -> None:
        if notification.severity >= NotificationSeverity.ERROR:
            self.problems.append(f"napari tells an error: {notification.message}")

    def _on_said(self, text: str) -> None:
        if any(part in text for part in NO_SENTENCE):
            self.problems.append(f"The panel says: {text}")

    # ---- what is painted -------------------------------------------------------------------

    @contextmanager
    def stroke(self, result: Result) -> Iterator[None]:
        """Whatever is painted meanwhile counts as painted."""
        layer, flat = result.layer, self._viewer.dims.ndisplay == 2
        before, number = np.array(layer.data), int(layer.selected_label)
        yield
        drawn = (layer.data == number) & (before != number)
        correcting = result.correcting
        if number and flat and layer.mode == "paint" and correcting.fits and drawn.any():
            correcting.look_now()
            recorded = correcting.tracker.recorded
            shown = correcting._grid.labels(drawn)
            lost = int(np.count_nonzero(recorded[shown] != number))
            if lost:
                self.problems.append(f"{lost} pixels of a stroke of {number} do not count")

    def look(self, *, thorough: bool) -> None:
        """Look at what can be seen now; the journals are read back only if `thorough`."""
        if self._panel is None or self._panel.session.closed or not thorough:
            return
        session = self._panel.session
        for result in session.results.all():
            self._look_at(result)
        wait_until(lambda: self._panel.session.closed or self._is_told(), TOLD)
        if not self._panel.session.closed and not self._is_told():
            said, wanted = self._panel.correct.counter.text, self._expected()
            self.problems.append(f"The panel counts {said!r}, and there are {wanted!r}")

    def _look_at(self, result: Result) -> None:
        """The counts and the journal of a result hold what is recorded of it."""
        correcting, name = result.correcting, result.layer.name
        correcting.look_everywhere()
        recorded, tracker = correcting.tracker.recorded, correcting.tracker
        there = np.unique(recorded)
        painted = set(there[(there > 0) & (there != BACKGROUND)].tolist())
        if painted != tracker.ids:
            differ = sorted(painted ^ tracker.ids)[:5]
            self.problems.append(f"{name}: painted objects are counted wrongly, such as {differ}")
        journal = correcting.journal
        if journal is None or not journal.paths:
            return
        if not journal.flush(10.0):
            self.problems.append(f"{name}: the journal is not written. {journal.problem}")
            return
        kept, _ = replay(journal.paths)
        differ = int(np.count_nonzero(kept != recorded))
        if differ:
            self.problems.append(f"{name}: the journal differs in {differ} pixels")

    def _is_told(self) -> bool:
        return self._panel.correct.counter.text == self._expected()

    def _expected(self) -> str:
        from napari_unet.plugin.correct.correct_section import _count

        result = self._panel.session.results.current
        return NOTHING_YET if result is None else _count(result)


class _Errors(logging.Handler):
    """Notes what is logged as an error."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        """Note it, with its traceback."""
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._problems.append(f"{record.name}: {record.getMessage()}\n{trace}")
