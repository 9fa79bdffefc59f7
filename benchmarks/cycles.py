"""What is left behind by many runs that are cancelled: threads, processes, files, memory.

    python -m benchmarks.cycles                    500 of them; writes docs/performance.md
    python -m benchmarks.cycles --number 20        a quick look

In a real napari window, Segment is pressed and cancelled at random moments. napari's own column is
as many redraws of the labels layer. Without a screen it starts a virtual one (xvfb-run).
"""

import argparse
import subprocess
import sys

from benchmarks.common.tables import ROOT, markdown, write_table
from benchmarks.responsiveness import SCREEN, child, needs_screen

NUMBER = 500
DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("what", "before", "after", "napari's redraws alone: before", "after")
THINGS = ("threads", "child processes", "open files", "widgets", "memory, MB")


def main() -> int:
    """Measure, print and write; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=NUMBER)
    arguments = parser.parse_args()
    if needs_screen():
        own = [sys.executable, "-m", "benchmarks.cycles", *sys.argv[1:]]
        return subprocess.run([*SCREEN, *own], cwd=ROOT, check=False).returncode
    found = child("cycles", number=arguments.number)
    rows = [
        [what, *(f"{n:.0f}" for kind in ("cancelled", "own") for n in found[f"{kind} {what}"])]
        for what in THINGS
    ]
    print(markdown(HEADER, rows))
    if arguments.number == NUMBER:
        note = f"{NUMBER} runs that were cancelled, and {NUMBER} redraws."
        command = "python -m benchmarks.cycles"
        write_table(DOCUMENT, "cycles", HEADER, rows, command=command, note=note)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
