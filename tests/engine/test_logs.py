"""What went wrong is in a file that a sentence names."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from napari_unet.plugin.widgets.jobs import sentence

from napari_unet.engine.client import Engine
from napari_unet.engine.logs import ENGINE, PACKAGE, VIEWER, current_log, keep_log
from napari_unet.errors import EngineError
from napari_unet.execution.executors import DecodeBlock

PATIENCE = 60.0  # seconds


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """The log folder of this process, and of those it starts."""
    logger = logging.getLogger(PACKAGE)
    before = [*logger.handlers]
    monkeypatch.setattr("platformdirs.user_log_path", lambda _name: tmp_path / "log")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path / "log"
    for handler in [h for h in logger.handlers if h not in before]:
        logger.removeHandler(handler)
        handler.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def test_importing_keeps_no_log(tmp_path):
    code = """if True:
        import logging
        import napari_unet.engine.worker
        import napari_unet.plugin.models_panel
        import napari_unet.plugin.segment_panel
        print(logging.getLogger("napari_unet").handlers)
    """
    state = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=state)
    assert run.stdout.strip() == "[]", run.stderr
    assert [*tmp_path.rglob("*.log")] == []


def test_an_unexpected_error_is_in_the_file_that_the_sentence_names(folder):
    for _ in range(2):  # two panels of one process
        keep_log(VIEWER)
    path = current_log()
    assert path == folder / "viewer.log"
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError as error:
        said = sentence(error)
    assert str(path) in said
    assert "ZeroDivisionError" not in said
    kept = path.read_text(encoding="utf-8")
    assert kept.count("Traceback") == kept.count("ZeroDivisionError: by nothing") == 1


def test_without_a_folder_for_logs_everything_else_goes_on(folder, caplog):
    folder.write_text("no folder")
    before = current_log()
    keep_log(VIEWER)
    assert current_log() == before
    assert "no log is kept" in caplog.text


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the folder is given by XDG")
def test_the_engine_names_its_own_file(folder, engine):
    engine._begin("")
    engine._send(DecodeBlock((0, 0)), mine=True)  # before there is a job
    with pytest.raises(EngineError, match="Press Segment again") as caught:
        engine.collect(PATIENCE)
    path = next(folder.parent.rglob(ENGINE))
    assert str(path) in str(caught.value)
    assert "an order comes after Open" not in str(caught.value)
    kept = path.read_text(encoding="utf-8")
    assert "Traceback" in kept
    assert "an order comes after Open" in kept


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_what_a_dead_engine_wrote_is_in_the_viewer_s_file(folder, engine):
    keep_log(VIEWER)
    engine._begin("")
    engine._send(DecodeBlock((0, 0)), mine=True)
    with pytest.raises(EngineError):
        engine.collect(PATIENCE)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"signal 9.*viewer\.log"):
        engine.collect(PATIENCE)
    kept = current_log().read_text(encoding="utf-8")
    assert "the engine ended with code -9" in kept
    assert "an order comes after Open" in kept
