"""Hypothesis strategies for specs, intervals and label images, and small random networks."""

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.network.spec import Interval, UNetSpec
from napari_unet.network.unet import UNet

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
