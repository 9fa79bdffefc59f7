"""Whether a model that is worse is refused, and one that is better accepted.

    python -m benchmarks.never_worse --runs 100 --time 20     goes on where it stopped
    python -m benchmarks.never_worse --table                  the matrix of the runs so far
    python -m benchmarks.never_worse --fit                    the numbers of the judge

Every run paints a few random cells of an image, some of them wrongly, retrains, and compares the
decision with the true change of AP@.5 on what nobody painted: the rest of that image and the next
one, pooled, as the rest alone is often too few objects to tell. The matrix shows what the judge in
use decides, whose numbers were fitted to earlier runs. Fluorescent nuclei are among the images:
there the parent is good already, so that many retrainings should lose.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.common.annotator import (
    Cell,
    Sheet,
    brushed,
    cells_of,
    free_id,
    paint_cell,
    paint_stroke,
)
from benchmarks.common.domains import DOMAINS, KNOWN, pairs
from benchmarks.common.evaluation import DATA
from benchmarks.common.retraining import Trial
from benchmarks.common.rows import RESULTS, Row, Rows, read_rows
from benchmarks.common.tables import ROOT, TABLE, markdown, write_table
from napari_unet.errors import UNetError
from napari_unet.image import Box
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.models.library import Model, load_model
from napari_unet.models.report import Outcome
from napari_unet.settings import FinetuneSettings
from napari_unet.training.competition.verdict import Compared, verdict

ROWS = RESULTS / "never_worse.jsonl"
KEY = ("run", "parent_sha", "time")
PLACES = (*DOMAINS, KNOWN)
FEWEST, MOST = 4, 20  # painted cells
WRONG = (0.0, 0.0, 0.3, 0.6)  # shares of the cells that are painted wrongly
FAULTS = ("shifted", "merged", "nothing there")
LOSS, GAIN = -0.01, 0.03  # of AP@.5
RIDGE = 0.03  # of the fit
OUTCOMES: tuple[Outcome, ...] = ("accepted", "refused", "preview")


def paint(sheets: Sequence[Sheet], count: int, share: float, random: Generator) -> int:
    """Paint random cells and background; returns how many cells are wrong.

    Parameters
    ----------
    sheets : sequence of Sheet
        Blank ones.
    count : int
        Cells.
    share : float
        Part of them that is wrong.
    random : Generator
        Which cells, and the strokes.
    """
    places = [(s, c) for s in sheets if s.scene.painted_on for c in cells_of(s.scene.truth)]
    chosen = [places[i] for i in random.permutation(len(places))[:count]]
    wrong = round(share * len(chosen))
    for i, (sheet, cell) in enumerate(chosen):
        nothing = np.zeros_like(sheet.scene.truth)
        if i >= len(chosen) - wrong:  # last: a right cell is never cut by a wrong one
            paint_wrongly(sheet, cell, FAULTS[int(random.integers(len(FAULTS)))], random)
        else:
            paint_cell(sheet, cell, nothing, random)
    for sheet in {id(s): s for s, _ in chosen}.values():
        for _ in range(max(1, round(count / 4 / len(sheets)))):
            whole = Box((0, 0), sheet.scene.image.shape)
            paint_stroke(sheet, whole, np.zeros_like(sheet.scene.truth), random)
    return wrong


def paint_wrongly(sheet: Sheet, cell: Cell, fault: str, random: Generator) -> None:
    """Paint a cell beside itself, together with its nearest neighbour, or where nothing is."""
    truth = sheet.scene.truth
    inside = truth == cell.id
    if fault == "merged":
        neighbour = _neighbour(truth, cell)
        inside = ndimage.binary_closing(inside | (truth == neighbour), iterations=3) | inside
        sheet.done.update({cell.id, neighbour} - {0})
    elif fault == "shifted":
        angle = random.uniform(0, 2 * math.pi)
        far = 2 * math.sqrt(inside.sum() / math.pi)
        inside = shifted(inside, round(far * math.sin(angle)), round(far * math.cos(angle)))
        sheet.done.add(cell.id)
    else:
        free = np.argwhere((truth == 0) & (sheet.painted == UNLABELLED))
        y, x = free[int(random.integers(len(free)))] if len(free) else (0, 0)
        inside = shifted(inside, int(y - cell.centre[0]), int(x - cell.centre[1]))
    mask = _drawn(inside, random)
    mask &= (sheet.painted == UNLABELLED) | (sheet.painted == BACKGROUND)
    sheet.painted[mask] = free_id(sheet, 0, np.zeros(1, int))


def _drawn(inside: NDArray[np.bool_], random: Generator) -> NDArray[np.bool_]:
    """Fill a shape with the brush, looking at its surroundings only."""
    mask = np.zeros_like(inside)
    if inside.any():
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box = Box((int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1))
        around = box.grow(4).intersect(Box((0, 0), (inside.shape[0], inside.shape[1])))
        mask[around.slices] = brushed(inside[around.slices], random)
    return mask


def _neighbour(truth: NDArray[np.int32], cell: Cell) -> int:
    """Return the id of the object nearest to a cell, 0 if it is alone."""
    far = ndimage.distance_transform_edt(truth != cell.id)
    others = np.where((truth > 0) & (truth != cell.id), far, np.inf)
    place = int(others.argmin())
    return int(truth.ravel()[place]) if np.isfinite(others.ravel()[place]) else 0


def shifted(mask: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """Move a mask; what leaves the image is cut."""
    moved = np.zeros_like(mask)
    y, x = np.nonzero(mask)
    y, x = y + down, x + right
    kept = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
    moved[y[kept], x[kept]] = True
    return moved


class Trials:
    """Many retrainings of some parents in turn.

    Parameters
    ----------
    parents : sequence of Model
        The models in use.
    data : Path
        Folder of the image sets.
    seconds : float
        Time of each retraining.
    rows : Rows
        Results.
    """

    def __init__(self, parents: Sequence[Model], data: Path, seconds: float, rows: Rows) -> None:
        self.parents, self.seconds, self.rows = parents, seconds, rows
        self.pairs = {domain: pairs(domain, data) for domain in PLACES}

    def run(self, number: int) -> None:
        """Do one retraining, unless its row is there."""
        parent = self.parents[number // len(PLACES) % len(self.parents)]
        key = {"run": number, "parent_sha": parent.sha, "time": self.seconds}
        if self.rows.find(**key) is None:
            row = self.rows.add(key | self._measure(number, parent))
            print(_line(row), flush=True)

    def _measure(self, number: int, parent: Model) -> Row:
        begun = time.perf_counter()
        random = np.random.default_rng([20261122, number])
        domain = PLACES[number % len(PLACES)]
        pair = self.pairs[domain][int(random.integers(len(self.pairs[domain])))]
        trial = Trial.of(pair, parent)
        count, share = int(random.integers(FEWEST, MOST + 1)), float(random.choice(WRONG))
        wrong = paint(trial.sheets, count, share, random)
        row: Row = {"domain": domain, "image": pair.painted.name, "cells": count, "wrong": wrong}
        settings = FinetuneSettings(time_limit=self.seconds, seed=number)
        try:
            row |= trial.run(settings, self.rows.beside / "candidate.safetensors")
        except UNetError as error:
            return row | {"outcome": "error", "sentence": str(error)}
        change = row["all_after"]["0.5"] - row["all_before"]["0.5"]
        return row | {"change": change, "seconds_in_all": round(time.perf_counter() - begun, 1)}


def _line(row: Row) -> str:
    change = f"{row['change']:+.3f}" if "change" in row else row["sentence"]
    return (
        f"run {row['run']} {row['domain']} {row.get('parent', '')} cells {row['cells']} "
        f"wrong {row['wrong']}: {row['outcome']} {change} {row.get('seconds_in_all', 0):.0f} s"
    )


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); 0…1 without anything."""
    if not total:
        return 0.0, 1.0
    z = 1.959964
    middle = (hits + z**2 / 2) / (total + z**2)
    half = z * math.sqrt(hits * (total - hits) / total + z**2 / 4) / (total + z**2)
    return max(0.0, middle - half), min(1.0, middle + half)


def compared(row: Row) -> Compared:
    """What the judge saw in a run."""
    held = row["old"], row["new"]
    pairs = tuple(row["learned"]), tuple(row["steady"])
    return Compared(row["held"], held, row["certainty"], *pairs)


def fitted(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Weights of the gains, and what is added always, that fit the true changes best."""
    gains = np.array([[*compared(row).gains, 1.0] for row in rows])
    changes = np.array([row["change"] for row in rows])
    damped = gains.T @ gains + RIDGE * np.eye(gains.shape[1])
    weights: NDArray[np.float64] = np.linalg.solve(damped, gains.T @ changes)
    return weights


def estimates(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Estimate the change of each run by numbers that are fitted to the runs of all other sets."""
    sets = {row["domain"] for row in rows}
    of_others = {name: fitted([row for row in rows if row["domain"] != name]) for name in sets}
    return np.array([of_others[row["domain"]] @ [*compared(row).gains, 1.0] for row in rows])


def decisions(rows: Sequence[Row]) -> list[Outcome]:
    """Decide about each run as the judge in use does."""
    seen = [compared(row) for row in rows]
    return [verdict(one, one.expected)[0] for one in seen]


def matrix(rows: Sequence[Row]) -> list[list[str]]:
    """Decisions by true change, and the share of accepted ones with its interval."""
    kinds = {
        f"loses more than {-LOSS:g}": lambda c: c < LOSS,
        "between": lambda c: LOSS <= c < GAIN,
        f"gains at least {GAIN:g}": lambda c: c >= GAIN,
    }
    body = []
    pairs = list(zip(rows, decisions(rows), strict=True))
    for name, belongs in kinds.items():
        outcomes = [outcome for row, outcome in pairs if belongs(row["change"])]
        counts = [outcomes.count(outcome) for outcome in OUTCOMES]
        low, high = wilson(counts[0], len(outcomes))
        share = f"{counts[0] / len(outcomes):.2f} ({low:.2f}–{high:.2f})" if outcomes else "–"
        body.append([name, str(len(outcomes)), *map(str, counts), share])
    return body


def newest(rows: Sequence[Row]) -> list[Row]:
    """Keep the rows that came to a verdict, with the time of the last retraining."""
    return [r for r in rows if "change" in r and r["time"] == rows[-1]["time"]]


def show(rows: Sequence[Row], document: Path, *, write: bool) -> None:
    """Print the matrix; put it into the document if it has a place for it."""
    header = ("true change of AP@.5", "runs", *OUTCOMES, "share accepted")
    body = matrix(rows)
    print(f"\n{markdown(header, body)}")
    text = document.read_text(encoding="utf-8") if document.exists() else ""
    if write and rows and any(found["name"] == "never-worse" for found in TABLE.finditer(text)):
        command = "python -m benchmarks.never_worse --table"
        decided = zip(rows, decisions(rows), strict=True)
        gains = [row["change"] for row, outcome in decided if outcome == "accepted"]
        shas = sorted({row["parent_sha"][:12] for row in rows})
        note = (
            f"{len(rows)} retrainings; accepted models change AP@.5 by {np.mean(gains):+.2f} on "
            f"average. sha256 of the parents: {', '.join(shas)}."
        )
        write_table(document, "never-worse", header, body, command=command, note=note)


def show_fit(rows: Sequence[Row]) -> None:
    """Print the numbers of `training.competition.verdict`, and what other thresholds would do."""
    print(f"WEIGHTS, ALWAYS of {len(rows)} runs: {fitted(rows).round(2).tolist()}")
    changes, expected = np.array([row["change"] for row in rows]), estimates(rows)
    body = []
    for sure in np.arange(-0.02, 0.13, 0.01):
        shares = [(expected >= sure)[of].mean() for of in (changes < LOSS, changes >= GAIN)]
        body.append([f"{sure:.2f}", *(f"{share:.2f}" for share in shares)])
    header = ("estimated change from", f"of those below {LOSS}", f"of those from {GAIN}")
    print(markdown(header, body))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--runs", type=int, default=100)
    add("--time", type=float, default=20.0, help="seconds of each retraining")
    add("--parent", nargs="+", default=["nuclei", "cells"], help="models in use: names or paths")
    add("--threads", type=int, default=1)
    add("--data", type=Path, default=DATA, help="folder of the image sets")
    add("--rows", type=Path, default=ROWS, help="file of results")
    add("--fit", action="store_true", help="fit the judge to the rows so far, then stop")
    add("--table", action="store_true", help="show the rows so far, then stop")
    arguments = parser.parse_args()
    if not (arguments.table or arguments.fit):
        torch.set_num_threads(arguments.threads)
        parents = [load_model(name) for name in arguments.parent]
        trials = Trials(parents, arguments.data, arguments.time, Rows(arguments.rows, KEY))
        for number in range(arguments.runs):
            trials.run(number)
    rows = newest(read_rows(arguments.rows))
    if arguments.fit:
        show_fit(rows)
        return
    show(rows, ROOT / "docs" / "retraining.md", write=arguments.rows == ROWS)


if __name__ == "__main__":
    main()
