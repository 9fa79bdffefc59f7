"""The next sensible button stands out: what to press from the image to the numbers."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from magicgui.widgets import PushButton
from napari.utils.theme import get_theme

from napari_unet.plugin.result.result import Result
from napari_unet.plugin.result.slide_result import slide_result
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session
from napari_unet.tiling.plan import SegmentPlan

ENOUGH = 5  # corrected objects, from which on a retraining is worth its minute
STYLE = "QPushButton {{ background-color: {colour}; font-weight: bold; }}"


class Buttons(NamedTuple):
    """The buttons that may stand out, in the order in which a person needs them."""

    segment: PushButton
    where_next: PushButton
    retrain: PushButton
    table: PushButton
    save: PushButton


class NextStep:
    """Makes one button stand out, or none where there is something to wait for or to decide.

    Segment; then look where the model is least sure; Retrain once enough is corrected, and look
    again at what a new model finds; then measure, and save.

    Parameters
    ----------
    session : Session
        What is worked on.
    buttons : Buttons
        The buttons.
    unsaved : callable
        Returns the names of the layers that are not saved.
    """

    def __init__(
        self, session: Session, buttons: Buttons, unsaved: Callable[[], list[str]]
    ) -> None:
        self._session, self._unsaved, self._buttons = session, unsaved, buttons
        self.button: PushButton | None = None  # the one that stands out
        # what was corrected when the last retraining began
        self._learned: weakref.WeakKeyDictionary[Result, tuple[int, int]]
        self._learned = weakref.WeakKeyDictionary()
        # the run whose uncertain regions were looked at
        self._looked: weakref.WeakKeyDictionary[Result, SegmentPlan | None]
        self._looked = weakref.WeakKeyDictionary()
        self._measured: weakref.WeakSet[Result] = weakref.WeakSet()
        self._asked = False
        session.results.added.connect(self._watch)
        results, runs = session.results, session.runs
        ends = (results.removed, results.lost, runs.ended)
        for signal in (results.changed, results.filtered, *ends):
            signal.connect(self.refresh)
        session.intent_changed.connect(self.refresh)
        session.runs.activity_changed.connect(self._on_activity)
        buttons.table.clicked.connect(self._on_table)
        self.refresh()

    # ---- what a person has done ------------------------------------------------------------

    def _watch(self, result: Result) -> None:
        result.correcting.changed.connect(self.refresh)
        self.refresh()

    def _on_activity(self) -> None:
        result = self._session.results.current
        if result is not None and self._session.runs.doing(Activity.RETRAINING):
            self._learned[result] = result.correcting.count
        self.refresh()

    def _on_table(self, *_: Any) -> None:
        result = self._session.results.current
        if result is not None:  # who measures has looked
            self._measured.add(result)
            self._looked[result] = result.plan
        self.refresh()

    def note_looked(self, result: Result) -> None:
        """Note that a person has looked at all regions where the model is unsure."""
        self._looked[result] = result.plan
        self.refresh()

    def note_asked(self, asked: bool) -> None:
        """Note whether a person is asked what becomes of a new model."""
        self._asked = asked
        self.refresh()

    # ---- what to do now --------------------------------------------------------------------

    def refresh(self, *_: Any) -> None:
        """Choose the button, and dress it."""
        if self._session.closed:
            return
        chosen = self._next()
        if chosen is self.button:
            return
        colour = get_theme(self._session.viewer.theme).current.as_hex()
        for button in self._buttons:
            button.native.setStyleSheet(STYLE.format(colour=colour) if button is chosen else "")
        self.button = chosen

    def _next(self) -> PushButton | None:
        session, result = self._session, self._session.results.current
        layer = session.intent.layer
        if session.runs.busy or self._asked or layer is None:
            return None
        if result is not None:
            return self._of_result(result)
        slide = slide_result(session.viewer, layer)
        return self._buttons.segment if slide is None else None

    def _of_result(self, result: Result) -> PushButton | None:
        """Return the button for an image that has labels, which may be classes."""
        buttons, corrected = self._buttons, result.correcting.count
        if result.only_painted and not result.classes:
            return buttons.segment
        if corrected[0] >= ENOUGH and corrected != self._learned.get(result):
            return buttons.retrain
        of_objects = not result.classes and result.holds_any
        if of_objects and result.plan is not None and self._looked.get(result) is not result.plan:
            return buttons.where_next
        if of_objects and result not in self._measured:
            return buttons.table
        return buttons.save if self._unsaved() else None
