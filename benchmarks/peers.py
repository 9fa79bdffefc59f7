"""Other methods on the same images: thresholding with a watershed, an older model, StarDist.

    python -m benchmarks.peers                                      threshold and watershed
    python -m benchmarks.peers --model OLD.safetensors --name "released before"
    python -m benchmarks.peers --labels runs/stardist --name "StarDist, 60 minutes"

Each call measures one method, appends it to benchmarks/results/peers.jsonl and writes the table in
docs/accuracy.md anew. Labels of another program are TIFF files named like the images, with a file
``seconds.json``; `benchmarks/common/peer_stardist.py` makes them.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.io import imread
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from benchmarks.common.evaluation import DATA, DOCUMENT, grey
from benchmarks.common.image_sets import Sample, samples
from benchmarks.common.matching import THRESHOLDS, bootstrap, count, match, shown
from benchmarks.common.rows import RESULTS, Row, Rows
from benchmarks.common.tables import markdown, write_table
from napari_unet.models.library import load_model
from napari_unet.segmentation import segment

HEADER = ("method and set", "images", *(str(t) for t in THRESHOLDS), "s per megapixel")
SPLITS = ("val", "test")
SMALLEST = 20  # pixels; smaller pieces are no nuclei
Method = Callable[[Sample], tuple[NDArray[Any], float]]
"""Gives the labels of a sample and the seconds they took."""


def threshold(sample: Sample) -> tuple[NDArray[Any], float]:
    """Otsu's threshold, then a watershed of the distance to the background."""
    image = sample.image()
    start = time.perf_counter()
    smooth = ndimage.gaussian_filter(grey(image, bright_objects=True), 1)
    mask = remove_small_objects(smooth > threshold_otsu(smooth), max_size=SMALLEST)
    mask = ndimage.binary_fill_holes(mask)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1)
    pieces, _ = ndimage.label(mask)
    tops = peak_local_max(distance, min_distance=5, labels=pieces, exclude_border=False)
    seeds = np.zeros(smooth.shape, np.int32)
    seeds[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    return watershed(-distance, seeds, mask=mask), time.perf_counter() - start


def by_model(path: str) -> Method:
    """Segment with a model, as a person would."""
    model = load_model(path)
    segment(np.random.default_rng(0).random((256, 256)), model)  # imports and first-use costs

    def method(sample: Sample) -> tuple[NDArray[Any], float]:
        image = sample.image()
        start = time.perf_counter()
        labels = segment(image, model).labels
        return labels, time.perf_counter() - start

    return method


def by_labels(folder: Path) -> Method:
    """Read what another program found."""
    seconds = json.loads((folder / "seconds.json").read_text())

    def method(sample: Sample) -> tuple[NDArray[Any], float]:
        name = sample.image_path.stem
        return imread(folder / f"{name}.tif"), seconds[name]

    return method


def measure(name: str, method: Method, chosen: Sequence[Sample]) -> list[Row]:
    """One row for each set."""
    found: dict[str, list[Any]] = {}
    for sample in chosen:
        labels, seconds = method(sample)
        one = match(sample.truth(), labels), seconds, labels.size / 1e6
        found.setdefault(sample.group, []).append(one)
    rows: list[Row] = []
    for group, members in found.items():
        estimate = bootstrap(count([m for m, _, _ in members]), pooled=True)
        rows.append(
            {
                "name": name,
                "group": group,
                "images": len(members),
                "value": estimate.value.tolist(),
                "interval": [estimate.low.tolist(), estimate.high.tolist()],
                "speed": sum(s for _, s, _ in members) / sum(m for _, _, m in members),
            }
        )
    return rows


def cells(row: Row) -> list[str]:
    """One line of the table."""
    low, high = row["interval"]
    aps = [shown(*figures) for figures in zip(row["value"], low, high, strict=True)]
    return [f"{row['name']}: {row['group']}", str(row["images"]), *aps, f"{row['speed']:.2f}"]


def main() -> None:
    """Read the command line, measure one method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=DATA)
    add("--name", default="Otsu and watershed", help="as the table calls it")
    add("--model", help="name or path of a model to measure")
    add("--labels", type=Path, help="folder of another program's labels")
    add("--splits", nargs="+", default=SPLITS, choices=SPLITS)
    add("--dry", action="store_true", help="keep nothing")
    options = parser.parse_args()
    method = threshold
    if options.model:
        method = by_model(options.model)
    elif options.labels:
        method = by_labels(options.labels)
    chosen = [sample for split in options.splits for sample in samples(options.data, split)]
    measured = measure(options.name, method, chosen)
    print(markdown(HEADER, [cells(row) for row in measured]))
    if options.dry:
        return
    rows = Rows(RESULTS / "peers.jsonl", ("name", "group"))
    for row in measured:
        rows.add(row)
    kept = sorted(rows.all(), key=lambda row: (row["group"], -row["value"][0]))
    lines = [cells(row) for row in kept]
    write_table(DOCUMENT, "peers", HEADER, lines, command="python -m benchmarks.peers")


if __name__ == "__main__":
    main()
