"""The loss: weighted cross-entropy, soft Dice of the foreground, and the distance."""

import math

import torch
import torch.nn.functional as F  # noqa: N812  (the field's usual name)
from torch import Tensor

from napari_unet.training.targets import BORDER, CELL, UNKNOWN

# A touching border is allowed on both sides of a painted object's edge. Were it as welcome there
# as background and cell, a network would be right with border everywhere, and learn just that.
UNLIKELY = 0.2
DIAMETER_WEIGHT = 0.3  # a guide for the search for the size; the outlines come first


def segmentation_loss(
    output: Tensor,
    classes: Tensor,
    distance: Tensor,
    weights: Tensor,
    *,
    distance_weight: float | None = 1.0,
    diameter: Tensor | None = None,
) -> Tensor:
    """Loss of one batch that is labelled densely.

    Parameters
    ----------
    output : Tensor
        ``(N, K + 1, Y, X)``: class logits, then the distance; one channel more with a diameter.
    classes : Tensor of int64
        ``(N, Y, X)``, target classes.
    distance : Tensor
        ``(N, Y, X)``, target distance in 0…1.
    weights : Tensor
        ``(N, Y, X)``, weight of each pixel; 0 = unlabelled, ignored everywhere.
    distance_weight : float or None
        Weight of the distance in the sum; None = the output has no distance, only K channels.
    diameter : Tensor, optional
        ``(N, Y, X)``, see `targets.diameter_target`; learned where it is known, whatever the
        weights.

    Returns
    -------
    Tensor
        Cross-entropy averaged by weight (paper, eq. 1) + soft Dice loss of the cell class
        + smooth L1 of the distance over labelled pixels, times its weight + smooth L1 of the
        diameter.
    """
    output = output.float()
    if diameter is not None:
        loss = segmentation_loss(
            output[:, :-1], classes, distance, weights, distance_weight=distance_weight
        )
        return loss + DIAMETER_WEIGHT * _diameter_loss(output[:, -1], diameter)
    logits = output if distance_weight is None else output[:, :-1]
    known = (weights > 0).float()
    cross_entropy = F.cross_entropy(logits, classes, reduction="none")
    cell = torch.softmax(logits, dim=1)[:, CELL]
    loss = _average(cross_entropy, weights) + 0.5 * _dice(cell, (classes == CELL).float(), known)
    if distance_weight is None:
        return loss
    return loss + distance_weight * _distance_loss(output[:, -1], distance, known)


def partial_loss(
    output: Tensor, allowed: Tensor, distance: Tensor, weights: Tensor, measured: Tensor
) -> Tensor:
    """Loss of one batch that is painted sparsely; see `training.sparse.SparseTargets`.

    Parameters
    ----------
    output : Tensor
        ``(N, K + 1, Y, X)``: class logits, then the distance.
    allowed : Tensor of int64
        ``(N, Y, X)``, bit k set where class k is possible.
    distance, weights : Tensor
        ``(N, Y, X)``.
    measured : Tensor
        ``(N, Y, X)``, how far the distance is known, 0…1.

    Returns
    -------
    Tensor
        −log of the probability of the allowed classes, averaged by weight; soft Dice of the cell
        class where it is decided; smooth L1 of the distance where it is known.
    """
    logits, predicted = output[:, :-1].float(), output[:, -1].float()
    cell = torch.softmax(logits, dim=1)[:, CELL]
    painted = weights >= 1  # what the parent only believes weighs less
    sure = (painted & (allowed == 1 << CELL)).float()
    decided = sure + (painted & (allowed >> CELL & 1 == 0)).float()
    return (
        partial_cross_entropy(logits, allowed, weights, unlikely=BORDER)
        + 0.5 * _dice(cell, sure, decided)
        + _distance_loss(predicted, distance, measured)
    )


def partial_cross_entropy(
    logits: Tensor, allowed: Tensor, weights: Tensor, *, unlikely: int | None = None
) -> Tensor:
    """−log of the probability of the allowed classes, averaged by weight.

    Parameters
    ----------
    logits : Tensor
        ``(N, K, Y, X)``.
    allowed : Tensor of int64
        ``(N, Y, X)``, bit k set where class k is possible.
    weights : Tensor
        ``(N, Y, X)``.
    unlikely : int, optional
        A class whose probability counts `UNLIKELY` times where others are allowed, too.
    """
    logits = logits.float()
    bits = torch.arange(logits.shape[1]).view(1, -1, 1, 1)
    possible = (allowed[:, None] >> bits & 1).bool()
    reached = logits.masked_fill(~possible, -1e4)
    if unlikely is not None:
        open_question = (possible.sum(dim=1) > 1) & possible[:, unlikely]
        reached[:, unlikely] += math.log(UNLIKELY) * open_question
    return _average(torch.logsumexp(logits, dim=1) - torch.logsumexp(reached, dim=1), weights)


def _average(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


def _dice(cell: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    cell, truth = cell * known, truth * known
    return 1 - (2 * (cell * truth).sum() + 1) / (cell.sum() + truth.sum() + 1)


def _diameter_loss(predicted: Tensor, diameter: Tensor) -> Tensor:
    known = diameter > UNKNOWN
    error = F.smooth_l1_loss(predicted, diameter, beta=0.25, reduction="none")
    return (error * known).sum() / known.sum().clamp(min=1)


def _distance_loss(predicted: Tensor, distance: Tensor, known: Tensor) -> Tensor:
    error = F.smooth_l1_loss(predicted, distance, beta=0.1, reduction="none")
    return (error * known * (1 + 4 * (distance > 0))).sum() / known.sum().clamp(min=1)
