"""A padded network computed band by band: the same numbers, from a cache instead of memory.

The levels with the most pixels have few channels, so that a processor waits for memory more than it
computes. A band of rows goes through all layers of a level while it is in the cache; only what the
other levels need is ever written whole.
"""

import math
import time

import torch
from torch import Tensor, nn

from napari_unet.inference.fastest import Fastest, fastest
from napari_unet.network.unet import UNet

# Numbers in a band of one level's features; which is best depends on the processor's caches.
BANDS = (3 * 2**21, 3 * 2**20, 3 * 2**22)
LEAST_ROWS = 30  # of a band: a few rows only are added up in another order by the processor
COMPARABLE = 2**20  # pixels; smaller images take a different time for each of theirs
HALO = 2  # rows that two 3×3 convolutions reach to
REACH = 2  # rows below that an up-convolution of a band and its halo reaches to


class Bands(nn.Module):
    """Computes what a network does, for one image at a time.

    Parameters
    ----------
    network : UNet
        Padded, in evaluation mode.
    band : int, optional
        Numbers in a band of features; default: the fastest of `BANDS` on this computer.
    """

    def __init__(self, network: UNet, band: int | None = None) -> None:
        super().__init__()
        self._network, self._band = network, band

    def forward(self, image: Tensor) -> Tensor:
        """Compute the outputs ``(1, O, H, W)`` of ``(1, C, H, W)``, as `UNet.forward`."""
        self._network.check(image)
        if self._band is not None:
            return self._compute(image, self._band)
        if image.device.type != "cpu":
            return self._compute(image, BANDS[0])
        choice, pixels = self._choice(image), image.shape[-2] * image.shape[-1]
        if pixels < COMPARABLE:
            return self._compute(image, choice.likely)
        band, start, taken = choice.pick(), time.perf_counter(), math.inf
        try:
            result = self._compute(image, band)
            taken = (time.perf_counter() - start) / pixels
        finally:
            choice.took(band, taken)
        return result

    def _choice(self, image: Tensor) -> Fastest:
        spec, threads = self._network.spec, torch.get_num_threads()
        least = LEAST_ROWS * 2 * spec.base_filters * image.shape[-1]
        ways = tuple(band for band in BANDS if band >= least) or (least,)
        network = f"{spec.base_filters} filters, {spec.depth} levels, {threads} threads"
        return fastest(ways, f"torch {torch.__version__}, {image.dtype}, {network}")

    def _compute(self, image: Tensor, band: int) -> Tensor:
        network, copies, x = self._network, [], image
        for block in network.down:
            copy, x = self._down(block, x, band)
            copies.append(copy)
        x = network.bottom(x)
        for level in reversed(range(len(copies))):
            x = self._up(level, copies.pop(), x, band)
        return x

    @staticmethod
    def _rows(shape: torch.Size, channels: int, band: int) -> list[tuple[int, int]]:
        """Bands of one even length, but the last one may be a little shorter."""
        height, width = shape[-2:]
        count = math.ceil(height / max(2, band // (width * channels)))
        rows = 2 * math.ceil(height / count / 2)
        return [(start, min(start + rows, height)) for start in range(0, height, rows)]

    def _down(self, block: nn.Module, x: Tensor, band: int) -> tuple[Tensor, Tensor]:
        """One level of the contracting path: features, and what the pooling leaves of them."""
        channels, (height, width) = _channels(block), x.shape[-2:]
        copy, pooled = (
            _empty(x, channels, height, width),
            _empty(x, channels, height // 2, width // 2),
        )
        for a, b in self._rows(x.shape, channels, band):
            low, high = max(0, a - HALO), min(height, b + HALO)
            part = block(x[..., low:high, :])[..., a - low : b - low, :]
            copy[..., a:b, :] = part
            pooled[..., a // 2 : b // 2, :] = self._network.pool(part)
        return copy, pooled

    def _up(self, level: int, copy: Tensor, x: Tensor, band: int) -> Tensor:
        """One level of the expanding path; at the finest one the logits."""
        network, (height, width) = self._network, copy.shape[-2:]
        block, last = network.merge[level], level == 0
        channels = network.head.out_channels if last else _channels(block)
        result = _empty(x, channels, height, width)
        for a, b in self._rows(copy.shape, 2 * copy.shape[1], band):
            low, high = max(0, a - HALO), min(height, b + HALO)
            first, after = max(0, a // 2 - REACH), min(height // 2, b // 2 + REACH)
            up = network.up[level](x[..., first:after, :])
            up = up[..., low - 2 * first : high - 2 * first, :]
            part = block(network.join(copy[..., low:high, :], up))[..., a - low : b - low, :]
            result[..., a:b, :] = network.head(part) if last else part
        return result


def _channels(block: nn.Module) -> int:
    """Channels that a block of convolutions makes."""
    made = [m.out_channels for m in block.modules() if isinstance(m, nn.Conv2d)]
    return made[-1]


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    return torch.empty(
        (1, channels, height, width), dtype=like.dtype, device=like.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
