"""A padded network computed band by band: the same numbers, from a cache instead of memory.

The levels with the most pixels have few channels, so that a processor waits for memory more than it
computes. A band of rows goes through all layers of a level while it is in the cache; only what the
other levels need is ever written whole. Of a tile only the middle is wanted. What lies around it is
needed on the way down, as the network looks far; on the way up it is left out.
"""

import math

import torch
from torch import Tensor, nn

from napari_unet.image import Box
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

    def forward(self, image: Tensor, wanted: Box | None = None) -> Tensor:
        """Compute the outputs ``(1, O, H, W)`` of ``(1, C, H, W)``, as `UNet.forward`.

        Parameters
        ----------
        image : Tensor
            What the network is given.
        wanted : Box, optional
            Pixels of the image whose outputs are returned; None = all of them.
        """
        self._network.check(image)
        return self._compute(image, wanted or _box(image), self._band or self._usual(image))

    def _usual(self, image: Tensor) -> int:
        """Numbers in a band; the processor adds up very low bands in another order."""
        return max(BAND, LEAST_ROWS * 2 * self._network.spec.base_filters * image.shape[-1])

    def _compute(self, image: Tensor, wanted: Box, band: int) -> Tensor:
        network, copies = self._network, []
        x = network.completed(image)
        for block in network.down:
            copy, x = self._down(block, x, band)
            copies.append(copy)
        x = network.bottom(x)
        boxes = [wanted]
        for copy in copies:
            boxes.append(_below(boxes[-1], copy.shape))
        boxes[-1] = _box(x)
        for level in reversed(range(len(copies))):
            around = boxes[level], boxes[level + 1]
            x = self._up(level, (copies.pop(), x), around, band, image)
        return x

    @staticmethod
    def _rows(box: Box, channels: int, band: int) -> list[tuple[int, int]]:
        """Bands of one even length, but the last one may be a little shorter."""
        (height, width), first, stop = box.shape, box.start[0], box.stop[0]
        count = math.ceil(height / max(2, band // (width * channels)))
        rows = 2 * math.ceil(height / count / 2)
        return [(start, min(start + rows, stop)) for start in range(first, stop, rows)]

    def _down(self, block: nn.Module, x: Tensor, band: int) -> tuple[Tensor, Tensor]:
        """One level of the contracting path: features, and what the pooling leaves of them."""
        channels, (height, width) = _channels(block), x.shape[-2:]
        copy, pooled = (
            _empty(x, channels, height, width),
            _empty(x, channels, height // 2, width // 2),
        )
        for a, b in self._rows(_box(x), channels, band):
            low, high = max(0, a - HALO), min(height, b + HALO)
            part = block(x[..., low:high, :])[..., a - low : b - low, :]
            copy[..., a:b, :] = part
            pooled[..., a // 2 : b // 2, :] = self._network.pool(part)
        return copy, pooled

    def _up(
        self,
        level: int,
        joined: tuple[Tensor, Tensor],
        boxes: tuple[Box, Box],
        band: int,
        image: Tensor,
    ) -> Tensor:
        """One level of the expanding path; at the finest one the logits.

        Parameters
        ----------
        level : int
            0 = the finest.
        joined : tuple of Tensor
            The features of the contracting path, whole, and what the level below gave.
        boxes : tuple of Box
            What is wanted of this level, and what there is of the one below, in their pixels.
        band, image
            As above.
        """
        (copy, x), (wanted, below) = joined, boxes
        network, last = self._network, level == 0
        block = network.merge[level]
        channels = network.head.out_channels if last else _channels(block)
        result = _empty(x, channels, *wanted.shape)
        (y0, x0), (_, x1) = wanted.start, wanted.stop
        for a, b in self._rows(wanted, 2 * copy.shape[1], band):
            strip = Box((a, x0), (b, x1))
            read, inner = strip.grow(HALO).intersect(_box(copy)), _below(strip, copy.shape)
            up = network.up[level](x[..., *inner.shift(below.start).slices])
            first = 2 * inner.start[0], 2 * inner.start[1]
            up = up[..., *read.shift(first).slices]
            part = block(network.join(copy[..., *read.slices], up))
            part = part[..., *strip.shift(read.start).slices]
            if last and network.spec.direct:
                sides = smoothed_rows(image, a, b)[..., x0:x1]
                part = torch.cat([part, sides], dim=1)
            result[..., a - y0 : b - y0, :] = network.head(part) if last else part
        return result


def _box(x: Tensor) -> Box:
    return Box((0, 0), (x.shape[-2], x.shape[-1]))


def _below(wanted: Box, shape: torch.Size) -> Box:
    """Return what a level needs of the one below, in its pixels, for a part of its features."""
    whole = Box((0, 0), (shape[-2] // 2, shape[-1] // 2))
    (y0, x0), (y1, x1) = wanted.start, wanted.stop
    half = Box((y0 // 2, x0 // 2), (-(-y1 // 2), -(-x1 // 2)))
    return half.grow(REACH).intersect(whole)


def _channels(block: nn.Module) -> int:
    """Channels that a block of convolutions makes."""
    made = [m.out_channels for m in block.modules() if isinstance(m, nn.Conv2d)]
    return made[-1]


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    return torch.empty(
        (1, channels, height, width), dtype=like.dtype, device=like.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
