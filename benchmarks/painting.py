"""How much a model learns from a few painted cells, with a simulated person.

    python -m benchmarks.painting                            everything; hours, stops and goes on
    python -m benchmarks.painting --domain usiigaci --mode worst --seeds 3
    python -m benchmarks.painting --method forest scratch    beside it, on the same strokes
    python -m benchmarks.painting --method full              what full training reaches
    python -m benchmarks.painting --table                    rows so far; writes docs/retraining.md

The person segments, paints cells and background (see `benchmarks.annotator`), retrains from the
parent with all corrections so far, and goes on with the model that is then in use. Scores are of
what is not painted (see `benchmarks.remaining`). Rows go to benchmarks/results/; a row that is
there is not measured again. `--limit 1 --time 6` is a quick look with its own file of rows.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.annotator import MODES
from benchmarks.painting_session import KEY, Base, Session, Setting, can_suggest
from benchmarks.painting_tables import show_tables
from benchmarks.rows import RESULTS, Rows
from benchmarks.scenes import DOMAINS, scenes
from benchmarks.tables import ROOT
from benchmarks.teaching import Found
from napari_unet.models.library import load_model

DATA = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
ROWS = RESULTS / "painting.jsonl"
METHODS = ("retrain", "forest", "scratch", "full")
CELLS = (0, 2, 5, 10, 20, 50)


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
        print(f"{domain}: no spots are suggested by this version, so that mode is left out")
        modes.remove("suggested")
    return modes


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
