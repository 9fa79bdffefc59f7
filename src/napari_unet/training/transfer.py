"""A network for other channels or classes that keeps what its parent has learned."""

import torch

from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet

SEED = 0  # of the few weights that are new


def adapted(parent: UNet, spec: UNetSpec) -> UNet:
    """Return a network of another spec with the parent's weights wherever they fit.

    Weights of the first convolution are spread over the new channels, so that equal channels give
    what one grey channel gave; an output layer for other classes begins anew.

    Parameters
    ----------
    parent : UNet
        The trained network; left as it is.
    spec : UNetSpec
        What is wanted. Where more than input and output channels differ, little is kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = UNet(spec)
    state, old = network.state_dict(), parent.state_dict()
    first = next(key for key, value in state.items() if value.dim() == 4)
    for key, value in state.items():
        if key not in old:
            continue
        if old[key].shape == value.shape:
            state[key] = old[key]
        elif key == first and old[key].shape[0] == value.shape[0]:
            mean = old[key].mean(dim=1, keepdim=True) * old[key].shape[1] / value.shape[1]
            state[key] = mean.expand_as(value).clone()
    network.load_state_dict(state)
    return network.eval()
