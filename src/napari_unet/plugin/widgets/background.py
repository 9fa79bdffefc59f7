"""The panel's worker threads: runs a generator of events and tells the panel what comes."""

import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from napari.qt.threading import FunctionWorker, GeneratorWorker, create_worker

from napari_unet.engine.logs import reason_in_log
from napari_unet.errors import UNetError

log = logging.getLogger(__name__)
_running: "set[BackgroundTask]" = set()  # Qt keeps no task for its methods that are connected
UNEXPECTED = "Something unexpected went wrong; what is finished stays. Try it again."


class BackgroundTask:
    """Events that a worker thread of napari makes, told on the main thread.

    Parameters
    ----------
    events : generator
        What to do; it yields often, so that it can be cancelled.
    on_event : callable
        Called with every event, on the main thread.
    on_end : callable
        Called once, on the main thread: with None when finished or cancelled, else with a
        sentence that says what went wrong.
    """

    def __init__(
        self,
        events: Generator[Any, None, None],
        on_event: Callable[[Any], None],
        on_end: Callable[[str | None], None],
    ) -> None:
        self._events, self._on_event, self._on_end = events, on_event, on_end
        self._problem: str | None = None
        self.running = False
        self.cancelled = False
        self._worker: GeneratorWorker = create_worker(
            _stream, events, _start_thread=False, _ignore_errors=True
        )
        self._worker.yielded.connect(self._event)
        self._worker.errored.connect(self._error)
        self._worker.finished.connect(self._end)

    def start(self) -> None:
        """Begin."""
        self.running = True
        _running.add(self)
        self._worker.start()

    def cancel(self) -> None:
        """Stop at the next event; nothing of this task is delivered after this call."""
        self.cancelled = True
        self._worker.quit()

    def _event(self, event: Any) -> None:
        if isinstance(event, _Failed):
            self._error(event.error)
            return
        if self.cancelled:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001  a slot that raises would end the program
            self._error(error)
            self.cancel()

    def _error(self, error: Exception) -> None:
        self._problem = sentence(error)

    def _end(self) -> None:
        self.running = False
        _running.discard(self)
        self._events.close()
        self._on_end(self._problem)


def sentence(error: Exception) -> str:
    """Return what to show for an error; anything unexpected goes to the log with its traceback."""
    if isinstance(error, UNetError):
        return str(error)
    log.error("unexpected error", exc_info=error)
    return UNEXPECTED + reason_in_log()


def in_background(
    function: Callable[[], Any], on_end: Callable[[Any, str | None], None]
) -> FunctionWorker:
    """Run a function in a worker thread; `on_end` gets its result, or None and a sentence."""
    worker: FunctionWorker = create_worker(
        _outcome, function, _start_thread=False, _ignore_errors=True
    )

    def told(outcome: Any) -> None:
        if isinstance(outcome, _Failed):
            on_end(None, sentence(outcome.error))
        else:
            on_end(outcome, None)

    worker.returned.connect(told)
    worker.start()
    return worker


def import_early(module: str) -> None:
    """Import a module in a thread of its own, which the exit does not wait for."""
    threading.Thread(target=import_module, args=(module,), daemon=True).start()


@dataclass(frozen=True, slots=True)
class _Failed:
    """What comes of a task that went wrong."""

    error: Exception


def _stream(events: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """Let an error travel as an event.

    The worker takes any RuntimeError, such as ours of an engine that died, for a sign that it was
    deleted itself, and would end without telling anybody: the panel would wait for ever.
    """
    try:
        yield from events
    except Exception as error:  # noqa: BLE001  told on the main thread
        yield _Failed(error)


def _outcome(function: Callable[[], Any]) -> Any:
    """Let an error travel as a result.

    napari connects functions to the worker's `errored` that take no error. PyQt6 leaves it out for
    them; under PySide6 they raise a `TypeError`.
    """
    try:
        return function()
    except Exception as error:  # noqa: BLE001  told on the main thread
        return _Failed(error)
