"""Tasks in the background: whatever goes wrong in one, it ends, and its sentence arrives."""

import gc
import warnings
import weakref
from collections.abc import Iterator

import pytest

from napari_unet.errors import EngineError, InputError
from napari_unet.plugin.widgets.background import BackgroundTask, in_background


def failing(error: Exception) -> Iterator[int]:
    yield 1
    raise error


def one_event() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("error", [EngineError("It died."), InputError("It died.")])
def test_a_job_that_fails_ends_with_its_sentence(qtbot, error: Exception) -> None:
    """Also a RuntimeError, which napari's worker takes for the end of itself."""
    seen: list[int] = []
    ended: list[str | None] = []
    task = BackgroundTask(failing(error), seen.append, ended.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as for people: warnings are no errors there
        task.start()
        qtbot.waitUntil(lambda: bool(ended), timeout=10_000)
    assert (seen, ended, task.running) == ([1], ["It died."], False)


def test_a_task_lives_while_it_runs_and_no_longer(qtbot) -> None:
    """Qt keeps no task whose methods are connected, or one for ever, as the binding has it."""
    ended: list[str | None] = []
    task = BackgroundTask(one_event(), lambda _event: None, ended.append)
    kept = weakref.ref(task)
    task.start()
    del task
    gc.collect()
    qtbot.waitUntil(lambda: bool(ended), timeout=10_000)

    def gone() -> bool:
        gc.collect()
        return kept() is None

    qtbot.waitUntil(gone, timeout=10_000)


def test_a_function_that_fails_tells_its_sentence_and_raises_nothing(qtbot) -> None:
    """What napari connects to `errored` raises a TypeError itself under PySide6."""
    ended: list[tuple[object, str | None]] = []

    def fail() -> None:
        raise InputError("It failed.")

    in_background(fail, lambda *told: ended.append(told))
    qtbot.waitUntil(lambda: bool(ended), timeout=10_000)
    qtbot.wait(50)
    assert ended == [(None, "It failed.")]  # pytest-qt fails where a slot raises
