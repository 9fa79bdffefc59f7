"""A padded network computed band by band: the same numbers, from a cache instead of memory.

The levels with the most pixels have few channels, so that a processor waits for memory more than it
computes. A band of rows goes through all layers of a level while it is in the cache; only what the
other levels need is ever written whole.
"""

import math

import torch
from torch import Tensor, nn

from napari_unet.network.smoothing import smoothed_rows
from napari_unet.network.unet import UNet

# Numbers in a band of one level's features; best in float32 and in bfloat16 (benchmarks/bands.py).
BAND = 3 * 2**21
LEAST_ROWS = 30  # of a band: a few rows only are added up in another order by the processor
HALO = 2  # rows that two 3×3 convolutions reach to
REACH = 2  # rows below that an up-convolution of a band and its halo reaches to


class Bands(nn.Module):
    """Computes what a network does, for one image at a time.

    Parameters
    ----------
    network : UNet
        Padded, in evaluation mode.
    band : int, optional
        Numbers in a band of features; default: `BAND`, or what `LEAST_ROWS` need.
    """

    def __init__(self, network: UNet, band: int | None = None) -> None:
        super().__init__()
        self._network, self._band = network, band

    def forward(self, image: Tensor) -> Tensor:
        """Compute the outputs ``(1, O, H, W)`` of ``(1, C, H, W)``, as `UNet.forward`."""
        self._network.check(image)
        return self._compute(image, self._band or self._usual(image))

    def _usual(self, image: Tensor) -> int:
        """Numbers in a band; the processor adds up very low bands in another order."""
        return max(BAND, LEAST_ROWS * 2 * self._network.spec.base_filters * image.shape[-1])

    def _compute(self, image: Tensor, band: int) -> Tensor:
        network, copies = self._network, []
        x = network.completed(image)
        for block in network.down:
            copy, x = self._down(block, x, band)
            copies.append(copy)
        x = network.bottom(x)
        for level in reversed(range(len(copies))):
            x = self._up(level, copies.pop(), x, band, image)
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

    def _up(self, level: int, copy: Tensor, x: Tensor, band: int, image: Tensor) -> Tensor:
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
            if last and network.spec.direct:
                part = torch.cat([part, smoothed_rows(image, a, b)], dim=1)
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
