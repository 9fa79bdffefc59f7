"""Hypothesis strategies for specs, intervals and label images, and small random networks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.models.card import ModelCard
from napari_unet.models.weights import save_model
from napari_unet.network.outputs import BORDER, CELL, Kind
from napari_unet.network.spec import Interval, UNetSpec
from napari_unet.network.unet import UNet
from napari_unet.training.targets import class_target, distance_target

SKIPS = ("concat", "sum", "none")


@st.composite
def specs(draw: st.DrawFn, *, max_depth: int = 6, max_filters: int = 64) -> UNetSpec:
    """Draw any valid spec; the paper variant keeps the paper's 2×2 up-convolution."""
    variant = draw(st.sampled_from(("padded", "paper")))
    return UNetSpec(
        in_channels=draw(st.integers(1, 6)),
        classes=draw(st.integers(2, 7)),
        distance=draw(st.booleans()),
        base_filters=draw(st.integers(1, max_filters)),
        depth=draw(st.integers(1, max_depth)),
        variant=variant,
        skip=draw(st.sampled_from(SKIPS)),
        up_kernel=2 if variant == "paper" else draw(st.sampled_from((2, 3))),
        dropout=draw(st.floats(0, 0.9)),
        diameter=draw(st.booleans()),
        direct=draw(st.booleans()),
    )


@st.composite
def intervals(draw: st.DrawFn, *, low: int, high: int) -> Interval:
    """Draw a half-open, non-empty interval inside ``[low, high)``."""
    start = draw(st.integers(low, high - 1))
    return start, draw(st.integers(start + 1, high))


@st.composite
def label_images(draw: st.DrawFn, *, max_side: int = 40) -> NDArray[np.integer]:
    """Draw a label image ``(Y, X)`` of 0 to 8 rectangles, touching or not, with any ids.

    Later rectangles cover earlier ones, so an object can be cut, thin, or in pieces.
    """
    shape = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    dtype = draw(st.sampled_from((np.uint8, np.uint16, np.int32)))
    highest = min(int(np.iinfo(dtype).max), 65535)
    ids = draw(st.lists(st.integers(1, highest), max_size=8, unique=True))
    labels = np.zeros(shape, dtype)
    for label in ids:
        y, x = (draw(intervals(low=0, high=side)) for side in shape)
        labels[slice(*y), slice(*x)] = label
    return labels


def random_network(spec: UNetSpec, seed: int = 0) -> UNet:
    """Build a float64 network in eval mode whose BatchNorms have random running statistics."""
    torch.manual_seed(seed)
    network = UNet(spec).double().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return network


def random_card(spec: UNetSpec, **fields: Any) -> ModelCard:
    """Card of a random network: instances where the outputs allow it, else classes."""
    instances = spec.classes == 3 and spec.distance
    return ModelCard(
        name="random", spec=spec, kind=Kind.INSTANCES if instances else Kind.CLASSES, **fields
    )


def random_model(folder: Path, spec: UNetSpec | None = None, seed: int = 0, **fields: Any) -> Path:
    """Write a model file with random weights and return its path."""
    spec = spec or UNetSpec(base_filters=2, depth=2)
    card = random_card(spec, **fields)
    return save_model(folder / "random.safetensors", random_network(spec, seed).float(), card)


def blob_labels(seed: int, shape: tuple[int, int], largest: int = 14) -> NDArray[np.int32]:
    """Draw discs of random sizes, many touching, as ``(Y, X)`` labels with ids 1…n."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for label in range(1, 1 + int(random.integers(0, shape[0] * shape[1] // 120 + 2))):
        y, x, radius = (
            random.uniform(0, shape[0]),
            random.uniform(0, shape[1]),
            random.uniform(2, largest / 2),
        )
        labels[((rows - y) ** 2 + (columns - x) ** 2 < radius**2) & (labels == 0)] = label
    return labels


def probability_maps(
    labels: NDArray[np.int32], seed: int = 0, noise: float = 10
) -> NDArray[np.uint8]:
    """Probability map ``(3, Y, X)`` a good network would give for `labels`, with some noise."""
    classes = class_target(labels)
    maps = np.stack([classes == CELL, classes == BORDER, distance_target(labels)]).astype(
        np.float64
    )
    noisy = maps * 255 + np.random.default_rng(seed).normal(0, noise, maps.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def same_partition(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two label images show the same objects, whatever their ids."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    ids = [np.unique(row) for row in pairs]
    zero = (pairs[0] == 0) == (pairs[1] == 0)
    return bool(zero.all()) and all(len(i) == pairs.shape[1] for i in ids)
