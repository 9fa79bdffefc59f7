"""The U-Net of Ronneberger, Fischer and Brox (2015), arXiv:1505.04597, in two variants.

*padded*: zero-padded 3×3 convolution + BatchNorm + LeakyReLU(0.2), transposed convolution up.
*paper*: valid 3×3 convolution + ReLU, 2×2 up-convolution, copy and crop; 572² → 388².
Both are built by the same lines from a `UNetSpec`. Shapes are written ``(N, C, Y, X)``, with
``F`` for `base_filters` and ``H, W`` for the input's height and width (padded variant).
"""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from napari_unet.errors import InputError
from napari_unet.network.outputs import Activation
from napari_unet.network.smoothing import smoothed
from napari_unet.network.spec import UNetSpec


def convolution(in_channels: int, out_channels: int, spec: UNetSpec) -> nn.Sequential:
    """One 3×3 convolution and its activation (paper, section 2)."""
    if spec.variant == "paper":
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(0.2, inplace=True),
    )


def double_convolution(in_channels: int, out_channels: int, spec: UNetSpec) -> nn.Sequential:
    """Two 3×3 convolutions: the block every level of both paths is made of."""
    return nn.Sequential(
        convolution(in_channels, out_channels, spec), convolution(out_channels, out_channels, spec)
    )


def up_convolution(in_channels: int, spec: UNetSpec) -> nn.Module:
    """Stride-2 transposed convolution that doubles the size and halves the channels."""
    out_channels = in_channels // 2
    surplus = spec.up_kernel - 2  # what a 3x3 kernel writes beyond twice the size
    up = nn.ConvTranspose2d(
        in_channels, out_channels, spec.up_kernel, stride=2, padding=surplus, output_padding=surplus
    )
    if spec.variant == "paper":
        return up
    return nn.Sequential(up, nn.BatchNorm2d(out_channels), nn.LeakyReLU(0.2, inplace=True))


class Join(nn.Module):
    """Bring the contracting path's features to the expanding path: copy, crop, and join."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        self.skip = spec.skip
        self.factor = 2 if spec.skip == "concat" else 1

    def forward(self, copied: Tensor, up: Tensor) -> Tensor:
        """Join ``copied (N, C, Y, X)``, cropped to the centre, with ``up (N, C, Y', X')``."""
        if self.skip == "none":
            return up
        crop = (copied.shape[-1] - up.shape[-1]) // 2
        height, width = up.shape[-2:]
        copied = copied[..., crop : crop + height, crop : crop + width]
        return torch.cat([copied, up], dim=1) if self.skip == "concat" else copied + up


class UNet(nn.Module):
    """U-Net built from a spec; every level has its own weights.

    Parameters
    ----------
    spec : UNetSpec
        Channels, classes, depth and variant.

    Examples
    --------
    >>> network = UNet(UNetSpec(base_filters=2, depth=2)).eval()
    >>> network(torch.zeros(1, 1, 32, 48)).shape
    torch.Size([1, 4, 32, 48])
    """

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        self.spec = spec
        levels = range(spec.depth)
        self.down = nn.ModuleList(
            double_convolution(
                spec.filters(i - 1) if i else spec.most_channels, spec.filters(i), spec
            )
            for i in levels
        )
        self.pool = nn.MaxPool2d(2)
        self.bottom = double_convolution(
            spec.filters(spec.depth - 1), spec.filters(spec.depth), spec
        )
        self.dropout = nn.Dropout2d(spec.dropout)  # paper, section 3.1
        self.up = nn.ModuleList(up_convolution(spec.filters(i + 1), spec) for i in levels)
        self.join = Join(spec)
        self.merge = nn.ModuleList(
            double_convolution(self.join.factor * spec.filters(i), spec.filters(i), spec)
            for i in levels
        )
        self.head = nn.Conv2d(spec.head_channels, spec.out_channels, 1)  # logits: no activation
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        image : Tensor
            ``(N, C, H, W)``; H and W such that every pooling is even (`UNetSpec.takes`). Where the
            network takes nuclei, they are the last channel, or left out.

        Returns
        -------
        Tensor
            ``(N, O, H, W)``, for the paper variant ``H - 2·shrink``: the channels of
            `UNetSpec.outputs`, before their activation.
        """
        logits: Tensor = self.head(self.features(image))  # (N, O, H, W)
        return logits

    def features(self, image: Tensor) -> Tensor:
        """Compute what the last convolution sees, ``(N, head_channels, H, W)``."""
        self.check(image)
        copies = []
        x = self.completed(image)  # (N, C, H, W)
        for block in self.down:
            x = block(x)  # level l: (N, F·2^l, H/2^l, W/2^l)
            copies.append(x)
            x = self.pool(x)  # (N, F·2^l, H/2^(l+1), W/2^(l+1))
        x = self.dropout(self.bottom(x))  # (N, F·2^depth, H/2^depth, W/2^depth)
        for level in reversed(range(self.spec.depth)):
            x = self.up[level](x)  # (N, F·2^l, H/2^l, W/2^l)
            x = self.merge[level](self.join(copies[level], x))  # (N, F·2^l, ...)
        if self.spec.direct:
            x = self._beside_colours(x, image)  # (N, head_channels, H, W)
        return x

    def _beside_colours(self, x: Tensor, image: Tensor) -> Tensor:
        """Join the finest features with what of the image lies under them, smoothed or not."""
        rim = self.spec.shrink
        seen = smoothed(image)[..., rim : rim + x.shape[-2], rim : rim + x.shape[-1]]
        return torch.cat([x, seen.to(x.dtype)], dim=1)

    def completed(self, image: Tensor) -> Tensor:
        """Return the image with an empty channel of nuclei where they may be given and are not."""
        missing = self.spec.most_channels - image.shape[-3]
        if not missing:
            return image
        return torch.cat([image, torch.zeros_like(image[:, :missing])], dim=1)

    def check(self, image: Tensor) -> None:
        """Raise `InputError` for an image that does not fit."""
        spec, (channels, height, width) = self.spec, image.shape[-3:]
        if channels not in (spec.in_channels, spec.most_channels):
            raise InputError(
                f"The image has {channels} channels; this network needs {spec.in_channels}. "
                "Choose the channels, or a model made for them."
            )
        if not (spec.takes(height) and spec.takes(width)):
            fit = spec.next_valid_length(height), spec.next_valid_length(width)
            raise InputError(
                f"A tile of {height} × {width} px does not pool evenly {spec.depth} times; the "
                f"next size that does is {fit[0]} × {fit[1]} px. Pad the tile by mirroring."
            )


def activated(output: Tensor, spec: UNetSpec, names: Collection[str] | None = None) -> Tensor:
    """Apply each output's activation to what `UNet.forward` computed.

    Parameters
    ----------
    output : Tensor
        ``(..., O, Y, X)``, all outputs of the network.
    spec : UNetSpec
        The network.
    names : collection of str, optional
        Outputs to return; default those that the probability map holds.

    Returns
    -------
    Tensor
        ``(..., M, Y, X)``, the channels of these outputs in the network's order.
    """
    parts = []
    for one in spec.outputs:
        if one.mapped if names is None else one.name in names:
            part = output[..., spec.slice_of(one.name), :, :]
            parts.append(part.softmax(dim=-3) if one.activation == Activation.SOFTMAX else part)
    return torch.cat(parts, dim=-3)


def _initialise(module: nn.Module) -> None:
    """He initialisation: standard deviation sqrt(2 / incoming connections) (paper, section 3)."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return
    incoming: float = module.in_channels * module.kernel_size[0] ** 2
    if isinstance(module, nn.ConvTranspose2d):
        incoming /= module.stride[0] ** 2  # each output pixel sees a part of the kernel
    nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
    if module.bias is not None:
        nn.init.zeros_(module.bias)
