"""Tasks in the background: whatever goes wrong in one, it ends, and its sentence arrives."""

import warnings
from collections.abc import Iterator

import pytest

from napari_unet.errors import EngineError, InputError
from napari_unet.plugin.widgets.background import BackgroundTask


def failing(error: Exception) -> Iterator[int]:
    yield 1
    raise error


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
