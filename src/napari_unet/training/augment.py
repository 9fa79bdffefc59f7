"""Random views of a training image: geometry for image and targets alike, then grey values.

Everything is drawn from a `torch.Generator`, so a seed repeats a run.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  (the field's usual name)
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far views may differ from the image.

    Attributes
    ----------
    scale : tuple of float
        Smallest and largest magnification, drawn log-uniformly.
    rotate : bool
        Whether to rotate by any angle; else by right angles, which keeps outlines sharp where the
        scale is 1. Flips are always drawn.
    elastic : float
        Pixels; standard deviation of the displacements on a 3×3 grid, interpolated bicubically
        (paper, section 3.1: 10).
    still : float
        Share of views that are neither resized nor bent, so that sharp outlines stay among views
        of many sizes.
    intensity : float
        Strength of grey-value changes, 0 (none) to 1.
    invert : float
        Probability of inverted contrast.
    halo : float
        Strength of brighter or weaker rims around edges, as phase contrast has them, 0 (none) to 1.
    blur : float
        Pixels; largest sigma of a blur.
    noise : float
        Largest standard deviation of noise, share of the range of grey values.
    """

    scale: tuple[float, float] = (0.6, 1.7)
    rotate: bool = True
    elastic: float = 10.0
    intensity: float = 1.0
    invert: float = 0.1
    halo: float = 0.0
    still: float = 0.0
    blur: float = 2.0
    noise: float = 0.12


def uniform(low: float, high: float, random: Generator) -> float:
    """Draw one number from ``[low, high)``."""
    return low + (high - low) * float(torch.rand((), generator=random))


def sampling_grid(
    size: int, centre: tuple[float, float], options: Augmentation, random: Generator
) -> Tensor:
    """Source coordinates of one view.

    Parameters
    ----------
    size : int
        Height and width of the view, pixels.
    centre : tuple of float
        ``(y, x)`` in the source image that the view's centre shows.
    options : Augmentation
        Ranges of scale, rotation and elastic deformation.
    random : torch.Generator
        Source of randomness.

    Returns
    -------
    Tensor
        ``(size, size, 2)``, source ``(x, y)`` in pixels of every pixel of the view.
    """
    if options.still and uniform(0, 1, random) < options.still:
        options = replace(options, scale=(1.0, 1.0), elastic=0.0)
    low, high = options.scale
    zoom = math.exp(uniform(math.log(low), math.log(high), random))
    turn = uniform(0, 4, random)
    angle = (turn if options.rotate else math.floor(turn)) * math.pi / 2
    flip = -1.0 if uniform(0, 1, random) < 0.5 else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    matrix = torch.tensor([[flip * cos, -sin], [flip * sin, cos]])
    line = torch.arange(size) - (size - 1) / 2
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1) @ matrix.T
    if options.elastic > 0:
        coarse = torch.randn((1, 2, 3, 3), generator=random) * options.elastic
        field = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)
        grid = grid + field[0].permute(1, 2, 0)
    return grid + torch.tensor([centre[1], centre[0]])


def view(planes: Tensor, grid: Tensor, mode: str, *, outside: str = "reflection") -> Tensor:
    """Resample ``planes (C, Y, X)`` at ``grid (H, W, 2)``.

    Beyond the borders the planes are mirrored, or 0 with ``outside="zeros"``.
    """
    height, width = planes.shape[-2:]
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
    normalised = (grid * scale - 1)[None]
    return F.grid_sample(
        planes[None], normalised, mode=mode, padding_mode=outside, align_corners=True
    )[0]


def change_intensity(image: Tensor, options: Augmentation, random: Generator) -> Tensor:
    """Draw gamma, contrast, shading, blur, noise and inversion for ``image (C, Y, X)`` in 0…1."""

    def chance(probability: float) -> bool:
        return uniform(0, 1, random) < probability * options.intensity

    if uniform(0, 1, random) < options.invert:
        image = 1 - image
    if options.halo > 0:
        rims = image - _blur(image, uniform(2.0, 6.0, random))
        image = image + options.halo * uniform(-0.7, 1.0, random) * rims
    if chance(0.5):
        image = image.clamp(min=0) ** uniform(0.6, 1.7, random)
    if chance(0.7):
        image = image * uniform(0.6, 1.4, random) + uniform(-0.15, 0.15, random)
    if chance(0.3):
        image = image * _shading(image.shape[-2:], random)
    if chance(0.3):
        image = _blur(image, uniform(0.3, options.blur, random))
    if chance(0.5):
        noise = torch.randn(image.shape, generator=random)
        image = image + noise * uniform(0.0, options.noise, random)
    return image


def _shading(shape: torch.Size, random: Generator) -> Tensor:
    corners = 1 + 0.4 * (2 * torch.rand((1, 1, 2, 2), generator=random) - 1)
    return F.interpolate(corners, tuple(shape), mode="bilinear", align_corners=True)[0]


def _blur(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(3 * sigma)
    line = torch.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = torch.exp(-(line**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None]
    padded = F.pad(image[:, None], (radius,) * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(padded, kernel[..., None, :]), kernel[..., None])
    return blurred[:, 0]
