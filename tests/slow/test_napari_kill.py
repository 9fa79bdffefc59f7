"""Kill -9 on a real napari window at random moments: no stroke known to be kept may be missing.

A window paints (see `napari_painter`), saves or retrains meanwhile, and reads every stroke back
from the disk before it counts. ``NAPARI_KILLS=210 pytest -m slow tests/slow/test_napari_kill.py``
repeats it as often as wanted; one start takes seconds, on a busy machine most of a minute.
"""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import napari_painter
import numpy as np
import psutil
import pytest
import tifffile

from napari_unet.io.tiff import read_labels
from napari_unet.journal.recovery import Recovery, recoverable, replay

KILLS = int(os.environ.get("NAPARI_KILLS", "6"))
KINDS = {"painting": 20, "saving": 20, "training": 40}  # lines it tells at most before it is killed
MOMENT = 0.5  # seconds after a line in which it is killed, about as long as a stroke takes
SAVE = 0.1  # seconds after the beginning of a save; about as long as one takes
EACH = 30  # kills; of as many, one of each kind is restored in another window
PATIENCE = 1800.0  # seconds for a window to open, paint and be killed on a busy machine
LEAVING = 120.0  # seconds an engine may take to notice that its window is gone

logger = logging.getLogger(__name__)
Array = np.ndarray


@dataclass
class Told:
    """What a window told before it was killed.

    Attributes
    ----------
    states : dict
        What was painted after each stroke.
    kept : dict
        Record that holds each stroke read back from the disk.
    begun : tuple or None
        Last stroke: number, value, box.
    handed : dict
        Labels handed over to be saved.
    saved : int
        Number of the last save that was complete.
    said : list of str
        What the panel said.
    """

    states: dict[int, Array] = field(default_factory=lambda: {0: np.zeros((256, 256), np.uint32)})
    kept: dict[int, int] = field(default_factory=dict)
    begun: tuple[int, ...] | None = None
    handed: dict[int, Array] = field(default_factory=dict)
    saved: int = 0
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        last = f"; {self.said[-1]}" if self.said else ""
        learning = sum("Learning" in text for text in self.said)
        saves = f"{self.saved} of {len(self.handed)} saves complete"
        return f"{len(self.kept)} times read back, {saves}, {learning} times learning{last}"

    def note(self, line: str) -> None:
        """Note one line; the last may be torn."""
        if not line.endswith("\n"):
            return
        what, _, rest = line.strip().partition(" ")
        words = rest.split()
        match what:
            case "begin":
                self.begun = tuple(map(int, words))
            case "painted":
                self.states[int(words[0])] = napari_painter.decode(words[1])
            case "kept":
                self.kept[int(words[0])] = int(words[1])
            case "saving":
                self.handed[int(words[0])] = napari_painter.decode(words[1])
            case "saved":
                self.saved = int(words[0])
            case "does":
                self.said.append(rest)


class NapariProcess:
    """A process with napari; one at a time.

    Parameters
    ----------
    home : Path
        Folder of its journals, models, settings and temporary files.
    kind : str
        What it does, see `napari_painter`.
    seed : int
        Of its strokes.
    """

    def __init__(self, home: Path, kind: str, seed: int) -> None:
        self.labels = home / "labels.ome.tif"
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        self._log = home / f"{kind}.log"
        self.env = {
            **os.environ,
            "XDG_DATA_HOME": str(home / "data"),
            "NAPARI_CONFIG": str(home / "napari.yaml"),
            "TMPDIR": str(home / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, napari_painter.__file__, kind, str(seed), str(self.labels)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env
            )
        self.told = Told()
        self.engines: list[psutil.Process] = []  # that lived when it was killed

    def listen(self, heard: Callable[[str], None] = lambda _line: None) -> int:
        """Note all it tells until it ends; return how it ended."""
        patience = threading.Timer(PATIENCE, self.process.terminate)
        patience.start()
        try:
            for line in self.process.stdout:
                self.told.note(line)
                heard(line)
            return self.process.wait(PATIENCE)
        finally:
            patience.cancel()
            self.process.kill()
            self.process.communicate()
            self._check_nobody_stays()

    def kill_after(self, lines: int, seconds: float, then: str = "") -> None:
        """Kill it, and only it, some lines after it is ready and one that begins so."""
        timer = threading.Timer(seconds, self._kill)
        heard: list[str] = []

        def hear(line: str) -> None:
            if heard or line == "armed\n":
                heard.append(line)
            if len(heard) > lines and line.startswith(then) and not timer.ident:
                timer.start()

        code = self.listen(hear)
        assert code == -signal.SIGKILL, f"{code}: {self.log}"
        timer.join()
        assert len(self.engines) == 1, "the test would not see an engine that stays"

    def _kill(self) -> None:
        self.engines = [p for p in self._processes() if p.pid != self.process.pid]
        self.process.send_signal(signal.SIGKILL)

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text()[-3000:]

    def _processes(self) -> list[psutil.Process]:
        """Return what lives of it, engines without a parent included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == self.env["TMPDIR"]:
                    found.append(process)
            except psutil.Error:  # it has just ended, or is another user's
                continue
        return found

    def _check_nobody_stays(self) -> None:
        end = time.monotonic() + LEAVING
        while left := self._processes():
            assert time.monotonic() < end, f"still there: {[p.cmdline() for p in left]}"
            time.sleep(0.05)


def check_strokes(told: Told, folder: Path) -> Recovery | None:
    """Assert that what was read back before the kill is there, whole, in order, and offered."""
    files, last = sorted(folder.glob("*.journal")), max(told.kept)
    for stroke, number in told.kept.items():
        np.testing.assert_array_equal(replay(files, until=number)[0], told.states[stroke])
    whole, header = replay(files)
    check_rest(told, whole, last)
    found = recoverable(folder, header.identity, fallback=False)
    if not whole.any():  # all of it was erased or undone: rightly there is nothing to offer
        assert found == []
        return None
    (recovery,) = found
    assert recovery.paths == tuple(files)
    return recovery


def check_rest(told: Told, whole: Array, last: int) -> None:
    """Assert that anything else is of strokes after the last one that was read back."""
    known = whole == told.states[last]
    for stroke, state in told.states.items():
        if stroke > last:
            known |= whole == state
    stroke, value, y0, x0, y1, x1 = told.begun
    if stroke > last:  # it may not have been finished, nor told of
        known[y0:y1, x0:x1] |= whole[y0:y1, x0:x1] == value
    assert known.all(), f"{np.count_nonzero(~known)} pixels were never painted so"


def check_file(told: Told, path: Path) -> None:
    """Assert that the file is one that was saved: the last complete one, or a newer one."""
    found, *_ = read_labels(path)
    np.testing.assert_array_equal(found, tifffile.imread(path))
    possible = [labels for number, labels in told.handed.items() if number >= told.saved]
    assert any(np.array_equal(found, labels) for labels in possible)


def check_restored(home: Path, whole: Array, recovery: Recovery) -> None:
    """Start again, take the offer, and assert that everything is as it was."""
    window = NapariProcess(home, "restoring", 0)
    assert window.listen() == 0, window.log
    told = window.told
    assert f"({recovery.strokes} strokes)" in told.said[0]
    np.testing.assert_array_equal(told.states[0], whole)
    assert told.saved == 1
    np.testing.assert_array_equal(read_labels(window.labels)[0], told.handed[1])
    assert list(home.glob(".*.part")) == []  # what the kill left was swept away
    assert not any(path.exists() for path in recovery.paths)  # the new journal has it all


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("seed", range(KILLS))
def test_napari_killed_at_a_random_moment(tmp_path, seed):
    kind = list(KINDS)[seed % len(KINDS)]
    window = NapariProcess(tmp_path, kind, seed)
    chance = random.Random(seed)
    lines = chance.randint(0, KINDS[kind])
    if kind == "saving" and chance.random() < 0.7:  # else it would rarely be in the middle of one
        window.kill_after(lines, chance.uniform(0, SAVE), then="saving")
    else:
        window.kill_after(lines, chance.uniform(0, MOMENT))
    told = window.told
    logger.info("%d %s: %s", seed, kind, told)
    recovery = check_strokes(told, tmp_path / "data" / "napari-unet-interactive" / "journals")
    if kind == "saving":
        check_file(told, window.labels)
    if recovery is not None and seed % EACH < len(KINDS):
        check_restored(tmp_path, replay(recovery.paths)[0], recovery)
    shutil.rmtree(tmp_path)
