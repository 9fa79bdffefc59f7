"""Rectangles that a person draws: the part to segment, and parts in which all is correct."""

from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Shapes

from napari_unet.errors import InputError
from napari_unet.image import Box, Image
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.layers.layers import is_beside, shown_plane

STRAIGHT = 0.5  # pixels; corners further off belong to a rectangle that was turned


def selected_box(viewer: Viewer, layer: ImageLayer, image: Image) -> Box:
    """Return the rectangle selected in a shapes layer, image pixels; `InputError` without one."""
    for shapes in reversed(viewer.layers):
        if not isinstance(shapes, Shapes) or not len(shapes.data) or is_beside(shapes):
            continue
        chosen = sorted(shapes.selected_data) or [len(shapes.data) - 1]
        corners = [layer.world_to_data(shapes.data_to_world(p)) for p in shapes.data[chosen[0]]]
        points = np.asarray(corners)[:, [image.axes.index("Y"), image.axes.index("X")]]
        box = _around(points, image.shape)
        if box.size:
            return box
    raise InputError(
        "No rectangle lies on the image. Add a shapes layer, draw a rectangle, and press Segment."
    )


def correct_box(viewer: Viewer, result: Labels) -> Box:
    """Return the selected rectangle in the plane that is shown of a result, image pixels.

    Raises
    ------
    InputError
        Without one: other shapes, turned ones and those of other planes do not count, as nobody
        sees then what is marked.
    """
    for shapes in reversed(viewer.layers):
        if isinstance(shapes, Shapes) and shapes.visible and not is_beside(shapes):
            for index in sorted(shapes.selected_data):
                box = _box_in_plane(shapes, index, result, shown_plane(viewer, result))
                if box.size:
                    return box
    raise InputError(
        "Draw a rectangle in this plane around a part in which everything is right, or select one "
        "that is there, then press All correct again."
    )


def _box_in_plane(shapes: Shapes, index: int, result: Labels, plane: tuple[int, ...]) -> Box:
    """Return the box of a rectangle, an empty one where it does not count."""
    nothing = Box((0, 0), (0, 0))
    if shapes.shape_type[index] != "rectangle":
        return nothing
    corners = [result.world_to_data(shapes.data_to_world(p)) for p in shapes.data[index]]
    points, grid = np.asarray(corners), grid_of(result)
    for axis, number in zip(grid.order, plane, strict=False):
        # a flat layer is shown in every plane
        if axis >= result.ndim - shapes.ndim and (np.rint(points[:, axis]) != number).any():
            return nothing
    points = points[:, grid.order[-2:]]
    off = np.minimum(points - points.min(axis=0), points.max(axis=0) - points)
    shape = grid.of_layer(result.data.shape)[-2:]
    return _around(points, shape) if off.max() < STRAIGHT else nothing


def _around(points: Any, shape: tuple[int, ...]) -> Box:
    """Return the pixels whose middle is between the outermost of points ``(N, 2)``, in an image."""
    start, stop = np.ceil(points.min(axis=0)), np.ceil(points.max(axis=0))
    box = Box((int(start[0]), int(start[1])), (int(stop[0]), int(stop[1])))
    return box.intersect(Box((0, 0), (shape[0], shape[1])))
