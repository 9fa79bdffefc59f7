"""StarDist, trained from scratch on the same images for a given time, to compare with.

It runs in an environment of its own and knows nothing of this project:

    python -m venv ENV && ENV/bin/pip install stardist tensorflow-cpu scikit-image
    ENV/bin/python benchmarks/common/peer_stardist.py --data DATA --run runs/stardist
    python -m benchmarks.peers --labels runs/stardist --name "StarDist, 180 minutes"

Minutes are the processor's, all threads together. Run it again to go on after a stop. With `--rate`
it tells `benchmarks.speed` a side in pixels, and the megapixels per second of its network alone.

Its recipe is that of its authors' example notebook (Schmidt et al. 2018, arXiv:1806.03535): 32
rays, grey values from the 1st to the 99.8th percentile, flips and changed intensities, patches of
256 pixels. Dark objects on a bright ground are inverted, as for our model.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
from csbdeep.utils import normalize
from skimage.io import imread, imsave
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D
from tensorflow.keras.callbacks import Callback, ModelCheckpoint, ReduceLROnPlateau

SEED = 20261125
SIDE = 1024  # pixels; of what the network is given when it is timed
REPEATS = 3
RANDOM = np.random.default_rng(SEED)
BRIGHT_GROUND = 0.57  # of the range; where the median is brighter the objects are dark


class Deadline(Callback):
    """Keeps the weights and the time that was used, and ends the training when it is up."""

    def __init__(self, minutes: float, weights: Path) -> None:
        super().__init__()
        self.minutes, self.weights = minutes, weights
        self.note = weights.with_suffix(".json")
        known = json.loads(self.note.read_text()) if self.note.exists() else {}
        self.used: float = known.get("minutes", 0.0)
        self.rate: float | None = known.get("rate")
        self.best: float = known.get("best", float("inf"))
        self.begun = time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the clock."""
        used = self.used + (time.process_time() - self.begun) / 60
        self.best = min(self.best, (logs or {}).get("val_loss", self.best))
        rate = float(self.model.optimizer.learning_rate.numpy())
        self.model.save_weights(self.weights)
        self.note.write_text(json.dumps({"minutes": used, "rate": rate, "best": self.best}))
        self.model.stop_training = used > self.minutes


def rows(data: Path, split: str) -> list[tuple[str, Path, Path]]:
    """Name, image and mask of a split, MNFinder's among them."""
    found = []
    with open(data / "dsb2018" / "split.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                paths = (data / "dsb2018" / k / f"{row['name']}.png" for k in ("images", "masks"))
                found.append((row["name"], *paths))
    folder = data / "mnfinder" / split
    images = sorted((folder / "images").glob("*.png"))
    return found + [(path.stem, path, folder / "masks" / path.name) for path in images]


def grey(path: Path) -> np.ndarray:
    """Read an image with bright objects, 0 to 1."""
    pixels = imread(path).astype(np.float32)
    if pixels.ndim == 3:
        pixels = pixels[..., :3].mean(axis=-1)
    low, high = np.percentile(pixels, (1, 99.8))
    if np.median(pixels) - low > BRIGHT_GROUND * (high - low):
        pixels = pixels.max() - pixels
    return normalize(pixels, 1, 99.8)


def changed(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flips, right angles, intensity."""
    turns = int(RANDOM.integers(4))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    if RANDOM.random() < 0.5:
        image, mask = image[::-1], mask[::-1]
    return image * RANDOM.uniform(0.6, 2) + RANDOM.uniform(-0.2, 0.2), mask


def train(data: Path, run: Path, minutes: float) -> StarDist2D:
    """Train from random weights."""
    pairs = {
        split: [
            (grey(image), fill_label_holes(imread(mask).astype(np.int32)))
            for _, image, mask in rows(data, split)
        ]
        for split in ("train", "val")
    }
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=1,
        train_patch_size=(256, 256),
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="model", basedir=str(run))
    model.prepare_for_training()
    last = run / "model" / "last.weights.h5"
    deadline = Deadline(minutes, last)
    if last.exists():
        model.keras_model.load_weights(last)
        model.keras_model.optimizer.learning_rate.assign(deadline.rate)
        for callback in model.callbacks:
            if isinstance(callback, (ModelCheckpoint, ReduceLROnPlateau)):
                callback.best = deadline.best  # else the first epoch would count as the best
    model.callbacks.append(deadline)
    large = [p for p in pairs["train"] if min(p[0].shape) >= 256]
    images, masks = zip(*large, strict=True)
    if deadline.used < minutes:
        model.train(
            list(images),
            list(masks),
            validation_data=tuple(map(list, zip(*pairs["val"], strict=True))),
            augmenter=changed,
            epochs=1000,
            steps_per_epoch=50,
            seed=SEED + round(deadline.used),
        )
    model.keras_model.load_weights(run / "model" / "weights_best.h5")
    model.optimize_thresholds(*map(list, zip(*pairs["val"], strict=True)))
    return model


def rate() -> float:
    """Megapixels per second of the network with random weights, the best of a few runs."""
    network = StarDist2D(Config2D(n_rays=32, grid=(2, 2)), name=None, basedir=None).keras_model
    image = np.random.default_rng(0).random((1, SIDE, SIDE, 1)).astype(np.float32)
    network(image, training=False)  # the first one is not counted
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        network(image, training=False)
        seconds.append(time.perf_counter() - begun)
    return SIDE**2 / 1e6 / min(seconds)


def main() -> None:
    """Read the command line, train, predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--rate", action="store_true", help="only time the network")
    options = parser.parse_args()
    if options.rate:
        print(SIDE, rate())
        return
    if options.data is None or options.run is None:
        parser.error("--data and --run are needed")
    trained = options.run / "model" / "thresholds.json"
    if trained.exists():
        model = StarDist2D(None, name="model", basedir=str(options.run))
    else:
        model = train(options.data, options.run, options.minutes)
    seconds: dict[str, float] = {}
    for split in ("val", "test"):
        for name, image, _ in rows(options.data, split):
            given = grey(image)
            start = time.perf_counter()
            labels, _ = model.predict_instances(given)
            seconds[name] = time.perf_counter() - start
            imsave(options.run / f"{name}.tif", labels.astype(np.uint16), check_contrast=False)
    (options.run / "seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
