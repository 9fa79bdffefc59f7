"""What bfloat16 with folded BatchNorm changes against float32 as the network was trained.

    python -m benchmarks.precision            writes the table in docs/performance.md
    python -m benchmarks.precision --limit 3 --dry

Validation images, every one segmented twice, with nothing else changed. *Flips* are pixels of the
network's grid whose most probable class is another one.
"""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.common.evaluation import evaluate, given, options_for, probabilities
from benchmarks.common.image_sets import Sample, samples
from benchmarks.common.matching import THRESHOLDS, bootstrap, count
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet.inference.batchnorm_folding import folded
from napari_unet.models.library import Model, load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.network.unet import UNet
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.resample import resized

DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("set", "images", *(f"change of AP {t}" for t in THRESHOLDS), "flips")
PRECISIONS = ("float32", "bfloat16")


def flips(sample: Sample, model: Model, networks: Sequence[UNet]) -> tuple[int, int]:
    """Pixels whose class differs, and all pixels."""
    card = model.card
    image = given(sample.image(), card)
    zoom = card.zoom(sample.diameter() or card.object_diameter)
    image = resized(image, (round(image.shape[1] * zoom), round(image.shape[2] * zoom)))
    one, other = (probabilities(n, image)[: card.spec.classes].argmax(axis=0) for n in networks)
    return int((one != other).sum()), one.size


def main() -> None:
    """Measure and write the table."""
    arguments = options_for(__doc__).parse_args()
    model = load_model("nuclei")
    found = samples(arguments.data, "val", arguments.limit)
    outcomes = [evaluate(found, model, SegmentSettings(precision=p)) for p in PRECISIONS]
    trained = load_network(model.path)[0]
    networks = [trained, folded(trained).to(torch.bfloat16)]
    flipped = [flips(sample, model, networks) for sample in found]
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
