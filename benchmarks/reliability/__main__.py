"""Everything that is promised, tried: damaged files, kills, full disks, odd inputs, random clicks.

    python -m benchmarks.reliability --minutes 10          a small version of all campaigns
    python -m benchmarks.reliability --only files          all of one, which takes hours
    python -m benchmarks.reliability --only kills --count 60 --seed 7
    python -m benchmarks.reliability --table               writes docs/reliability.md

A campaign that was stopped goes on with its seed. What fails is in ``runs/reliability``; the
command then ends with 1.
"""

import argparse
import importlib
import time
from pathlib import Path

from benchmarks.common.tables import ROOT
from benchmarks.reliability.campaign import CAMPAIGNS, SEED, Asked, keep, write_tables


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=CAMPAIGNS, default=list(CAMPAIGNS), help="campaigns to run")
    add("--minutes", type=float, help="in all; default: until the count is reached")
    add("--count", type=int, help="attempts of each campaign; default: its own number")
    add("--seed", type=int, default=SEED)
    add("--work", type=Path, default=ROOT / "runs" / "reliability", help="for what is found")
    add("--keep", action="store_true", help="keep the rows for the table")
    add("--table", action="store_true", help="write the tables of the rows that are kept")
    return parser.parse_args()


def main() -> int:
    """Run the campaigns; returns the exit code."""
    asked = _arguments()
    if asked.table:
        write_tables()
        return 0
    end = time.monotonic() + (60 * asked.minutes if asked.minutes else 10**9)
    failed = 0
    for number, name in enumerate(asked.only):
        # What a campaign leaves of its share goes to those that follow.
        share = (end - time.monotonic()) / (len(asked.only) - number)
        one = Asked(asked.seed, asked.count, time.monotonic() + share, asked.work)
        tallies = importlib.import_module(CAMPAIGNS[name]).run(one)
        for what, tally in tallies.items():
            if not tally.count:
                print(f"{name}: {what}: no time was left")
                continue
            print(f"{name}: {what}: {tally.count:,}: {tally.told()}", flush=True)
            for sentence in tally.bad[:20]:
                print(f"    {sentence}", flush=True)
            failed += len(tally.bad)
        if asked.keep:
            keep(name, asked.seed, tallies)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
