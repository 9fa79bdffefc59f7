"""Results whose planes are linked: made anew after runs and corrections, in memory or on disk."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.layers import Labels, Tracks
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.errors import InputError
from napari_unet.plugin.linking.linked import (
    Linkable,
    Linked,
    Progress,
    can_link,
    edits_on_disk,
    linking_of,
)
from napari_unet.plugin.linking.linked_layers import show_linked, show_tracks
from napari_unet.plugin.result.result import LinkedShown, Result
from napari_unet.plugin.result.slide_result import SlideResult, slide_result
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.settings import LinkSettings

RESTS = 1500  # milliseconds from the last correction until planes are linked anew
SHOWN = "{summary}. The layer {name!r} shows them; paint corrections on {result!r}."
SHOWN_OF_LARGE = "{summary}. The layer {name!r} shows them."
STOPPED = "Linking was stopped."


@dataclass(slots=True, eq=False)
class Made:
    """What was linked of a result last, and the layers that show it."""

    linked: Linked
    edits: int = 0  # of labels on disk, when they were linked
    layer: Labels | None = None
    tracks: Tracks | None = None


@dataclass(slots=True, eq=False)
class _Job:
    """Planes that are being linked in the background."""

    target: Linkable
    announced: bool
    edits: int
    done: int = 0
    total: int = 1
    stopped: bool = False

    def progress(self, done: int, total: int) -> None:
        """Note how far it is; raises once it is stopped."""
        if self.stopped:
            raise InputError(STOPPED)
        self.done, self.total = done, total


class LinkedResults:
    """What came of linking the planes of results, and when it is done anew.

    Parameters
    ----------
    session : Session
        What is worked on.

    Attributes
    ----------
    wanted : bool
        Whether planes are to be linked.
    settings : LinkSettings
        How.
    """

    changed = Signal()  # what is linked, or how far it is
    failed = Signal(str)  # a sentence

    def __init__(self, session: Session) -> None:
        self._session = session
        self.wanted, self.settings = True, LinkSettings()
        self._made: weakref.WeakKeyDictionary[Linkable, Made] = weakref.WeakKeyDictionary()
        self._due: weakref.WeakKeyDictionary[Linkable, bool] = weakref.WeakKeyDictionary()
        self._job: _Job | None = None
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._start)
        session.results.added.connect(self._watch)
        session.results.lost.connect(self._remove)
        session.runs.making_way.connect(self.stop)
        session.runs.ended.connect(self._on_ended)
        session.runs.activity_changed.connect(self._on_activity)
        session.closing.connect(self._close)
        session.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def running(self) -> bool:
        """Whether planes are being linked, or will be in a moment."""
        return self._job is not None or self._rest.isActive()

    def share_done(self, target: Linkable) -> float | None:
        """Return how much of linking a result is done; None if it is not being linked."""
        job = self._job
        return job.done / job.total if job is not None and job.target is target else None

    def of(self, target: Linkable | None) -> Made | None:
        """Return what was linked of a result last; None if nothing is shown of it."""
        return self._made.get(target) if target is not None else None

    # ---- when to link ----------------------------------------------------------------------

    @property
    def current(self) -> Linkable | None:
        """The result that is worked on, if it has planes to link."""
        session = self._session
        layer = session.intent.layer
        slide = slide_result(session.viewer, layer) if layer is not None else None
        target = slide or session.results.current
        return target if target is not None and can_link(target) else None

    def look(self) -> None:
        """Link what is worked on, if that was not done yet."""
        target = self.current
        if target is not None and target not in self._made:
            self._due.setdefault(target, False)
        self._start()

    def chosen(self) -> LinkSettings | None:
        """Return how planes are to be linked; None if they are not."""
        return self.settings if self.wanted else None

    def want(self, on: bool, settings: LinkSettings) -> None:
        """Link or not, and how; what was linked is made anew, or taken away."""
        self.wanted, self.settings = on, settings
        self.stop()
        for other in [] if on else [*self._made]:
            self._remove(other)
        if self.current is not None:
            self._due[self.current] = True
        self.look()

    def _watch(self, result: Result) -> None:
        def later() -> None:
            if result in self._made:
                self._due.setdefault(result, False)
                self._rest.start(RESTS)

        result.correcting.changed.connect(later)

    def _on_ended(self) -> None:
        target = self.current
        if target is not None:
            self._due[target] = True
            self._start()

    def _on_activity(self) -> None:
        """Link large images anew into which something was put back."""
        for target, made in [*self._made.items()]:
            if edits_on_disk(target) != made.edits:
                self._due.setdefault(target, False)
        self._start()

    def _on_removed(self, *_: Any) -> None:
        for target in [*self._made]:
            if isinstance(target, SlideResult) and target.layer not in self._session.viewer.layers:
                self._remove(target)

    # ---- linking ---------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop linking, because the labels are about to change; it is done again afterwards."""
        self._rest.stop()
        if self._job is not None:
            self._job.stopped, job, self._job = True, self._job, None
            self._due[job.target] = job.announced or self._due.get(job.target, False)
        if not self._session.closed:  # the widgets that would tell it are going
            self.changed.emit()

    def _start(self) -> None:
        runs, target = self._session.runs, self._next()
        waits = runs.segmenting or runs.doing(Activity.RETRAINING) or self._session.closed
        if target is None or not self.wanted or waits or runs.doing(Activity.REGION):
            return
        if self._job is not None:
            self.stop()
        job = self._job = _Job(target, self._due.pop(target), edits_on_disk(target))
        labels = target.shown if isinstance(target, Result) else None
        work = self._work(target, labels, job.progress)
        in_background(work, lambda found, problem: self._end(job, found, problem))
        self.changed.emit()

    def _next(self) -> Linkable | None:
        """Return what is to be linked now: what is worked on, or labels on disk that changed."""
        target = self.current
        if target is not None and target in self._due:
            return target
        slides = (one for one in self._due if isinstance(one, SlideResult) and one in self._made)
        return next(slides, None)

    def _work(self, target: Linkable, labels: Any, progress: Progress) -> Callable[[], Linked]:
        made = self._made.get(target)
        before = made.linked.copy if made is not None else None
        if made is None and isinstance(target, Result):
            before = target.linked_before
        return linking_of(target, labels, before, self.settings, progress)

    def _end(self, job: _Job, found: Linked | None, problem: str | None) -> None:
        session = self._session
        if job is not self._job or session.closed:
            if found is not None:
                found.remove()
            return
        self._job = None
        there = job.target.layer is not None and job.target.layer in session.viewer.layers
        if isinstance(job.target, Result):
            there = session.results.looks_after(job.target)
        if found is None:
            self.failed.emit(problem or "")
        elif there:
            self._show(job, found)
        else:
            found.remove()

    def _show(self, job: _Job, found: Linked) -> None:
        target, viewer = job.target, self._session.viewer
        source, layer = target.source(), target.layer
        assert layer is not None, "what was linked is shown"
        name = source.name if source is not None else layer.name
        made = self._made.setdefault(target, Made(found))
        before, made.linked, made.edits = made.linked, found, job.edits
        made.layer = show_linked(viewer, layer, found.levels, made.layer, f"{name} linked")
        links = found.copy.links
        made.tracks = show_tracks(viewer, layer, links, made.tracks, f"{name} tracks")
        if before is not found:
            before.remove()
        if isinstance(target, Result):
            target.linked = LinkedShown(made.layer, found.copy.known, links.parents)
            self._session.results.linked.emit(target)
        self.changed.emit()
        if job.announced and target is self.current:
            text = SHOWN if isinstance(target, Result) else SHOWN_OF_LARGE
            shown = made.layer.name
            self._session.say(text.format(summary=links.summary, name=shown, result=layer.name))

    def _remove(self, target: Linkable) -> None:
        """Take away what shows the links of a result."""
        made = self._made.pop(target, None)
        if made is None:
            return
        if isinstance(target, Result):
            target.linked = None
            self._session.results.linked.emit(target)
        for layer in (made.layer, made.tracks):
            if layer is not None and layer in self._session.viewer.layers:
                self._session.viewer.layers.remove(layer)
        made.linked.remove()

    def _close(self) -> None:
        """Stop; of large images nothing is left that would lie in their folders unseen."""
        self.stop()
        for target in [*self._made]:
            if isinstance(target, SlideResult):
                self._remove(target)

    # ---- files -----------------------------------------------------------------------------

    def for_file(self, result: Result, labels: Any) -> Callable[[], tuple[Any, dict[str, Any]]]:
        """Return what makes labels ``(..., Y, X)`` of a result ready for a file, and their record.

        They are linked if that is wanted. The record tells the ids of each plane, so that they
        can be worked on again.
        """
        if not self.wanted or not can_link(result):
            return lambda: (labels, {})
        work = self._work(result, labels, lambda _done, _total: None)

        def linked() -> tuple[Any, dict[str, Any]]:
            found = work()
            return found.levels[0], found.told

        return linked

    def for_folder(self, slide: SlideResult) -> Callable[[], Linked] | None:
        """Return what links labels on disk for a file; None where they go there as they are."""
        if not self.wanted or not can_link(slide):
            return None
        return self._work(slide, None, lambda _done, _total: None)
