"""One batch: a worker thread, an engine of its own, and a bar in napari's activity dock."""

from collections.abc import Sequence
from typing import Any

from napari.utils import progress
from psygnal import Signal

from napari_unet.engine.client import Engine
from napari_unet.execution.events import Waiting
from napari_unet.plugin.widgets.background import BackgroundTask, in_background
from napari_unet.segmentation.batch import (
    BatchEvent,
    BatchItem,
    BatchSettings,
    ItemProgress,
    batch_events,
)

TITLE = "Segment all"


class BatchRun:
    """Segments images one after the other, and tells what becomes of each.

    The engine is its own: the panel's stays free, so a person can correct and retrain meanwhile.

    Parameters
    ----------
    items : sequence of BatchItem
        The images.
    settings : BatchSettings
        What they have in common.
    """

    told = Signal(object)  # every event but `Waiting`
    ended = Signal(object)  # None, or a sentence that says what went wrong

    def __init__(self, items: Sequence[BatchItem], settings: BatchSettings) -> None:
        self._items, self._engine = items, Engine()
        events = batch_events(items, settings, self._engine)
        self._task = BackgroundTask(events, self._on_event, self._on_end)
        # One bar: of bars that are nested in it, napari shows some that Qt has deleted already.
        self._bar: progress[Any] = progress(total=len(items), desc=TITLE)
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether images are left, and it was not stopped."""
        return self._task.running

    @property
    def stopped(self) -> bool:
        """Whether a person stopped it."""
        return self._task.cancelled

    def start(self) -> None:
        """Begin."""
        self._task.start()

    def stop(self) -> None:
        """Stop after the tile that is computed; results that are whole stay."""
        if self.running:
            self._task.cancel()
            self._engine.cancel()

    def close(self) -> None:
        """Stop for good; nobody is told."""
        self._closed = True
        self.stop()
        self._engine.close()
        self._bar.close()

    def _on_event(self, event: BatchEvent) -> None:
        if isinstance(event, Waiting):
            return
        self.told.emit(event)
        # napari's bar lets Qt handle whatever waits, the next event included
        if not isinstance(event, ItemProgress):
            self._bar.update(1)
        elif not event.total:
            self._bar.set_description(f"{TITLE}: {self._items[event.number].name}")

    def _on_end(self, problem: str | None) -> None:
        # it may take seconds to leave, and a thread that was stopped late has started another one
        in_background(self._engine.close, lambda *_: None)
        if not self._closed:
            self._bar.close()
            self.ended.emit(problem)
