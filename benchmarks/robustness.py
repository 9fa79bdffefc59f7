"""What spoiled images cost: contrast inverted, light uneven, blur, noise, other magnifications.

    python -m benchmarks.robustness            writes the table in docs/accuracy.md
    python -m benchmarks.robustness --cells    the same of `cells-phase`, on its validation images
    python -m benchmarks.robustness --limit 3 --dry

Validation images of dsb2018 and mnfinder, each spoiled in memory and segmented as a person would,
with nothing set. Images whose objects would leave 6 to 120 pixels are left out of a row and of
what it is compared with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import rescale

from benchmarks.common.evaluation import DOCUMENT, evaluate, options_for, weights_sha
from benchmarks.common.image_sets import Sample, cell_samples, samples
from benchmarks.common.matching import Matching, bootstrap, count, shown
from benchmarks.common.tables import markdown, write_table
from napari_unet.image import Image
from napari_unet.intensity import grey_limits
from napari_unet.models.library import load_model
from napari_unet.segmentation import open_image

Array = NDArray[Any]
HEADER = ("image", "images", "AP 0.5", "as it was", "loss", "AP 0.8", "as it was, 0.8")
SMALLEST, LARGEST = 6.0, 120.0  # pixels, typical diameter
SEED = 20261125


def inverted(pixels: Array) -> Array:
    """Dark becomes bright."""
    return pixels.max() - pixels


def uneven(pixels: Array) -> Array:
    """Light falls from one corner to the other, to 30 %."""
    height, width = pixels.shape[:2]
    ramp = np.add.outer(np.linspace(0, 0.5, height), np.linspace(0, 0.5, width))
    light = 1 - 0.7 * ramp
    return pixels * (light if pixels.ndim == 2 else light[..., None])


def blurred(pixels: Array, sigma: float) -> Array:
    """Out of focus; sigma in pixels."""
    spread = (sigma, sigma, 0)[: pixels.ndim]
    found: Array = ndimage.gaussian_filter(pixels, spread)
    return found


def noisy(pixels: Array, share: float) -> Array:
    """Gaussian noise; its standard deviation is a share of the range of grey values."""
    low, high = grey_limits(pixels, bright_objects=False)
    return pixels + np.random.default_rng(SEED).normal(0, share * (high - low), pixels.shape)


@dataclass(frozen=True, slots=True)
class Change:
    """One row: how images are spoiled, and how much larger they become."""

    name: str
    spoil: Callable[[Array], Array]
    size: float = 1.0


def resized(pixels: Array, size: float) -> Array:
    """Another magnification."""
    channel = {"channel_axis": -1} if pixels.ndim == 3 else {}
    found: Array = rescale(pixels, size, order=1, anti_aliasing=size < 1, **channel)
    return found


CHANGES = (
    Change("inverted", inverted),
    Change("light falls to 30 %", uneven),
    Change("blur, 1 px", partial(blurred, sigma=1.0)),
    Change("blur, 2 px", partial(blurred, sigma=2.0)),
    Change("noise, 5 %", partial(noisy, share=0.05)),
    Change("noise, 10 %", partial(noisy, share=0.10)),
    Change("half as large", partial(resized, size=0.5), 0.5),
    Change("twice as large", partial(resized, size=2.0), 2.0),
)


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A sample with other pixels."""

    sample: Sample
    change: Change

    @property
    def group(self) -> str:
        """The set it belongs to."""
        return self.sample.group

    def image(self) -> Image:
        """Read and spoil the image."""
        image = self.sample.image()
        pixels = np.asarray(image.data).astype(np.float32)
        return open_image(self.change.spoil(pixels).astype(np.float32), image.axes)

    def truth(self) -> Array:
        """Read the truth, in the size of the image."""
        truth = self.sample.truth()
        if self.change.size == 1:
            return truth
        shape = self.image().shape
        rows, columns = (
            ((np.arange(n) + 0.5) * m / n).astype(int)
            for n, m in zip(shape, truth.shape, strict=True)
        )
        return truth[np.ix_(rows, columns)]


def may_be(sample: Sample, size: float) -> bool:
    """Whether an image's objects keep a diameter that is promised to work."""
    diameter = sample.diameter()
    if diameter is None:
        return True
    return SMALLEST <= size * diameter <= LARGEST and SMALLEST <= diameter <= LARGEST


def line(change: Change, before: Sequence[Matching], after: Sequence[Matching]) -> list[str]:
    """One row of the table."""
    old, new = (bootstrap(count(m), pooled=True) for m in (before, after))
    found = [shown(e.value[0], e.low[0], e.high[0]) for e in (new, old)]
    loss = f"{old.value[0] - new.value[0]:.3f}"
    sharp = [f"{e.value[4]:.3f}" for e in (new, old)]
    return [change.name, str(len(before)), *found, loss, *sharp]


def main() -> None:
    """Read the command line and measure."""
    parser = options_for(__doc__)
    parser.add_argument("--model", help="name in the library, or path of a model file")
    parser.add_argument("--cells", action="store_true", help="whole cells in phase contrast")
    arguments = parser.parse_args()
    cells, limit = arguments.cells, arguments.limit
    model = load_model(arguments.model or ("cells-phase" if cells else "nuclei"))
    found = cell_samples(arguments.data, limit) if cells else samples(arguments.data, "val", limit)
    before = {o.sample: o.matching for o in evaluate(found, model)}
    rows = []
    for change in CHANGES:
        chosen = [sample for sample in found if may_be(sample, change.size)]
        spoiled: Any = [Spoiled(sample, change) for sample in chosen]
        after = [outcome.matching for outcome in evaluate(spoiled, model)]
        rows.append(line(change, [before[sample] for sample in chosen], after))
        print(markdown(HEADER, rows[-1:]), flush=True)
    if not (arguments.dry or arguments.limit):
        note = f"Model `{model.card.name}`, sha256 of its weights {weights_sha(model)}."
        command = "python -m benchmarks.robustness" + (" --cells" if cells else "")
        table = "robustness-cells" if cells else "robustness"
        write_table(DOCUMENT, table, HEADER, rows, command=command, note=note)


if __name__ == "__main__":
    main()
