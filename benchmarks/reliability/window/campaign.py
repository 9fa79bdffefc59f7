"""Windows of random actions, replayed and made shorter where they fail; see `__main__`."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.screen import screen
from benchmarks.common.tables import ROOT
from benchmarks.reliability.campaign import Asked, Tally

KEEP = Path(tempfile.gettempdir()) / "napari-unet-window"
ACTIONS, SEEDS = 500, (1, 2, 3, 4)
FEW, HURRY = 60, 1800.0  # actions of a window where fewer seconds than that are left
COUNT = 12  # windows
ERROR = re.compile(r"[\w.]*(Error|Exception|Warning)\b")  # how the last line of a traceback begins
LIMIT = 7200.0  # seconds that a window may take
LARGEST = 10**6  # of the numbers from which actions take what is left to chance
# How often an action is drawn, beside the others.
WEIGHTS = {
    "segment": 12, "wait": 8, "pause": 8, "paint": 14, "erase": 4, "fill": 2, "polygon": 2,
    "undo": 6, "redo": 3, "key": 10, "line": 6, "all_correct": 2, "remove": 6, "clear": 1,
    "three_d": 5, "roll": 2, "transpose": 1, "plane": 3, "zoom": 4, "pan": 3, "choose": 4,
    "hide": 2, "move": 2, "open_image": 4, "open_stack": 3, "open_sample": 2, "retrain": 4,
    "stop": 1, "cancel": 2, "look": 4, "keep": 2, "discard": 2, "back": 2, "compare": 2,
    "link": 2, "table": 2, "slider": 4, "region": 3, "overlay": 3, "heat": 2, "save": 2,
    "reopen": 1, "classes": 1, "undock_table": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a window ended.

    Attributes
    ----------
    code : int
        Exit code; negative = the signal that ended it.
    log : str
        The actions that were begun, a line each.
    told : str
        What it told in the end: what went wrong, or where it crashed.
    seconds : float
        How long it took.
    """

    code: int
    log: str
    told: str
    seconds: float

    @property
    def kind(self) -> str:
        """In short, how it ended; the same for the same fault."""
        if self.code == 0:
            return "in order"
        if self.code < 0:
            return signal.Signals(-self.code).name
        lines = [line.strip() for line in self.told.splitlines() if line.strip()]
        errors = [line for line in lines if ERROR.match(line)] or lines
        return errors[-1][:100] if errors else f"exit code {self.code}"

    @property
    def last(self) -> str:
        """The last action that was begun."""
        return self.log.splitlines()[-1] if self.log else "none"


def actions_of(seed: int, count: int) -> list[str]:
    """Return random actions, a line each."""
    chance = random.Random(seed)
    names = chance.choices([*WEIGHTS], [*WEIGHTS.values()], k=count)
    return [f"{name} {chance.randrange(LARGEST)}" for name in names]


def run_window(actions: Sequence[str]) -> Outcome:
    """Do actions in a new window, and wait for its end."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-window-") as temporary:
        home = Path(temporary)
        todo, log = home / "actions.txt", home / "log.txt"
        todo.write_text("\n".join(actions) + "\n", encoding="utf-8")
        folders = {f"XDG_{n}_HOME": str(home / n.lower()) for n in ("CONFIG", "CACHE", "DATA")}
        own = {"NAPARI_CONFIG": str(home / "napari.yaml"), "NAPARI_ENSURE_PLUGIN_MAIN_THREAD": "1"}
        module = "benchmarks.reliability.window.actions"
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", module, str(todo), str(log)],
            cwd=ROOT,
            env={**os.environ, **folders, **own},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=LIMIT,
            check=False,
        )
        seconds = time.monotonic() - begun
        begun_actions = log.read_text(encoding="utf-8") if log.exists() else ""
    return Outcome(done.returncode, begun_actions, done.stderr, seconds)


def keep(outcome: Outcome, name: str, folder: Path) -> Path:
    """Keep the log of a window that failed, and what it told; returns the log's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.log"
    path.write_text(outcome.log, encoding="utf-8")
    path.with_suffix(".told").write_text(outcome.told, encoding="utf-8")
    print(f"{name}: {outcome.kind}; see {path}", flush=True)
    return path


def open_windows(seeds: Sequence[int], count: int, folder: Path) -> list[list[str]]:
    """Open a window for each seed; returns the rows of the table."""
    rows = []
    for seed in seeds:
        outcome = run_window(actions_of(seed, count))
        done = len(outcome.log.splitlines()) - (outcome.last == "close 0")
        minutes = f"{outcome.seconds / 60:.1f}"
        last = outcome.last if outcome.code else "–"
        rows.append([str(seed), f"{done} of {count}", minutes, outcome.kind, last])
        print(rows[-1], flush=True)
        if outcome.code:
            keep(outcome, f"seed{seed}", folder)
    return rows


def read_log(path: Path) -> list[str]:
    """Return the actions of a log."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("close")]


def replay(path: Path, times: int, folder: Path) -> bool:
    """Do the actions of a log again; returns whether all windows ended in order."""
    ends: Counter[str] = Counter()
    for number in range(times):
        outcome = run_window(read_log(path))
        ends[outcome.kind] += 1
        if outcome.code:
            keep(outcome, f"{path.stem}-again{number}", folder)
    print(dict(ends), flush=True)
    return set(ends) == {"in order"}


def shrink(path: Path, runs: int, folder: Path) -> list[str]:
    """Leave out actions, half of them at first and one at a time in the end, while it still fails.

    Parameters
    ----------
    path : Path
        The log of a window that failed.
    runs : int
        How many windows may be opened.
    folder : Path
        Where the shortest log is kept.

    Returns
    -------
    list of str
        The actions that are left.
    """
    actions, left = read_log(path), runs
    size = max(1, len(actions) // 2)
    while left > 0:
        start, shorter = 0, False
        while start < len(actions) and left > 0:
            tried = actions[:start] + actions[start + size :]
            outcome, left = run_window(tried), left - 1
            if outcome.code:
                actions, shorter = read_log(keep(outcome, f"{path.stem}-small", folder)), True
                print(f"{len(actions)} actions still fail, {left} runs left", flush=True)
            else:
                start += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return actions


def run(asked: Asked) -> Mapping[str, Tally]:
    """Open windows with the seeds from 1 on; where little time is left each does less."""
    tally, count = Tally(), ACTIONS if asked.left > HURRY else FEW
    with screen():
        for seed in range(1, (asked.count or COUNT) + 1):
            if asked.left < 0:
                break
            outcome = run_window(actions_of(seed, count))
            tally.ends[f"windows {outcome.kind}"] += 1
            if outcome.code:
                path = keep(outcome, f"seed{seed}", asked.work / "windows")
                tally.bad.append(f"{path}: {outcome.kind}, {outcome.last}")
    tally.more = f"{count} actions each"
    return {"random actions": tally}
