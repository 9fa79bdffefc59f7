"""Crowded training images: objects of an image copied beside its other objects.

Images of dense tissue are few among the training images, and where objects touch is what a network
learns last. A copied object is another example of two that touch, with a truth that is exact
(Ghiasi et al. 2021, arXiv:2012.07177, show what copying objects does for instance segmentation).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

FULL = 0.55  # of the image is covered by objects; then no more are added
COPIES = 2  # for each object of the image
NEAR = (0.65, 1.1)  # distance of two neighbours' centres, in sums of their radii
LEFT = 0.7  # of an object must stay visible
GAIN = (0.7, 1.3)  # brightness of a copy against the original
SOFT = 0.8  # pixels, sigma of a copy's edge
USUAL = (0.4, 2.5)  # area of what is copied, in medians; debris and clumps are enough as they are
MARGIN = 3  # pixels around an object that its copy takes along

Image = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Piece:
    """One object, cut out: image ``(C, h, w)`` and mask ``(h, w)``."""

    image: Image
    mask: NDArray[np.bool_]

    def turned(self, random: np.random.Generator) -> "Piece":
        """Return it in one of eight positions, a little brighter or darker."""
        turns, flip = int(random.integers(4)), bool(random.integers(2))
        image, mask = (np.rot90(a, turns, axes=(-2, -1)) for a in (self.image, self.mask))
        if flip:
            image, mask = image[..., ::-1], mask[..., ::-1]
        return Piece((image * random.uniform(*GAIN)).astype(np.float32), mask)


def crowded(
    image: Image, labels: Labels, random: np.random.Generator
) -> tuple[Image, Labels] | None:
    """Copy objects beside others until they crowd.

    Parameters
    ----------
    image : ndarray of float32
        ``(C, Y, X)``, bright objects.
    labels : ndarray of int32
        ``(Y, X)``.
    random : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tuple of ndarray or None
        Image and labels; None if there is no whole object to copy.
    """
    donors = _donors(labels)
    if not donors:
        return None
    image, labels = image.copy(), labels.copy()
    places = [(p.centroid, p.equivalent_diameter_area / 2) for p in donors]
    for _ in range(COPIES * len(donors)):
        if (labels > 0).mean() > FULL:
            break
        donor = donors[int(random.integers(len(donors)))]
        (y, x), radius = places[int(random.integers(len(places)))]
        own = donor.equivalent_diameter_area / 2
        angle, far = random.uniform(0, 2 * np.pi), random.uniform(*NEAR) * (radius + own)
        centre = (y + far * np.sin(angle), x + far * np.cos(angle))
        piece = _cut(image, labels, donor).turned(random)
        if piece.mask.any() and _paste(image, labels, piece, centre, on_top=random.random() < 0.5):
            places.append((centre, own))
    return image, labels


def _donors(labels: Labels) -> list[Any]:
    """Objects that may be copied: whole ones of a usual size."""
    objects = regionprops(labels)
    median = np.median([p.area for p in objects]) if objects else 0.0
    usual = [p for p in objects if USUAL[0] * median <= p.area <= USUAL[1] * median]
    return [p for p in usual if _is_inside(p.bbox, labels.shape)]


def _is_inside(box: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an object is whole, with its margin."""
    low, high = box[:2], box[2:]
    return all(a >= MARGIN and b <= n - MARGIN for a, b, n in zip(low, high, shape, strict=True))


def _cut(image: Image, labels: Labels, donor: Any) -> Piece:
    low, high = donor.bbox[:2], donor.bbox[2:]
    window = tuple(slice(a - MARGIN, b + MARGIN) for a, b in zip(low, high, strict=True))
    return Piece(image[:, *window], labels[window] == donor.label)


def _paste(
    image: Image, labels: Labels, piece: Piece, centre: tuple[float, float], *, on_top: bool
) -> bool:
    """Lay a piece on the image, or behind what is there; say whether there was room."""
    shape = piece.mask.shape
    low = [round(c - n / 2) for c, n in zip(centre, shape, strict=True)]
    if any(a < 0 or a + n > m for a, n, m in zip(low, shape, labels.shape, strict=True)):
        return False
    window = tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))
    there = labels[window]
    visible = piece.mask if on_top else piece.mask & (there == 0)
    if visible.sum() < LEFT * piece.mask.sum() or not _stay(there, visible):
        return False
    alpha = ndimage.gaussian_filter(visible.astype(np.float32), SOFT)
    image[:, *window] += alpha * (piece.image - image[:, *window])
    there[visible] = labels.max() + 1
    return True


def _stay(there: Labels, covered: NDArray[np.bool_]) -> bool:
    """Whether of every object in a window that is partly covered most stays visible."""
    for label in np.unique(there[covered & (there > 0)]):
        size = (there == label).sum()
        if (covered & (there == label)).sum() > (1 - LEFT) * size:
            return False
    return True
