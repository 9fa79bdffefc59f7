"""How long a person waits, in a real napari window: start, first labels, cancel, GUI lag.

    python -m benchmarks.responsiveness                 everything; writes docs/responsiveness.md
    python -m benchmarks.responsiveness --dry --only lag --sides 2048 --profile
                                                        and lists what the late ticks waited for
    python -m benchmarks.responsiveness --only retraining
                                                        the lag while retraining and painting alone
    python -m benchmarks.responsiveness --cycles        what many cancelled runs leave behind;
                                                        writes docs/performance.md

Without a screen it starts a virtual one (xvfb-run).
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.slides import write_slide
from benchmarks.common.tables import ROOT, markdown, write_table

DOCUMENT = ROOT / "docs" / "responsiveness.md"
HEADER = ("what", "n", "p50", "p95", "p99", "max", "unit", "goal", "met")
QUANTILES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
CYCLES = ROOT / "docs" / "performance.md"
NUMBER = 500  # of runs that are cancelled
LEFT = ("what", "before", "after", "napari's redraws alone: before", "after")
THINGS = ("threads", "child processes", "open files", "widgets", "memory, MB")
SCREEN = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24")
PARTS = ("import", "cold", "cancel", "lag", "sample", "slide", "retraining")
SLIDE, LEVELS = 16384, 6  # pixels; a large image and its smaller copies
LAG = 0.05  # seconds; what is wanted of 99 in 100 ticks
Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a quantile should not exceed.

    Attributes
    ----------
    quantile : str
        "p50", "p95", "p99" or "max".
    limit : float
        Seconds.
    """

    quantile: str
    limit: float


FIRST = Goal("max", 3.0)  # of labels on a large image


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        What is measured.
    seconds : list of float
        The samples.
    goal : Goal or None
        What is wanted.
    milliseconds : bool
        How to show it.
    """

    name: str
    seconds: list[float]
    goal: Goal | None = None
    milliseconds: bool = False

    def cells(self) -> list[str]:
        """Return the cells of the table."""
        values = {q: float(np.percentile(self.seconds, p)) for q, p in QUANTILES.items()}
        shown = [self._show(value) for value in values.values()]
        goal, met = "–", "–"
        if self.goal is not None:
            goal = f"{self.goal.quantile} ≤ {self._limit()}"
            met = "yes" if values[self.goal.quantile] <= self.goal.limit else "**no**"
        unit = "ms" if self.milliseconds else "s"
        return [self.name, str(len(self.seconds)), *shown, unit, goal, met]

    def _show(self, seconds: float) -> str:
        return f"{seconds * 1000:.1f}" if self.milliseconds else f"{seconds:.2f}"

    def _limit(self) -> str:
        assert self.goal is not None, "only asked with a goal"
        limit = self.goal.limit
        return f"{limit * 1000:g} ms" if self.milliseconds else f"{limit:g} s"


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure the parts asked for, one process after the other."""
    made: list[Row] = []
    if "import" in arguments.only:
        found = _merge(child("imports") for _ in range(arguments.repeats))
        made.append(Row("panel import", found["import"], Goal("p50", 0.2)))
        made.append(Row("panel made and docked", found["open"]))
    if "cold" in arguments.only:
        for warm, name in ((False, "panel opened"), (True, "Segment pressed, engine warm")):
            runs = [child("cold", warm=warm) for _ in range(arguments.repeats)]
            [seconds] = _merge(runs).values()
            made.append(Row(f"{name} to first labels, 512²", seconds, Goal("max", 5.0)))
    if "cancel" in arguments.only:
        seconds = child("cancels", number=arguments.cancels)["cancel"]
        made.append(Row("Cancel pressed to stopped, 2048²", seconds, Goal("p95", 0.5)))
    if "lag" in arguments.only:
        made += _lags(arguments.sides, arguments.profile)
    if "sample" in arguments.only:
        found = child("sample", seconds=arguments.watch, profile=arguments.profile)
        name = "the sample of 8192²"
        made.append(Row(f"File › Open Sample to drawn, {name}", found["drawn"]))
        made.append(Row(f"Segment pressed to first labels, {name}", found["first"], FIRST))
        made.append(Row(f"GUI lag, {name}", found["sample"], Goal("p99", LAG), milliseconds=True))
    if "slide" in arguments.only:
        made += _slide(arguments)
    if "retraining" in arguments.only:
        found = child("retraining", seconds=arguments.time, profile=arguments.profile)
        made.append(Row("GUI lag, painting, 1024²", found["painting"], milliseconds=True))
        name = "GUI lag, painting while retraining, 1024²"
        made.append(Row(name, found["retraining"], Goal("p99", LAG), milliseconds=True))
    return made


def _lags(sides: Sequence[int], profile: bool) -> list[Row]:
    found = [child("lag", side=side, profile=profile) for side in sides]
    idle = [seconds for samples in found for seconds in samples["idle"]]
    goal = Goal("p99", LAG)
    busy = [
        Row(f"GUI lag, segmenting {side}²", samples[str(side)], goal, milliseconds=True)
        for side, samples in zip(sides, found, strict=True)
    ]
    return [Row("GUI lag, idle", idle, milliseconds=True), *busy]


def _slide(arguments: argparse.Namespace) -> list[Row]:
    """Lag while a large image is segmented and looked at, and how long it takes to stop."""
    picture = str(arguments.picture or "")
    with tempfile.TemporaryDirectory(prefix="napari-unet-slide-") as temporary:
        path = str(write_slide(Path(temporary) / "slide.zarr", SLIDE))
        known: dict[str, Any] = {"path": path, "levels": LEVELS}
        seen = child("view", **known)
        known |= {"picture": picture, "profile": arguments.profile}
        found = child("slide", seconds=arguments.watch, **known)
    name, area = f"GUI lag, {SLIDE:,}²", seen["megapixels"][0]
    return [
        Row(f"{name}, labels streaming in", found["slide"], Goal("p99", LAG), milliseconds=True),
        Row(f"{name}, view moved five times a second", found["moved"], milliseconds=True),
        Row(f"{name}, both", found["both"], milliseconds=True),
        Row(f"Cancel pressed to stopped, {SLIDE:,}²", found["stopped"]),
        Row(f"Segment pressed again to the next objects, {SLIDE:,}²", found["ready"]),
        Row(f"Segment pressed to all labels of the view, {area:.1f} megapixels", seen["view"]),
    ]


def _merge(runs: Any) -> Samples:
    merged: Samples = {}
    for samples in runs:
        for name, seconds in samples.items():
            merged.setdefault(name, []).extend(seconds)
    return merged


def child(measure: str, **arguments: Any) -> Samples:
    """Run one measurement in a process of its own, with settings of its own."""
    command = [sys.executable, "-m", "benchmarks.common.window", measure, json.dumps(arguments)]
    with tempfile.TemporaryDirectory(prefix="napari-unet-window-") as home:
        folders = {f"XDG_{n}_HOME": str(Path(home, n)) for n in ("CONFIG", "CACHE", "DATA")}
        environment = {**os.environ, **folders, "NAPARI_CONFIG": str(Path(home, "napari.yaml"))}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    samples: Samples = json.loads(done.stdout.splitlines()[-1])
    print(measure, arguments, {k: f"{np.median(v):.3f} s" for k, v in samples.items()}, flush=True)
    return samples


def needs_screen() -> bool:
    """Whether a virtual screen must be started."""
    return sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()


def cycles(number: int, *, write: bool) -> None:
    """Press Segment and Cancel at random moments; napari's own columns are as many redraws."""
    found = child("cycles", number=number)
    rows = [
        [what, *(f"{n:.0f}" for kind in ("cancelled", "own") for n in found[f"{kind} {what}"])]
        for what in THINGS
    ]
    print(markdown(LEFT, rows))
    if write:
        note = f"{number} runs that were cancelled, and {number} redraws."
        command = "python -m benchmarks.responsiveness --cycles"
        write_table(CYCLES, "cycles", LEFT, rows, command=command, note=note)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="*", choices=PARTS, default=list(PARTS), help="parts to measure")
    add("--repeats", type=int, default=5, help="processes for each kind of start")
    add("--cancels", type=int, default=20, help="cancels to time")
    add("--sides", nargs="*", type=int, default=[2048, 4096], help="image sides for the lag")
    add("--time", type=float, default=30.0, help="seconds of the retraining, 10 at least")
    add("--watch", type=float, default=60.0, help="seconds of the large image")
    add("--cycles", nargs="?", type=int, const=NUMBER, help="runs to cancel, and nothing else")
    add("--picture", type=Path, help="file for a screenshot of the large image")
    add("--profile", action="store_true", help="list what late ticks waited for")
    add("--dry", action="store_true", help="leave docs as they are")
    add("--virtual", action="store_true", help=argparse.SUPPRESS)  # the screen is xvfb-run's
    return parser.parse_args()


def typed(arguments: Sequence[str]) -> str:
    """Return the command as it was typed, without what the script adds for itself.

    Parameters
    ----------
    arguments : sequence of str
        What the script was given, its name left out.
    """
    own = [argument for argument in arguments if argument != "--virtual"]
    return shlex.join(["python", "-m", "benchmarks.responsiveness", *own])


def main() -> int:
    """Measure, print and write; returns the exit code."""
    arguments = _arguments()
    if needs_screen():
        if shutil.which(SCREEN[0]) is None:
            print("There is no screen. Install xvfb and xauth, or set DISPLAY.", file=sys.stderr)
            return 1
        own = [sys.executable, "-m", "benchmarks.responsiveness", *sys.argv[1:], "--virtual"]
        return subprocess.run([*SCREEN, *own], cwd=ROOT, check=False).returncode
    if arguments.cycles:
        cycles(arguments.cycles, write=arguments.cycles == NUMBER and not arguments.dry)
        return 0
    cells = [row.cells() for row in rows(arguments)]
    print(f"\n{markdown(HEADER, cells)}")
    if list(arguments.only) == list(PARTS) and not (arguments.dry or arguments.profile):
        command = typed(sys.argv[1:])
        note = "The screen is virtual, drawn by the processor." if arguments.virtual else ""
        write_table(DOCUMENT, "responsiveness", HEADER, cells, command=command, note=note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
