"""Weights of a model: tensors in and out of safetensors, checked against the spec."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from napari_unet.errors import ModelError
from napari_unet.io.atomic import write_bytes
from napari_unet.models.card import CARD_KEY, ModelCard, read_card
from napari_unet.models.files import check_model
from napari_unet.models.library import check_bundled
from napari_unet.models.parents import refuse_imported
from napari_unet.network.imported import SCRIPT, ImportedSpec
from napari_unet.network.spec import expected_tensors
from napari_unet.network.torchscript import ImportedNetwork, load_script
from napari_unet.network.unet import UNet

FLOATS = ("F16", "BF16", "F32", "F64")


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
    return write_bytes(path, content)


def load_model(path: Path) -> tuple[UNet, ModelCard]:
    """Load a network in evaluation mode, with its card.

    Raises
    ------
    ModelError
        If the file is damaged, its tensors do not fit its spec, or a weight is not finite.
    """
    check_bundled(path)
    card = read_card(path)
    refuse_imported(card)
    try:
        if _stored_shapes(path) != expected_tensors(card.spec):
            raise ModelError(
                f"The weights of {path.name} do not fit the network its card describes. Use "
                "another model."
            )
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is damaged ({error}). Copy or export it again.") from error
    network = UNet(card.spec)
    if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):
        raise ModelError(f"{path.name} holds weights that are not numbers. Use another model.")
    network.load_state_dict(tensors, strict=False)
    return network.eval(), card


def load_network(path: Path) -> tuple[UNet | ImportedNetwork, ModelCard]:
    """Load a network of ours or an imported one in evaluation mode, with its card.

    Raises
    ------
    ModelError
        If the file is damaged, or what it holds does not fit its card or could touch files.
    """
    card = read_card(path)
    if not isinstance(card.spec, ImportedSpec):
        return load_model(path)
    check_model(path)
    return ImportedNetwork(card.spec, load_script(_script(path), path.name)), card


def save_script(path: Path, script: bytes, card: ModelCard) -> Path:
    """Write TorchScript and card to one safetensors file."""
    tensors = {SCRIPT: torch.frombuffer(bytearray(script), dtype=torch.uint8)}
    return write_bytes(path, save(tensors, {CARD_KEY: json.dumps(card.model_dump(mode="json"))}))


def _script(path: Path) -> bytes:
    content: bytes = load_file(path)[SCRIPT].numpy().tobytes()
    return content


def _stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the decimal tensors in a file, from its header alone."""
    with safe_open(path, framework="numpy") as file:
        found = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  not a dict
        return {k: tuple(v.get_shape()) for k, v in found.items() if v.get_dtype() in FLOATS}
