"""A tool that takes the next drag over a layer as a line, and then leaves all as it was."""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Shapes

from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of

Stroke = list[tuple[float, float]]
"""Places ``(y, x)`` in pixels of the layer."""


class LineTool:
    """Takes the next drag over a layer as a line instead of letting napari paint or move.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the line is shown.
    layer : Labels
        What it is drawn over; it is made the active layer.
    text : str
        What the person is asked for.
    finish : callable
        Gets the line, of one place for a click.
    call_off : callable
        Is called where Escape is pressed, or another tool or view is chosen.
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Labels,
        text: str,
        finish: Callable[[Stroke], None],
        call_off: Callable[[], None],
    ) -> None:
        viewer.layers.selection.active = layer  # the mouse is heard there only
        self.text = text
        self._viewer, self.layer, self._finish = viewer, layer, finish
        self._shown = add_line(viewer, layer)
        self._over = False
        self._mode = layer.mode
        layer.mode = "pan_zoom"  # the brush would paint along the line
        layer.mouse_pan = False
        layer.cursor = "cross"
        layer.mouse_drag_callbacks.append(self._drag)
        self._call_off = call_off
        layer.events.mode.connect(self._on_mode)
        viewer.dims.events.ndisplay.connect(self._on_mode)  # a line lies in a plane
        # Escape belongs to polygons, which cannot be drawn while a line is waited for.
        layer.bind_key("Escape", ignoring_argument(call_off), overwrite=True)

    def put_back(self) -> None:
        """Leave the layer as it was."""
        layer, self._over = self.layer, True
        layer.events.mode.disconnect(self._on_mode)
        self._viewer.dims.events.ndisplay.disconnect(self._on_mode)
        if self._shown in self._viewer.layers:
            self._viewer.layers.remove(self._shown)
        if self._drag in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._drag)
        layer.bind_key("Escape", None)
        if layer.mode == "pan_zoom":  # another tool has set all this for itself
            layer.mouse_pan = True
            layer.cursor = "standard"
            layer.mode = self._mode

    def _on_mode(self, _event: Any = None) -> None:
        """Give way to another tool, where one drag would paint and cut too, or to the 3-D view."""
        self._call_off()

    def _drag(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        line = [layers.point_in_plane(layer, event.position)]
        plane = layers.shown_plane(self._viewer, layer)
        yield
        while event.type == "mouse_move":
            line.append(layers.point_in_plane(layer, event.position))
            if not self._over:
                show_line(self._shown, layer, plane, line)
            yield
        if not self._over:  # else Escape was pressed on the way
            self._finish(line)


def ignoring_argument(action: Callable[[], None]) -> Callable[[Any], None]:
    """Make a function such as napari binds, which it gives the layer."""

    def call(_layer: Any) -> None:
        action()

    return call


def add_line(viewer: Viewer, result: Labels) -> Shapes:
    """Add an empty layer for a line that is being drawn over a result; what is active stays so."""
    active = viewer.layers.selection.active
    layer = layers.add_rectangles(viewer, result, "line")
    layer.metadata = {layers.BESIDE: True}
    viewer.layers.selection.active = active
    return layer


def show_line(
    layer: Shapes, result: Labels, plane: tuple[int, ...], line: Sequence[tuple[float, float]]
) -> None:
    """Draw a line ``(N, 2)`` in a plane of a result, on whose grid the layer lies."""
    if len(line) > 1:
        grid = grid_of(result)
        points = np.array([grid.to_layer((*plane, y, x)) for y, x in line])
        layer.data = [(points, "path")]
