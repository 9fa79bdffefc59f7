"""What a panel leaves on its layers when it is closed, so that the next one can go on."""

from collections.abc import Mapping
from typing import Any

from napari.layers import Layer

from napari_unet.plugin.result.result import Result

LEFT = "napari_unet_left"  # in the metadata of a layer that was a result


class HandoverState:
    """A result that nobody looks after, and the names of its classes."""

    def __init__(self, result: Result, names: tuple[str, ...]) -> None:
        self.result, self.names = result, names

    def __deepcopy__(self, _memo: Any) -> "HandoverState":
        return self  # a copy of the layer shall not copy all that is known of the first


def leave(result: Result, names: tuple[str, ...]) -> None:
    """Leave a result with its layer."""
    result.layer.metadata = {**result.layer.metadata, LEFT: HandoverState(result, names)}


def left_on(layer: Layer) -> HandoverState | None:
    """Return what was left with a layer; a copy of the layer has nothing."""
    left = layer.metadata.get(LEFT)
    return left if isinstance(left, HandoverState) and layer == left.result.layer else None


def without(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's metadata without what was left there."""
    return {key: value for key, value in metadata.items() if key != LEFT}
