"""Random actions through the real panel in a real napari window; what crashes is made small.

    python -m benchmarks.reliability.window --actions 500 --seed 1 2 3 4
                                                        writes docs/reliability.md
    python -m benchmarks.reliability.window --replay FILE --times 3
                                                        a log, again and again
    python -m benchmarks.reliability.window --shrink FILE --runs 40
                                                        leaves out actions while it still fails

A window is a process of its own, with a library, settings and journals of its own. Its log holds
each action before it is done, so a crash leaves it; the logs of windows that failed stay in --keep.
After each action no exception, logged error or error of napari may have come, and every stroke
must count as painted; from time to time the journals are read back and the counts are compared.
Without a screen it starts a virtual one (Xvfb).
"""

import argparse
import sys
from pathlib import Path

from benchmarks.common.screen import screen
from benchmarks.common.tables import ROOT, markdown, write_table
from benchmarks.reliability.window.campaign import (
    ACTIONS,
    KEEP,
    SEEDS,
    open_windows,
    replay,
    shrink,
)

DOCUMENT = ROOT / "docs" / "reliability.md"
HEADER = ("seed", "actions", "minutes", "ended", "last action")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--actions", type=int, default=ACTIONS, help="in each window")
    add("--seed", type=int, nargs="+", default=list(SEEDS), help="a window for each")
    add("--replay", type=Path, help="log of which the actions are done again")
    add("--times", type=int, default=1, help="how often")
    add("--shrink", type=Path, help="log to be made shorter")
    add("--runs", type=int, default=40, help="windows to open for that, at most")
    add("--keep", type=Path, default=KEEP, help="folder for logs of windows that failed")
    return parser.parse_args()


def main() -> int:
    """Open the windows asked for; returns the exit code."""
    asked = _arguments()
    with screen():
        return _open(asked)


def _open(asked: argparse.Namespace) -> int:
    if asked.replay:
        return int(not replay(asked.replay, asked.times, asked.keep))
    if asked.shrink:
        print(*shrink(asked.shrink, asked.runs, asked.keep), sep="\n")
        return 0
    rows = open_windows(asked.seed, asked.actions, asked.keep)
    print(markdown(HEADER, rows))
    if asked.actions == ACTIONS and len(asked.seed) >= len(SEEDS):
        seeds = " ".join(map(str, asked.seed))
        command = f"python -m benchmarks.reliability.window --seed {seeds}"
        write_table(DOCUMENT, "window", HEADER, rows, command=command)
    return int(any(row[3] != "in order" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
