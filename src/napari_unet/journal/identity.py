"""Which image is it? Told by its pixels, whatever file they come from."""

from dataclasses import replace

import numpy as np

from napari_unet.image import Image, sample_boxes
from napari_unet.journal.journal import DIGITS, fingerprint


def identity_of(image: Image) -> str:
    """Return the fingerprint of an image, from samples of all its channels and planes."""
    every = replace(image, channel=None)
    count = int(np.prod(image.leading_shape, dtype=np.int64))
    windows = (
        every.read(_plane(number, image.leading_shape), box, every.channels)
        for number, box in sample_boxes(image.shape, count)
    )
    return fingerprint(image.data.shape, image.data.dtype, windows)


def region_identity(identity: str, plane: int, start: tuple[int, int]) -> str:
    """Return the identity of a part of an image that is edited as an image of its own.

    Parameters
    ----------
    identity : str
        Of the whole image.
    plane : int
        Number of the plane.
    start : tuple of int
        First pixel of the part, ``(y, x)``.
    """
    return identity + "".join(f"{number:08x}" for number in (plane, *start))


def place_in(identity: str) -> tuple[int, tuple[int, int]] | None:
    """Return plane and first pixel of the part an identity belongs to; None for a whole image."""
    place = identity[DIGITS:]
    if not place:
        return None
    plane, y, x = (int(place[i : i + 8], 16) for i in (0, 8, 16))
    return plane, (y, x)


def _plane(number: int, leading: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, leading)) if leading else ()
