"""How a recipe does on looks that it was never shown: whole clusters of looks are left out.

    python -m benchmarks.unseen                         what is missing, then the table
    python -m benchmarks.unseen --rows "distance weighs a tenth"
    python -m benchmarks.unseen --minutes 1 --dry       a quick look; writes no document

Images of `dsb2018` and `mnfinder` are sorted into clusters by statistics of image and truth: size
of the objects, how much they touch and cover, how far they stand out, colour, bright or dark.
Fields of view stay together. A short training leaves one cluster out and is measured on it, and so
with each of them. The test split has no part in this. A recipe is judged by its worst cluster.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from skimage.io import imread

from benchmarks.ablations import fingerprint, train
from benchmarks.accuracy import DOCUMENT, options_for
from benchmarks.image_sets import Sample, samples, taught_nuclei
from benchmarks.looks import standing_out, touching
from benchmarks.matching import bootstrap, count, shown
from benchmarks.plain import Looking, look_at
from benchmarks.rows import RESULTS, Row, Rows
from benchmarks.tables import markdown, write_table

CLUSTERS = 5
SEEDS = 20  # of the clustering; the tightest is taken
MOST = 60  # images of a cluster that are measured
KEY = ("name", "minutes", "cluster", "recipe")
AT = ((0.5, 0), (0.7, 2))  # IoU, and where it is among all thresholds
RECIPES: dict[str, dict[str, Any]] = {
    "distance weighs as much as the classes": {"distance_weight": 1.0},
    "distance weighs a tenth": {"distance_weight": 0.1},
    "flips and grey values only": {"augmentation": {"scale": (1.0, 1.0), "elastic": 0.0}},
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that look alike.

    Attributes
    ----------
    name : str
        For people.
    members : tuple of Sample
        Its images, those that are trained on among them.
    """

    name: str
    members: tuple[Sample, ...]

    @property
    def fields(self) -> list[str]:
        """Fields of view, which a training must leave out."""
        return sorted({sample.field for sample in self.members})

    @property
    def measured(self) -> tuple[Sample, ...]:
        """Some of the images, spread over all."""
        return self.members[:: -(-len(self.members) // MOST)]


def features(sample: Sample) -> list[float]:
    """Statistics of one image: diameter, touching, standing out, covered, colour, bright."""
    truth, pixels = sample.truth(), imread(sample.image_path).astype(np.float32)
    colour = 0.0
    if pixels.ndim == 3:
        colour = float(np.ptp(pixels[..., :3], axis=-1).mean() / 255)
        pixels = pixels[..., :3].mean(axis=-1)
    ground = pixels[truth == 0] if (truth == 0).any() else pixels
    bright = float(np.median(pixels[truth > 0]) > np.median(ground))
    size = np.log2(sample.diameter() or 1.0)
    covered = float((truth > 0).mean())
    return [size, touching(truth), standing_out(sample, truth), covered, colour, bright]


def clusters(found: Sequence[Sample]) -> list[Cluster]:
    """Sort images into clusters, the largest first."""
    with ProcessPoolExecutor() as pool:
        values = np.array(list(pool.map(features, found, chunksize=16)))
    fields = sorted({sample.field for sample in found})
    of_field = np.array([fields.index(sample.field) for sample in found])
    middle = np.array([np.median(values[of_field == i], axis=0) for i in range(len(fields))])
    which = tightest((middle - middle.mean(axis=0)) / middle.std(axis=0))
    groups = []
    for number in range(CLUSTERS):
        members = tuple(s for s, i in zip(found, of_field, strict=True) if which[i] == number)
        groups.append(Cluster(name_of(middle[which == number].mean(axis=0)), members))
    if len({group.name for group in groups}) < CLUSTERS:
        raise ValueError("two clusters have one name; name_of must tell them apart")
    return sorted(groups, key=lambda group: -len(group.members))


def tightest(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Number of each point's cluster, by k-means; of some seeds the one with least distances."""
    best: tuple[float, NDArray[np.int32]] | None = None
    for seed in range(SEEDS):
        centres, numbers = kmeans2(points, CLUSTERS, seed=seed, minit="++")
        spread = float(((points - centres[numbers]) ** 2).sum())
        if best is None or spread < best[0]:
            best = spread, numbers
    assert best is not None, "there is a seed"
    return best[1]


def name_of(middle: NDArray[np.float64]) -> str:
    """Words for a cluster's middle."""
    size, touch, _, covered, colour, bright = middle
    if colour > 0.1:
        kind = "stained"
    elif bright < 0.5:
        kind = "dark on bright"
    else:
        kind = "crowded" if touch > 0.08 else "dense" if covered > 0.1 else "sparse"
    return f"{kind}, {2**size:.0f} px"


def measure(name: str, change: dict[str, Any], cluster: Cluster, minutes: float, data: Path) -> Row:
    """Train without a cluster, and look at it."""
    from napari_unet.models.weights import load_model

    network, card = load_model(train({**change, "without": cluster.fields}, minutes, data))
    matchings = [look_at(sample, network, card, Looking()) for sample in cluster.measured]
    estimate = bootstrap(count(matchings), pooled=True)
    row: Row = {"name": name, "minutes": minutes, "cluster": cluster.name}
    row["recipe"], row["steps"] = fingerprint(change), card.recipe["done"]
    row["ap"] = [[float(v) for v in e] for e in (estimate.value, estimate.low, estimate.high)]
    return row


def show(rows: Rows, groups: Sequence[Cluster], minutes: float, *, write: bool) -> None:
    """Print the table of the recipes that were measured on every cluster."""
    header = ("recipe", *(g.name for g in groups), "mean", "worst")
    lines = []
    for name, change in RECIPES.items():
        key = {"name": name, "minutes": minutes, "recipe": fingerprint(change)}
        have = [rows.find(**key, cluster=group.name) for group in groups]
        if not all(have):
            continue
        for threshold, i in AT:
            values = [row["ap"][0][i] for row in have if row]
            line = [shown(*(e[i] for e in row["ap"])) for row in have if row]
            summary = [f"{np.mean(values):.3f}", f"{min(values):.3f}"]
            lines.append([f"{name}, AP {threshold}", *line, *summary])
    print(markdown(header, lines))
    if write and lines:
        counts = "; ".join(f"{g.name}: {len(g.measured)}" for g in groups)
        note = f"{minutes:g} minutes of one core for each training. Images: {counts}."
        command = "python -m benchmarks.unseen"
        write_table(DOCUMENT, "unseen", header, lines, command=command, note=note)


def main() -> None:
    """Read the command line, measure what is missing."""
    parser = options_for(__doc__)
    add = parser.add_argument
    add("--rows", nargs="*", default=list(RECIPES), help="names of recipes; default all")
    add("--minutes", type=float, default=5.0, help="of each training")
    add("--rows-file", type=Path, default=RESULTS / "unseen.jsonl", help="file of the rows")
    arguments = parser.parse_args()
    rows, minutes = Rows(arguments.rows_file, KEY), arguments.minutes
    groups = clusters([*samples(arguments.data, "val"), *taught_nuclei(arguments.data)])
    for name in arguments.rows:
        change = RECIPES[name]
        for group in groups:
            key = {"name": name, "minutes": minutes, "recipe": fingerprint(change)}
            if rows.find(**key, cluster=group.name) is None:
                rows.add(measure(name, change, group, minutes, arguments.data))
    show(rows, groups, minutes, write=not (arguments.dry or arguments.limit))


if __name__ == "__main__":
    main()
