"""From labels and paint to what the network is asked to predict.

A label image gives each pixel a class, the distance to the object's edge, and a weight.
Paint is sparse, but a painted cell says more than "these pixels are cell": just outside its edge
lies background, or the touching border of a neighbour that nobody painted. So a pixel's target
is a *set* of classes. A set of all classes trains nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries as _find_boundaries

from napari_unet.labels.painted import BACKGROUND as PAINTED_BACKGROUND
from napari_unet.labels.painted import CLASSES, UNLABELLED
from napari_unet.models.card import ModelCard
from napari_unet.network.outputs import BACKGROUND, BORDER, CELL, OBJECT_MAP, Channels
from napari_unet.network.spec import UNetSpec

find_boundaries: Any = _find_boundaries  # scikit-image has no annotations
UNKNOWN = -99.0  # a target that nothing is learned from: below whatever an output tells
# How far from a second object a pixel still counts as touching border: a share of the own object's
# diameter, so that the band is wide enough to be learned and leaves every object a middle.
BORDER_SHARE, LEAST_REACH, MOST_REACH = 0.15, 2.0, 5.0  # of the diameter; pixels
ANYTHING = 1 << BACKGROUND | 1 << CELL | 1 << BORDER
RIM_WEIGHT = 3.0  # of the pixels that decide where an object ends
SURE = 0.9  # probability from which on the parent's opinion counts
MOST_BALANCE = 8.0  # how much more a background pixel may count where little of it is painted


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
    """How an output that is no class is trained.

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
        Whether painted objects train it, too; else only images that are labelled throughout.
    anywhere : bool
        Whether it is learned where the classes are not, at pixels of weight 0.
    """

    target: Callable[[NDArray[np.integer], float], NDArray[np.float32]]
    beta: float
    share: float = 1.0
    inside: float = 1.0
    painted: bool = True
    anywhere: bool = False


REGRESSIONS = {
    "distance": Regression(lambda labels, _: distance_target(labels), beta=0.1, inside=5.0),
    # A guide for the search for the size; the outlines come first. Pixels count alike, whatever the
    # size: were small objects to count more, a network in doubt would tell too small a size.
    "diameter": Regression(diameter_target, beta=0.25, share=0.5, painted=False, anywhere=True),
}
"""How every output of `UNetSpec.outputs` but the classes is trained, by its name."""


def regressions(spec: UNetSpec, *, painted: bool = False) -> dict[str, Regression]:
    """Return how a network's outputs but the classes are trained; of `painted` only by paint."""
    found = {o.name: REGRESSIONS[o.name] for o in spec.outputs if o.name in REGRESSIONS}
    return {name: one for name, one in found.items() if one.painted or not painted}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Target of an output that is no class; both arrays are ``(Y, X)``.

    Attributes
    ----------
    values : ndarray of float32
        What the output should tell; any number where `known` is 0.
    known : ndarray of float32
        1 where it is known, less where the parent only predicts it, else 0.
    """

    values: NDArray[np.float32]
    known: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SparseTargets:
    """Targets of one painted window; all arrays are ``(Y, X)``.

    Attributes
    ----------
    allowed : ndarray of uint8 or uint16
        Bit k is set where class k is possible; all of them where nothing is known.
    weights : ndarray of float32
        Weight of each pixel in the loss of the classes; 0 where nothing is known.
    measured : dict of Measured
        Targets of the other outputs that paint trains, by their names.
    """

    allowed: NDArray[np.uint8] | NDArray[np.uint16]
    weights: NDArray[np.float32]
    measured: Mapping[str, Measured]


def sparse_targets(painted: NDArray[np.integer], card: ModelCard) -> SparseTargets:
    """Compute the targets of a painted window.

    Parameters
    ----------
    painted : ndarray of int
        ``(Y, X)``: `labels.painted.UNLABELLED`, `labels.painted.BACKGROUND`, or an object's id.
        Objects are whole: one that the window cuts must be left out.
    card : ModelCard
        The model that learns.
    """
    objects = np.where(painted == PAINTED_BACKGROUND, 0, painted)
    ids = np.unique(objects[objects > 0])  # numbered 1…n, as large ids would cost memory
    labels = np.where(objects > 0, np.searchsorted(ids, objects) + 1, 0).astype(np.int32)
    inside, background = labels > 0, painted == PAINTED_BACKGROUND
    unknown = painted == UNLABELLED
    allowed = np.full(painted.shape, ANYTHING, np.uint8)
    allowed[background] = 1 << BACKGROUND
    allowed[inside] = 1 << CELL
    # An unpainted neighbour may touch: its border and this object's lie on both sides of the edge.
    outer = unknown & _within(inside, LEAST_REACH)
    inner = inside & _within(unknown, border_reach(labels))
    allowed[outer] = 1 << BACKGROUND | 1 << BORDER
    allowed[inner] = 1 << CELL | 1 << BORDER
    allowed[class_target(labels) == BORDER] = 1 << BORDER
    measured = {}
    for name, regression in regressions(card.spec, painted=True).items():
        target = regression.target(labels, card.object_diameter)
        known = (inside | background) & (target > UNKNOWN)
        values = np.where(target > UNKNOWN, target, np.float32(0))
        measured[name] = Measured(values, known.astype(np.float32))
    return SparseTargets(allowed, _weights(allowed, labels), measured)


def _within(mask: NDArray[np.bool_], reach: float | NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether a pixel lies at most `reach` pixels from the mask."""
    if not mask.any():
        return mask
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~mask) <= reach
    return near


def agreement(painted: Sequence[NDArray[np.integer]], maps: Sequence[NDArray[np.uint8]]) -> float:
    """How far a network agrees with what was painted: how sure it is of objects where they are.

    Parameters
    ----------
    painted : sequence of ndarray
        ``(Y, X)``, painted windows.
    maps : sequence of ndarray of uint8
        ``(M, Y, X)``, the network's probability maps of the same windows.
    """
    cell, border = OBJECT_MAP.index("cell"), OBJECT_MAP.index("border")
    predicted = [
        (m[cell].astype(np.float32) + m[border])[(p != UNLABELLED) & (p != PAINTED_BACKGROUND)]
        / 255
        for p, m in zip(painted, maps, strict=True)
    ]
    found = np.concatenate(predicted) if predicted else np.zeros(0)
    return float(found.mean()) if found.size else 0.0


def believed(
    targets: SparseTargets,
    maps: NDArray[np.uint8],
    weight: float,
    channels: Channels = OBJECT_MAP,
) -> SparseTargets:
    """Fill what is not painted with what the parent is sure of, at a small weight (distillation).

    Parameters
    ----------
    targets : SparseTargets
        Targets of a painted window.
    maps : ndarray of uint8
        ``(M, Y, X)``, the parent's probability map of the window.
    weight : float
        Of a pixel, below 1.
    channels : Channels
        Names of the map's channels.
    """
    cell, border = (maps[channels.index(name)].astype(np.int16) for name in ("cell", "border"))
    predicted = np.stack([255 - cell - border, cell, border])  # in the order of the classes
    filled = (targets.allowed == ANYTHING) & (predicted.max(axis=0) > SURE * 255)
    opinion = (1 << predicted.argmax(axis=0)).astype(targets.allowed.dtype)
    light = np.float32(weight)
    measured = dict(targets.measured)
    for name, one in targets.measured.items():
        if name in channels:
            values = maps[channels.index(name)] / np.float32(255)
            measured[name] = Measured(
                np.where(filled, values, one.values), np.where(filled, light, one.known)
            )
    return SparseTargets(
        np.where(filled, opinion, targets.allowed),
        np.where(filled, light, targets.weights),
        measured,
    )


def sparse_classes(painted: NDArray[np.integer], classes: int) -> SparseTargets:
    """Compute the targets of a window where classes are painted, not objects.

    Parameters
    ----------
    painted : ndarray of int
        ``(Y, X)``, as `labels.painted.number_strokes` returns it.
    classes : int
        K, background among them.
    """
    known = painted != UNLABELLED
    target = np.where(painted == PAINTED_BACKGROUND, BACKGROUND, painted % CLASSES)
    allowed = np.where(known, 1 << target, (1 << classes) - 1).astype(np.uint16)
    counts = np.bincount(target[known], minlength=classes)
    rarity = np.clip(counts.max(initial=1) / np.maximum(counts, 1), 1, MOST_BALANCE)
    weights = np.where(known, rarity[np.where(known, target, 0)], 0).astype(np.float32)
    return SparseTargets(allowed, weights, {})


def _weights(allowed: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Weigh rims, the paper's w(x), and background as much as the objects."""
    weights: NDArray[np.float32] = (allowed != ANYTHING).astype(np.float32)
    weights[(allowed != ANYTHING) & (allowed & 1 << BORDER > 0)] = RIM_WEIGHT
    background = allowed == 1 << BACKGROUND
    ratio = (labels > 0).sum() / max(1, background.sum())
    weights[background] = np.clip(ratio, 1, MOST_BALANCE)
    weights[background] += border_weights(labels)[background]
    return weights
