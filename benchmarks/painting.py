"""How much a model learns from a few painted cells, with a simulated person.

    python -m benchmarks.painting                          everything; stops and goes on
    python -m benchmarks.painting --domain rods --parent cells
    python -m benchmarks.painting --table                  rows so far; writes docs/retraining.md

The person paints random cells in view and some background (see `common/annotator.py`) and retrains.
Scores are of what is not painted on that image, and of the next image of the same kind. Rows go to
benchmarks/results/; a row that is there is not measured again.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.annotator import Annotator
from benchmarks.common.domains import DOMAINS, KNOWN, Pair, pairs
from benchmarks.common.evaluation import DATA
from benchmarks.common.image_sets import Scene, base_scenes
from benchmarks.common.matching import count, match
from benchmarks.common.retraining import Found, Trial
from benchmarks.common.rows import RESULTS, Row, Rows, read_rows
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet.errors import UNetError
from napari_unet.models.library import Model, load_model
from napari_unet.settings import FinetuneSettings

ROWS = RESULTS / "painting.jsonl"
KEY = ("domain", "image", "cells", "seed", "parent_sha", "time")
COMMAND = "python -m benchmarks.painting --table"
HEADER = (
    "images, parent, cells", "before", "after", "in use", "after, AP@.7", "next before",
    "next after", "accepted, preview, refused", "nuclei before", "nuclei after",
)  # fmt: skip


class Known:
    """How models do on images that the bundled one was first trained on: what is forgotten."""

    def __init__(self, data: Path) -> None:
        self._scenes: list[Scene] = base_scenes(data)
        self._scores: dict[str, float] = {}

    def score(self, model: Model) -> float:
        """AP@.5, pooled."""
        if model.sha not in self._scores:
            found = Found(model, self._scenes)
            matchings = [match(scene.truth, found(i)) for i, scene in enumerate(self._scenes)]
            self._scores[model.sha] = round(float(count(matchings, (0.5,)).pooled[0]), 4)
        return self._scores[model.sha]


def measure(pair: Pair, key: Row, parents: Sequence[Model], known: Known, beside: Path) -> Row:
    """Paint, retrain, and score one pair; the row's key says how many cells, and how long.

    The first parent is the model in use; others compete with it.
    """
    parent, *rivals = parents
    begun = time.perf_counter()
    trial = Trial.of(pair, parent)
    annotator = Annotator([sheet.scene for sheet in trial.sheets], "random", key["seed"])
    annotator.paint(key["cells"], trial.first)
    trial.sheets[:] = annotator.sheets
    settings = FinetuneSettings(time_limit=key["time"], seed=key["seed"])
    target = beside / f"{pair.domain}-{pair.painted.name}-{parent.sha[:8]}.safetensors"
    try:
        row = trial.run(settings, target, *rivals)
    except UNetError as error:
        return key | {"outcome": "error", "sentence": str(error)}
    model = load_model(target) if target.exists() else parent
    row |= {"base_before": known.score(parent), "base_after": known.score(model)}
    row["seconds_in_all"] = round(time.perf_counter() - begun, 1)
    row |= {"began_with": row.pop("parent"), "parent": name_of(parents)}
    return key | row | {"threads": torch.get_num_threads()}


def run(arguments: argparse.Namespace) -> None:
    """Measure every pair of the domains asked for."""
    rows, known = Rows(arguments.rows, KEY), Known(arguments.data)
    parents = [load_model(name) for name in arguments.parent]
    sha = " ".join(parent.sha for parent in parents)
    domains = (pairs(domain, arguments.data)[: arguments.pairs] for domain in arguments.domain)
    for pair in (pair for some in domains for pair in some):
        for cells in arguments.cells:
            image, seed, seconds = pair.painted.name, arguments.seed, arguments.time
            values = (pair.domain, image, cells, seed, sha, seconds)
            key = dict(zip(KEY, values, strict=True))
            if rows.find(**key) is None:
                row = rows.add(measure(pair, key, parents, known, rows.beside))
                print(_line(row), flush=True)


def name_of(parents: Sequence[Model]) -> str:
    """Names of models that compete, the one in use first."""
    return " + ".join(parent.card.name for parent in parents)


def _line(row: Row) -> str:
    if row["outcome"] == "error":
        return f"{row['domain']} {row['image']}: {row['sentence']}"
    return (
        f"{row['domain']} {row['image']} {row['began_with']} {row['cells']} cells: "
        f"{row['before']['0.5']:.2f} -> {row['after']['0.5']:.2f} {row['outcome']}, next "
        f"{row['next_before']['0.5']:.2f} -> {row['next_after']['0.5']:.2f}, "
        f"nuclei {row['base_before']:.2f} -> {row['base_after']:.2f}, {row['steps']} steps, "
        f"{row['seconds_in_all']:.0f} s"
    )


# ---- table ---------------------------------------------------------------------------------------


def newest(rows: Sequence[Row]) -> list[Row]:
    """Keep the rows of the last time limit, and of every parent's last weights."""
    usable = [r for r in rows if r["outcome"] != "error"]
    last = {r["parent"]: r["parent_sha"] for r in usable}
    return [
        r
        for r in usable
        if r["parent_sha"] == last[r["parent"]] and r["time"] == usable[-1]["time"]
    ]


def table(rows: Sequence[Row]) -> list[list[str]]:
    """One line for each domain, parent and number of cells, and the mean over foreign domains."""
    body = []
    for parent, cells in dict.fromkeys((r["parent"], r["cells"]) for r in rows):
        mine = [r for r in rows if (r["parent"], r["cells"]) == (parent, cells)]
        for domain in dict.fromkeys(r["domain"] for r in mine):
            those = [r for r in mine if r["domain"] == domain]
            body.append([f"{domain}, {parent}, {cells}", *_cells(those)])
        foreign = [r for r in mine if r["domain"] != KNOWN]
        body.append([f"mean without {KNOWN}, {parent}, {cells}", *_cells(foreign)])
    return body


def in_use(row: Row) -> float:
    """AP@.5 of the model that a person has then; previews are taken if they are better."""
    before, after = row["before"]["0.5"], row["after"]["0.5"]
    taken = row["outcome"] == "accepted" or (row["outcome"] == "preview" and after > before)
    return float(after if taken else before)


def _cells(rows: Sequence[Row]) -> list[str]:
    def mean(values: list[float]) -> str:
        return f"{np.mean(values):.3f}"

    outcomes = [r["outcome"] for r in rows]
    return [
        mean([r["before"]["0.5"] for r in rows]),
        mean([r["after"]["0.5"] for r in rows]),
        mean([in_use(r) for r in rows]),
        mean([r["after"]["0.7"] for r in rows]),
        mean([r["next_before"]["0.5"] for r in rows]),
        mean([r["next_after"]["0.5"] for r in rows]),
        ", ".join(str(outcomes.count(o)) for o in ("accepted", "preview", "refused")),
        mean([r["base_before"] for r in rows]),
        mean([r["base_after"] for r in rows]),
    ]


def show(path: Path, document: Path, *, write: bool) -> None:
    """Print the table of the rows so far; put it into the document."""
    rows = newest(read_rows(path))
    body = table(rows)
    print(markdown(HEADER, body))
    if write and rows:
        shas = sorted({sha[:12] for r in rows for sha in r["parent_sha"].split()})
        alone = all(r["threads"] == 1 for r in rows)
        note = (
            f"AP@.5 but where stated; {rows[-1]['time']:g} s for each retraining"
            f"{', on one thread by its processor seconds' if alone else ''}. "
            f"sha256 of the parents: {', '.join(shas)}."
        )
        write_table(document, "painting", HEADER, body, command=COMMAND, note=note)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--domain", nargs="+", default=[*DOMAINS, KNOWN], choices=(*DOMAINS, KNOWN))
    add("--parent", nargs="+", default=["nuclei"], help="model in use, and those that compete")
    add("--pairs", type=int, default=2, help="of images, of each domain")
    add("--cells", type=int, nargs="+", default=[10], help="how many are painted")
    add("--seed", type=int, default=0)
    add("--time", type=float, default=60.0, help="seconds of one retraining")
    add("--threads", type=int, default=1)
    add("--data", type=Path, default=DATA, help="folder of the image sets")
    add("--rows", type=Path, default=ROWS, help="file of results")
    add("--table", action="store_true", help="print and write the table of the rows, then stop")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.table:
        run(arguments)
    show(arguments.rows, ROOT / "docs" / "retraining.md", write=arguments.rows == ROWS)


if __name__ == "__main__":
    main()
