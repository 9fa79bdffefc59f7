"""What `cells` finds in images of a laboratory that it never saw: each source is left out once.

    python -m benchmarks.left_out                  trains and measures; stops and goes on
    python -m benchmarks.left_out --table          rows so far; writes docs/accuracy.md

Short trainings from random weights, all equally long: one with every source, and one without each.
The difference on a source's validation images is what a new laboratory costs. One more has every
source and no channel of nuclei: it says what the channel costs where it is empty. The diameter is
given, as it is what networks learn that is compared.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.cells import held_out
from benchmarks.common.evaluation import DATA, DOCUMENT, evaluate
from benchmarks.common.matching import count
from benchmarks.common.rows import RESULTS, Row, Rows
from benchmarks.common.tables import ROOT, markdown, write_table
from benchmarks.common.trainings import trained
from napari_unet.models.library import load_model
from scripts.base_recipe import CELLS

ROWS = RESULTS / "left_out.jsonl"
KEY = ("without", "minutes", "limit")
EVERY = "nothing"  # is left out
CHANNEL = "the channel of nuclei"
# Source to the groups of the recipe; its validation sets begin with its name.
SOURCES = {
    "dsb2018": ("fluo", "colour", "brightfield_grey"),
    **{name: (name,) for name in ("sbsst265", "tnbc", "nuinsseg", "usiigaci", "cell_aap")},
    **{name: (name,) for name in ("zo1_mdck", "cellsium_bacteria")},
}
MINUTES = 9.0  # of one core for each training
THRESHOLDS = (0.5, 0.7, 0.8)
COMMAND = "python -m benchmarks.left_out --table"
HEADER = (
    "source", "images", "trained on it: AP .5 .7 .8", "left out: AP .5 .7 .8",
    "trained on it, without the channel of nuclei",
)  # fmt: skip


def shares_without(source: str) -> dict[str, float]:
    """Shares of the groups when a source is left out; together 1, as before."""
    gone = SOURCES.get(source, ())
    left = {group: 0.0 if group in gone else share for group, share in CELLS.shares.items()}
    total = sum(left.values())
    return {group: share / total for group, share in left.items()}


def train(source: str, minutes: float, data: Path, runs: Path) -> Path:
    """Train without a source, or find it trained; returns the model's file."""
    name = source.replace(" ", "-")
    model = runs / f"left-out-{name}-{minutes:g}min" / "cells.safetensors"
    knobs = {"shares": shares_without(source), "minutes": minutes}
    if source == CHANNEL:
        knobs["nuclei"] = False
    return trained("cells", model, knobs, data)


def measure(model: Path, data: Path, limit: int | None) -> Row:
    """AP by threshold of each source's validation images, pooled."""
    with TemporaryDirectory() as folder:
        chosen = [s for s in held_out(data, Path(folder), limit) if s.diameter() is not None]
        outcomes = evaluate(chosen, load_model(str(model)), true_size=True)
    scores = {}
    for source in SOURCES:
        mine = [o.matching for o in outcomes if o.sample.group.startswith(source)]
        scores[source] = {"images": len(mine), "ap": count(mine, THRESHOLDS).pooled.tolist()}
    return {"scores": scores}


def table(rows: Sequence[Row]) -> list[list[str]]:
    """One line for each source that was left out, and their mean."""
    of = {row["without"]: row["scores"] for row in rows}
    body, all_scores = [], []
    for source in (s for s in SOURCES if {s, EVERY} <= of.keys()):
        trainings = [EVERY, source, *([CHANNEL] if CHANNEL in of else [])]
        scores = [of[without][source]["ap"] for without in trainings]
        all_scores.append(scores)
        body.append([source, str(of[EVERY][source]["images"]), *map(_shown, scores)])
    if body:
        body.append(["mean", "", *map(_shown, np.mean(all_scores, axis=0))])
    return [row + [""] * (len(HEADER) - len(row)) for row in body]


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=MINUTES, help="of one core, of each training")
    add("--limit", type=int, default=5, help="images of each set")
    add("--data", type=Path, default=DATA, help="folder of the image sets")
    add("--runs", type=Path, default=ROOT / "runs", help="folder of trainings and samples")
    add("--rows", type=Path, default=ROWS, help="file of results")
    add("--table", action="store_true", help="print and write the table of the rows, then stop")
    options = parser.parse_args()
    rows = Rows(options.rows, KEY)
    for source in () if options.table else (EVERY, CHANNEL, *SOURCES):
        key = dict(zip(KEY, (source, options.minutes, options.limit), strict=True))
        if rows.find(**key) is None:
            model = train(source, options.minutes, options.data, options.runs)
            rows.add(key | measure(model, options.data, options.limit))
    body = table(rows.all())
    print(markdown(HEADER, body))
    if options.rows == ROWS and body:
        note = f"{options.minutes:g} minutes of one core for each training."
        write_table(DOCUMENT, "left-out", HEADER, body, command=COMMAND, note=note)


if __name__ == "__main__":
    main()
