"""Train the bundled `nuclei` model. Run it again to resume from the last checkpoint.

python scripts/train_base_model.py --data ../shared/data --run runs/nuclei
python scripts/train_base_model.py --run runs/nuclei --export src/napari_unet/models/bundled
"""

import argparse
import csv
import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.io import imread
from skimage.transform import resize

from napari_unet.image import normalise, percentiles, to_grey
from napari_unet.instances import typical_diameter
from napari_unet.models.card import ModelCard, sha256_of
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.training.augment import (
    Augmentation,
    change_intensity,
    sampling_grid,
    uniform,
    view,
)
from napari_unet.training.loss import segmentation_loss
from napari_unet.training.targets import BORDER, targets_of

# ---- knobs -----------------------------------------------------------------------------------
SPEC = UNetSpec(in_channels=1, classes=3, distance=True, base_filters=16, depth=4)
SEED = 20261122
BATCH = 8
CROP = 256
DECAY = 1e-4
AVERAGING = 0.998  # exponential moving average of the weights; the average is what is shipped
CLIP = 1.0
SHARE = {"fluo": 0.56, "mnfinder": 0.14, "colour": 0.23, "brightfield_grey": 0.07}
FOREGROUND = 0.9  # of the crops are centred on an object


@dataclass(frozen=True)
class Phase:
    """Part of the training: linear warm-up over a tenth of it, then cosine to zero."""

    steps: int
    rate: float  # peak learning rate of AdamW
    border: float  # weight of a touching-border pixel in the loss
    augmentation: Augmentation


# Sizes and looks change a little at first, so that many are known; unchanged geometry at the end,
# for outlines as sharp as the images. Right angles only: outlines stay on the pixel grid.
MILD = Augmentation(scale=(0.7, 1.4), rotate=False, elastic=2.0, intensity=0.8, invert=0.06)
SHARP = Augmentation(scale=(1.0, 1.0), rotate=False, elastic=0.0, intensity=0.5, invert=0.03)
PHASES = (
    Phase(2000, 2e-3, 4.0, MILD),
    Phase(1800, 2e-3, 4.0, SHARP),
)
STEPS = sum(phase.steps for phase in PHASES)
CHECKPOINT_SECONDS = 120
CARD = ModelCard(
    name="nuclei",
    spec=SPEC,
    object_diameter=25.0,
    diameter_range=(13.0, 48.0),
    description="Nuclei in fluorescence, bright-field and H&E images; grey values, any contrast. "
    "Weak on crowded tissue, on stained tissue, and on blurred or very dim nuclei.",
    licence="BSD-3-Clause",
    data="Data Science Bowl 2018 stage 1 with the community's mask fixes (CC0), training split; "
    "MNFinder training images (MIT, (c) 2023 L. DiPeso).",
    recipe={
        "seed": SEED,
        "batch": BATCH,
        "crop": CROP,
        "averaging": AVERAGING,
        "begun": "with the weights of 5,200 steps with an earlier form of these targets",
        "phases": [asdict(phase) for phase in PHASES],
    },
)
# ----------------------------------------------------------------------------------------------

KINDS = ("image", "mask")
STORED_BORDER = 3.0  # what `targets_of` gives a touching-border pixel
log = logging.getLogger("train")


def training_images(data: Path, groups: list[str]) -> list[dict]:
    """List the training images of some groups (modalities), each with its cluster (field)."""
    rows = []
    with open(data / "dsb2018" / "split.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                place = {k: data / "dsb2018" / f"{k}s" / f"{row['name']}.png" for k in KINDS}
                rows.append({**place, "group": row["modality"], "cluster": row["mosaic"]})
    for image in sorted((data / "mnfinder/train/images").glob("*.png")):
        mask = data / "mnfinder/train/masks" / image.name
        rows.append({"image": image, "mask": mask, "group": "mnfinder", "cluster": image.stem})
    return [row for row in rows if row["group"] in groups]


def load(row: dict) -> dict:
    """Read one image, normalise it as inference does, and compute its targets once."""
    image = to_grey(imread(row["image"]))
    labels = imread(row["mask"]).astype(np.int32)
    image = normalise(image, percentiles(image))
    image, labels = at_model_scale(image, labels)
    targets = targets_of(labels)
    planes = np.stack([image, targets.distance, targets.weights, targets.classes])
    centres = np.argwhere(labels > 0)
    keep = np.random.default_rng(SEED).permutation(len(centres))[:2000]
    return {
        "planes": torch.from_numpy(planes.astype(np.float16)),
        "centres": torch.from_numpy(centres[keep]),
        "group": row["group"],
        "cluster": row["cluster"],
    }


def at_model_scale(
    image: NDArray[np.float32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Resize an image whose objects are smaller or larger than the model expects."""
    areas = np.bincount(labels.ravel())[1:]
    if not areas.any():
        return image, labels
    zoom = CARD.zoom(typical_diameter(2 * np.sqrt(areas[areas > 0] / np.pi)))
    if zoom == 1:
        return image, labels
    shape = [round(n * zoom) for n in image.shape]
    resized = resize(image, shape, order=1, anti_aliasing=zoom < 1)
    nearest = resize(labels, shape, order=0, anti_aliasing=False, preserve_range=True)
    return resized.astype(np.float32), nearest.astype(np.int32)


def load_all(data: Path, cache: Path, groups: list[str]) -> list[dict]:
    """Load every training image, from the cache of an earlier start if there is one."""
    if cache.exists():
        return torch.load(cache, weights_only=True)
    samples = [load(row) for row in training_images(data, groups)]
    torch.save(samples, cache)
    return samples


def place(centre: float, length: int) -> float:
    """Move a crop's centre so that it stays in the image if it fits.

    The result lies between two pixels, so that a view of scale 1 needs no interpolation.
    """
    low, high = min(CROP, length) / 2, length - min(CROP, length) / 2
    return math.floor(min(max(centre, low), high)) - 0.5


class Sampler:
    """Draws batches: a group by its share, a cluster by √size, an image, a place, a view."""

    def __init__(self, samples: list[dict]) -> None:
        self.samples = samples
        clusters: dict[tuple, list[int]] = {}
        for index, sample in enumerate(samples):
            clusters.setdefault((sample["group"], sample["cluster"]), []).append(index)
        self.clusters = list(clusters.values())
        weights = torch.zeros(len(clusters))
        for group, share in SHARE.items():
            sizes = torch.tensor(
                [math.sqrt(len(m)) if key[0] == group else 0.0 for key, m in clusters.items()]
            )
            weights += share * sizes / sizes.sum().clamp(min=1e-9)
        self.weights = weights

    def crop(self, augmentation: Augmentation, random: torch.Generator) -> torch.Tensor:
        """One augmented crop: ``(4, CROP, CROP)`` of image, distance, weights, classes."""
        cluster = self.clusters[int(torch.multinomial(self.weights, 1, generator=random))]
        sample = self.samples[cluster[int(uniform(0, len(cluster), random))]]
        planes, centres = sample["planes"].float(), sample["centres"]
        if len(centres) and uniform(0, 1, random) < FOREGROUND:
            y, x = centres[int(uniform(0, len(centres), random))].tolist()
        else:
            y = uniform(0, planes.shape[1], random)
            x = uniform(0, planes.shape[2], random)
        jitter = CROP / 4
        centre = tuple(
            place(c + uniform(-jitter, jitter, random), length)
            for c, length in zip((y, x), planes.shape[1:], strict=True)
        )
        grid = sampling_grid(CROP, centre, augmentation, random)
        smooth = view(planes[:2], grid, "bilinear")
        # A mirrored object that the border cuts has a shape no cell has: nothing is learned there.
        weights = view(planes[2:3], grid, "bilinear", outside="zeros")
        classes = view(planes[3:], grid, "nearest")
        image = change_intensity(smooth[:1], augmentation, random)
        return torch.cat([image, smooth[1:], weights, classes])

    def batch(self, phase: Phase, random: torch.Generator) -> torch.Tensor:
        """``(BATCH, 4, CROP, CROP)``."""
        batch = torch.stack([self.crop(phase.augmentation, random) for _ in range(BATCH)])
        inside = batch[:, 2] >= 1
        batch[:, 2] += (phase.border - STORED_BORDER) * (inside & (batch[:, 3] == BORDER))
        return batch


def phase_of(step: int) -> tuple[Phase, int]:
    """Return the phase a step belongs to, and its number within it."""
    for phase in PHASES:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    raise ValueError("the training is over")


def learning_rate(phase: Phase, step: int) -> float:
    """One cycle for each phase."""
    warm = phase.steps // 10
    if step < warm:
        return phase.rate * (step + 1) / warm
    return phase.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / (phase.steps - warm)))


def averaged(network: UNet) -> torch.optim.swa_utils.AveragedModel:
    """Copy that follows the network's weights and BatchNorm statistics slowly."""
    rule = torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING)
    return torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=rule, use_buffers=True)


def train(data: Path, run: Path, begin: Path | None, groups: list[str]) -> None:
    """Train through all phases, writing a checkpoint every two minutes."""
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    sampler = Sampler(load_all(data, run / "samples.pt", groups))
    network = load_model(begin)[0] if begin else UNet(SPEC)
    network = network.train().to(memory_format=torch.channels_last)
    average = averaged(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PHASES[0].rate, weight_decay=DECAY)
    start, last = 0, run / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
        log.info("resumed at step %d", start)
    saved, running = time.monotonic(), 0.0
    for step in range(start, STEPS):
        random = torch.Generator().manual_seed(SEED + step)  # a resumed run draws the same crops
        phase, within = phase_of(step)
        batch = sampler.batch(phase, random)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(phase, within)
        images = batch[:, :1].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = network(images)
        loss = segmentation_loss(output, batch[:, 3].long(), batch[:, 1], batch[:, 2])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        average.update_parameters(network)
        running = 0.98 * running + 0.02 * loss.item() if running else loss.item()
        if step % 20 == 0:
            log.info("step %d of %d  loss %.4f", step, STEPS, running)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == STEPS:
            state = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
            }
            torch.save(state, run / "next.pt")
            (run / "next.pt").replace(last)
            saved = time.monotonic()


def export(run: Path, folder: Path) -> None:
    """Write the averaged weights of the last checkpoint as a model, and its checksum."""
    state = torch.load(run / "last.pt", weights_only=True)
    network = averaged(UNet(SPEC))
    network.load_state_dict(state["average"])
    scores, thresholds = run / "scores.json", run / "decode.json"
    card = CARD.model_copy(
        update={
            "created": date.today().isoformat(),
            "recipe": {**CARD.recipe, "steps": state["step"]},
            "decode": DecodeSettings.model_validate_json(thresholds.read_text())
            if thresholds.exists()
            else CARD.decode,
            "scores": json.loads(scores.read_text()) if scores.exists() else {},
        }
    )
    path = save_model(folder / f"{card.name}.safetensors", network.module.eval(), card)
    (folder / "sha256.json").write_text(json.dumps({path.name: sha256_of(path)}, indent=2) + "\n")
    log.info("wrote %s after %d steps", path, state["step"])


def main() -> None:
    """Read the command line; train or export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--run", type=Path, default=Path("runs/nuclei"))
    parser.add_argument(
        "--begin", type=Path, help="model file to begin with; default: random weights"
    )
    parser.add_argument("--groups", nargs="+", default=list(SHARE), choices=SHARE)
    parser.add_argument("--export", type=Path, help="folder to write the trained model to")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.export:
        export(options.run, options.export)
    else:
        train(options.data, options.run, options.begin, options.groups)


if __name__ == "__main__":
    main()
