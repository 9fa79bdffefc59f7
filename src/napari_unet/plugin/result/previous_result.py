"""What the model before had found, kept to be compared with what is found now."""

from napari import Viewer
from napari.layers import Labels, Layer

from napari_unet.plugin.layers.layers import BESIDE
from napari_unet.plugin.result.result import Result


class PreviousResult:
    """What the model before had found, as a hidden layer that can be looked at."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Layer | None = None
        self._after: Labels | None = None

    def keep(self, result: Result) -> None:
        """Copy a result as it is now."""
        self.remove()
        layers, self._after = self._viewer.layers, result.layer
        data, attributes, kind = result.layer.as_layer_data_tuple()
        source = result.source()
        name = f"{source.name if source is not None else result.layer.name} before"
        changed = {"name": name, "visible": True, "metadata": {BESIDE: True}}
        self._layer = Layer.create(data.copy(), {**attributes, **changed}, kind)
        active = layers.selection.active
        layers.insert(layers.index(result.layer), self._layer)
        self._layer.visible = False  # napari 0.9.0 adds no hidden plane to a 3-D view
        self._layer.editable = False
        layers.selection.active = active

    def show(self, before: bool) -> None:
        """Show it in place of what the model finds now, or the other way round."""
        for layer, visible in ((self._layer, before), (self._after, not before)):
            if layer is not None and layer in self._viewer.layers:
                layer.visible = visible

    def remove(self) -> None:
        """Forget it, and show what the model finds now."""
        self.show(before=False)
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = self._after = None
