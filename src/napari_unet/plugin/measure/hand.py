"""Clicks with the plain hand: the button is pressed and let go at the same place."""

import math
from collections.abc import Generator, Sequence
from typing import Any

from napari import Viewer
from psygnal import Signal

LEFT = 1
STILL = 3  # pixels of the screen; a hand trembles


class HandClicks:
    """Tells where a person clicks while the mouse would only move the image, in 2-D.

    Parameters
    ----------
    viewer : napari.Viewer
        Where.
    """

    clicked = Signal(object)  # position in the world

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        viewer.mouse_drag_callbacks.append(self._press)

    def leave(self) -> None:
        """Listen no longer."""
        if self._press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._press)

    def _press(self, _viewer: Any, event: Any) -> Generator[None, None, None]:
        if event.button != LEFT or event.modifiers or not self._is_plain:
            return
        start, still = event.pos, True
        yield
        while event.type == "mouse_move":
            still = still and _near(start, event.pos)
            yield
        if still and _near(start, event.pos) and self._is_plain:
            self.clicked.emit(event.position)

    @property
    def _is_plain(self) -> bool:
        """Whether the mouse moves the image; where a line is waited for it does not."""
        layer = self._viewer.layers.selection.active
        plain = layer is None or (str(layer.mode) == "pan_zoom" and layer.mouse_pan)
        return plain and self._viewer.dims.ndisplay == 2


def _near(start: Sequence[float], end: Sequence[float]) -> bool:
    return math.dist(start, end) <= STILL
