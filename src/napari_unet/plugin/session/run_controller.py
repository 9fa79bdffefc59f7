"""What runs now, what therefore has to wait, and the run that fills a result."""

import time
import weakref
from collections.abc import Callable, Collection, Generator
from enum import Enum
from typing import Any, Protocol

from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from psygnal import Signal

from napari_unet.engine.client import Engine
from napari_unet.execution.events import Event, Notice, ObjectsFound, Started, TileWritten
from napari_unet.image import Image
from napari_unet.plugin.layers import layers
from napari_unet.plugin.widgets.background import BackgroundTask
from napari_unet.tiling.plan import SegmentPlan

LONG = 300  # seconds from which on minutes are told


class Activity(Enum):
    """What others may have to wait for; its value tells the person so, up to what to do then."""

    RETRAINING = "The model is being retrained. Wait for it or stop it"
    REGION = "Another part is being read or put back. Wait a moment"
    SEGMENTING = "The image is being segmented. Wait for it or cancel it"
    SAVING = "A file is being written. Wait a moment"


class Target(Protocol):
    """What a run fills: a result, labels on disk, or a preview."""

    @property
    def layer(self) -> Labels | None:
        """Shows what is found."""

    @property
    def source(self) -> "weakref.ref[ImageLayer]":
        """The layer of the image."""

    @property
    def image(self) -> Image:
        """The image when the run began."""

    def started(self, event: Started) -> None:
        """Note the plan."""

    def place(self, event: Any) -> None:
        """Show one block's objects."""

    def finish(self) -> None:
        """Draw everything."""

    def conclusion(self, *, cancelled: bool) -> str:
        """Return the sentence that the person reads in the end."""


class RunController:
    """Starts and cancels the run that fills a result; knows all else that takes a while.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    engine : Engine
        Computes; it does one thing at a time.
    say : callable
        Shows a sentence.

    Attributes
    ----------
    problem : str or None
        What went wrong in the last run or save.
    """

    making_way = Signal()  # what only looks has to stop, as the engine has something to do
    activity_changed = Signal()  # something began or ended that others wait for
    started = Signal()
    planned = Signal(SegmentPlan)
    found = Signal(ObjectsFound)
    ended = Signal()

    def __init__(self, viewer: Viewer, engine: Engine, say: Callable[[str], None]) -> None:
        self._viewer, self._engine, self._say = viewer, engine, say
        self._activities: set[Activity] = set()
        self._task: BackgroundTask | None = None
        self._target: Target | None = None  # what the task fills
        self._begun, self._done = 0.0, 0  # when the task began, and its tiles so far
        self._notices: list[str] = []  # of the task
        self._noticed: weakref.WeakKeyDictionary[Target, list[str]]  # by runs that filled it
        self._noticed = weakref.WeakKeyDictionary()
        self._concluded: weakref.WeakKeyDictionary[Target, str]  # what was said of what they found
        self._concluded = weakref.WeakKeyDictionary()
        self._closed = self._decoding = False
        self.problem: str | None = None

    # ---- taking turns ----------------------------------------------------------------------

    @property
    def segmenting(self) -> bool:
        """Whether a run fills a result, or a preview."""
        return self._task is not None and self._task.running

    def doing(self, activity: Activity) -> bool:
        """Whether something of a kind goes on."""
        return activity in self._activities or (activity is Activity.SEGMENTING and self.segmenting)

    @property
    def busy(self) -> bool:
        """Whether there is anything to wait for."""
        return any(self.doing(activity) for activity in Activity)

    def reason_to_wait(self, then: str = "", beside: Collection[Activity] = ()) -> str | None:
        """Return a sentence that tells what to wait for; None if there is nothing.

        Parameters
        ----------
        then : str
            What the person can do afterwards, such as "press Retrain".
        beside : collection of Activity
            What need not be waited for.
        """
        for activity in Activity:
            if activity not in beside and self.doing(activity):
                return f"{activity.value}, then {then}." if then else f"{activity.value}."
        return None

    def begin(self, activity: Activity) -> None:
        """Let others wait for something."""
        self._activities.add(activity)
        if activity is Activity.RETRAINING:
            self.making_way.emit()
        self.activity_changed.emit()

    def end(self, activity: Activity) -> None:
        """Let others wait no longer."""
        self._activities.discard(activity)
        if not self._closed:  # the widgets are gone
            self.activity_changed.emit()

    # ---- the run ---------------------------------------------------------------------------

    @property
    def decoding(self) -> bool:
        """Whether what runs only makes objects anew that are there, and may be replaced."""
        return self.segmenting and self._decoding

    def start(
        self, events: Generator[Any, None, None], target: Target, *, decoding: bool = False
    ) -> None:
        """Begin a run.

        Parameters
        ----------
        events : generator
            `Started` first, then tiles.
        target : Target
            What it fills.
        decoding : bool
            Whether it only makes objects anew that are there.
        """
        self.making_way.emit()
        self._begun, self.problem, self._target = time.monotonic(), None, target
        self._done, self._notices, self._decoding = 0, [], decoding
        task = self._task = BackgroundTask(
            events,
            lambda event: self._on_event(event, target),
            # a task that another one has replaced ends in silence
            lambda problem: self._on_end(problem, target) if task is self._task else None,
        )
        self.started.emit()
        task.start()
        self.activity_changed.emit()

    def drop(self) -> None:
        """Stop the run because another one follows; the person is not told."""
        if self._task is not None and self._task.running:
            self._task.cancel()

    def cancel(self, only: Target | None = None) -> None:
        """Stop the run, or only one that fills a certain target; finished tiles stay."""
        if self._task is not None and self._task.running and only in (None, self._target):
            self._task.cancel()
            self._engine.cancel()

    def close(self) -> None:
        """Stop the run for good; nobody is told of its end."""
        self._closed = True
        self.cancel()

    def _on_event(self, event: Event, target: Target) -> None:
        match event:
            case Started():
                self._noticed.pop(target, None)  # another look; sliders make none
                target.started(event)
                self.planned.emit(event.plan)
            case ObjectsFound() | TileWritten():
                if self._gone(target):
                    return
                target.place(event)
                if not isinstance(event, TileWritten):
                    self._done += 1
                    self.found.emit(event)
                    seconds = time.monotonic() - self._begun
                    source = target.source()
                    name = source.name if source is not None else target.image.name
                    self._say(progress(event, name, self._done, seconds))
            case Notice(text=text):
                self._viewer.status = text
                self._notices.append(text)
                self._say(text)

    def _gone(self, target: Target) -> bool:
        """Stop if the image or the result is no longer what the run began with."""
        source = target.source()
        if source is None or source not in self._viewer.layers:
            reason = "The image was removed; what is finished stays in its labels layer."
        elif layers.finest(source) is not target.image.data:
            reason = "The image was replaced; press Segment for the new one."
        elif target.layer not in self._viewer.layers:
            reason = "The labels layer was removed, so the job was stopped."
        else:
            return False
        self.cancel()
        self.problem = reason
        return True

    def _on_end(self, problem: str | None, target: Target) -> None:
        if self._closed:
            return
        cancelled = self._task is not None and self._task.cancelled
        noticed = [*dict.fromkeys([*self._noticed.get(target, ()), *self._notices])]
        self._noticed[target] = noticed
        target.finish()
        self.problem = problem or self.problem
        self.ended.emit()
        if self.problem:
            self._say(self.problem)
        elif target.layer in self._viewer.layers:  # else it was taken away, which was said
            said = self.conclude(target, cancelled=cancelled)
            self._concluded[target] = "" if cancelled else said
            self._say(said)

    def conclude(self, target: Target, *, cancelled: bool = False) -> str:
        """Return what is to be said of a target as it is now, and of the runs that filled it."""
        noticed = self._noticed.get(target, ())
        return " ".join([target.conclusion(cancelled=cancelled), *noticed]).strip()

    def concluded(self, target: Target) -> str:
        """Return what was said of what a target's last run has found; empty if nothing was."""
        return self._concluded.get(target, "")

    def tell_again(self, target: Target, text: str) -> None:
        """Say instead of it what is true now."""
        self._concluded[target] = text
        self._say(text)


def progress(event: ObjectsFound, image: str, done: int, seconds: float) -> str:
    """Return how far the run of an image is, some tiles done in some seconds; others were there."""
    left = seconds / done * (event.total - event.done)
    span = f"{left:.0f} s" if left < LONG else f"{left / 60:.0f} min"
    return f"Tile {event.done} of {event.total} of {image}, about {span} left"
