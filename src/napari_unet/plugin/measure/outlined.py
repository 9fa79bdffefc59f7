"""The object of the row that is selected: shown in the middle, with a line around it."""

import numpy as np
from napari import Viewer
from napari.layers import Labels, Shapes

from napari_unet.image import Plane
from napari_unet.labels.edits import find_object
from napari_unet.labels.outlines import contours
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.objects.linked_measurements import Measured

NAME, COLOUR = "selected object", "#ff5fd2"
WIDTH = 0.004  # of the height of the view


class Outlined:
    """Draws a line around one object.

    Parameters
    ----------
    viewer : napari.Viewer
        Where.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._shapes: Shapes | None = None
        self._on: Labels | None = None  # the layer it lies on

    def draw(self, measured: Measured, number: int, plane: Plane) -> bool:
        """Draw around an object, in the plane that it is in; False if it is not there any more.

        Around one that a filter hides there is no line until it is shown again.
        """
        result, labels = measured.result, measured.labels[plane]
        box = find_object(labels, number)
        if box is None:
            self.remove()
            return False
        if measured.painted_id(number, plane) in result.hidden:
            self.remove()
            return True
        found = contours((labels[box.slices] == number).astype(np.uint8)).data
        rings = [np.vstack([line, line[:1]]) + box.start for line in found]
        grid = grid_of(result.layer)
        lines = [np.array([grid.to_layer((*plane, *point)) for point in ring]) for ring in rings]
        shapes = self._layer(result.layer)
        view = layers.shown_window(self._viewer, result.layer)[1]
        shapes.current_edge_width = max(0.5, WIDTH * max(view.shape))
        shapes.data = [(line, "path") for line in lines]  # a polygon is filled, which takes long
        if not shapes.visible:  # napari draws all anew
            shapes.visible = True
        return True

    def centre(self, measured: Measured, number: int, plane: Plane) -> None:
        """Show an object in the middle."""
        box = find_object(measured.labels[plane], number)
        if box is None:
            return
        y, x = (middle - 0.5 for middle in box.centre)
        layers.look_at(self._viewer, measured.result.layer, (*plane, y, x))

    def remove(self) -> None:
        """Take the line away."""
        if self._shapes is not None and self._shapes in self._viewer.layers:
            self._viewer.layers.remove(self._shapes)
        self._shapes = None

    def _layer(self, result: Labels) -> Shapes:
        """Return the layer of the line; what is selected stays so."""
        shapes = self._shapes
        if shapes is not None and shapes in self._viewer.layers and self._on is result:
            return shapes
        self.remove()
        selection = self._viewer.layers.selection
        active = selection.active
        self._shapes = shapes = layers.add_rectangles(self._viewer, result, NAME)
        shapes.metadata, shapes.current_edge_color = {layers.BESIDE: True}, COLOUR
        selection.active = active
        self._on = result
        return shapes
