"""What comes of images when a person segments them: matches, seconds, tables by set and by look.

A mean over a set hides what the set has little of, so the worst look is told beside it. Looks are
told from image and truth: how large objects are, how much they touch, how far they stand out.
The plain path gives a whole image to a network of any outputs, without tiles.
"""

import argparse
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from scipy import ndimage

from benchmarks.common.image_sets import Sample
from benchmarks.common.matching import Counts, Matching, bootstrap, count, match, shown
from benchmarks.common.tables import ROOT
from napari_unet.image import Box, Image
from napari_unet.intensity import grey_limits, normalise
from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model
from napari_unet.network.unet import UNet
from napari_unet.segmentation import segment
from napari_unet.settings import SegmentSettings

DATA = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
DOCUMENT = ROOT / "docs" / "accuracy.md"
CROWDED = 0.1  # of the objects' outline that lies on another object
DIM = 0.35  # of the range of grey values between the objects' middle and the ground's
SIZES = ((0.0, 12.0), (12.0, 24.0), (24.0, 48.0), (48.0, 4000.0))  # pixels

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How one image went.

    Attributes
    ----------
    sample : Sample
        The image.
    matching : Matching
        Found objects against the truth.
    seconds : float
        From the opened image to the labels, loading the model included.
    megapixels : float
        Size of the image.
    """

    sample: Sample
    matching: Matching
    seconds: float
    megapixels: float


def evaluate(
    chosen: Sequence[Sample],
    model: Model,
    settings: SegmentSettings | None = None,
    *,
    true_size: bool = False,
) -> list[Outcome]:
    """Segment every image and compare; the default settings are those a person gets.

    With `true_size` the diameter is given, from the truth.
    """
    settings = settings or SegmentSettings()
    segment(chosen[0].image(), model, settings=settings)  # imports and first-use costs
    outcomes = []
    for sample in chosen:
        image = sample.image()
        diameter = sample.diameter() if true_size else None
        sized = settings.model_copy(update={"diameter": diameter})
        start = time.perf_counter()
        labels = segment(image, model, settings=sized).labels
        seconds = time.perf_counter() - start
        matching = match(sample.truth(), labels)
        outcomes.append(Outcome(sample, matching, seconds, labels.size / 1e6))
    return outcomes


def table_rows(groups: dict[str, list[Outcome]]) -> list[list[str]]:
    """Two rows for each group: pooled and per image."""
    rows = []
    for name, members in groups.items():
        counts = count([o.matching for o in members])
        speed = sum(o.seconds for o in members) / sum(o.megapixels for o in members)
        size = [str(len(members)), str(int(counts.objects[:, 0].sum()))]
        for kind, pooled in (("pooled", True), ("per image", False)):
            rows.append([f"{name}, {kind}", *size, *_cells(counts, pooled=pooled), f"{speed:.2f}"])
    return rows


def _cells(counts: Counts, *, pooled: bool) -> list[str]:
    e = bootstrap(counts, pooled=pooled)
    return [shown(*figures) for figures in zip(e.value, e.low, e.high, strict=True)]


def by_set(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Sort outcomes by set, and a whole data set of several parts."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.sample.group, []).append(outcome)
    for split in ("val", "test"):
        parts = [g for g in groups if g.startswith(f"dsb2018 {split}")]
        if len(parts) > 1:
            groups[f"dsb2018 {split} all"] = [o for part in parts for o in groups[part]]
    return groups


def weights_sha(model: Model) -> str:
    """Return the beginning of the weights' sha256, which stays when scores come into the card."""
    with safe_open(model.path, framework="numpy") as file:
        names = sorted(file.keys())
        content = b"".join(name.encode() + file.get_tensor(name).tobytes() for name in names)
    return hashlib.sha256(content).hexdigest()[:12]


def options_for(document: str | None) -> argparse.ArgumentParser:
    """Options of every benchmark that looks at validation images."""
    parser = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the image sets")
    parser.add_argument("--limit", type=int, help="images of each set")
    parser.add_argument("--dry", action="store_true", help="leave docs as they are")
    return parser


# ---- the plain path: a network on a whole image --------------------------------------------------


def grey(image: Image, *, bright_objects: bool) -> Array:
    """Return the image's first plane as a network of one channel is given it, ``(Y, X)``."""
    return _first_plane(image, 1, bright_objects)[0]


def given(image: Image, card: ModelCard) -> Array:
    """Return the image's first plane as a network is given it, ``(C, Y, X)``.

    For a network of three channels a grey image is the same three times.
    """
    wanted, bright = card.spec.in_channels, card.polarity == "bright"
    if image.channels >= wanted:
        return _first_plane(image, wanted, bright)
    return np.repeat(_first_plane(image, 1, bright), wanted, axis=0)


def _first_plane(image: Image, channels: int, bright_objects: bool) -> Array:
    box = Box((0, 0), image.shape)
    pixels = image.read((0,) * len(image.leading_axes), box, channels)
    planes = [normalise(c, grey_limits(c, bright_objects=bright_objects)) for c in pixels]
    return np.stack(planes)


def probabilities(network: UNet, image: Array) -> Array:
    """Run a network on a whole plane ``(C, Y, X)``, mirrored up to a size that pools evenly."""
    spec = network.spec
    rim = spec.shrink
    widths = [(0, 0)]
    for length in image.shape[1:]:
        wanted = length + 2 * rim
        widths.append((rim, rim + spec.next_valid_length(wanted) - wanted))
    padded = np.pad(image, widths, mode="symmetric")
    batch = torch.from_numpy(padded)[None].to(next(network.parameters()).dtype)
    with torch.inference_mode():
        output = network(batch.contiguous(memory_format=torch.channels_last))
        output = output[0, :, : image.shape[1], : image.shape[2]].float()
        classes = torch.softmax(output[: spec.classes], dim=0)
        found: Array = torch.cat([classes, output[spec.classes :]]).numpy()
    return found


# ---- looks --------------------------------------------------------------------------------------


def touching(truth: NDArray[Any]) -> float:
    """Share of the objects' outline that touches another object."""
    largest = ndimage.maximum_filter(truth, 3)
    smallest = ndimage.minimum_filter(np.where(truth == 0, truth.max() + 1, truth), 3)
    inside = truth > 0
    other = inside & ((largest != truth) | (smallest != truth))
    ground = inside & (ndimage.minimum_filter(truth, 3) == 0)
    outline = (other | ground).sum()
    return float(other.sum() / max(1, outline))


def standing_out(sample: Sample, truth: NDArray[Any]) -> float:
    """Median of the objects less that of the ground, in parts of the range of grey values."""
    if not truth.any() or truth.all():
        return 1.0
    shown = grey(sample.image(), bright_objects=True)
    return float(np.median(shown[truth > 0]) - np.median(shown[truth == 0]))


def looks_of(sample: Sample) -> list[str]:
    """Names of the looks that an image has; none without objects."""
    truth, diameter = sample.truth(), sample.diameter()
    if diameter is None:
        return []
    low, high = next(size for size in SIZES if size[0] <= diameter < size[1])
    last = high == SIZES[-1][1]
    size = f"objects over {low:g} px" if last else f"objects of {low:g} to {high:g} px"
    crowd = "crowded" if touching(truth) > CROWDED else "not crowded"
    light = "dim" if standing_out(sample, truth) < DIM else "not dim"
    return [size, crowd, light]


def by_look(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Sort outcomes by look; one may have several."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for look in looks_of(outcome.sample):
            groups.setdefault(look, []).append(outcome)
    return dict(sorted(groups.items()))
