"""From a label image to what the network is asked to predict.

Three classes, the distance to the object's edge, and the weight of every pixel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries as _find_boundaries

from napari_unet.network.outputs import BORDER
from napari_unet.network.spec import UNetSpec

find_boundaries: Any = _find_boundaries  # scikit-image has no annotations
UNKNOWN = -99.0  # a target that nothing is learned from: below whatever an output tells
# How far from a second object a pixel still counts as touching border: a share of the own object's
# diameter, so that the band is wide enough to be learned and leaves every object a middle.
BORDER_SHARE, LEAST_REACH, MOST_REACH = 0.15, 2.0, 5.0  # of the diameter; pixels


@dataclass(frozen=True, slots=True)
class Targets:
    """What the network should say about one plane; all arrays are ``(Y, X)``.

    Attributes
    ----------
    classes : ndarray of uint8
        `BACKGROUND`, `CELL` or `BORDER`.
    distance : ndarray of float32
        Distance to the object's edge divided by the object's largest one, 0 outside objects.
    weights : ndarray of float32
        Weight of each pixel in the loss, 1 or more.
    """

    classes: NDArray[np.uint8]
    distance: NDArray[np.float32]
    weights: NDArray[np.float32]


def targets_of(labels: NDArray[np.integer]) -> Targets:
    """Compute all targets of one label image ``(Y, X)``, 0 = background."""
    classes = class_target(labels)
    weights = 1 + border_weights(labels) + 2 * (classes == BORDER)
    return Targets(classes, distance_target(labels), weights.astype(np.float32))


def class_target(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Background, cell, and touching border: pixels of an object close to another one.

    A gap between two objects is background, however narrow: the decoding gives border pixels to
    the objects, so a gap counted as border would make neighbours fat or merge them.
    """
    _, other = _two_nearest(labels, math.ceil(MOST_REACH) + 1)
    touching = (labels > 0) & (other <= border_reach(labels))
    return np.where(touching, BORDER, labels > 0).astype(np.uint8)


def border_reach(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Pixels that the touching border reaches into each pixel's object; 0 on background."""
    ids, compact = np.unique(labels, return_inverse=True)
    diameters = 2 * np.sqrt(np.bincount(compact.ravel()) / np.pi)
    reach = np.clip(BORDER_SHARE * diameters, LEAST_REACH, MOST_REACH)
    reach[ids == 0] = 0
    return reach.astype(np.float32)[compact].reshape(labels.shape)


def distance_target(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distance to the edge of the own object, scaled to reach 1 in every object."""
    inside = labels > 0
    if not inside.any():
        return np.zeros(labels.shape, np.float32)
    interior = inside & ~find_boundaries(labels, mode="inner")
    if interior.all():  # no edge in view to measure from
        return np.ones(labels.shape, np.float32)
    distance = (ndimage.distance_transform_edt(interior) + 1) * inside
    ids, compact = np.unique(labels, return_inverse=True)
    largest = ndimage.maximum(distance, compact.reshape(labels.shape), np.arange(len(ids)))
    scale = np.maximum(np.asarray(largest), 1)[compact].reshape(labels.shape)
    scaled: NDArray[np.float32] = (distance / scale).astype(np.float32)
    return scaled


def diameter_target(labels: NDArray[np.integer], usual: float) -> NDArray[np.float32]:
    """Diameter of each pixel's object as the logarithm to base 2 of its share of the usual one.

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``, 0 = background.
    usual : float
        Pixels; the diameter that gives 0.

    Returns
    -------
    ndarray of float32
        ``(Y, X)``; `UNKNOWN` outside objects, and in objects that the image's edge cuts.
    """
    ids, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape)
    diameters = 2 * np.sqrt(np.bincount(compact.ravel()) / np.pi)
    logarithms = np.log2(diameters / usual).astype(np.float32)
    edges = (compact[0], compact[-1], compact[:, 0], compact[:, -1])
    logarithms[np.unique(np.concatenate(edges))] = UNKNOWN
    logarithms[ids == 0] = UNKNOWN
    found: NDArray[np.float32] = logarithms[compact]
    return found


def border_weights(
    labels: NDArray[np.integer], peak: float = 10.0, sigma: float = 5.0
) -> NDArray[np.float32]:
    """Weight of the background between close objects, w(x) of the paper (section 3, eq. 2).

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``, 0 = background.
    peak : float
        w0, the weight where two objects meet (paper: 10).
    sigma : float
        Pixels; how fast the weight falls with the sum of the distances (paper: about 5).

    Returns
    -------
    ndarray of float32
        ``peak · exp(−(d1 + d2)² / 2σ²)`` outside objects, 0 inside; d1 and d2 are the distances
        to the nearest and second nearest object. Pairs further than 3σ away are left out.
    """
    first, second = _two_nearest(labels, math.ceil(3 * sigma))
    weights = peak * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return np.where(labels == 0, weights, 0).astype(np.float32)


def _two_nearest(
    labels: NDArray[np.integer], margin: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance of every pixel to the nearest and to the second nearest object.

    Infinite beyond `margin` pixels around an object's bounding box; 0 and the distance to the
    nearest *other* object inside objects.
    """
    first = np.full(labels.shape, np.inf, np.float32)
    second = first.copy()
    for label, found in enumerate(ndimage.find_objects(labels), start=1):
        if found is None:
            continue
        window = tuple(
            slice(max(0, s.start - margin), min(n, s.stop + margin))
            for s, n in zip(found, labels.shape, strict=True)
        )
        distance = ndimage.distance_transform_edt(labels[window] != label).astype(np.float32)
        nearer = np.minimum(first[window], distance)
        second[window] = np.minimum(second[window], np.maximum(first[window], distance))
        first[window] = nearer
    return first, second


@dataclass(frozen=True, slots=True)
class Regression:
    """How an output that is no class is taught.

    Attributes
    ----------
    target : callable
        Gives the target ``(Y, X)`` of labels ``(Y, X)`` and the diameter in pixels that the model
        saw most; `UNKNOWN` where nothing is to be learned.
    beta : float
        Error from which on the loss grows linearly; below it grows with the square.
    share : float
        Weight in the sum of all losses.
    inside : float
        How much more a pixel counts whose target is above 0.
    painted : bool
        Whether painted objects teach it, too; else only images that are labelled throughout.
    anywhere : bool
        Whether it is learned where the classes are not, at pixels of weight 0.
    by_size : bool
        Whether pixels of small objects count more, up to 4 times: a small object has few of them.
        The target is then the logarithm of a size.
    """

    target: Callable[[NDArray[np.integer], float], NDArray[np.float32]]
    beta: float
    share: float = 1.0
    inside: float = 1.0
    painted: bool = True
    anywhere: bool = False
    by_size: bool = False


REGRESSIONS = {
    "distance": Regression(lambda labels, _: distance_target(labels), beta=0.1, inside=5.0),
    # a guide for the search for the size; the outlines come first
    "diameter": Regression(
        diameter_target, beta=0.25, share=0.3, painted=False, anywhere=True, by_size=True
    ),
}
"""How every output of `UNetSpec.outputs` but the classes is taught, by its name."""


def regressions(spec: UNetSpec, *, painted: bool = False) -> dict[str, Regression]:
    """Return how a network's outputs but the classes are taught; of `painted` only by paint."""
    found = {o.name: REGRESSIONS[o.name] for o in spec.outputs if o.name in REGRESSIONS}
    return {name: one for name, one in found.items() if one.painted or not painted}
