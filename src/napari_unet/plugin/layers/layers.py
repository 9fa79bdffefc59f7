"""Between napari's layers and the core: what an image layer holds, where a result belongs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Shapes, Tracks
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.channels import offered
from napari_unet.image import Box, Image, Spacing, check_dtype, guess_axes
from napari_unet.io.images import FileFacts
from napari_unet.plugin.layers.label_grid import AXES, LabelGrid, colour_in_strips, grid_of
from napari_unet.plugin.layers.labels_files import layer_spacing
from napari_unet.plugin.layers.region import region_of

AXIS_NAMES = {"channel": "C", "channels": "C", "time": "T", "slice": "Z", "depth": "Z"}
FILE = "napari_unet_file"  # in the metadata of an image layer: the facts of its file
BESIDE = "napari_unet_beside"  # in the metadata of layers that accompany a result


def image_layers(viewer: Viewer) -> list[ImageLayer]:
    """Return the image layers that a person can choose, in their order."""
    images = (layer for layer in viewer.layers if isinstance(layer, ImageLayer))
    return [layer for layer in images if not is_beside(layer)]


def channel_count(layer: ImageLayer | None, axes: str) -> int:
    """Return how many channels a layer has with some axes, which need not fit."""
    shape, axes = finest(layer).shape if layer is not None else (), axes.upper()
    return int(shape[axes.index("C")]) if "C" in axes and len(axes) == len(shape) else 1


def channel_names(layer: ImageLayer, axes: str, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a name for each channel that can be chosen, stains of colours too; "" = none.

    Parameters
    ----------
    layer : Image layer
        What is looked at.
    axes : str
        One letter for each dimension, as a person typed them.
    names : tuple of str
        As the layer's file gives them; empty = unknown.
    """
    count = channel_count(layer, axes)
    fitting = names if len(names) == count else ()
    at_end = axes.upper().endswith("C")
    return offered(fitting, count, finest(layer).dtype, at_end=at_end)


def finest(layer: ImageLayer) -> Any:
    """Return the layer's array, the finest level of a pyramid."""
    return layer.data[0] if layer.multiscale else layer.data


def facts_of(layer: ImageLayer) -> tuple[FileFacts, str] | None:
    """Return what the layer's file tells, and its axes for the layer; None where they do not fit.

    They are told by `FileFacts.of`, and kept in the metadata of the layer.
    """
    facts = layer.metadata.get(FILE)
    axes = facts.axes_of(finest(layer).shape) if isinstance(facts, FileFacts) else None
    return (facts, axes) if axes is not None else None


def guess_layer_axes(layer: ImageLayer) -> str:
    """Return a layer's axes from its axis labels, else from its file, else guessed by its shape."""
    array, told = finest(layer), facts_of(layer)
    letters = [_letter(label) for label in layer.axis_labels]
    if layer.rgb:
        letters.append("C")
    named = len(letters) == len(array.shape) and len(set(letters)) == len(letters)
    if named and "" not in letters and {"Y", "X"} <= set(letters):
        return "".join(letters)
    if told is not None:
        return told[1]
    return guess_axes(tuple(array.shape), np.dtype(array.dtype), rgb=layer.rgb)


def _letter(label: str) -> str:
    name = AXIS_NAMES.get(label.lower(), label).upper()
    return name if len(name) == 1 and name.isalpha() else ""


class Looks:
    """What was found out about the arrays of layers, for as long as the layers have these."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[ImageLayer, tuple[Any, dict[Any, Any]]]
        self._known = WeakKeyDictionary()

    def of(self, layer: ImageLayer) -> dict[Any, Any]:
        """Return what is known of a layer's array, to be added to."""
        array = finest(layer)
        if layer not in self._known or self._known[layer][0] is not array:
            self._known[layer] = array, {}
        return self._known[layer][1]


def image_of(
    layer: ImageLayer, axes: str, channel: int | None, nuclei: int | None, looks: Looks
) -> Image:
    """Describe a layer's array for the core; raises `InputError` if it cannot be segmented."""
    array = finest(layer)
    check_dtype(array.dtype)
    letters = axes or guess_layer_axes(layer)
    part = region_of(layer)
    source = part.source() if part is not None else None
    return Image(
        array,
        letters,
        channel,
        spacing=spacing_of(layer, letters),
        name=layer.name,
        whole=image_of(source, axes, channel, nuclei, looks) if source is not None else None,
        looks=looks.of(layer),
        nuclei=nuclei,
        opacity=bool(layer.rgb),
    )


def spacing_of(layer: ImageLayer, axes: str) -> dict[str, Spacing]:
    """Return how the pixels of a layer lie, from itself, or from its file where it has no scale."""
    own, told = layer_spacing(attributes(layer), axes, layer.ndim), facts_of(layer)
    return dict(told[0].spacing) if not own and told is not None and told[1] == axes else own


def attributes(layer: Layer) -> dict[str, Any]:
    """Return the layer's attributes as napari gives them to writers."""
    return dict(layer.as_layer_data_tuple()[1])


def add_result(
    viewer: Viewer, layer: ImageLayer, image: Image, name: str, levels: Sequence[Any] = ()
) -> Labels:
    """Add a labels layer on the image's own pixel grid, with all its transforms.

    It is empty, to be painted on, or shows an array and the smaller copies of it that are there.
    """
    # napari hands the array it was given to painting as it is; unwritten zeros cost no memory
    placed, axes = _placed_on(layer, image)
    grid = LabelGrid.of_axes(axes)
    array = [grid.on_layer(one) for one in levels or [np.zeros(image.labels_shape, np.uint32)]]
    data, metadata = array if levels else array[0], {AXES: axes}
    begun = data if levels else np.zeros((1,) * grid.ndim, np.uint32)
    labels = Labels(begun, name=name, multiscale=bool(levels), **placed, metadata=metadata)
    if not levels:
        colour_in_strips(labels)
        labels.data = data
    active = viewer.layers.selection.active
    viewer.add_layer(labels)
    viewer.layers.selection.active = active
    return labels


def put_on_grid(labels: Labels, array: NDArray[np.uint32], layer: ImageLayer, image: Image) -> None:
    """Show labels ``(..., Y, X)`` of an image in a layer, with all transforms of its pixel grid."""
    placed, axes = _placed_on(layer, image)
    labels.data = LabelGrid.of_axes(axes).on_layer(array)
    labels.metadata = {**labels.metadata, AXES: axes}
    for name, value in placed.items():
        setattr(labels, name, value)


def _placed_on(layer: ImageLayer, image: Image) -> tuple[dict[str, Any], str]:
    """Return what puts labels onto an image's pixel grid, and the axes of their layer.

    Channels before all other axes need no place: napari shows labels on each of them. Between the
    others they get one, which is as wide as all channels.
    """
    axes = image.axes[: layer.ndim]  # the colours of an RGB image are no axis of the layer
    kept = [i for i, axis in enumerate(axes) if i or axis != "C"]
    grid, scale, first = np.ix_(kept, kept), np.array(layer.scale), np.zeros(layer.ndim)
    if "C" in axes:
        channel = axes.index("C")
        scale[channel] *= image.channels
        first[channel] = (image.channels - 1) / 2
    image_grid = Affine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear
    )
    placed = {
        "scale": scale[kept],
        "translate": np.asarray(image_grid(first))[kept],
        "rotate": np.asarray(layer.rotate)[grid],
        "shear": _shear(layer, kept),
        "affine": np.asarray(layer.affine.affine_matrix)[np.ix_([*kept, -1], [*kept, -1])],
        "units": [layer.units[i] for i in kept],
        "axis_labels": [layer.axis_labels[i] for i in kept],
    }
    return placed, "".join(axes[i] for i in kept)


def lies_elsewhere(labels: Labels, layer: ImageLayer, image: Image) -> bool:
    """Whether saved labels ``(..., Y, X)`` of an image lie beside it, though both are right.

    napari aligns axes from the right, so labels of ZCYX lie on C. And only labels that are saved
    tell their scale where the image's layer leaves that to its file.
    """
    axes = _placed_on(layer, image)[1]
    if tuple(labels.data.shape) != image.labels_shape:
        return False
    unscaled = not layer_spacing(attributes(layer), image.axes, layer.ndim)
    scaled = unscaled and not np.allclose(labels.scale, 1)
    return (
        len(axes) != labels.ndim or LabelGrid.of_axes(axes).order != (*range(len(axes)),) or scaled
    )


def add_beside(
    viewer: Viewer, result: Labels, array: NDArray[Any], name: str, colours: Mapping[Any, str]
) -> Labels:
    """Add a layer ``(..., Y, X)`` right above a result; what is active stays so.

    Parameters
    ----------
    viewer, result
        Where, and whose transforms it takes.
    array : ndarray of uint8
        Painted on as it is, not copied.
    name : str
        Of the layer.
    colours : mapping
        Colour of each value; None = of all others.
    """
    layer = Labels(
        grid_of(result).on_layer(array),
        name=name,
        colormap=DirectLabelColormap(color_dict=dict(colours)),
        **placement(result),
        metadata={**axes_told(result), BESIDE: True},
    )
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(result) + 1, layer)
    viewer.layers.selection.active = active
    return layer


def placement(result: Labels) -> dict[str, Any]:
    """Return what puts another layer onto a result's grid: all transforms, units, axis labels."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(result, name) for name in names}


def axes_told(result: Labels) -> dict[str, Any]:
    """Return the entry of a result's metadata that tells its axes."""
    return {AXES: result.metadata[AXES]} if AXES in result.metadata else {}


def add_rectangles(viewer: Viewer, result: Labels, name: str) -> Shapes:
    """Add a shapes layer on a result's grid, to draw rectangles on."""
    layer = Shapes(
        ndim=result.ndim,
        name=name,
        face_color="transparent",
        edge_color="#3fe06a",
        edge_width=2,
        **placement(result),
    )
    viewer.add_layer(layer)
    return layer


def is_beside(layer: Layer) -> bool:
    """Whether a layer is one of ours that only accompanies a result."""
    return bool(layer.metadata.get(BESIDE))


def remove_beside(viewer: Viewer, result: Labels) -> None:
    """Remove the layers of a result's shape that accompanied it in a panel that was closed."""
    for layer in [*viewer.layers]:
        tracks = isinstance(layer, Tracks) and layer.ndim == result.ndim
        if is_beside(layer) and (
            tracks or (isinstance(layer, Labels) and same_grid(layer, result))
        ):
            viewer.layers.remove(layer)


def same_grid(layer: Labels, result: Labels) -> bool:
    """Whether a labels layer has the shape of a result."""
    return not layer.multiscale and tuple(layer.data.shape) == tuple(result.data.shape)


def shown_plane(viewer: Viewer, result: Labels) -> tuple[int, ...]:
    """Return the indices along the leading axes ``(...)`` of what is shown of a result."""
    grid = grid_of(result)
    position = grid.of_layer(result.world_to_data(viewer.dims.point))[:-2]
    shape = grid.of_layer(result.data.shape)[:-2]
    return tuple(int(np.clip(round(p), 0, n - 1)) for p, n in zip(position, shape, strict=True))


def point_in_plane(result: Labels, position: Sequence[float]) -> tuple[float, float]:
    """Return the pixel ``(y, x)`` of a result that lies at a position in the world."""
    y, x = grid_of(result).of_layer(result.world_to_data(position))[-2:]
    return float(y), float(x)


def viewer_axes(viewer: Viewer, result: Labels) -> tuple[int, ...]:
    """Return the viewer's axis of each axis of a result's labels, Y and X last."""
    return tuple(viewer.dims.ndim - result.ndim + axis for axis in grid_of(result).order)


def look_at(viewer: Viewer, result: Labels, point: Sequence[float]) -> None:
    """Show the plane of a point ``(..., y, x)`` of a result, with the point in the middle."""
    grid = grid_of(result)
    world = grid.of_layer(result.data_to_world(grid.to_layer(point)))
    for axis, position in zip(viewer_axes(viewer, result)[:-2], world, strict=False):
        viewer.dims.set_point(axis, position)
    viewer.scene.camera.center = (0.0, *world[-2:])


def shown_window(viewer: Viewer, result: Labels) -> tuple[tuple[int, ...], Box]:
    """Return plane and box, image pixels, of what the canvas shows of a result."""
    grid = grid_of(result)
    corners = np.asarray(result.corner_pixels)[:, grid.order[-2:]]
    (y0, x0), (y1, x1) = corners.astype(int).tolist()
    height, width = grid.of_layer(result.data.shape)[-2:]
    box = Box((y0, x0), (y1 + 1, x1 + 1)).intersect(Box((0, 0), (height, width)))
    return shown_plane(viewer, result), box


def drawn_box(
    viewer: Viewer, result: Labels, offset: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[int, ...], Box] | None:
    """Return plane and box of a part that was redrawn; None if planes of Y and X are not shown."""
    in_plane = viewer_axes(viewer, result)[-2:]
    if tuple(viewer.dims.displayed) != in_plane or len(offset) != 2:
        return None
    height, width = grid_of(result).of_layer(result.data.shape)[-2:]
    y, x = (int(i) for i in offset)
    box = Box((y, x), (y + int(shape[0]), x + int(shape[1])))
    return shown_plane(viewer, result), box.intersect(Box((0, 0), (height, width)))


def _shear(layer: Layer, kept: list[int]) -> Any:
    full = np.eye(layer.ndim)
    full[np.triu_indices(layer.ndim, 1)] = np.asarray(layer.shear).ravel()
    return full[np.ix_(kept, kept)][np.triu_indices(len(kept), 1)]


def current_plane(viewer: Viewer, layer: ImageLayer, image: Image) -> tuple[int, ...]:
    """Return the indices along the iterated axes of the plane that is shown."""
    position = layer.world_to_data(viewer.dims.point)
    shape = np.asarray(image.data.shape)
    return tuple(
        int(np.clip(round(position[i]), 0, shape[i] - 1))
        for i, axis in enumerate(image.axes)
        if axis in image.leading_axes
    )


def visible_box(viewer: Viewer, layer: ImageLayer, image: Image) -> Box:
    """Return the part of the plane that the canvas shows, image pixels.

    From the camera: of a pyramid, a layer only knows which chunks it has drawn, which are more.
    """
    height, width = viewer.canvas.size
    zoom, point = viewer.scene.camera.zoom, np.array(viewer.dims.point)
    shown = list(viewer.dims.displayed)[-2:]
    corners = []
    for y, x in itertools.product((-height / 2, height / 2), (-width / 2, width / 2)):
        point[shown] = np.asarray(viewer.scene.camera.center)[-2:] + np.array([y, x]) / zoom
        corners.append(np.asarray(layer.world_to_data(point)))
    axes = [image.axes.index(axis) for axis in "YX"]
    places = np.array(corners)[:, axes]
    start, stop = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0))
    box = Box((int(start[0]), int(start[1])), (int(stop[0]), int(stop[1])))
    return box.intersect(Box((0, 0), image.shape))
