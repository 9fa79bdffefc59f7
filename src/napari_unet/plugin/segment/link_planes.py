"""Link planes: objects through Z and tracks through time, made anew after runs and corrections."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, Container
from napari import Viewer
from napari.layers import Labels, Layer, Tracks
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_unet.errors import InputError
from napari_unet.labels.linking import LinkedCopy, Links, linked_copy, packed
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.result.result import LinkedShown, Result
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.segmentation import has_several_planes, plane_distance
from napari_unet.settings import LinkSettings

RESTS = 1500  # milliseconds from the last correction until planes are linked anew
TRACK_AXES = 4  # of napari's layer of tracks, at most
LOOK = 200  # milliseconds between looks at how far it is
TOOLTIP = (
    "Make objects through Z, and tracks through time, of what the planes show. Save labels… then "
    "saves these. Untick it to stop, or to keep each plane by itself."
)
SHOWN = "{summary}. The layer {name!r} shows them; paint corrections on {result!r}."
STOPPED = "Linking was stopped."

Linked = tuple[LinkedCopy, NDArray[np.uint32]]


@dataclass(slots=True, eq=False)
class _Made:
    """What was linked of a result last, and the layers that show it."""

    copy: LinkedCopy
    layer: Labels | None = None
    tracks: Tracks | None = None


@dataclass(slots=True, eq=False)
class _Job:
    """Planes that are being linked in the background."""

    result: Result
    announced: bool
    done: int = 0
    total: int = 1
    stopped: bool = False

    def progress(self, done: int, total: int) -> None:
        """Note how far it is; raises once it is stopped."""
        if self.stopped:
            raise InputError(STOPPED)
        self.done, self.total = done, total


class LinkPlanes(Container):  # type: ignore[type-arg]
    """Box that is ticked where planes are to be linked, and what came of it.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(labels=False, visible=False)
        self._session = session
        self._made: weakref.WeakKeyDictionary[Result, _Made] = weakref.WeakKeyDictionary()
        self._due: weakref.WeakKeyDictionary[Result, bool] = weakref.WeakKeyDictionary()
        self._job: _Job | None = None
        self.link = CheckBox(text="Link planes", value=True, tooltip=TOOLTIP)
        self.told = Wrapped()
        self.margins = (0, 0, 0, 0)
        self.append(self.link)
        self.native.layout().addWidget(self.told)
        self._rest, self._look = QTimer(self.native), QTimer(self.native)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._start)
        self._look.timeout.connect(self._tell)
        self.link.changed.connect(self._press)
        session.results.added.connect(self._watch)
        session.results.lost.connect(self._remove)
        session.results.changed.connect(self.refresh)
        session.intent_changed.connect(self._on_intent)
        session.runs.making_way.connect(self.stop)
        session.runs.ended.connect(self._on_ended)
        session.runs.activity_changed.connect(self._start)
        session.closing.connect(self.stop)

    @property
    def running(self) -> bool:
        """Whether planes are being linked, or will be in a moment."""
        return self._job is not None or self._rest.isActive()

    # ---- when to link ----------------------------------------------------------------------

    def _current(self) -> Result | None:
        """Return the result that is worked on, if it has planes to link."""
        result = self._session.results.current
        if result is None or result.classes or not result.correcting.fits:
            return None
        return result if has_several_planes(result.image) else None

    def refresh(self) -> None:
        """Show the box where there are planes, and what was found; link what was not yet."""
        result = self._current()
        self.visible = result is not None
        if result is not None and result not in self._made:
            self._due.setdefault(result, False)
        self._tell()
        self._start()

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.layer is not before.layer:
            self.refresh()

    def _watch(self, result: Result) -> None:
        def later() -> None:
            if result in self._made:
                self._due.setdefault(result, False)
                self._rest.start(RESTS)

        result.correcting.changed.connect(later)

    def _on_ended(self) -> None:
        result = self._current()
        if result is not None:
            self._due[result] = True
            self._start()

    def _press(self, on: bool) -> None:
        result = self._current()
        if not on:
            self.stop()
            for other in [*self._made]:
                self._remove(other)
        if result is not None:
            self._due[result] = True
        self.refresh()

    # ---- linking ---------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop linking, because the labels are about to change; it is done again afterwards."""
        self._rest.stop()
        self._look.stop()
        if self._job is not None:
            self._job.stopped, job, self._job = True, self._job, None
            self._due[job.result] = job.announced or self._due.get(job.result, False)

    def _start(self) -> None:
        result, runs = self._current(), self._session.runs
        waits = runs.segmenting or runs.doing(Activity.RETRAINING) or self._session.closed
        if result is None or result not in self._due or not self.link.value or waits:
            return
        if self._job is not None:
            self.stop()
        job = self._job = _Job(result, self._due.pop(result))
        work = self._work(result, result.shown, job.progress)
        in_background(work, lambda found, problem: self._end(job, found, problem))
        self._look.start(LOOK)

    def _work(
        self, result: Result, labels: Any, progress: Callable[[int, int], None]
    ) -> Callable[[], Linked]:
        """Return what links labels ``(..., Y, X)`` of a result, in another thread."""
        image, made = result.image, self._made.get(result)
        before = made.copy if made is not None else None
        if before is None:
            axes, depth = image.leading_axes + "YX", plane_distance(image) or 1.0
            before = LinkedCopy.empty(labels, axes, LinkSettings(), depth)
        given = frozenset(result.correcting.tracker.given)
        return lambda: linked_copy(labels, before, given, progress)

    def _end(self, job: _Job, found: Linked | None, problem: str | None) -> None:
        if job is not self._job or self._session.closed:
            return
        self._job = None
        self._look.stop()
        if found is None:
            self.told.say(problem or "")
        elif self._session.results.looks_after(job.result):
            self._show(job.result, *found, announced=job.announced)

    def _show(
        self, result: Result, copy: LinkedCopy, array: NDArray[np.uint32], *, announced: bool
    ) -> None:
        source, viewer = result.source(), self._session.viewer
        name = source.name if source is not None else result.layer.name
        made = self._made.setdefault(result, _Made(copy))
        made.copy = copy
        made.layer = show_linked(viewer, result.layer, array, made.layer, f"{name} linked")
        made.tracks = show_tracks(viewer, result.layer, copy.links, made.tracks, f"{name} tracks")
        result.linked = LinkedShown(made.layer, copy.known)
        self._session.results.linked.emit(result)
        self._tell()
        if announced and result is self._session.results.current:
            summary, layer = copy.links.summary, made.layer.name
            self._session.say(SHOWN.format(summary=summary, name=layer, result=result.layer.name))

    def _tell(self) -> None:
        """Show how far it is, or what was found."""
        result, job = self._current(), self._job
        made = self._made.get(result) if result is not None else None
        if job is not None and job.result is result:
            self.told.say(f"Linking planes: {100 * job.done // job.total} %")
        else:
            self.told.say(made.copy.links.summary if made is not None else "")

    def _remove(self, result: Result) -> None:
        """Take away what shows the links of a result."""
        made = self._made.pop(result, None)
        if made is not None:
            result.linked = None
            self._session.results.linked.emit(result)
        for layer in (made.layer, made.tracks) if made is not None else ():
            if layer is not None and layer in self._session.viewer.layers:
                self._session.viewer.layers.remove(layer)

    # ---- files -----------------------------------------------------------------------------

    def for_file(self, result: Result, labels: Any) -> Callable[[], tuple[Any, dict[str, Any]]]:
        """Return what makes labels ``(..., Y, X)`` of a result ready for a file, and their record.

        They are linked if the box is ticked. The record tells the ids of each plane, so that they
        can be worked on again.
        """
        if not self.link.value or result.classes or not has_several_planes(result.image):
            return lambda: (labels, {})
        work = self._work(result, labels, lambda _done, _total: None)

        def linked() -> tuple[Any, dict[str, Any]]:
            copy, array = work()
            settings = copy.links.settings.model_dump(mode="json")
            ids = {"link_ids": packed(copy.own)} if copy.own else {}
            return array, {"link": settings, **ids}

        return linked


def show_linked(
    viewer: Viewer, result: Labels, array: NDArray[np.uint32], shown: Labels | None, name: str
) -> Labels:
    """Show labels ``(..., Y, X)`` of a result whose planes are linked; return their layer.

    They take the place of those shown before; else they are added below the result, hidden.
    """
    data = grid_of(result).on_layer(array)
    if shown is not None and shown in viewer.layers:
        shown.data = data
        return shown
    metadata = {**layers.axes_told(result), layers.BESIDE: True}
    layer = Labels(data, name=name, visible=False, **layers.placement(result), metadata=metadata)
    _insert_below(viewer, result, layer)
    layer.editable = False
    return layer


def show_tracks(
    viewer: Viewer, result: Labels, links: Links, shown: Tracks | None, name: str
) -> Tracks | None:
    """Show the tracks of a result in place of those before; None where there are none.

    napari takes the first axis of tracks for time, and shows tracks of at most `TRACK_AXES`.
    """
    visible = True
    if shown is not None and shown in viewer.layers:
        visible = shown.visible
        viewer.layers.remove(shown)
    data, graph = links.tracks()
    grid = grid_of(result)
    fits = links.axes in ("T", "TZ") and grid.order[0] == 0 and grid.ndim <= TRACK_AXES
    if not fits or not len(data):
        return None
    placed = grid.to_layer([*data[:, 1:].T], np.zeros(len(data)))
    layer = Tracks(
        np.stack([data[:, 0], *placed], axis=1),
        graph=graph,
        name=name,
        visible=visible,
        **layers.placement(result),
        metadata={layers.BESIDE: True},
    )
    _insert_below(viewer, result, layer)
    return layer


def _insert_below(viewer: Viewer, result: Labels, layer: Layer) -> None:
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(result), layer)
    viewer.layers.selection.active = active
