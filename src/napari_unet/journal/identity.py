"""Which image is it? Told by its pixels, whatever file they come from."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Image
from napari_unet.sampling import sample_boxes

DIGITS = 32  # of an image's identity


def fingerprint(shape: Sequence[int], dtype: Any, windows: Iterable[NDArray[Any]]) -> str:
    """Return the identity of an image, 32 hexadecimal digits, whatever file it comes from.

    Parameters
    ----------
    shape : sequence of int
        Of the whole image.
    dtype : dtype-like
        Of its pixels; the byte order does not matter.
    windows : iterable of ndarray
        Samples of the pixels, for example at ``napari_unet.sampling.sample_boxes``.
    """
    kind = np.dtype(dtype)
    digest = hashlib.sha256(f"{tuple(int(n) for n in shape)} {kind.name}".encode())
    for window in windows:
        pixels = np.asarray(window)
        digest.update(str(pixels.shape).encode())
        little = pixels.dtype.newbyteorder("<")
        digest.update(np.ascontiguousarray(pixels, dtype=little).tobytes())
    return digest.hexdigest()[:DIGITS]


def class_identity(identity: str) -> str:
    """Return what the classes painted on an image are kept under, beside its objects.

    What follows the identity of an image, the place of a part of it, stays as it is.
    """
    whole, place = identity[:DIGITS], identity[DIGITS:]
    return hashlib.sha256(f"{whole} classes".encode()).hexdigest()[:DIGITS] + place


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
