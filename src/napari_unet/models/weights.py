"""Weights of a model: tensors in and out of safetensors, checked against the spec."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from napari_unet.errors import ModelError
from napari_unet.models.card import CARD_KEY, ModelCard, read_card
from napari_unet.models.library import check_bundled
from napari_unet.network.unet import UNet


def save_model(path: Path, network: UNet, card: ModelCard) -> Path:
    """Write weights and card to one safetensors file, replacing it only when whole."""
    if network.spec != card.spec:
        raise ModelError("The card describes another network than the weights belong to.")
    tensors = {
        key: value.detach().cpu().contiguous()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    content = save(tensors, {CARD_KEY: json.dumps(card.model_dump(mode="json"))})
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_bytes(content)
    part.replace(path)
    return path


def load_model(path: Path) -> tuple[UNet, ModelCard]:
    """Load a network in evaluation mode, with its card.

    Raises
    ------
    ModelError
        If the file is damaged, its tensors do not fit its spec, or a weight is not finite.
    """
    check_bundled(path)
    card = read_card(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is damaged ({error}). Copy or export it again.") from error
    network = UNet(card.spec)
    expected = {k: v.shape for k, v in network.state_dict().items()}
    expected = {k: v for k, v in expected.items() if not k.endswith("num_batches_tracked")}
    if {k: v.shape for k, v in tensors.items()} != expected:
        raise ModelError(f"The weights of {path.name} do not fit the network its card describes.")
    if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise ModelError(f"{path.name} holds weights that are not numbers. Use another model.")
    network.load_state_dict(tensors, strict=False)
    return network.eval(), card
