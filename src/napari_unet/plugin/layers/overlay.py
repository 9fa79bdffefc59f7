"""A layer that shows all that counts as corrected in what is shown of a result."""

from dataclasses import dataclass, field

import numpy as np
from napari import Viewer
from napari.layers import Labels

from napari_unet.image import Box, Plane
from napari_unet.labels.change_tracker import ChangeTracker
from napari_unet.labels.live_labels import index_of
from napari_unet.labels.painted import BACKGROUND
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of

CORRECTED_COLOURS = {None: "transparent", 0: "transparent", 1: "#ffd21f", 2: "#2f7fff"}


@dataclass(eq=False)
class Overlay:
    """Shows on demand what counts as corrected.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    result : Labels
        What is corrected.
    tracker : ChangeTracker
        Knows what is painted on it.
    name : str
        Of the image, for the name of the layer.
    """

    viewer: Viewer
    result: Labels
    tracker: ChangeTracker
    name: str
    _layer: Labels | None = field(default=None, init=False)
    _drawn: tuple[Plane, Box] | None = field(default=None, init=False)

    @property
    def shown(self) -> bool:
        """Whether the layer is there and visible."""
        layer = self._layer
        return layer is not None and layer in self.viewer.layers and layer.visible

    def show(self, *, on: bool) -> None:
        """Show the layer, added now if there is none, or hide it."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self._layer.visible = on
        elif on:
            array = np.zeros(self.tracker.recorded.shape, np.uint8)
            self._layer = layers.add_beside(
                self.viewer, self.result, array, f"{self.name} corrected", CORRECTED_COLOURS
            )
            self._layer.opacity = 0.5
        self.forget()
        self.refresh()

    def remove(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)

    def forget(self) -> None:
        """Draw anew next time: something was painted."""
        self._drawn = None

    def refresh(self) -> None:
        """Draw what is shown now, unless that is drawn already."""
        layer = self._layer
        if layer is None or not self.shown:
            return
        plane, box = place = layers.shown_window(self.viewer, self.result)
        if place == self._drawn or not box.size:
            return
        self._drawn = place
        painted = self.tracker.recorded[index_of(plane, box)]
        window = grid_of(layer).labels(layer.data)[index_of(plane, box)]
        np.copyto(window, painted > 0, casting="unsafe")
        window[painted == BACKGROUND] = 2
        layer.refresh(thumbnail=False, highlight=False, extent=False)
