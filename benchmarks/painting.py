"""How much a model learns from a few painted cells, with a simulated person.

    python -m benchmarks.painting                            everything; hours, stops and goes on
    python -m benchmarks.painting --domain usiigaci --mode worst --seeds 3
    python -m benchmarks.painting --method forest scratch    beside it, on the same strokes
    python -m benchmarks.painting --method full              what full training reaches
    python -m benchmarks.painting --table                    rows so far; writes docs/retraining.md

The person segments, paints cells and background (see `common/annotator.py`), retrains from the
parent with all corrections so far, and goes on with the model that is then in use. Scores are of
what is not painted (see `common/retraining.py`). Rows go to benchmarks/results/; a row that is
there is not measured again. `--limit 1 --time 6` is a quick look with its own file of rows.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.common.annotator import MODES
from benchmarks.common.evaluation import DATA
from benchmarks.common.image_sets import DOMAINS, scenes
from benchmarks.common.retraining import Found
from benchmarks.common.rows import RESULTS, Row, Rows, read_rows
from benchmarks.common.session import KEY, Base, Session, Setting, can_suggest
from benchmarks.common.tables import ROOT, TABLE, markdown, write_table
from napari_unet.models.library import load_model

ROWS = RESULTS / "painting.jsonl"
METHODS = ("retrain", "forest", "scratch", "full")
CELLS = (0, 2, 5, 10, 20, 50)
COMMAND = "python -m benchmarks.painting --table"
Series = list[tuple[str, Callable[[Row], float | None], str]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--domain", nargs="+", default=list(DOMAINS), choices=DOMAINS)
    add("--mode", nargs="+", choices=MODES, help="default: all on usiigaci, worst on the others")
    add("--seeds", type=int, default=3, help="how many")
    add("--cells", type=int, nargs="+", default=list(CELLS), help="after how many to retrain")
    add("--time", type=float, default=60.0, help="seconds of one retraining")
    add("--full-time", type=float, default=600.0, help="seconds of the full training")
    add("--method", nargs="+", default=["retrain"], choices=METHODS)
    add("--parent", default="nuclei", help="model to begin with: name or path")
    add("--parent-other", help="for the domain other: a model trained without such images")
    add("--data", type=Path, default=DATA, help="folder of the image sets")
    add("--rows", type=Path, help="file of results")
    add("--limit", type=int, help="images of each domain, for a quick look")
    add("--table", action="store_true", help="print and write the tables of the rows, then stop")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace, rows: Rows) -> list[Setting]:
    """Open the domains asked for."""
    base = Base(arguments.data, arguments.limit)
    made = []
    for domain in arguments.domain:
        special = arguments.parent_other if domain == "other" else None
        made.append(
            Setting(
                domain=domain,
                scenes=scenes(domain, arguments.data, arguments.limit),
                parent=load_model(special or arguments.parent),
                time=arguments.time,
                full_time=arguments.full_time,
                cells=tuple(sorted(arguments.cells)),
                data=arguments.data,
                rows=rows,
                base=base,
            )
        )
    return made


def _modes(domain: str, asked: Sequence[str] | None) -> list[str]:
    modes = list(asked or (MODES if domain == "usiigaci" else MODES[:1]))
    if "suggested" in modes and not can_suggest():
        print(f"{domain}: this version suggests no uncertain regions, so that mode is left out")
        modes.remove("suggested")
    return modes


# ---- tables of the rows so far -------------------------------------------------------------------


def show_tables(path: Path, document: Path, *, write: bool) -> None:
    """Print the tables; put them into the document where it has a place for them."""
    rows = newest(read_rows(path))
    tables = {"painting": scores, "painting-cost": costs, "painting-suggested": suggestions}
    places = set()
    if document.exists():
        places = {found["name"] for found in TABLE.finditer(document.read_text(encoding="utf-8"))}
    for name, make in tables.items():
        header, body = make(rows)
        if not body:
            continue
        print(f"\n{name}\n{markdown(header, body)}")
        if write and name in places:
            write_table(document, name, header, body, command=COMMAND, note=_note(rows))
        elif write:
            print(f"{document.name} has no place marked <!-- table: {name} -->, so it stays as is")


def newest(rows: Sequence[Row]) -> list[Row]:
    """Of every domain, keep the rows with the parent and time of the last retraining."""
    last = {r["domain"]: (r["parent_sha"], r["time"]) for r in rows if r["method"] == "retrain"}
    return [
        r
        for r in rows
        if r["domain"] in last
        and r["parent_sha"] == last[r["domain"]][0]
        and (r["method"] == "full" or r["time"] == last[r["domain"]][1])
    ]


def _note(rows: Sequence[Row]) -> str:
    seeds = len({r["seed"] for r in rows})
    commits = ", ".join(sorted({r["commit"] for r in rows}))
    parents: dict[str, set[str]] = {}
    for row in rows:
        parents.setdefault(row["parent_sha"][:12], set()).add(row["domain"])
    models = "; ".join(f"{', '.join(sorted(d))}: {sha}" for sha, d in sorted(parents.items()))
    times = ", ".join(sorted({f"{r['time']:g}" for r in rows if r["method"] != "full"}))
    alone = [r for r in rows if r.get("threads") == 1]
    threads = f"{len(alone)} of {len(rows)} rows on one thread, by its processor's seconds"
    return (
        f"Mean of {seeds} seeds (lowest–highest); {times} s for each retraining, {threads}. "
        f"Measured at commit {commits}. sha256 of the parents: {models}."
    )


# ---- AP on the rest ------------------------------------------------------------------------------


def scores(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """AP@.5 on what is not painted, by number of cells."""
    cells = sorted({r["k"] for r in rows})
    full = {_session(r): r["ap"]["0.5"] for r in rows if r["method"] == "full"}

    def gap(row: Row) -> float | None:
        most, least = full.get(_session(row)), row["ap_parent"]["0.5"]
        if most is None or most <= least + 0.01:
            return None
        return float((row["ap"]["0.5"] - least) / (most - least))

    series: Series = [
        ("parent", lambda r: r["ap_parent"]["0.5"], "retrain"),
        ("new model", lambda r: r["ap"]["0.5"], "retrain"),
        ("model in use", lambda r: r.get("ap_active", r["ap"])["0.5"], "retrain"),
        ("in use, previews taken if better", lambda r: _chosen(r)["0.5"], "retrain"),
        ("gap closed by the new model", gap, "retrain"),
        ("new model, AP@.7", lambda r: r["ap"]["0.7"], "retrain"),
        ("new model, AP@.8", lambda r: r["ap"]["0.8"], "retrain"),
        ("random forest", lambda r: r["ap"]["0.5"], "forest"),
        ("U-Net from scratch", lambda r: r["ap"]["0.5"], "scratch"),
        ("fully trained", lambda r: r["ap"]["0.5"], "full"),
    ]
    body = []
    for domain, mode in _pairs(rows):
        for what, value, method in series:
            mine = _of(rows, domain, mode, method)
            found = [_spread([value(r) for r in mine if r["k"] == k]) for k in cells]
            if any(found):
                body.append([f"{domain}, {mode}, {what}", *(f or "–" for f in found)])
    return ["AP@.5 after cells", *map(str, cells)], body


def _chosen(row: Row) -> Row:
    chosen: Row = row.get("ap_chosen") or row.get("ap_active") or row["ap"]
    return chosen


def _session(row: Row) -> tuple[str, str, int, int]:
    return row["domain"], row["mode"], row["seed"], row["k"]


def _pairs(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["domain"], r["mode"]) for r in rows))


def _of(rows: Iterable[Row], domain: str, mode: str, method: str) -> list[Row]:
    wanted = domain, mode, method
    return [r for r in rows if (r["domain"], r["mode"], r["method"]) == wanted]


def _spread(values: Sequence[float | None], decimals: int = 3) -> str:
    """Mean and range; empty without values."""
    known = [v for v in values if v is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    return f"{np.mean(known):.{decimals}f} ({low:.{decimals - 1}f}–{high:.{decimals - 1}f})"


# ---- what it costs -------------------------------------------------------------------------------


def costs(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Seconds, outcomes, and AP@.5 on images of the first training."""
    header = ["domain, mode, cells", "accepted", "preview", "refused", "s", "steps",
              "held-out old", "held-out new", "base AP@.5 before", "base AP@.5 after"]  # fmt: skip
    body = []
    for domain, mode in _pairs(rows):
        mine = [r for r in _of(rows, domain, mode, "retrain") if r["k"] and "base" in r]
        for k in sorted({r["k"] for r in mine}):
            those = [r for r in mine if r["k"] == k]
            outcomes = [r["outcome"] for r in those]
            counts = [str(outcomes.count(o)) for o in ("accepted", "preview", "refused")]
            names = ("seconds", "steps", "held_old", "held_new", "base_parent", "base")
            means = [f"{np.mean([r[n] for r in those]):.{0 if n in names[:2] else 3}f}"
                     for n in names]  # fmt: skip
            body.append([f"{domain}, {mode}, {k}", *counts, *means])
    return header, body


# ---- suggested against random --------------------------------------------------------------------


def suggestions(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """How many suggested cells give what random ones give."""
    header = ["random cells", "AP@.5", "suggested cells", "share"]
    random, suggested = (_curve(rows, mode) for mode in ("random", "suggested"))
    body = []
    for k, ap in random:
        needed = cells_for(suggested, ap) if k >= 5 and suggested else None
        if needed is not None:
            shown = f"{needed:.0f}" if np.isfinite(needed) else "more than measured"
            share = f"{needed / k:.2f}" if np.isfinite(needed) else "–"
            body.append([str(k), f"{ap:.3f}", shown, share])
    return header, body


def _curve(rows: Sequence[Row], mode: str) -> list[tuple[int, float]]:
    """Mean AP@.5 of the new model on usiigaci by number of cells."""
    mine = _of(rows, "usiigaci", mode, "retrain")
    cells = sorted({r["k"] for r in mine})
    return [(k, float(np.mean([r["ap"]["0.5"] for r in mine if r["k"] == k]))) for k in cells]


def cells_for(curve: Sequence[tuple[int, float]], ap: float) -> float:
    """Cells after which a curve first reaches an AP, straight lines between; infinite if never."""
    for (k0, low), (k1, high) in pairwise(curve):
        if low < ap <= high:
            return k0 + (k1 - k0) * (ap - low) / (high - low)
        if ap <= low:
            return float(k0)
    return float("inf")


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    name = f"painting-limit{arguments.limit}.jsonl" if arguments.limit else ROWS.name
    path = arguments.rows or ROWS.with_name(name)
    if arguments.table:
        show_tables(path, ROOT / "docs" / "retraining.md", write=path == ROWS)
        return
    rows = Rows(path, KEY)
    settings = _settings(arguments, rows)
    firsts = [Found(setting.parent, setting.scenes) for setting in settings]
    for seed in range(arguments.seeds):
        for setting, first in zip(settings, firsts, strict=True):
            for mode in _modes(setting.domain, arguments.mode):
                session = Session(setting, mode, seed, first)
                if "retrain" in arguments.method:
                    session.run()
                for method in METHODS[1:]:
                    if method in arguments.method:
                        session.beside(method)


if __name__ == "__main__":
    main()
