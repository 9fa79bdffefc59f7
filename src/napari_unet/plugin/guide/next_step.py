"""The next sensible button stands out: Segment, Retrain once enough is corrected, then Save."""

import weakref
from collections.abc import Callable
from typing import Any

from magicgui.widgets import PushButton
from napari.utils.theme import get_theme

from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session

ENOUGH = 5  # corrected objects, from which on a retraining is worth its minute
STYLE = "QPushButton {{ background-color: {colour}; font-weight: bold; }}"


class NextStep:
    """Makes one button stand out, or none where there is something to wait for.

    Parameters
    ----------
    session : Session
        What is worked on.
    segment, retrain, save : PushButton
        The buttons.
    unsaved : callable
        Returns the names of the layers that are not saved.
    """

    def __init__(
        self,
        session: Session,
        segment: PushButton,
        retrain: PushButton,
        save: PushButton,
        unsaved: Callable[[], list[str]],
    ) -> None:
        self._session, self._unsaved = session, unsaved
        self._segment, self._retrain, self._save = segment, retrain, save
        self.button: PushButton | None = None  # the one that stands out
        # what was corrected when the last retraining began
        self._learned: weakref.WeakKeyDictionary[Result, tuple[int, int]]
        self._learned = weakref.WeakKeyDictionary()
        session.results.added.connect(self._watch)
        for signal in (session.results.changed, session.results.removed, session.runs.ended):
            signal.connect(self.refresh)
        session.intent_changed.connect(self.refresh)
        session.runs.activity_changed.connect(self._on_activity)
        self.refresh()

    def _watch(self, result: Result) -> None:
        result.correcting.changed.connect(self.refresh)
        self.refresh()

    def _on_activity(self) -> None:
        result = self._session.results.current
        if result is not None and self._session.runs.doing(Activity.RETRAINING):
            self._learned[result] = result.correcting.count
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Choose the button, and dress it."""
        if self._session.closed:
            return
        chosen = self._next()
        if chosen is self.button:
            return
        colour = get_theme(self._session.viewer.theme).current.as_hex()
        for button in (self._segment, self._retrain, self._save):
            button.native.setStyleSheet(STYLE.format(colour=colour) if button is chosen else "")
        self.button = chosen

    def _next(self) -> PushButton | None:
        session, result = self._session, self._session.results.current
        if session.runs.busy or session.intent.layer is None:
            return None
        if result is None:
            return self._segment if not session.results.has(session.intent.layer) else None
        corrected = result.correcting.count
        if corrected[0] >= ENOUGH and corrected != self._learned.get(result):
            return self._retrain
        return self._save if self._unsaved() else None
