"""Windows that stand for a whole image: few, spread, and always the same ones."""

import itertools
from collections.abc import Iterator

import numpy as np

from napari_unet.image import Box

SAMPLE_WINDOW = 256  # pixels
SAMPLE_WINDOWS = 64  # so at most 4 megapixels decide the grey-value range


def sample_boxes(shape: tuple[int, int], planes: int) -> Iterator[tuple[int, Box]]:
    """Spread at most `SAMPLE_WINDOWS` windows over all planes, always the same ones.

    One random window of each of as many equal parts: a fixed stride could fall into one column.

    Yields
    ------
    plane : int
        Number of the plane.
    box : Box
        Window in image pixels.
    """
    rows, columns = (max(1, -(-n // SAMPLE_WINDOW)) for n in shape)
    total = planes * rows * columns
    count = min(total, SAMPLE_WINDOWS)
    parts = [i * total // count for i in range(count + 1)]
    random = np.random.default_rng(0)
    for first, after in itertools.pairwise(parts):
        k = int(random.integers(first, after))
        plane, rest = divmod(k, rows * columns)
        row, column = divmod(rest, columns)
        y, x = row * shape[0] // rows, column * shape[1] // columns
        stop = min(y + SAMPLE_WINDOW, shape[0]), min(x + SAMPLE_WINDOW, shape[1])
        yield plane, Box((y, x), stop)
