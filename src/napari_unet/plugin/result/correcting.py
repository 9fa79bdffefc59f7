"""The corrections of one result: seen as they are painted, kept in the journal, shown on demand.

napari's events only say that something happened, not reliably what. They decide where to look
first; a slow sweep looks everywhere else, and everything is looked at before it matters.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.image import Box, Plane
from napari_unet.journal.journal import Journal
from napari_unet.labels.change_tracker import BLOCK, Change, ChangeTracker, cut
from napari_unet.labels.edits import Edit
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of, painted_places
from napari_unet.plugin.layers.overlay import Overlay
from napari_unet.plugin.result.marks import Marks, carry_out

TICK = 100  # milliseconds between looks in the background
SOON = 40  # milliseconds from the end of a stroke until it is looked at
BUDGET = 0.002  # seconds one look may take, so that painting stays smooth
QUIET = 0.2  # seconds without changes before listeners are told
STILL = 1.0  # seconds without drawing after which a stroke counts as finished anyway

UNREADABLE = (
    "What you paint on {name} is not kept: its array was replaced by one of another shape, or of "
    "numbers too small for its ids. Press Segment to make a new result; the layer stays as it is."
)

Place = tuple[Plane, Box]


class Correcting:
    """What the person said about one result.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    layer : Labels
        The result, on which the person paints.
    live : LiveLabels
        What the model predicted.
    name : str
        Of the image, for the names of the layers beside it.
    """

    changed = Signal()  # something was painted or taken back, a moment ago
    found = Signal(Change)  # each painted part as soon as it is found; `changed` follows
    trouble = Signal(str)  # a sentence about the journal; empty once it is over

    def __init__(self, viewer: Viewer, layer: Labels, live: LiveLabels, *, name: str) -> None:
        self.layer, self.tracker, self._grid = layer, ChangeTracker(live), grid_of(layer)
        self._viewer = viewer
        self.marks = Marks(viewer, layer, live.marks, name)
        self.overlay = Overlay(viewer, layer, self.tracker, name)
        self._queue: dict[Place, None] = {}
        self._stroke: Place | None = None
        self._drawn_at = self._changed_at = 0.0
        # Blocks that ever held paint, as undo acts there, with the ids of objects that were cut in
        # them; None = not looked at since.
        self._touched: dict[Place, set[int] | None] = {}
        self._sweep: Iterator[Place] = iter(())
        self._journal: Journal | None = None
        self._unwritten: list[Change] = []  # until there is a journal
        self._problem = ""
        self._news = self._closed = self._drawing = False
        self.edits = 0  # changes found so far
        self.hidden: frozenset[int] = frozenset()  # ids of objects that a filter hides
        self._tick_timer, self._soon_timer = QTimer(), QTimer()
        self._soon_timer.setSingleShot(True)
        self._tick_timer.timeout.connect(self._tick)
        self._soon_timer.timeout.connect(self._work)
        self._tick_timer.start(TICK)
        self._listen(layer)
        self.marks.added.connect(self._listen)
        self.marks.changed.connect(self._on_marked)
        layer.events.selected_label.connect(self._on_choice)

    # ---- what others ask -------------------------------------------------------------------

    @property
    def any(self) -> bool:
        """Whether anything is painted, as far as was looked."""
        return bool(self.tracker.areas)

    @property
    def shown(self) -> Any:
        """What the layer shows, ``(..., Y, X)``: a view that is painted on, unless replaced."""
        return self._grid.labels(self.layer.data)

    @property
    def fits(self) -> bool:
        """Whether the layer's array was not replaced by one of another shape or kind."""
        shown, recorded = self.shown, self.tracker.recorded
        room = self.tracker.reads(shown) and shown.dtype.itemsize >= recorded.dtype.itemsize
        return bool(room)  # for every id that there may be

    @property
    def count(self) -> tuple[int, int]:
        """Painted objects, and pixels of painted background, as far as was looked."""
        return len(self.tracker.ids), self.tracker.background

    @property
    def deleted(self) -> int:
        """Objects of the model that were taken away, as far as was looked."""
        return self.tracker.deleted(self.shown, self._touched) if self.fits else 0

    @property
    def changed_ids(self) -> set[int]:
        """Ids that are painted, and those of which a person took pixels, as far as was looked."""
        tracker = self.tracker
        for place in [place for place, ids in self._touched.items() if ids is None]:
            self._touched[place] = tracker.cut(*place)
        cut = (ids for ids in self._touched.values() if ids)
        return tracker.ids.union(*cut)

    def forget_cut(self) -> None:
        """Look anew which objects were cut: the model says something else now."""
        self._touched = dict.fromkeys(self._touched)

    def painted(self) -> NDArray[np.uint32]:
        """Return the painted array ``(..., Y, X)`` of now, with touched objects completed."""
        self.look_everywhere()
        return self.tracker.painted()

    def look_everywhere(self) -> None:
        """Find every change there is, also those made behind napari's back."""
        self._queue.clear()
        self._stroke = None
        self._check_all()

    def look_now(self) -> None:
        """Find what was just painted, where it is expected."""
        self._queue_stroke()
        while self._queue:
            place = next(iter(self._queue))
            del self._queue[place]
            self._check(*place)

    def look_again(self) -> None:
        """Find what was taken back or done again, also where the layers are hidden."""
        self.marks.follow_history()
        self._expect(self._touched)
        self.look_now()

    def adopt(self, painted: NDArray[np.uint32]) -> None:
        """Take over a painted array ``(..., Y, X)`` where nothing is painted yet, and show it."""
        self.look_everywhere()
        self.tracker.adopt(self.shown, painted)
        *leading, height, width = painted.shape
        for plane in np.ndindex(*leading):
            self._check(plane, Box((0, 0), (height, width)))  # one edit, however large
        self.layer.refresh()
        self.marks.layer().refresh()

    # ---- the journal -----------------------------------------------------------------------

    @property
    def journal(self) -> Journal | None:
        """Where corrections are kept, once the image is identified."""
        return self._journal

    def keep_in(self, journal: Journal) -> None:
        """Keep all corrections in a journal from now on, those so far included."""
        self._journal = journal
        for change in self._unwritten:
            self._write(change)
        self._unwritten.clear()
        if self._closed:
            journal.close()

    def close(self) -> None:
        """Look everywhere a last time, write what is left and stop."""
        if self._closed:
            return
        self._closed = True
        self._check_all(quiet=True)
        if self._journal is not None:
            self._journal.close()
        for timer in (self._tick_timer, self._soon_timer):
            # when the whole program ends, Qt may have deleted them before it tells us
            with contextlib.suppress(RuntimeError):
                timer.stop()

    def _write(self, change: Change) -> None:
        if self._journal is None:
            self._unwritten.append(change)
        else:
            self._journal.append(change.plane, change.box, change.before, change.after, owned=True)

    # ---- hints -----------------------------------------------------------------------------

    def _listen(self, layer: Labels) -> None:
        layer.events.labels_update.connect(self._on_draw)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_redraw)
        layer.events.data.connect(self._on_replace)

    @contextlib.contextmanager
    def not_painted(self) -> Iterator[None]:
        """Take what is drawn meanwhile for no stroke of a person's."""
        self._drawing = True
        try:
            yield
        finally:
            self._drawing = False

    def _on_draw(self, event: Any) -> None:
        """Note where pixels were redrawn: that is where a brush went."""
        if self._drawing:
            return
        place = layers.drawn_box(self._viewer, self.layer, event.offset, event.data.shape)
        if place is None:
            self._expect(self.tracker.blocks())
        elif self._stroke is None or self._stroke[0] != place[0]:
            self._expect([self._stroke] if self._stroke else [])
            self._stroke = place
        else:
            self._stroke = place[0], self._stroke[1].union(place[1])
        self._drawn_at = time.monotonic()

    def _on_paint(self, event: Any) -> None:
        """Look at what was painted, also in planes that are not shown and so not redrawn."""
        for plane, box in painted_places(event.value, self._grid).items():
            self._expect((plane, part) for part in cut(box))
        self._look_soon()  # not now: a single edit is announced before it is made

    def _on_redraw(self, _event: Any = None) -> None:
        """Undo, redo and much else: look where something was painted, and at what is shown."""
        self.marks.follow_history()
        self._expect(self._touched)
        plane, view = layers.shown_window(self._viewer, self.layer)
        self._expect((plane, box) for box in cut(view))
        self._look_soon()

    def _on_marked(self, edit: Edit) -> None:
        self._expect((edit.plane, box) for box in cut(edit.box))
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._closed:
            self._soon_timer.start(SOON)

    def _on_replace(self, _event: Any = None) -> None:
        self.marks.take_replaced()
        self._expect(self.tracker.blocks())
        self._tell_trouble()

    def _on_choice(self, _event: Any = None) -> None:
        """Leave an id to the person from the moment it is chosen, as tiles may be coming in."""
        self.tracker.live.keep_clear(int(self.layer.selected_label))

    def _expect(self, places: Any) -> None:
        for place in places:
            self._queue.setdefault(place)

    # ---- looking ---------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        if self._stroke is None or now - self._drawn_at > STILL:
            self._work()
            self._sweep_on(time.perf_counter() + BUDGET)
        if self._news and now - self._changed_at > QUIET:
            self._news = False
            self.overlay.forget()
            self.changed.emit()
        self.overlay.refresh()
        self._tell_trouble()

    def _tell_trouble(self) -> None:
        problem = (self._journal.problem if self._journal is not None else None) or ""
        if not self.tracker.reads(self.shown):
            problem = UNREADABLE.format(name=self.layer.name)
        if problem != self._problem:
            self._problem = problem
            self.trouble.emit(problem)

    def _work(self) -> None:
        """Look where changes are expected, for a short while."""
        end = time.perf_counter() + BUDGET
        self._queue_stroke()
        while self._queue and time.perf_counter() < end:
            place = next(iter(self._queue))
            del self._queue[place]
            self._check(*place)
        if self._queue and not self._soon_timer.isActive():
            self._soon_timer.start(SOON // 2)

    def _queue_stroke(self) -> None:
        """Look first where something was drawn last."""
        if self._stroke is not None:
            (plane, area), self._stroke = self._stroke, None
            self._queue = {**dict.fromkeys((plane, box) for box in cut(area)), **self._queue}

    def _sweep_on(self, end: float) -> None:
        """Look at the next few blocks, whether or not anything is expected there."""
        while not self._queue and time.perf_counter() < end:
            place = next(self._sweep, None)
            if place is None:
                self._sweep = self.tracker.blocks()
                return
            self._check(*place)

    def _check_all(self, *, quiet: bool = False) -> None:
        turns = -1
        while turns != self.tracker.turns:  # then pieces of its objects may lie in other blocks
            turns = self.tracker.turns
            for plane, box in self.tracker.blocks():
                self._check(plane, box, quiet=quiet)

    def _check(self, plane: Plane, box: Box, *, quiet: bool = False) -> None:
        shown = self.shown
        if not self.tracker.reads(shown):
            return  # `_tick` says so
        edits = self.tracker.reconcile(shown, plane, box)
        owners = ((self.layer, shown), (self.marks.shown, self.marks.array))
        for edit, (layer, array) in zip(edits, owners, strict=False):
            carry_out(edit, None if quiet else layer, array)
        change = self.tracker.compare(shown, plane, box)
        if change is None:
            return
        self.edits += 1
        self._write(change)
        self.found.emit(change)
        for block in _blocks_of(change.box, shown.shape):
            self._touched[(plane, block)] = None
        self._news, self._changed_at = True, time.monotonic()


def _blocks_of(box: Box, shape: tuple[int, ...]) -> Iterator[Box]:
    """Yield the blocks of the sweep that a box reaches into."""
    (y0, x0), (y1, x1) = ((i // BLOCK * BLOCK for i in corner) for corner in (box.start, box.stop))
    whole = Box((0, 0), (shape[-2], shape[-1]))
    grid = Box((y0, x0), (y1 + BLOCK, x1 + BLOCK)).intersect(whole)
    yield from cut(grid)
