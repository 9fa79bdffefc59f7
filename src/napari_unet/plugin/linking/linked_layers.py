"""Layers that show what the planes of a result were linked to: labels and tracks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Layer, Tracks

from napari_unet.labels.linking import Links
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of

TRACK_AXES = 4  # of napari's layer of tracks, at most


def show_linked(
    viewer: Viewer, result: Labels, levels: Sequence[Any], shown: Labels | None, name: str
) -> Labels:
    """Show labels ``(..., Y, X)`` of a result whose planes are linked; return their layer.

    They take the place of those shown before; else they are added below the result, hidden.

    Parameters
    ----------
    viewer, result
        Where, and whose transforms they take.
    levels : sequence of array-like
        The labels, and smaller copies where the result has them as well.
    shown : Labels or None
        The layer before.
    name : str
        Of a new layer.
    """
    placed = [grid_of(result).on_layer(one) for one in levels]
    data = placed if result.multiscale else placed[0]
    if shown is not None and shown in viewer.layers:
        shown.data = data
        return shown
    metadata = {**layers.axes_told(result), layers.BESIDE: True}
    layer = Labels(
        data,
        name=name,
        visible=False,
        multiscale=result.multiscale,
        **layers.placement(result),
        metadata=metadata,
    )
    _insert_below(viewer, result, layer)
    layer.editable = False
    return layer


def show_tracks(
    viewer: Viewer, result: Labels, links: Links, shown: Tracks | None, name: str
) -> Tracks | None:
    """Show the tracks of a result in place of those before; None where there are none.

    napari takes the first axis of tracks for time, and shows tracks of at most `TRACK_AXES`.
    """
    visible = True
    if shown is not None and shown in viewer.layers:
        visible = shown.visible
        viewer.layers.remove(shown)
    data, graph = links.tracks()
    grid = grid_of(result)
    fits = links.axes in ("T", "TZ") and grid.order[0] == 0 and grid.ndim <= TRACK_AXES
    if not fits or not len(data):
        return None
    placed = grid.to_layer([*data[:, 1:].T], np.zeros(len(data)))
    layer = Tracks(
        np.stack([data[:, 0], *placed], axis=1),
        graph=graph,
        name=name,
        visible=visible,
        **layers.placement(result),
        metadata={layers.BESIDE: True},
    )
    _insert_below(viewer, result, layer)
    return layer


def _insert_below(viewer: Viewer, result: Labels, layer: Layer) -> None:
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(result), layer)
    viewer.layers.selection.active = active
