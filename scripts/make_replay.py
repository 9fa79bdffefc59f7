"""Make the crops that are replayed during retraining: real nuclei (MNFinder, MIT) and synthetic.

They have the scale of the model `nuclei`.

python scripts/make_replay.py --data ../shared/data
"""

import argparse
from pathlib import Path

import numpy as np
from base_data import at_model_scale
from base_recipe import NUCLEI_ALONE
from numpy.typing import NDArray
from skimage.io import imread

from napari_unet.intensity import normalise, percentiles, to_grey
from napari_unet.plugin.synthetic_nuclei import nuclei_window

SIDE = 192  # pixels
REAL, SYNTHETIC = 24, 8  # crops
SEED = 20261122
TARGET = Path(__file__).resolve().parents[1] / "src/napari_unet/training/replay.npz"
Crop = tuple[NDArray[np.uint8], NDArray[np.uint16]]


def as_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store grey values 0…1; what is brighter is cut."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def compact(labels: NDArray[np.integer]) -> NDArray[np.uint16]:
    """Number the objects 1…n."""
    _, numbers = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    return numbers[:-1].reshape(labels.shape).astype(np.uint16)


def real(folder: Path, random: np.random.Generator) -> list[Crop]:
    """One crop of each of as many images, around a random object."""
    crops = []
    for path in sorted((folder / "images").glob("*.png"))[:REAL]:
        image, labels = to_grey(imread(path)), imread(folder / "masks" / path.name)
        image = normalise(image, percentiles(image))
        [image], labels = at_model_scale(image[None], labels.astype(np.int32), NUCLEI_ALONE.card)
        places = np.argwhere(labels > 0)
        place = places[random.integers(len(places))]
        y, x = (int(np.clip(p - SIDE // 2, 0, max(0, n - SIDE)))
                for p, n in zip(place, labels.shape, strict=True))  # fmt: skip
        window = np.s_[y : y + SIDE, x : x + SIDE]
        if image[window].shape == (SIDE, SIDE):
            crops.append((as_bytes(image[window]), compact(labels[window])))
    return crops


def synthetic(random: np.random.Generator) -> list[Crop]:
    """Crops of synthetic nuclei, whose truth is exact."""
    crops = []
    for start in random.integers(0, 10_000, (SYNTHETIC, 2)).tolist():
        image, labels = nuclei_window((start[0], start[1]), (2 * SIDE, 2 * SIDE), 20_000)
        image = normalise(image, percentiles(image))
        [image], labels = at_model_scale(image[None], labels.astype(np.int32), NUCLEI_ALONE.card)
        crops.append((as_bytes(image[:SIDE, :SIDE]), compact(labels[:SIDE, :SIDE])))
    return crops


def main() -> None:
    """Read the command line, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    random = np.random.default_rng(SEED)
    crops = real(options.data / "mnfinder/train", random) + synthetic(random)
    images, labels = (np.stack(part) for part in zip(*crops, strict=True))
    np.savez_compressed(TARGET, images=images, labels=labels)


if __name__ == "__main__":
    main()
