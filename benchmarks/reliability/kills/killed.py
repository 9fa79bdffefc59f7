"""One window that is killed, what it told before, and what must be there afterwards.

A window paints (see `painter`) and reads every stroke back from the disk before it counts.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tifffile

from benchmarks.common.tables import ROOT
from benchmarks.reliability.kills import painter
from napari_unet.image import Box
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.tiff import read_labels
from napari_unet.journal.recovery import Recovery, recoverable, replay
from napari_unet.labels.painted import BACKGROUND, painted_ids
from napari_unet.models.files import check_model
from napari_unet.wording import counted

MOMENT = 0.5  # seconds after a line in which it is killed, about as long as a stroke takes
PATIENCE = 1800.0  # seconds for a window to open, paint and be killed on a busy machine
WAITED = 10  # times as many lines as asked for, after which it is killed whatever it does
LEAVING = 120.0  # seconds an engine may take to notice that its window is gone
WINDOW = "benchmarks.reliability.kills.window"
FOLDER = "napari-unet-interactive"
Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Kind:
    """What a window does meanwhile, and when it is killed.

    Attributes
    ----------
    lines : int
        It tells at most before it is killed.
    then : str
        Beginning of the line after which it is mostly killed; empty = after any.
    seconds : float
        At most after that line; about as long as takes what begins there.
    stack : bool
        Whether it is of several planes.
    """

    lines: int = 20
    then: str = ""
    seconds: float = MOMENT
    stack: bool = False


KINDS = {
    "painting": Kind(),
    "saving": Kind(then="saving", seconds=0.1),
    "training": Kind(40),
    "linking": Kind(then="linking", seconds=0.3, stack=True),
    "exporting": Kind(then="exporting", seconds=0.2),
    "putting": Kind(then="putting", seconds=0.3),
}


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
    put : dict
        What was painted when it was put back.
    done : int
        Number of the last time that this was complete.
    box, folder : Box, Path or None
        The part that is painted on, and the labels of the large image.
    said : list of str
        What the panel said.
    """

    states: dict[int, Array] = field(default_factory=dict)
    kept: dict[int, int] = field(default_factory=dict)
    begun: tuple[int, ...] | None = None
    handed: dict[int, Array] = field(default_factory=dict)
    saved: int = 0
    put: dict[int, Array] = field(default_factory=dict)
    done: int = 0
    box: Box | None = None
    folder: Path | None = None
    exported: int = 0
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        last = f"; {self.said[-1]}" if self.said else ""
        learning = sum("Learning" in text for text in self.said)
        saves = f"{self.saved} of {len(self.handed)} saves, {self.done} of {len(self.put)} put back"
        rest = f"{self.exported} exports, {learning} times learning{last}"
        return f"{len(self.kept)} times read back, {saves}, {rest}"

    def note(self, line: str) -> None:
        """Note one line; the last may be torn."""
        if not line.endswith("\n"):
            return
        what, _, rest = line.strip().partition(" ")
        words = rest.split()
        if what in ("painted", "saving", "putting"):
            name = {"painted": self.states, "saving": self.handed, "putting": self.put}[what]
            name[int(words[0])] = painter.decode(words[1])
        match what:
            case "begin":
                self.begun = tuple(map(int, words))
            case "kept":
                self.kept[int(words[0])] = int(words[1])
            case "saved":
                self.saved = int(words[0])
            case "put":
                self.done = int(words[0])
            case "exported":
                self.exported = int(words[0])
            case "folder":
                y0, x0, y1, x1, path = rest.split(" ", 4)
                self.box, self.folder = Box((int(y0), int(x0)), (int(y1), int(x1))), Path(path)
            case "does":
                self.said.append(rest)


class NapariProcess:
    """A process with napari; one at a time.

    Parameters
    ----------
    home : Path
        Folder of its journals, models, settings and temporary files.
    kind : str
        What it does, see `painter`.
    seed : int
        Of its strokes.
    """

    def __init__(self, home: Path, kind: str, seed: int) -> None:
        self.labels = home / "labels.ome.tif"
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        self._log = home / f"{kind}.log"
        self.env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_STATE_HOME": str(home / "state"),
            "NAPARI_CONFIG": str(home / "napari.yaml"),
            "TMPDIR": str(home / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", WINDOW, kind, str(seed), str(self.labels)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env
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
            # On a busy machine what should begin may never be seen to.
            awaited = line.startswith(then) or len(heard) > WAITED * lines
            if len(heard) > lines and awaited and not timer.ident:
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
    told.states.setdefault(0, np.zeros_like(told.states[last]))
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
        known[..., y0:y1, x0:x1] |= whole[..., y0:y1, x0:x1] == value
    assert known.all(), f"{np.count_nonzero(~known)} pixels were never painted so"


def check_file(told: Told, path: Path) -> None:
    """Assert that the file is one that was saved: the last complete one, or a newer one."""
    found, *_ = read_labels(path)
    np.testing.assert_array_equal(found, tifffile.imread(path))
    possible = [labels for number, labels in told.handed.items() if number >= told.saved]
    if found.ndim > 2:  # planes are linked in the file: other numbers, the same pixels
        found, possible = found > 0, [labels > 0 for labels in possible]
    assert any(np.array_equal(found, labels) for labels in possible), "the file is no saved one"


def check_exports(folder: Path) -> None:
    """Assert that every exported file can be read to its end."""
    for path in folder.glob("cells_*"):
        if path.suffix == ".csv":
            assert path.read_bytes().endswith(b"\n"), path
            assert not pd.read_csv(path).isna().any(axis=None), path
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None, path
        else:
            assert json.loads(path.read_text(encoding="utf-8"))["features"], path


def check_put_back(told: Told) -> None:
    """Assert that what was put back is in the labels, and that these can be read."""
    assert told.folder is not None
    assert told.box is not None
    finest, *_ = [np.asarray(level[:]) for level in LabelPyramid(told.folder).levels]
    finest = finest[told.box.slices]
    before = told.put[told.done]
    kept = np.logical_and.reduce([told.put[n] == before for n in told.put if n >= told.done])
    for value in np.unique(before[kept & (before > 0)]):
        found = np.unique(finest[kept & (before == value)])
        assert len(found) == 1, f"{value} became {found}"
        assert (found[0] == 0) == (value == BACKGROUND), f"{value} became {found}"


def check_models(home: Path) -> None:
    """Assert that every model in the library is whole."""
    for path in (home / "data" / FOLDER).rglob("*.safetensors"):
        check_model(path)


def check_restored(home: Path, whole: Array, recovery: Recovery) -> None:
    """Start again, take the offer, and assert that everything is as it was."""
    window = NapariProcess(home, "restoring", int(whole.ndim > 2))
    assert window.listen() == 0, window.log
    told = window.told
    painted = len(painted_ids(whole))
    held = counted(painted, "object") if painted else "background strokes"
    assert f"({held})" in told.said[0], told.said[0]
    np.testing.assert_array_equal(told.states[0], whole)
    assert told.saved == 1
    check_file(told, window.labels)
    assert list(home.glob(".*.part")) == []  # what the kill left was swept away
    assert not any(path.exists() for path in recovery.paths)  # the new journal has it all


def kill(kind: str, seed: int, home: Path, *, restoring: bool) -> Told:
    """Kill a window at a random moment and assert that nothing is lost.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    seed : int
        Of the strokes and of the moment.
    home : Path
        Folder of all that it writes; removed if nothing is wrong.
    restoring : bool
        Whether another window restores what was painted.
    """
    window, chance, one = NapariProcess(home, kind, seed), random.Random(seed), KINDS[kind]
    lines = chance.randint(0, one.lines)
    if one.then and chance.random() < 0.7:  # else it would rarely be in the middle of one
        window.kill_after(lines, chance.uniform(0, one.seconds), then=one.then)
    else:
        window.kill_after(lines, chance.uniform(0, MOMENT))
    told = window.told
    recovery = check_strokes(told, home / "data" / FOLDER / "journals")
    if told.saved:
        check_file(told, window.labels)
    if kind == "putting":
        check_put_back(told)
    check_exports(home)
    check_models(home)
    if restoring and recovery is not None and kind != "putting":
        check_restored(home, replay(recovery.paths)[0], recovery)
    shutil.rmtree(home)
    return told
