"""A U-Net that knows nothing: the parent of a retraining from scratch, for comparison."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model, load_model
from napari_unet.models.weights import save_model
from napari_unet.network.unet import UNet
from napari_unet.training.windows import TrainingWindow

LOOKED_AT = 8  # windows that set the statistics of BatchNorm, which retraining leaves as they are


def untaught(card: ModelCard, examples: Sequence[TrainingWindow], path: Path, seed: int) -> Model:
    """Save a network with random weights.

    Retraining keeps the parent's BatchNorm statistics, so this parent gets those of the images it
    will learn from. Without them it could hardly learn, and the comparison would not be fair.

    Parameters
    ----------
    card : ModelCard
        Network and thresholds.
    examples : sequence of Example
        Windows of the images.
    path : Path
        Where to write the model.
    seed : int
        Decides the weights.
    """
    torch.manual_seed(seed)
    network = UNet(card.spec)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all windows
    network.train()
    grid = card.spec.divisor
    with torch.no_grad():
        for example in examples[:LOOKED_AT]:
            height, width = (n // grid * grid for n in example.image.shape[1:])
            if height and width:
                network(torch.from_numpy(example.image[None, :, :height, :width].copy()))
    fields = {"name": "scratch", "parent": "", "parent_sha": "", "scores": {}, "report": {}}
    save_model(path, network.eval(), card.model_copy(update=fields))
    return load_model(path)
