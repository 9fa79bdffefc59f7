"""Classes of few strokes, beside a random forest on filter features.

    python -m benchmarks.classes              all; writes the table in docs/retraining.md
    python -m benchmarks.classes --limit 1 --dry

Three short strokes of each class on stained tissue (`benchmarks/common/tissue.py`), with seeds. The
score is the mean IoU over classes of all pixels that are not painted. The forest is that of
scikit-image's example "Trainable segmentation using local features and random forests", in the
setting of the example, and with all painted pixels for every tree. It needs scikit-learn, which the
package does not: `pip install scikit-learn`. The development images chose the features.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.tables import ROOT, markdown, write_table
from benchmarks.common.tissue import NAMES, Tissue, mean_iou, strokes, tissue
from napari_unet.finetuning import finetune
from napari_unet.labels.painted import BACKGROUND
from napari_unet.segmentation import segment

DOCUMENT = ROOT / "docs" / "retraining.md"
DEVELOPMENT = ("04_4", "08_1", "09_5", "10_1")
TEST = ("02_2", "06_2", "08_3", "10_3")
SEEDS = (0, 1)
LIMITS = (5.0, 60.0)  # seconds; 5 are the least that can be asked for
TREES, DEPTH, SHARE = 50, 10, 0.05  # of the example
HEADER = (
    "image, classes", "at once", "seconds", "60 s", "seconds there",
    "forest, as in the example", "forest, all pixels",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Scores and seconds of one image, one number of classes and one seed."""

    name: str
    numbers: tuple[float, ...]


def forests(scene: Tissue, painted: NDArray[np.uint32], seed: int) -> Iterator[float]:
    """Score forests that see a share of the painted pixels in every tree, and all of them."""
    from skimage.feature import multiscale_basic_features

    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        yield from (float("nan"), float("nan"))
        return
    features = multiscale_basic_features(
        scene.image, edges=False, sigma_min=1, sigma_max=16, channel_axis=-1
    )
    known = painted > 0
    classes = np.where(painted == BACKGROUND, 0, painted)[known]
    for share in (SHARE, None):
        forest: Any = RandomForestClassifier(
            TREES, max_depth=DEPTH, max_samples=share, n_jobs=1, random_state=seed
        )
        forest.fit(features[known], classes)
        found = forest.predict(features.reshape(-1, features.shape[-1]))
        yield mean_iou(found.reshape(painted.shape), scene, painted)


def retrained(
    scene: Tissue, painted: NDArray[np.uint32], limit: float, folder: Path
) -> tuple[float, float]:
    """Score a model that was given some seconds; also the seconds until there is a model."""
    name, begun = f"{scene.name} {time.monotonic_ns()}", time.monotonic()
    with patch("platformdirs.user_data_path", lambda _: folder):
        made = finetune(
            "nuclei", [(scene.image, painted)], name=name, time_limit=limit,
            class_names=NAMES[: scene.classes],
        )  # fmt: skip
        seconds = time.monotonic() - begun
        return mean_iou(segment(scene.image, made).labels, scene, painted), seconds


def measured(scene: Tissue, seed: int, folder: Path) -> Outcome:
    """Train all of them on the same strokes."""
    painted = strokes(scene, seed)
    ours = [n for limit in LIMITS for n in retrained(scene, painted, limit, folder)]
    numbers = (*ours, *forests(scene, painted, seed))
    print(scene.name, scene.classes, seed, [round(n, 3) for n in numbers], flush=True)
    return Outcome(f"{scene.name}, {scene.classes}", numbers)


def rows_of(outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    """Average the seeds of each image, and the images of each number of classes."""
    groups = {name: [o for o in outcomes if o.name == name] for name in {o.name for o in outcomes}}
    for classes in ("2", "3"):
        for what, names in (("development", DEVELOPMENT), ("test", TEST)):
            members = [o for o in outcomes if o.name in {f"{n}, {classes}" for n in names}]
            groups |= {f"all {what} images, {classes}": members} if members else {}
    order = sorted(groups, key=lambda name: (name[-1], name))
    means = {name: np.mean([o.numbers for o in groups[name]], axis=0) for name in order}
    digits = (2, 1, 2, 1, 2, 2)
    return [
        (name, *(f"{n:.{d}f}" for n, d in zip(means[name], digits, strict=True))) for name in order
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--limit", type=int, help="images of each kind")
    parser.add_argument("--dry", action="store_true", help="print the table, write nothing")
    arguments = parser.parse_args()
    names = [*DEVELOPMENT[: arguments.limit], *TEST[: arguments.limit]]
    read = partial(tissue, arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        first = read(names[0], 2)  # a person's first run has loaded everything
        retrained(first, strokes(first, 0), LIMITS[0], Path(folder))
        outcomes = [
            measured(read(name, classes), seed, Path(folder))
            for name in names
            for classes in (2, 3)
            for seed in SEEDS
        ]
    rows = rows_of(outcomes)
    print(markdown(HEADER, rows))
    if not arguments.dry:
        write_table(DOCUMENT, "classes", HEADER, rows, command="python -m benchmarks.classes")


if __name__ == "__main__":
    main()
