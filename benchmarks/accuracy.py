"""Accuracy of a model on images with ground truth, as a person gets it from `segment(image)`.

    python -m benchmarks.accuracy                       validation sets; writes docs/accuracy.md
    python -m benchmarks.accuracy --test                and the test set: once for each release
    python -m benchmarks.accuracy --cells               whole cells in phase contrast, cells-phase
    python -m benchmarks.accuracy --tune                choose the decoding on the validation sets
    python -m benchmarks.accuracy --picture             outlines drawn on images, nothing measured
    python -m benchmarks.accuracy --worst               the worst images, drawn and counted
    python -m benchmarks.accuracy --chosen              which model an image gets by itself
    python -m benchmarks.accuracy --cards               the models' cards; writes docs/models.md

`--limit 2 --dry` looks at a few images and writes nothing.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common.evaluation import (
    DOCUMENT,
    Outcome,
    by_look,
    by_set,
    evaluate,
    options_for,
    table_rows,
    weights_sha,
)
from benchmarks.common.image_sets import CELLS, Sample, cell_samples, samples, training_cells
from benchmarks.common.matching import THRESHOLDS, count
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.models.card import describe
from napari_unet.models.library import Model, bundled_models, load_model
from napari_unet.planning.model_selection import best_model
from napari_unet.planning.planner import Where
from napari_unet.segmentation import Notes
from napari_unet.settings import DecodeSettings, SegmentSettings

CARDS = ROOT / "docs" / "models.md"
MEASURES = ("measure", "value")
FAULTS = ("number", "set", "AP 0.5", "true", "found", "merged", "split", "missed", "invented")
HEADER = ("set", "images", "objects", *(str(t) for t in THRESHOLDS), "s per megapixel")


def scores(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Pooled AP by set and threshold, for a model's card."""
    return {
        f"{name} AP@{threshold}": round(float(value), 4)
        for name, members in by_set(outcomes).items()
        for threshold, value in zip(
            THRESHOLDS, count([o.matching for o in members]).pooled, strict=True
        )
    }


@dataclass(frozen=True, slots=True)
class Report:
    """Where results go.

    Attributes
    ----------
    model : Model
        What is measured.
    command : str
        What was typed.
    write : bool
        Whether the tables in docs are replaced.
    """

    model: Model
    command: str
    write: bool

    def table(
        self,
        name: str,
        outcomes: Sequence[Outcome],
        groups: dict[str, list[Outcome]] | None = None,
    ) -> None:
        """Print a table, and put it into the document; default groups are the sets."""
        rows = table_rows(groups or by_set(outcomes))
        print(f"\n{name}\n{markdown(HEADER, rows)}", flush=True)
        if self.write:
            note = (
                f"Model `{self.model.card.name}`, sha256 of its weights {weights_sha(self.model)}."
            )
            write_table(DOCUMENT, name, HEADER, rows, command=self.command, note=note)


def measure(arguments: argparse.Namespace, report: Report, decode: DecodeSettings | None) -> None:
    """Evaluate the splits asked for and report them."""
    settings = SegmentSettings(decode=decode)
    val = [s for s in samples(arguments.data, "val", arguments.limit) if _wanted(s, arguments.sets)]
    outcomes = evaluate(val, report.model, settings)
    report.table("accuracy-val", outcomes)
    report.table("accuracy-val-looks", outcomes, by_look(outcomes))
    report.table("accuracy-val-diameter", evaluate(val, report.model, settings, true_size=True))
    if arguments.test:
        test = samples(arguments.data, "test", arguments.limit)
        tested = evaluate(test, report.model, settings)
        report.table("accuracy-test", tested)
        outcomes += tested
    if arguments.scores:
        arguments.scores.parent.mkdir(parents=True, exist_ok=True)
        arguments.scores.write_text(json.dumps(scores(outcomes), indent=1) + "\n")
        print(f"wrote {arguments.scores}")


def measure_cells(arguments: argparse.Namespace, report: Report) -> None:
    """Evaluate whole cells, with the U-Net paper's measure beside AP (table 2 there)."""
    outcomes = evaluate(cell_samples(arguments.data, arguments.limit), report.model)
    trained = evaluate(training_cells(arguments.data, arguments.limit), report.model)
    report.table("accuracy-cells", [*outcomes, *trained])
    overlaps = np.concatenate([o.matching.iou for o in outcomes])
    true = sum(o.matching.true for o in outcomes)
    rows = [
        ["mean IoU of the cells that were found", f"{overlaps[overlaps > 0].mean():.3f}"],
        ["mean IoU of all true cells, 0 where none was found", f"{overlaps.sum() / true:.3f}"],
    ]
    print(markdown(MEASURES, rows))
    if report.write:
        write_table(DOCUMENT, "accuracy-cells-iou", MEASURES, rows, command=report.command)
    if arguments.scores:
        found = scores(outcomes) | {f"usiigaci val {name}": float(v) for name, v in rows}
        arguments.scores.write_text(json.dumps(found, indent=1) + "\n")


def measure_worst(arguments: argparse.Namespace, model: Model, *, write: bool) -> None:
    """Draw and count the images that went worst."""
    from benchmarks.common.pictures import draw_worst

    rows = draw_worst(samples(arguments.data, "val", arguments.limit), model, write=write)
    print(markdown(FAULTS, rows))
    if write:
        command = "python -m benchmarks.accuracy --worst"
        write_table(DOCUMENT, "accuracy-worst", FAULTS, rows, command=command)


def measure_chosen(arguments: argparse.Namespace, *, write: bool) -> None:
    """Count which model an image gets where nobody chose one; print those that get a wrong one.

    Whole cells in phase contrast should get `cells-phase`, all others `nuclei`.
    """
    models = sorted(bundled_models(), key=lambda model: model.card.name != "nuclei")
    data, limit = arguments.data, arguments.limit
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as folder:
        for sample in [*samples(data, "val", limit), *cell_samples(data, limit)]:
            name = _chosen(sample, models, Path(folder))
            found.setdefault(sample.group, []).append(name)
            if name != ("cells-phase" if sample.group == CELLS else "nuclei"):
                print(sample.group, sample.image_path.name, name, flush=True)
    names = [model.card.name for model in models]
    rows = [[g, str(len(n)), *(str(n.count(one)) for one in names)] for g, n in found.items()]
    header = ("set", "images", *(f"{name} chosen" for name in names))
    print(markdown(header, rows))
    if write:
        command = "python -m benchmarks.accuracy --chosen"
        write_table(DOCUMENT, "chosen", header, rows, command=command)


def _chosen(sample: Sample, models: list[Model], folder: Path) -> str:
    """Name of the model that an image gets."""
    events = best_model(sample.image(), models, ThreadExecutor(), Where(), folder / "maps")
    return Notes().follow(events).card.name


def write_cards() -> None:
    """Write what the card of each bundled model says into docs."""
    header, command = ("field", "what the card says"), "python -m benchmarks.accuracy --cards"
    for model in bundled_models():
        scores = "; ".join(f"{k} {v:.3g}" for k, v in model.card.scores.items())
        rows = [[title, text.replace("|", "/")] for title, text in describe(model.card)]
        rows = [row for row in rows if row[0] not in ("Scores", "Recipe")]
        rows += [["All scores", scores], ["sha256", model.sha]]
        rows.append(["Recipe", f"`{json.dumps(model.card.recipe)}`"])
        write_table(CARDS, f"card-{model.card.name}", header, rows, command=command)


def tune_decoding(arguments: argparse.Namespace, model: Model) -> None:
    """Choose the thresholds of a model on validation images, and write them as JSON."""
    from benchmarks.common.tuning import tune

    limit = arguments.limit
    val = cell_samples(arguments.data, limit) if arguments.cells else None
    val = val or samples(arguments.data, "val", limit)
    tune(val, model, arguments.decode or ROOT / "runs" / model.card.name / "decode.json")


def _wanted(sample: Sample, sets: Sequence[str]) -> bool:
    return not sets or any(name in sample.group for name in sets)


def _arguments() -> argparse.Namespace:
    parser = options_for(__doc__)
    add = parser.add_argument
    add("--model", help="name in the library, or path of a model file")
    add("--cells", action="store_true", help="whole cells in phase contrast instead of nuclei")
    add("--sets", nargs="*", default=[], help="words of validation sets, such as fluo mnfinder")
    add("--test", action="store_true", help="measure the test set too")
    add("--tune", action="store_true", help="choose the decoding, then stop")
    add("--decode", type=Path, help="JSON with the decoding; with --tune, where to write it")
    add("--scores", type=Path, help="JSON to write for the model card")
    add("--picture", nargs="?", const=ROOT / "docs" / "predictions.png", type=Path)
    add("--worst", action="store_true", help="draw and count the images that went worst, then stop")
    add("--chosen", action="store_true", help="count which model images get, then stop")
    add("--cards", action="store_true", help="write the models' cards into docs, then stop")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    part = (arguments.sets, arguments.limit, arguments.decode, arguments.dry, arguments.model)
    write = not any(part)
    if arguments.cards:
        write_cards()
    elif arguments.chosen:
        measure_chosen(arguments, write=write)
    else:
        model = load_model(arguments.model or ("cells-phase" if arguments.cells else "nuclei"))
        _look_at(arguments, model, write=write)


def _look_at(arguments: argparse.Namespace, model: Model, *, write: bool) -> None:
    """Measure one model, or draw what it finds."""
    command = "python -m benchmarks.accuracy" + (" --test" if arguments.test else "")
    decode = None
    if arguments.decode and not arguments.tune:
        decode = DecodeSettings.model_validate_json(arguments.decode.read_text())
    if arguments.tune:
        tune_decoding(arguments, model)
    elif arguments.picture:
        from benchmarks.common.pictures import draw

        draw(arguments.data, model, decode, arguments.picture)
    elif arguments.worst:
        measure_worst(arguments, model, write=write)
    elif arguments.cells:
        measure_cells(arguments, Report(model, f"{command} --cells", write=write))
    else:
        measure(arguments, Report(model, command, write=write), decode)


if __name__ == "__main__":
    main()
