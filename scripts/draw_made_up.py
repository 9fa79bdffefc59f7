"""Draw a sheet of made-up cells, half of each image with its outlines.

python scripts/draw_made_up.py docs/made-up.png --first 1000000
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.io import imsave
from skimage.segmentation import find_boundaries

from napari_unet.training.synthetic import BENCHMARK_SEEDS, made_up_cells

ACROSS, DOWN = 6, 4
SHOWN = 156  # pixels of each image
SHADES = 64  # a file of few grey values is small


def tile(seed: int) -> NDArray[np.uint8]:
    """One image ``(SHOWN, SHOWN, 3)``, its left half with outlines."""
    made = made_up_cells(seed)
    window = fullest(made.labels > 0)
    grey = np.rint(made.image[window] * (SHADES - 1)) * (255 / (SHADES - 1))
    shown = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    lines = find_boundaries(made.labels, mode="inner")[window]
    lines[:, SHOWN // 2 :] = False
    shown[lines] = (255, 190, 0)
    shown[-2:] = shown[:, -2:] = 255
    return shown


def fullest(cells: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the window that shows most of the cells."""
    starts = range(0, len(cells) - SHOWN + 1, SHOWN // 4)
    windows = [(slice(y, y + SHOWN), slice(x, x + SHOWN)) for y in starts for x in starts]
    return max(windows, key=lambda window: int(cells[window].sum()))


def main() -> None:
    """Read the command line and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--first", type=int, default=BENCHMARK_SEEDS, help="seed")
    options = parser.parse_args()
    seeds = range(options.first, options.first + ACROSS * DOWN)
    tiles = [tile(seed) for seed in seeds]
    rows = [np.concatenate(tiles[i : i + ACROSS], axis=1) for i in range(0, len(tiles), ACROSS)]
    imsave(options.path, np.concatenate(rows), check_contrast=False)


if __name__ == "__main__":
    main()
