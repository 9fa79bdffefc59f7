"""The first answer of a model of classes: a direct head fitted to the strokes in a second.

Logistic regression on the image's channels and their smoothed copies. Colour decides, so what is
not painted is told apart, too; no step of a training has to find that out. Where there is only one
channel the parent's learned features count as well, as grey values alone tell little.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

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
from napari_unet.training.learner import on_grid
from napari_unet.training.windows import TrainingWindow

PIXELS = 4000  # of a class at most; neighbours in a stroke say nearly the same
WINDOWS = 24  # that are looked at, and more only for a class that was in none of them
PENALTY = 1e-3  # of the squared weights of features that have a deviation of 1
PENALTY_LEARNED = 1e-2  # where learned features are among them, of which there are more
LEAST_DEVIATION = 1e-3  # of a feature; one that is the same everywhere tells nothing
ROUNDS = 60  # of L-BFGS at most
SEED = 0  # of the pixels that are taken


def answer_at_once(network: UNet, windows: Sequence[TrainingWindow]) -> None:
    """Give a network the head that suits the strokes best.

    Parameters
    ----------
    network : UNet
        With a direct head; it is changed.
    windows : sequence of TrainingWindow
        Windows of all that was painted, as `labels.painted.number_strokes` numbers it.
    """
    grey, first = network.spec.in_channels == 1, network.spec.base_filters
    features, classes = painted_pixels(windows, partial(_all if grey else _colours, network))
    penalty = PENALTY_LEARNED if grey else PENALTY
    weight, bias = logistic_regression(features, classes, network.spec.classes, penalty)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[:, 0 if grey else first :, 0, 0] = weight
        network.head.bias.copy_(bias)  # type: ignore[union-attr]


def _colours(_: UNet, image: NDArray[np.float32]) -> Tensor:
    """Channels of the image, smoothed or not."""
    return smoothed(torch.from_numpy(image)[None])[0]


def _all(network: UNet, image: NDArray[np.float32]) -> Tensor:
    """All that the head sees."""
    height, width = image.shape[1:]
    with torch.no_grad():
        seen = network.features(torch.from_numpy(on_grid(image, network.spec))[None])
    return seen[0, :, :height, :width]


def painted_pixels(
    windows: Sequence[TrainingWindow], look: Callable[[NDArray[np.float32]], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return features ``(P, F)`` and class ``(P,)`` of painted pixels, some of each class.

    Parameters
    ----------
    windows : sequence of TrainingWindow
        Windows of all that was painted.
    look : callable
        Gives the features ``(F, Y, X)`` of an image.
    """
    features, classes = [], []
    for window, paint in _some(windows):
        known = paint != UNLABELLED
        features.append(look(window.image)[:, torch.from_numpy(known)].T)
        classes.append(torch.from_numpy(_classes(paint[known])))
    every = torch.cat(classes)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(SEED))
    some = [order[every[order] == number][:PIXELS] for number in set(every.tolist())]
    taken = torch.cat(some)
    return torch.cat(features)[taken], every[taken]


def _some(
    windows: Sequence[TrainingWindow],
) -> Iterator[tuple[TrainingWindow, NDArray[np.uint32]]]:
    """Windows from all over with what is learned there; every class is in one of them."""
    seen: set[int] = set()
    for count, number in enumerate(np.random.default_rng(SEED).permutation(len(windows))):
        paint = windows[number].training_paint
        here = set(_classes(paint[paint != UNLABELLED]).tolist())
        if here and (count < WINDOWS or here - seen):
            seen |= here
            yield windows[number], paint


def _classes(paint: NDArray[np.uint32]) -> NDArray[np.int64]:
    return np.where(paint == PAINTED_BACKGROUND, BACKGROUND, paint % CLASSES).astype(np.int64)


def logistic_regression(
    features: Tensor, classes: Tensor, count: int, penalty: float = PENALTY
) -> tuple[Tensor, Tensor]:
    """Fit weights ``(K, F)`` and biases ``(K,)``; each class counts the same, however rare.

    Parameters
    ----------
    features : Tensor
        ``(P, F)``.
    classes : Tensor of int64
        ``(P,)``.
    count : int
        K. A class that is nowhere painted is predicted nowhere.
    penalty : float
        Of the squared weights.
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
        value = (share * wrong).sum() + penalty * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    weight = (weight / deviation).detach()
    bias = (bias.detach() - weight @ mean).masked_fill(counts == 0, -1e4)
    return weight, bias
