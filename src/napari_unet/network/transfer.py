"""Networks made of the weights of others: for other channels or outputs, and means of two."""

import copy
from itertools import product

import torch
from torch import Tensor

from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet

HEAD = ("head.weight", "head.bias")
HEAD_SEED = 0  # of the few weights that are new in a network of another spec


def adapted(parent: UNet, spec: UNetSpec) -> UNet:
    """Return a network of another spec with the parent's weights wherever they fit.

    Weights of the first convolution are spread over the new channels, so that equal channels give
    what one grey channel gave; those of nuclei begin at 0. An output layer for other classes begins
    anew; one for further outputs keeps what there was, and begins anew with those. So does one that
    sees more.

    Parameters
    ----------
    parent : UNet
        The trained network; left as it is.
    spec : UNetSpec
        What is wanted. Where more than input and output channels differ, little is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(HEAD_SEED)
        network = UNet(spec)
    state, old = network.state_dict(), parent.state_dict()
    first = next(key for key, value in state.items() if value.dim() == 4)
    for key, value in state.items():
        if key not in old:
            continue
        if key == first and old[key].shape[0] == value.shape[0]:
            state[key] = _first_weights(old[key], parent.spec, spec)
        elif old[key].shape == value.shape:
            state[key] = old[key]
    same_head = parent.spec.head_channels == spec.head_channels
    if same_head and set(parent.spec.outputs) <= set(spec.outputs):
        for name, key in product((one.name for one in parent.spec.outputs), HEAD):
            state[key][spec.slice_of(name)] = old[key][parent.spec.slice_of(name)]
    network.load_state_dict(state)
    return network.eval()


def _first_weights(old: Tensor, parent: UNetSpec, spec: UNetSpec) -> Tensor:
    """Weights of the first convolution ``(F, C, 3, 3)`` for the channels of another spec."""
    image = old[:, : parent.in_channels]
    if parent.in_channels != spec.in_channels:
        spread = image.sum(dim=1, keepdim=True) / spec.in_channels
        image = spread.expand(-1, spec.in_channels, -1, -1)
    if not spec.nuclei:
        return image.clone()
    nuclei = old[:, parent.in_channels :] if parent.nuclei else torch.zeros_like(image[:, :1])
    return torch.cat([image, nuclei], dim=1)


def mean_of(network: UNet, other: UNet, share: float) -> UNet:
    """Return a network whose weights are the mean of two, of which the other has a share, 0…1."""
    if not share:
        return network
    found = copy.deepcopy(network)
    with torch.no_grad():
        for mine, its in zip(found.parameters(), other.parameters(), strict=True):
            mine.lerp_(its, share)
    return found
