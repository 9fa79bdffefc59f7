"""What bfloat16 with folded BatchNorm changes against float32 as the network was trained.

    python -m benchmarks.precision            writes the table in docs/performance.md
    python -m benchmarks.precision --limit 3 --dry

Validation images, every one segmented twice, with nothing else changed. *Flips* are pixels of the
network's grid whose most probable class is another one.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.accuracy import evaluate, options_for
from benchmarks.image_sets import Sample, samples
from benchmarks.matching import THRESHOLDS, bootstrap, count
from benchmarks.plain import grey, zoomed
from benchmarks.tables import ROOT, markdown, write_table
from napari_unet.image import Box
from napari_unet.inference.predict import Predictor
from napari_unet.models.library import Model, load_model
from napari_unet.settings import SegmentSettings

DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("set", "images", *(f"change of AP {t}" for t in THRESHOLDS), "flips")
PRECISIONS = ("float32", "bfloat16")


def flips(sample: Sample, model: Model, predictors: Sequence[Predictor]) -> tuple[int, int]:
    """Pixels whose class differs, and all pixels."""
    image = grey(sample.image(), bright_objects=model.card.polarity == "bright")
    zoom, grid = (
        model.card.zoom(sample.diameter() or model.card.object_diameter),
        model.card.spec.divisor,
    )
    shape = (round(image.shape[0] * zoom), round(image.shape[1] * zoom))
    given = zoomed(image[None], shape)
    core = Box((0, 0), (shape[0] // grid * grid, shape[1] // grid * grid))
    halo = [-s for s in model.card.spec.read_interval((0, grid))[:1]] * 2
    padded = np.pad(given, ((0, 0), *((h, h + grid) for h in halo)), mode="reflect")
    y, x = (model.card.spec.read_interval((0, n)) for n in core.stop)
    window = padded[:, : y[1] - y[0], : x[1] - x[0]]
    classes = [
        predictor.compute(window, core)[: model.card.spec.classes].argmax(axis=0)
        for predictor in predictors
    ]
    return int((classes[0] != classes[1]).sum()), core.size


def main() -> None:
    """Measure and write the table."""
    arguments = options_for(__doc__).parse_args()
    model = load_model("nuclei")
    found = samples(arguments.data, "val", arguments.limit)
    outcomes = [evaluate(found, model, SegmentSettings(precision=p)) for p in PRECISIONS]
    predictors = [Predictor(model.path, precision=p) for p in PRECISIONS]
    flipped = [flips(sample, model, predictors) for sample in found]
    groups = {"all": found} | {
        g: [s for s in found if s.group == g] for g in dict.fromkeys(s.group for s in found)
    }
    rows = []
    for name, members in groups.items():
        before, after = (
            bootstrap(count([o.matching for o in run if o.sample in members]), pooled=True).value
            for run in outcomes
        )
        changed, pixels = np.sum([flipped[found.index(s)] for s in members], axis=0)
        change = [f"{b - a:+.4f}" for a, b in zip(before, after, strict=True)]
        rows.append([name, str(len(members)), *change, f"{changed / pixels:.4%}"])
    print(markdown(HEADER, rows))
    if not (arguments.dry or arguments.limit):
        write_table(DOCUMENT, "precision", HEADER, rows, command="python -m benchmarks.precision")


if __name__ == "__main__":
    main()
