"""What campaigns share: what is asked of one, what it says in the end, and the list of all.

A campaign is a module with ``run(asked: Asked) -> list[Row]``. `CAMPAIGNS` names it; nothing else
knows of it. Each row of a table keeps its count in a file, so that a campaign adds to what it did
before and goes on where it was stopped.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.common.rows import RESULTS, Rows
from benchmarks.common.tables import ROOT, write_table

CAMPAIGNS: dict[str, str] = {
    "files": "benchmarks.reliability.files.campaign",
    "kills": "benchmarks.reliability.kills.campaign",
    "disks": "benchmarks.reliability.full_disks",
    "processes": "benchmarks.reliability.process_kills",
    "inputs": "benchmarks.reliability.odd_inputs",
    "window": "benchmarks.reliability.window.campaign",
}
OWN_TABLES = {"window"}  # written by `python -m benchmarks.reliability.window`, a row for each seed
SEED = 20261130
STATE = RESULTS / "reliability.jsonl"
DOCUMENT = ROOT / "docs" / "reliability.md"
HEADER = ("what", "count", "seed", "found", "date", "commit")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a campaign is asked for.

    Attributes
    ----------
    seed : int
        Of everything that is random.
    count : int or None
        How many attempts in all; None = the campaign's own number.
    until : float
        Moment of `time.monotonic` at which no further attempt begins.
    work : Path
        Folder for what is found, and for the state of a campaign that goes on later.
    """

    seed: int
    count: int | None
    until: float
    work: Path

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()


@dataclass(slots=True)
class Tally:
    """Attempts of one kind, by how they ended; what should not be has a sentence in `bad`."""

    ends: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    more: str = ""

    @property
    def count(self) -> int:
        """Number of attempts."""
        return sum(self.ends.values())

    def told(self) -> str:
        """Return how they ended, in words."""
        ends = ", ".join(f"{number:,} {end}" for end, number in sorted(self.ends.items()))
        ends += f"; {self.more}" if self.more else ""
        return f"{ends}; **{len(self.bad)} failed**" if self.bad else f"{ends}; none failed"


class Campaign(Protocol):
    """The module of a campaign."""

    def run(self, asked: Asked) -> Mapping[str, Tally]:
        """Try, and return what came of it: one row of the table for each name."""


def keep(name: str, seed: int, tallies: Mapping[str, Tally]) -> None:
    """Keep the rows of a campaign; a row replaces the one of the same name and seed."""
    if name in OWN_TABLES:
        return
    rows = Rows(STATE, ("campaign", "what", "seed"))
    for what, tally in tallies.items():
        if tally.count:
            row = {"campaign": name, "what": what, "seed": seed, "count": tally.count}
            rows.add({**row, "found": tally.told(), "failed": tally.bad[:20]})


def write_tables() -> None:
    """Write the table of every campaign that has rows."""
    rows = Rows(STATE, ("campaign", "what", "seed")).all()
    for name in CAMPAIGNS:
        own = [row for row in rows if row["campaign"] == name]
        if own:
            command = f"python -m benchmarks.reliability --only {name}"
            table = [_cells(row) for row in newest(own)]
            write_table(DOCUMENT, f"reliability-{name}", HEADER, table, command=command)


def newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last row of each name."""
    return list({row["what"]: row for row in rows}.values())


def _cells(row: Mapping[str, Any]) -> list[str]:
    count, seed = f"{row['count']:,}", str(row["seed"])
    return [row["what"], count, seed, row["found"], row["date"], row["commit"]]
