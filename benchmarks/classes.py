"""Classes of few strokes, beside a random forest on filter features.

    python -m benchmarks.classes              all; writes the table in docs/retraining.md
    python -m benchmarks.classes --limit 1 --dry

Three short strokes of each class on stained tissue, with seeds. The
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
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.draw import line
from skimage.io import imread

from benchmarks.common.tables import ROOT, markdown, write_table
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

NAMES = ("background", "nucleus", "stroma")
WHITE, BRIGHT = 0.15, 0.75  # most saturation and least brightness of glass
SMOOTH = 1.0  # pixels; glass is told from stroma without the camera's noise
STROKES = 3  # of each class
WIDTH = 6  # pixels of a brush
LENGTH = 40, 60  # pixels of a stroke
SHORT = {"nucleus": 15.0}  # least length, where a class has little room
ENOUGH = 0.6  # of the length that was meant, in other classes
MOVE, TURN, WAYS = 3, 0.3, 12  # pixels, radians, and attempts to stay inside
ATTEMPTS = 1500  # at a stroke of full length


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """An image of stained tissue.

    Attributes
    ----------
    name : str
        Of its file.
    image : ndarray of uint8
        ``(Y, X, 3)``.
    truth : ndarray of uint8
        ``(Y, X)``, class of each pixel; see `NAMES`.
    classes : int
        2: nuclei and all else. 3: glass, nuclei and stroma.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    classes: int


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


# ---- tissue and strokes on it -------------------------------------------------------------------


def tissue(data: Path, name: str, classes: int) -> Tissue:
    """Read an image of `tnbc`; of three classes, colour tells glass from stroma."""
    image = imread(data / "tnbc" / "images" / f"{name}.png")[..., :3]
    nuclei = imread(data / "tnbc" / "masks" / f"{name}.png") > 0
    if classes == 2:
        return Tissue(name, image, nuclei.astype(np.uint8), classes)
    smooth = ndimage.gaussian_filter(image.astype(float), (SMOOTH, SMOOTH, 0)).astype(np.uint8)
    _, saturation, brightness = np.moveaxis(rgb2hsv(smooth), -1, 0)
    glass = (saturation < WHITE) & (brightness > BRIGHT)
    return Tissue(name, image, np.where(nuclei, 1, np.where(glass, 0, 2)).astype(np.uint8), classes)


def strokes(scene: Tissue, seed: int) -> NDArray[np.uint32]:
    """Paint some strokes of each class: a painted array, ids are classes."""
    random = np.random.default_rng(seed)
    painted = np.zeros(scene.truth.shape, np.uint32)
    for number, name in enumerate(NAMES[: scene.classes]):
        inside, done = ndimage.binary_erosion(scene.truth == number), 0
        for attempt in range(2 * ATTEMPTS):
            meant = random.integers(*LENGTH)
            way, length = _way(inside & (painted == 0), meant, random)
            least = SHORT.get(name, ENOUGH * meant)
            stroke = ndimage.binary_dilation(way, iterations=WIDTH // 2) & (scene.truth == number)
            value = number or BACKGROUND
            near = ndimage.binary_dilation(stroke, iterations=2)
            if (length < least and attempt < ATTEMPTS) or (painted[near] == value).any():
                continue
            painted[stroke & (painted == 0)] = value
            done += 1
            if done == STROKES:
                break
    return painted


def _way(
    free: NDArray[np.bool_], meant: int, random: np.random.Generator
) -> tuple[NDArray[np.bool_], float]:
    """Walk inside a class until the way is as long as it was meant, or finds no way on."""
    way, places = np.zeros(free.shape, bool), np.argwhere(free)
    y, x = (int(n) for n in places[random.integers(len(places))])
    heading, length = random.uniform(0, 2 * np.pi), 0.0
    while length < meant:
        for _ in range(WAYS):
            to = round(y + MOVE * np.sin(heading)), round(x + MOVE * np.cos(heading))
            if all(0 <= n < most for n, most in zip(to, free.shape, strict=True)) and free[to]:
                break
            heading += random.normal(0, 0.8)
        else:
            break
        way[line(y, x, *to)] = True
        (y, x), length = to, length + MOVE
        heading += random.normal(0, TURN)
    return way, length


def mean_iou(found: NDArray[np.integer], scene: Tissue, painted: NDArray[np.uint32]) -> float:
    """Return the intersection over union, averaged over classes, of all that is not painted."""
    beyond = painted == 0
    overlaps = []
    for number in range(scene.classes):
        one, other = found[beyond] == number, scene.truth[beyond] == number
        overlaps.append((one & other).sum() / max(1, (one | other).sum()))
    return float(np.mean(overlaps))


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
