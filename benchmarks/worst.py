"""The images that went worst, drawn and counted: what was merged, split, missed, invented.

    python -m benchmarks.worst        writes docs/worst.png and the table in docs/accuracy.md

The images may not be passed on, so the picture in docs shows outlines only: truth green, found
magenta. With the images below them it is written to runs/worst.png.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imsave

from benchmarks.common.evaluation import DOCUMENT, options_for
from benchmarks.common.image_sets import Sample, samples
from benchmarks.common.matching import count, match
from benchmarks.common.pictures import mosaic, outlined
from benchmarks.common.tables import ROOT, write_table
from napari_unet.models.library import load_model
from napari_unet.segmentation import segment

HEADER = ("number", "set", "AP 0.5", "true", "found", "merged", "split", "missed", "invented")
SHOWN = 10
MOST, LITTLE = 0.5, 0.1  # shares of an object's pixels


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """One image that was segmented."""

    sample: Sample
    truth: NDArray[Any]
    found: NDArray[Any]

    @property
    def score(self) -> float:
        """AP at 0.5."""
        return float(count([match(self.truth, self.found)]).each[0, 0])


def faults(truth: NDArray[Any], found: NDArray[Any]) -> tuple[int, int, int, int]:
    """Count true objects that were merged, split and missed, and found ones that are none.

    Merged: most of it lies in a found object that holds most of another true one. Split: two or
    more found objects lie mostly in it. Missed and invented: hardly anything overlaps.
    """
    pairs, shared = np.unique(np.stack([truth.ravel(), found.ravel()]), axis=1, return_counts=True)
    true_area, found_area = (np.bincount(a.ravel()) for a in (truth, found))
    both = (pairs > 0).all(axis=0)
    (t, f), n = pairs[:, both], shared[both]
    holder = f[n > MOST * true_area[t]]  # the found object that holds most of a true one
    merged = int((np.bincount(holder, minlength=1)[holder] > 1).sum())
    pieces = t[n > MOST * found_area[f]]
    split = int((np.bincount(pieces, minlength=1) > 1).sum())
    covered = np.bincount(t, n, minlength=true_area.size)[1:]
    real = np.bincount(f, n, minlength=found_area.size)[1:]
    missed = ((true_area[1:] > 0) & (covered < LITTLE * true_area[1:])).sum()
    invented = ((found_area[1:] > 0) & (real < LITTLE * found_area[1:])).sum()
    return merged, split, int(missed), int(invented)


def line(number: int, failure: Failure) -> list[str]:
    """One row of the table."""
    objects = (str(len(np.unique(a[a > 0]))) for a in (failure.truth, failure.found))
    counted = map(str, faults(failure.truth, failure.found))
    return [str(number), failure.sample.group, f"{failure.score:.2f}", *objects, *counted]


def show(worst: Sequence[Failure], *, write: bool) -> None:
    """Write both pictures and the table."""
    public, full = ROOT / "docs" / "worst.png", ROOT / "runs" / "worst.png"
    tiles = [outlined(f.sample.image(), f.truth, f.found) for f in worst]
    bare = [outlined(None, f.truth, f.found) for f in worst]
    full.parent.mkdir(parents=True, exist_ok=True)
    imsave(full, mosaic(tiles), check_contrast=False)
    rows = [line(number, failure) for number, failure in enumerate(worst, start=1)]
    for row in rows:
        print(" | ".join(row))
    if write:
        imsave(public, mosaic(bare), check_contrast=False)
        command = "python -m benchmarks.worst"
        write_table(DOCUMENT, "accuracy-worst", HEADER, rows, command=command)


def main() -> None:
    """Read the command line, segment, draw."""
    parser = options_for(__doc__)
    parser.add_argument("--model", default="nuclei")
    options = parser.parse_args()
    model = load_model(options.model)
    failures = [
        Failure(sample, sample.truth(), segment(sample.image(), model).labels)
        for sample in samples(options.data, "val", options.limit)
    ]
    failures.sort(key=lambda failure: failure.score)
    show(failures[:SHOWN], write=not (options.dry or options.limit))


if __name__ == "__main__":
    main()
