"""What sparse paint says about every pixel: which classes it allows, and how much it counts.

A person who paints a cell says more than "these pixels are cell": whatever lies just outside its
edge is not this cell's inside. It is background, or the touching border of a neighbour that nobody
painted. So a pixel's target is a *set* of classes; a set of all of them teaches nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.labels.painted import BACKGROUND as PAINTED_BACKGROUND
from napari_unet.labels.painted import CLASSES, UNLABELLED
from napari_unet.models.card import ModelCard
from napari_unet.network.outputs import BACKGROUND, BORDER, CELL, OBJECT_MAP, Channels
from napari_unet.training.targets import (
    LEAST_REACH,
    UNKNOWN,
    border_reach,
    border_weights,
    class_target,
    regressions,
)

ANYTHING = 1 << BACKGROUND | 1 << CELL | 1 << BORDER
RIM_WEIGHT = 3.0  # of the pixels that decide where an object ends
SURE = 0.9  # probability from which on the parent's opinion counts
MOST_BALANCE = 8.0  # how much more a background pixel may count where little of it is painted


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
        Targets of the other outputs that paint teaches, by their names.
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
    """Fill what nobody painted with what the parent is sure of, at a small weight (distillation).

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
