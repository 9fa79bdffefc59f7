"""A file of results, one JSON object a line, so that a run that was stopped goes on later."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.common.tables import ROOT, commit

Row = dict[str, Any]
RESULTS = ROOT / "benchmarks" / "results"


class Rows:
    """Rows on disk; each has a key that occurs once.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet. A line that was cut off is left out.
    key : sequence of str
        Fields that tell rows apart.
    """

    def __init__(self, path: Path, key: Sequence[str]) -> None:
        self.path, self.key = path, tuple(key)
        self._commit = commit()
        self._rows: dict[tuple[Any, ...], Row] = {}
        for row in read_rows(path):
            self._rows[self._key(row)] = row

    @property
    def beside(self) -> Path:
        """Folder for paint and models; those of the rows that are kept are left out of git."""
        if self.path.parent == RESULTS:
            return ROOT / "runs" / self.path.stem
        return self.path.with_suffix("")

    def _key(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in self.key)

    def all(self) -> list[Row]:
        """Return every row, the newest of each key."""
        return list(self._rows.values())

    def find(self, **fields: Any) -> Row | None:
        """Return the row with this key, if there is one."""
        return self._rows.get(self._key(fields))

    def add(self, row: Row) -> Row:
        """Append a row, with commit and date, and see that it is on disk."""
        row = {**row, "commit": self._commit, "date": date.today().isoformat()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self.path.read_bytes() if self.path.exists() else b""
        cut = bool(before) and not before.endswith(b"\n")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(("\n" if cut else "") + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._rows[self._key(row)] = row
        return row


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file, oldest first; none if there is no file."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # the machine stopped while this line was written
            continue
    return rows
