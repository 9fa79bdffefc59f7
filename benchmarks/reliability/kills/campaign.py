"""A real napari window, killed while a person works: every stroke and every file must be there.

It needs a screen; without one it starts Xvfb. What was done is kept, so that it goes on later.
"""

import itertools
import json
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common.screen import screen
from benchmarks.reliability.campaign import Asked, Tally
from benchmarks.reliability.kills.killed import KINDS, kill

COUNT = 1000
RESTORED = 5  # of as many kills of a kind, one is restored in another window


def run(asked: Asked) -> Mapping[str, Tally]:
    """Kill windows until the count or the end of the time; the next run goes on from there."""
    asked.work.mkdir(parents=True, exist_ok=True)
    path = asked.work / f"kills-{asked.seed}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = [json.loads(line) for line in lines]
    names = list(KINDS)
    with screen():
        while len(done) < (asked.count or COUNT) and asked.left > 0:
            tried = {int(one["number"]) for one in done}
            number = next(n for n in itertools.count() if n not in tried)
            done.append(_try(names[number % len(names)], number, asked))
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[-1]) + "\n")
    return {f"killed while {kind}": _tally(kind, done) for kind in names}


def _try(kind: str, number: int, asked: Asked) -> dict[str, str]:
    home = Path(tempfile.mkdtemp(prefix="napari-unet-kill-"))
    # A part of a large image is not: its journal is looked at instead.
    restoring = kind != "putting" and number // len(KINDS) % RESTORED == 0
    end = {"kind": kind, "number": str(number), "restored": str(restoring)}
    try:
        told = kill(kind, asked.seed + number, home, restoring=restoring)
    except Exception:  # noqa: BLE001  that is what is looked for
        place = asked.work / f"kill-{asked.seed}-{number}"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(home, place)
        shutil.rmtree(home, ignore_errors=True)
        return end | {"problem": traceback.format_exc()}
    return end | {"told": str(told), "strokes": str(len(told.kept))}


def _tally(kind: str, done: list[dict[str, str]]) -> Tally:
    own = [one for one in done if one["kind"] == kind]
    bad = [f"{one['number']}: {one['problem']}" for one in own if "problem" in one]
    tally = Tally(Counter({"kills, nothing lost": len(own) - len(bad)}), bad)
    if bad:
        tally.ends["kills, something lost"] = len(bad)
    strokes = sum(int(one.get("strokes", 0)) for one in own)
    restored = sum(one["restored"] == "True" for one in own)
    tally.more = f"{strokes:,} acknowledged strokes, {restored} restored in another window"
    return tally
