"""What a panel hands over to the next one on its layers when it is closed."""

from collections.abc import Mapping
from typing import Any

from napari.layers import Layer

from napari_unet.plugin.result.result import Result

HANDOVER = "napari_unet_left"  # in the metadata of a layer that was a result


class HandoverState:
    """A result that nobody looks after, and the names of its classes."""

    def __init__(self, result: Result, names: tuple[str, ...]) -> None:
        self.result, self.names = result, names

    def __deepcopy__(self, _memo: Any) -> "HandoverState":
        return self  # a copy of the layer shall not copy all that the first records


def leave(result: Result, names: tuple[str, ...]) -> None:
    """Leave a result with its layer."""
    result.layer.metadata = {**result.layer.metadata, HANDOVER: HandoverState(result, names)}


def handed_over(layer: Layer) -> HandoverState | None:
    """Return what was left with a layer; a copy of the layer has nothing."""
    left = layer.metadata.get(HANDOVER)
    return left if isinstance(left, HandoverState) and layer == left.result.layer else None


def without(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's metadata without what was handed over."""
    return {key: value for key, value in metadata.items() if key != HANDOVER}
