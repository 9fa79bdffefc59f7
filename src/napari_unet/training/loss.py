"""The loss: weighted cross-entropy, soft Dice of the foreground, and the distance."""

import torch
import torch.nn.functional as F  # noqa: N812  (the field's usual name)
from torch import Tensor

from napari_unet.training.targets import CELL


def segmentation_loss(output: Tensor, classes: Tensor, distance: Tensor, weights: Tensor) -> Tensor:
    """Loss of one batch.

    Parameters
    ----------
    output : Tensor
        ``(N, K + 1, Y, X)``: class logits, then the distance.
    classes : Tensor of int64
        ``(N, Y, X)``, target classes.
    distance : Tensor
        ``(N, Y, X)``, target distance in 0…1.
    weights : Tensor
        ``(N, Y, X)``, weight of each pixel; 0 = unlabelled, ignored everywhere.

    Returns
    -------
    Tensor
        Cross-entropy averaged by weight (paper, eq. 1) + soft Dice loss of the cell class
        + smooth L1 of the distance over labelled pixels.
    """
    logits, predicted = output[:, :-1].float(), output[:, -1].float()
    known = (weights > 0).float()
    cross_entropy = F.cross_entropy(logits, classes, reduction="none")
    weighted = (cross_entropy * weights).sum() / weights.sum().clamp(min=1)
    cell = torch.softmax(logits, dim=1)[:, CELL] * known
    truth = (classes == CELL).float() * known
    dice = 1 - (2 * (cell * truth).sum() + 1) / (cell.sum() + truth.sum() + 1)
    error = F.smooth_l1_loss(predicted, distance, beta=0.1, reduction="none")
    off = (error * known * (1 + 4 * (distance > 0))).sum() / known.sum().clamp(min=1)
    return weighted + 0.5 * dice + off
