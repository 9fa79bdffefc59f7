"""A padded network computed band by band: the same numbers, from a cache instead of memory.

The levels with the most pixels have few channels, so that a processor waits for memory more than it
computes. A band of rows goes through all layers of a level while it is in the cache; only what the
other levels need is ever written whole. Of a tile only the middle is wanted. What lies around it is
needed on the way down, as the network looks far; on the way up it is left out.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_unet.image import Box
from napari_unet.network.smoothing import smoothed_rows
from napari_unet.network.unet import UNet

# Numbers in a band of one level's features. Twice as many take as long, half as many too.
BAND = 3 * 2**20
LEAST_ROWS = 30  # of a band: a few rows only are added up in another order by the processor
HALO = 2  # rows that two 3×3 convolutions reach to
REACH = 2  # rows below that an up-convolution of a band and its halo reaches to


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """Features of the contracting path that wait for the expanding path.

    Attributes
    ----------
    features : Tensor
        ``(1, F, Y, X)`` over `kept`.
    kept, whole : Box
        What is kept of the level, and all of it, in its pixels.
    """

    features: Tensor
    kept: Box
    whole: Box


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
        self._network, self._band, self._own = network, band, threading.local()

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
        network = self._network
        x, copies = network.completed(image), list[_Copy]()
        boxes, levels = self._boxes(wanted, _box(x))
        kept = [box.grow(HALO).intersect(level) for box, level in zip(boxes, levels, strict=True)]
        for number, features in enumerate(self._room(x, kept[:-1])):
            copy = _Copy(features, kept[number], levels[number])
            x = self._down(network.down[number], x, copy, band)
            copies.append(copy)
        x = network.bottom(x)
        for level in reversed(range(len(copies))):
            around = boxes[level], boxes[level + 1]
            x = self._up(level, (copies.pop(), x), around, band, image)
        return x

    def _boxes(self, wanted: Box, whole: Box) -> tuple[list[Box], list[Box]]:
        """Return what is wanted of each level and all of it, in its pixels, the finest first."""
        boxes, levels = [wanted], [whole]
        for _ in self._network.down:
            boxes.append(_below(boxes[-1], levels[-1]))
            levels.append(_half(levels[-1]))
        return [*boxes[:-1], levels[-1]], levels

    def _room(self, like: Tensor, kept: Sequence[Box]) -> Iterator[Tensor]:
        """Yield room for the features that are kept of each level.

        On the processor each thread uses the same memory for every tile. Anew for each tile, such
        large arrays leave gaps that the C library does not give back.
        """
        shapes = [
            (_channels(block), *box.shape)
            for block, box in zip(self._network.down, kept, strict=True)
        ]
        if like.device.type != "cpu" or not torch.is_inference_mode_enabled():
            yield from (_empty(like, *shape) for shape in shapes)
            return
        numbers = [math.prod(shape) for shape in shapes]
        room: Tensor | None = getattr(self._own, "room", None)
        if room is None or room.numel() < sum(numbers) or room.dtype != like.dtype:
            self._own.room = room = None  # before there is more
            self._own.room = room = torch.empty(sum(numbers), dtype=like.dtype)
        parts = torch.split(room[: sum(numbers)], numbers)
        for part, (channels, height, width) in zip(parts, shapes, strict=True):
            yield part.view(1, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def _rows(box: Box, channels: int, band: int) -> list[tuple[int, int]]:
        """Bands of one even length, but the last one may be a little shorter."""
        (height, width), first, stop = box.shape, box.start[0], box.stop[0]
        count = math.ceil(height / max(2, band // (width * channels)))
        rows = 2 * math.ceil(height / count / 2)
        return [(start, min(start + rows, stop)) for start in range(first, stop, rows)]

    def _down(self, block: nn.Module, x: Tensor, copy: "_Copy", band: int) -> Tensor:
        """One level of the contracting path: fill the copy, return what the pooling leaves."""
        channels, (height, width) = _channels(block), x.shape[-2:]
        pooled = _empty(x, channels, height // 2, width // 2)
        for a, b in self._rows(_box(x), channels, band):
            low, high = max(0, a - HALO), min(height, b + HALO)
            part = block(x[..., low:high, :])[..., a - low : b - low, :]
            common = Box((a, 0), (b, width)).intersect(copy.kept)
            here = copy.features[..., *common.shift(copy.kept.start).slices]
            here.copy_(part[..., *common.shift((a, 0)).slices])
            pooled[..., a // 2 : b // 2, :] = self._network.pool(part)
        return pooled

    def _up(
        self,
        level: int,
        joined: tuple["_Copy", Tensor],
        boxes: tuple[Box, Box],
        band: int,
        image: Tensor,
    ) -> Tensor:
        """One level of the expanding path; at the finest one the logits.

        Parameters
        ----------
        level : int
            0 = the finest.
        joined : tuple of _Copy and Tensor
            The features of the contracting path, and what the level below gave.
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
        for a, b in self._rows(wanted, 2 * copy.features.shape[1], band):
            strip = Box((a, x0), (b, x1))
            read, inner = strip.grow(HALO).intersect(copy.whole), _below(strip, copy.whole)
            up = network.up[level](x[..., *inner.shift(below.start).slices])
            first = 2 * inner.start[0], 2 * inner.start[1]
            up = up[..., *read.shift(first).slices]
            beside = copy.features[..., *read.shift(copy.kept.start).slices]
            part = block(network.join(beside, up))
            part = part[..., *strip.shift(read.start).slices]
            if last and network.spec.direct:
                sides = smoothed_rows(image, a, b)[..., x0:x1]
                part = torch.cat([part, sides], dim=1)
            result[..., a - y0 : b - y0, :] = network.head(part) if last else part
        return result


def _box(x: Tensor) -> Box:
    return Box((0, 0), (x.shape[-2], x.shape[-1]))


def _half(level: Box) -> Box:
    return Box((0, 0), (level.stop[0] // 2, level.stop[1] // 2))


def _below(wanted: Box, level: Box) -> Box:
    """Return what a level needs of the one below, in its pixels, for a part of its features."""
    (y0, x0), (y1, x1) = wanted.start, wanted.stop
    half = Box((y0 // 2, x0 // 2), (-(-y1 // 2), -(-x1 // 2)))
    return half.grow(REACH).intersect(_half(level))


def _channels(block: nn.Module) -> int:
    """Channels that a block of convolutions makes."""
    made = [m.out_channels for m in block.modules() if isinstance(m, nn.Conv2d)]
    return made[-1]


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    return torch.empty(
        (1, channels, height, width), dtype=like.dtype, device=like.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
