r"""Tables in docs that benchmarks write, and figures in prose that are taken from them.

A table lives between two markers in a Markdown file, and only its benchmark writes there::

    <!-- table: accuracy-val -->
    | set | images | 0.5 |
    |---|---|---|
    | mnfinder val, pooled | 3 | 0.912 (0.880–0.930) |
    <!-- /table -->

A figure in the README or in docs names the table, the row (its first cell) and the column::

    AP <!-- figure: accuracy-val / mnfinder val, pooled / 0.5 -->0.91<!-- /figure -->

It must be the first number in that cell, rounded to the decimals that are shown.
``python -m benchmarks.common.tables`` lists the figures that differ; ``--update`` writes them anew.
"""

import argparse
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil

from napari_unet.inference.batchnorm_folding import computes_bfloat16

ROOT = Path(__file__).resolve().parents[2]
TABLE = re.compile(r"<!-- table: (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- /table -->", re.DOTALL)
FIGURE = re.compile(
    r"(?P<before><!-- figure: (?P<name>[\w-]+) / (?P<row>[^/]+?) / (?P<column>[^/]+?) -->)"
    r"(?P<shown>.*?)(?P<after><!-- /figure -->)"
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
Cells = Mapping[tuple[str, str], str]
"""Cell of a table for its row (first cell) and column (header)."""


def processor_name() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def write_table(
    path: Path,
    name: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    command: str,
    note: str = "",
) -> None:
    """Put a table between its markers in a Markdown file.

    Parameters
    ----------
    path : Path
        The file; the markers must be there already.
    name : str
        The table's name in the markers.
    header, rows : sequence of str
        Cells; the first cell of a row is its name and occurs once.
    command : str
        What to type to get this table.
    note : str, optional
        More about the run, such as the model.

    Raises
    ------
    ValueError
        If the file has no such markers, or the rows do not fit the header.
    """
    names = [row[0] for row in rows]
    if any(len(row) != len(header) for row in rows) or len(set(names)) != len(names):
        raise ValueError(f"table {name}: rows must have {len(header)} cells and different names")
    body = f"{markdown(header, rows)}\n{provenance(command, note)}\n"
    places = 0

    def fill(found: re.Match[str]) -> str:
        nonlocal places
        if found["name"] != name:
            return found[0]
        places += 1
        return f"<!-- table: {name} -->\n{body}<!-- /table -->"

    text = TABLE.sub(fill, path.read_text(encoding="utf-8"))
    if places != 1:
        raise ValueError(f"{path.name} must have one place marked <!-- table: {name} -->")
    path.write_text(text, encoding="utf-8")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def provenance(command: str, note: str = "") -> str:
    """Say how, when and where a table was measured."""
    more = f" {note}" if note else ""
    return f"`{command}`, {date.today().isoformat()}, commit {commit()}, {machine()}.{more}"


def commit() -> str:
    """Return the commit measured; marked where tracked files were changed since."""
    if not (ROOT / ".git").exists():
        return "unknown"
    name = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks")
    return f"{name} with local changes" if changed else name


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """Return processor, cores and memory; whether it multiplies bfloat16 decides many times."""
    memory = psutil.virtual_memory().total / 2**30
    name = processor_name()
    if not computes_bfloat16():
        name += " without bfloat16"
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"


# ---- figures -----------------------------------------------------------------------------------


def documents(root: Path = ROOT) -> list[Path]:
    """Return the Markdown files that may hold tables and figures."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])


def read_tables(paths: Sequence[Path]) -> dict[str, Cells]:
    """Return the cells of every table between markers, by the table's name."""
    tables: dict[str, Cells] = {}
    for path in paths:
        for found in TABLE.finditer(path.read_text(encoding="utf-8")):
            if found["name"] in tables:
                raise ValueError(f"two tables are called {found['name']}")
            tables[found["name"]] = _cells(found["body"])
    return tables


def _cells(body: str) -> Cells:
    lines = [line for line in body.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    if not rows:
        return {}
    header, *content = [row for i, row in enumerate(rows) if i != 1]
    return {(r[0], h): cell for r in content for h, cell in zip(header, r, strict=True)}


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that is not what its table says.

    Attributes
    ----------
    where : str
        File, and the figure's address in the tables.
    shown : str
        What the text says.
    expected : str or None
        What the table says; None if there is no such table, row, column or number.
    """

    where: str
    shown: str
    expected: str | None


def differences(paths: Sequence[Path]) -> list[Difference]:
    """Return every figure in the files that differs from the tables in them."""
    tables, wrong = read_tables(paths), []
    for path in paths:
        for found in FIGURE.finditer(path.read_text(encoding="utf-8")):
            expected = _expected(found, tables)
            if found["shown"] != expected:
                address = " / ".join((found["name"], found["row"], found["column"]))
                wrong.append(Difference(f"{path.name}: {address}", found["shown"], expected))
    return wrong


def update(paths: Sequence[Path]) -> None:
    """Write every figure anew, with the decimals it has; what no table has stays."""
    tables = read_tables(paths)

    def fill(found: re.Match[str]) -> str:
        value = _expected(found, tables)
        shown = found["shown"] if value is None else value
        return f"{found['before']}{shown}{found['after']}"

    for path in paths:
        text = path.read_text(encoding="utf-8")
        anew = FIGURE.sub(fill, text)
        if anew != text:
            path.write_text(anew, encoding="utf-8")


def _expected(found: re.Match[str], tables: Mapping[str, Cells]) -> str | None:
    """First number of the cell that a figure names, with as many decimals as are shown."""
    cell = tables.get(found["name"], {}).get((found["row"], found["column"]), "")
    number = NUMBER.search(cell)
    if number is None:
        return None
    shown, decimals = found["shown"], len(number[0].partition(".")[2])
    if NUMBER.fullmatch(shown):
        decimals = min(decimals, len(shown.partition(".")[2]))
    return f"{float(number[0]):.{decimals}f}"


def main() -> int:
    """Compare the figures with the tables; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare figures in prose with the tables.")
    parser.add_argument("--update", action="store_true", help="write the figures anew")
    if parser.parse_args().update:
        update(documents())
    wrong = differences(documents())
    for item in wrong:
        print(f"{item.where}: text {item.shown!r}, table {item.expected!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
