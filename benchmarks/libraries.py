"""The steps that make objects of class maps, with the libraries in use and with others; one core.

    python -m benchmarks.libraries

Needs connected-components-3d, fastremap and edt in the benchmark's environment. A block of 2048²
real nuclei with its surroundings, as `instances.decode_block` has it. *Of the whole*: share of the
time that the network and everything else take for the block, so what another library could save at
most.
"""

import time
from collections.abc import Callable
from typing import Any

import cc3d
import edt
import fastremap
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from benchmarks.speed import image_of
from benchmarks.tables import ROOT, markdown, write_table
from napari_unet import segment
from napari_unet.labels.watershed import decode, merge_shallow
from napari_unet.models.library import load_model
from napari_unet.settings import DecodeSettings
from napari_unet.training.targets import class_target, distance_target

SIDE = 2048 + 2 * 64  # pixels; a block and what is decoded with it
DIAMETER = 24.0
ROUNDS = 5
PROMINENCE = 0.15
DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("step", "in use", "ms", "another", "its ms", "of the whole")
Way = Callable[[], Any]


def milliseconds(way: Way) -> float:
    """Return the least of some rounds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        way()
        taken.append(time.perf_counter() - begun)
    return 1000 * min(taken)


def steps(labels: NDArray[np.int32]) -> dict[str, tuple[tuple[str, Way], tuple[str, Way] | None]]:
    """Return every step: name and function of the library in use, and of another one."""
    distance = distance_target(labels).astype(np.float32)
    border = (class_target(labels) == 2).astype(np.float32)
    mask = labels > 0
    height = ndimage.gaussian_filter(distance * (1 - border), 1.0, truncate=2)
    tops = mask & (ndimage.maximum_filter(height, 3) == height)
    seeds, _ = ndimage.label(tops, np.ones((3, 3)))
    basins = watershed(-height, seeds, mask=mask)
    kept = np.arange(basins.max() + 1, dtype=np.int32)
    table = {int(i): int(i) for i in kept}
    maps = np.stack([mask, border, distance])
    maps = np.rint(maps * 255).astype(np.uint8)
    return {
        "smoothing": (("scipy", lambda: ndimage.gaussian_filter(height, 1.0, truncate=2)), None),
        "summits": (("scipy", lambda: ndimage.maximum_filter(height, 3)), None),
        "connected summits": (
            ("scipy", lambda: ndimage.label(tops, np.ones((3, 3)))),
            ("cc3d", lambda: cc3d.connected_components(tops, connectivity=8)),
        ),
        "flooding": (("scikit-image", lambda: watershed(-height, seeds, mask=mask)), None),
        "merging": (("numpy", lambda: merge_shallow(basins, height, PROMINENCE)), None),
        "areas": (
            ("numpy", lambda: np.bincount(basins.ravel())),
            ("fastremap", lambda: fastremap.unique(basins, return_counts=True)),
        ),
        "renumbering": (
            ("numpy", lambda: kept[basins]),
            ("fastremap", lambda: fastremap.remap(basins, table, preserve_missing_labels=True)),
        ),
        "distance to the edge, training only": (
            ("scipy", lambda: ndimage.distance_transform_edt(mask)),
            ("edt", lambda: edt.edt(mask, parallel=1)),
        ),
        "all of decoding": (("these", lambda: decode(maps, DecodeSettings())), None),
    }


def main() -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    image, model = image_of(SIDE), load_model("nuclei")
    labels = segment(image, model, diameter=DIAMETER).labels.astype(np.int32)
    whole = milliseconds(lambda: segment(image, model, diameter=DIAMETER))
    rows = []
    for name, ((library, way), other) in steps(labels).items():
        own = milliseconds(way)
        its = ("–", "–") if other is None else (other[0], f"{milliseconds(other[1]):.0f}")
        rows.append([name, library, f"{own:.0f}", *its, f"{own / whole:.1%}"])
    print(markdown(HEADER, rows))
    write_table(DOCUMENT, "libraries", HEADER, rows, command="python -m benchmarks.libraries")


if __name__ == "__main__":
    main()
