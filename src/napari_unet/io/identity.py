"""Which image is it? Told by its pixels, whatever file they come from."""

from dataclasses import replace

import numpy as np

from napari_unet.image import Image, sample_boxes
from napari_unet.io.journal import fingerprint


def identity_of(image: Image) -> str:
    """Return the fingerprint of an image, from samples of all its channels and planes."""
    every = replace(image, channel=None)
    count = int(np.prod(image.leading_shape, dtype=np.int64))
    windows = (
        every.read(_plane(number, image.leading_shape), box, every.channels)
        for number, box in sample_boxes(image.shape, count)
    )
    return fingerprint(image.data.shape, image.data.dtype, windows)


def _plane(number: int, leading: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, leading)) if leading else ()
