"""What sparse paint says about every pixel: which classes it allows, and how much it counts.

A person who paints a cell says more than "these pixels are cell": whatever lies just outside its
edge is not this cell's inside. It is background, or the touching border of a neighbour that nobody
painted. So a pixel's target is a *set* of classes; a set of all of them teaches nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.labels.painted import BACKGROUND as PAINTED_BACKGROUND
from napari_unet.labels.painted import CLASSES, UNLABELLED
from napari_unet.training.targets import (
    BACKGROUND,
    BORDER,
    CELL,
    LEAST_REACH,
    border_reach,
    border_weights,
    class_target,
    distance_target,
)

ANYTHING = 1 << BACKGROUND | 1 << CELL | 1 << BORDER
RIM_WEIGHT = 3.0  # of the pixels that decide where an object ends
SURE = 0.9  # probability from which on the parent's opinion counts
MOST_BALANCE = 8.0  # how much more a background pixel may count where little of it is painted


@dataclass(frozen=True, slots=True, eq=False)
class SparseTargets:
    """Targets of one painted window; all arrays are ``(Y, X)``.

    Attributes
    ----------
    allowed : ndarray of uint8 or uint16
        Bit k is set where class k is possible; all of them where nothing is known.
    distance : ndarray of float32
        Distance to the object's edge divided by the object's largest one; 0 on background.
    weights : ndarray of float32
        Weight of each pixel in the loss of the classes; 0 where nothing is known.
    measured : ndarray of float32
        1 where the distance is known, less where it is only believed, else 0.
    """

    allowed: NDArray[np.uint8] | NDArray[np.uint16]
    distance: NDArray[np.float32]
    weights: NDArray[np.float32]
    measured: NDArray[np.float32]


def sparse_targets(painted: NDArray[np.integer]) -> SparseTargets:
    """Compute the targets of a painted window.

    Parameters
    ----------
    painted : ndarray of int
        ``(Y, X)``: `corrections.UNLABELLED`, `corrections.BACKGROUND`, or an object's id. Objects
        are whole: one that the window cuts must be left out.
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
    return SparseTargets(
        allowed,
        distance_target(labels),
        _weights(allowed, labels),
        (inside | background).astype(np.float32),
    )


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
        ``(3, Y, X)``, the network's class maps of the same windows.
    """
    said = [
        (m[0].astype(np.float32) + m[1])[(p != UNLABELLED) & (p != PAINTED_BACKGROUND)] / 255
        for p, m in zip(painted, maps, strict=True)
    ]
    found = np.concatenate(said) if said else np.zeros(0)
    return float(found.mean()) if found.size else 0.0


def believed(targets: SparseTargets, maps: NDArray[np.uint8], weight: float) -> SparseTargets:
    """Fill what nobody painted with what the parent is sure of, at a small weight (distillation).

    Parameters
    ----------
    targets : SparseTargets
        Targets of a painted window.
    maps : ndarray of uint8
        ``(3, Y, X)``, the parent's class map of the window: cell, border, distance.
    weight : float
        Of a pixel, below 1.
    """
    cell, border = maps[:2].astype(np.int16)
    said = np.stack([255 - cell - border, cell, border])  # in the order of the classes
    filled = (targets.allowed == ANYTHING) & (said.max(axis=0) > SURE * 255)
    opinion = (1 << said.argmax(axis=0)).astype(targets.allowed.dtype)
    light = np.float32(weight)
    return SparseTargets(
        np.where(filled, opinion, targets.allowed),
        np.where(filled, maps[2] / np.float32(255), targets.distance),
        np.where(filled, light, targets.weights),
        np.where(filled, light, targets.measured),
    )


def sparse_classes(painted: NDArray[np.integer], classes: int) -> SparseTargets:
    """Compute the targets of a window where classes are painted, not objects.

    Parameters
    ----------
    painted : ndarray of int
        ``(Y, X)``, as `corrections.number_strokes` returns it.
    classes : int
        K, background among them.
    """
    known = painted != UNLABELLED
    target = np.where(painted == PAINTED_BACKGROUND, BACKGROUND, painted % CLASSES)
    allowed = np.where(known, 1 << target, (1 << classes) - 1).astype(np.uint16)
    counts = np.bincount(target[known], minlength=classes)
    rarity = np.clip(counts.max(initial=1) / np.maximum(counts, 1), 1, MOST_BALANCE)
    weights = np.where(known, rarity[np.where(known, target, 0)], 0).astype(np.float32)
    nothing = np.zeros(painted.shape, np.float32)
    return SparseTargets(allowed, nothing, weights, nothing)


def _weights(allowed: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Weigh rims, the paper's w(x), and background as much as the objects."""
    weights: NDArray[np.float32] = (allowed != ANYTHING).astype(np.float32)
    weights[(allowed != ANYTHING) & (allowed & 1 << BORDER > 0)] = RIM_WEIGHT
    background = allowed == 1 << BACKGROUND
    ratio = (labels > 0).sum() / max(1, background.sum())
    weights[background] = np.clip(ratio, 1, MOST_BALANCE)
    weights[background] += border_weights(labels)[background]
    return weights
