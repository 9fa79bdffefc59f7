"""The first answer of a model of classes: a direct head fitted to the strokes in a second.

Logistic regression on the image's channels and their smoothed copies. Colour decides, so what is
not painted is told apart, too; no step of a training has to find that out.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from napari_unet.labels.painted import BACKGROUND as PAINTED_BACKGROUND
from napari_unet.labels.painted import CLASSES, UNLABELLED
from napari_unet.network.outputs import BACKGROUND
from napari_unet.network.smoothing import smoothed
from napari_unet.network.unet import UNet
from napari_unet.training.windows import TrainingWindow

PIXELS = 4000  # of a class at most; neighbours in a stroke say nearly the same
PENALTY = 1e-3  # of the squared weights of features that have a deviation of 1
LEAST_DEVIATION = 1e-3  # of a feature; one that is the same everywhere tells nothing
ROUNDS = 60  # of L-BFGS at most
SEED = 0  # of the pixels that are taken


def answer_at_once(network: UNet, windows: Sequence[TrainingWindow]) -> None:
    """Give a network the head that suits the strokes best; learned features count nothing yet.

    Parameters
    ----------
    network : UNet
        With a direct head; it is changed.
    windows : sequence of TrainingWindow
        Windows of all that was painted, as `labels.painted.number_strokes` numbers it.
    """
    features, classes = painted_pixels(windows)
    weight, bias = logistic_regression(features, classes, network.spec.classes)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[:, network.spec.base_filters :, 0, 0] = weight
        network.head.bias.copy_(bias)  # type: ignore[union-attr]


def painted_pixels(windows: Sequence[TrainingWindow]) -> tuple[Tensor, Tensor]:
    """Return features ``(P, F)`` and class ``(P,)`` of painted pixels, some of each class."""
    features, classes = [], []
    for window in windows:
        paint = window.training_paint
        known = torch.from_numpy(paint != UNLABELLED)
        if known.any():
            seen = smoothed(torch.from_numpy(window.image)[None])[0]
            features.append(seen[:, known].T)
            classes.append(torch.from_numpy(_classes(paint[paint != UNLABELLED])))
    every = torch.cat(classes)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(SEED))
    some = [order[every[order] == number][:PIXELS] for number in set(every.tolist())]
    taken = torch.cat(some)
    return torch.cat(features)[taken], every[taken]


def _classes(paint: NDArray[np.uint32]) -> NDArray[np.int64]:
    return np.where(paint == PAINTED_BACKGROUND, BACKGROUND, paint % CLASSES).astype(np.int64)


def logistic_regression(features: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Fit weights ``(K, F)`` and biases ``(K,)``; each class counts the same, however rare.

    Parameters
    ----------
    features : Tensor
        ``(P, F)``.
    classes : Tensor of int64
        ``(P,)``.
    count : int
        K. A class that is nowhere painted is predicted nowhere.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
    deviation = deviation.clamp(min=LEAST_DEVIATION)
    scaled = (features - mean) / deviation
    counts = torch.bincount(classes, minlength=count)
    share = 1 / (counts[classes] * (counts > 0).sum())
    weight = torch.zeros(count, features.shape[1], requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        wrong = cross_entropy(scaled @ weight.T + bias, classes, reduction="none")
        value = (share * wrong).sum() + PENALTY * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    weight = (weight / deviation).detach()
    bias = (bias.detach() - weight @ mean).masked_fill(counts == 0, -1e4)
    return weight, bias
