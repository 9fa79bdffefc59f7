"""The loss: weighted cross-entropy, soft Dice of the foreground, and the outputs' regressions."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812  (the field's usual name)
from torch import Tensor

from napari_unet.network.outputs import BORDER, CELL
from napari_unet.network.spec import UNetSpec
from napari_unet.training.targets import UNKNOWN, Regression, regressions

# A touching border is allowed on both sides of a painted object's edge. Were it as welcome there
# as background and cell, a network would be right with border everywhere, and learn just that.
UNLIKELY = 0.2


def segmentation_loss(
    output: Tensor,
    spec: UNetSpec,
    classes: Tensor,
    weights: Tensor,
    measured: Mapping[str, Tensor],
    *,
    shares: Mapping[str, float] | None = None,
) -> Tensor:
    """Loss of one batch that is labelled densely.

    Parameters
    ----------
    output : Tensor
        ``(N, O, Y, X)``: the channels of ``spec.outputs``, before their activation.
    spec : UNetSpec
        The network.
    classes : Tensor of int64
        ``(N, Y, X)``, target classes.
    weights : Tensor
        ``(N, Y, X)``, weight of each pixel; 0 = unlabelled, ignored by the classes, and by every
        output that `targets.REGRESSIONS` does not train anywhere.
    measured : dict of Tensor
        ``(N, Y, X)``, target of every other output by its name, `targets.UNKNOWN` where it has
        none.
    shares : dict of float, optional
        Weights of outputs in the sum, in place of those in `targets.REGRESSIONS`.

    Returns
    -------
    Tensor
        Cross-entropy averaged by weight (paper, eq. 1) + soft Dice loss of the cell class
        + smooth L1 of every other output where it is known, times its share.
    """
    output = output.float()
    logits = output[:, spec.slice_of("classes")]
    labelled = (weights > 0).float()
    cross_entropy = F.cross_entropy(logits, classes, reduction="none")
    cell = torch.softmax(logits, dim=1)[:, CELL]
    loss = _average(cross_entropy, weights) + 0.5 * _dice(cell, (classes == CELL).float(), labelled)
    for name, regression in regressions(spec).items():
        target, share = measured[name], (shares or {}).get(name, regression.share)
        known = (target > UNKNOWN) * (1.0 if regression.anywhere else labelled)
        loss = loss + share * _regression_loss(
            regression, output[:, spec.index_of(name)], target, known
        )
    return loss


def partial_loss(
    output: Tensor,
    spec: UNetSpec,
    allowed: Tensor,
    weights: Tensor,
    measured: Mapping[str, tuple[Tensor, Tensor]],
) -> Tensor:
    """Loss of one batch that is painted sparsely; see `training.targets.SparseTargets`.

    Parameters
    ----------
    output : Tensor
        ``(N, O, Y, X)``: the channels of ``spec.outputs``, before their activation.
    spec : UNetSpec
        The network.
    allowed : Tensor of int64
        ``(N, Y, X)``, bit k set where class k is possible.
    weights : Tensor
        ``(N, Y, X)``.
    measured : dict of (Tensor, Tensor)
        ``(N, Y, X)``, target of each other output that paint trains, and how far it is known,
        0…1. Outputs that are not among them are left alone.

    Returns
    -------
    Tensor
        −log of the probability of the allowed classes, averaged by weight; soft Dice of the cell
        class where it is decided; smooth L1 of the other outputs where they are known.
    """
    logits = output[:, spec.slice_of("classes")].float()
    cell = torch.softmax(logits, dim=1)[:, CELL]
    painted = weights >= 1  # what the parent only believes weighs less
    sure = (painted & (allowed == 1 << CELL)).float()
    decided = sure + (painted & (allowed >> CELL & 1 == 0)).float()
    loss = partial_cross_entropy(logits, allowed, weights, unlikely=BORDER)
    loss = loss + 0.5 * _dice(cell, sure, decided)
    for name, regression in regressions(spec, painted=True).items():
        predicted = output[:, spec.index_of(name)].float()
        loss = loss + regression.share * _regression_loss(regression, predicted, *measured[name])
    return loss


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


def _regression_loss(
    regression: Regression, predicted: Tensor, target: Tensor, known: Tensor
) -> Tensor:
    error = F.smooth_l1_loss(predicted, target, beta=regression.beta, reduction="none")
    inside = 1 + (regression.inside - 1) * (target > 0)
    return (error * known * inside).sum() / known.sum().clamp(min=1)
