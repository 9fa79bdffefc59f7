"""The image itself and smoothed copies of it: what a direct head sees beside learned features."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from napari_unet.network.spec import SMOOTHED, SMOOTHED_REACH


def smoothed(image: Tensor) -> Tensor:
    """Return the image and its copies, each smoothed further than the one before.

    The kernel 1 4 6 4 1 with growing holes, the "à trous" transform of Holschneider et al. (1989):
    close to Gaussians with standard deviations of 1.0 and 2.2 px.

    Parameters
    ----------
    image : Tensor
        ``(N, C, Y, X)``; beyond its edge the outermost pixels go on.

    Returns
    -------
    Tensor
        ``(N, C·(1 + len(SMOOTHED)), Y, X)``.
    """
    copies = [image if image.dtype == torch.float64 else image.float()]
    for step in SMOOTHED:
        rows = _along(copies[-1], step, -2)
        copies.append(_along(rows, step, -1))
    return torch.cat(copies, dim=1).to(image.dtype)


def smoothed_rows(image: Tensor, start: int, stop: int) -> Tensor:
    """Return the rows from `start` to `stop` of what `smoothed` gives."""
    low, high = max(0, start - SMOOTHED_REACH), min(image.shape[-2], stop + SMOOTHED_REACH)
    return smoothed(image[..., low:high, :])[..., start - low : stop - low, :]


def _along(x: Tensor, step: int, axis: int) -> Tensor:
    """Smooth along one axis, between pixels that are `step` apart."""
    reach, length = 2 * step, x.shape[axis]
    widths = (0, 0, reach, reach) if axis == -2 else (reach, reach, 0, 0)
    wide = pad(x, widths, mode="replicate")
    far, near, here, after, last = (wide.narrow(axis, k * step, length) for k in range(5))
    return (far + last + 4 * (near + after) + 6 * here) / 16
