"""Labels in a layer with the axes of its image: the same memory, the same pixels."""

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from napari.utils.colormaps import label_colormap

from napari_unet.image import Box
from napari_unet.plugin.layers import label_grid
from napari_unet.plugin.layers.label_grid import LabelGrid, Redraw, colour_in_strips, draw_part

LENGTHS = {"T": 2, "Z": 3, "P": 4, "Y": 5, "X": 6, "C": 1}
AXES = ["YX", "ZYX", "ZCYX", "TCYX", "TZCYX", "YXC", "XCYZ", "PCTYX"]


class Lazy:
    """An array that is no NumPy array."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most = 0  # pixels that were read at once

    def __getitem__(self, key):
        self.most = max(self.most, self._array[key].size)
        return self._array[key]


def made(axes: str) -> tuple[LabelGrid, np.ndarray]:
    grid = LabelGrid.of_axes(axes)
    shape = [LENGTHS[axis] for axis in grid.letters]
    return grid, np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)


@pytest.mark.parametrize("axes", AXES)
def test_painting_goes_through_in_both_directions(axes):
    grid, labels = made(axes)
    array = grid.on_layer(labels)
    assert array.shape == tuple(LENGTHS[axis] for axis in axes)
    assert np.shares_memory(array, labels)
    np.testing.assert_array_equal(grid.labels(array), labels)
    grid.labels(array)[..., 1, 2] = 99
    assert (labels[..., 1, 2] == 99).all()
    picked = np.nonzero(labels == 99)
    assert (array[grid.indices(picked)] == 99).all()
    assert grid.of_layer(grid.to_layer(range(labels.ndim))) == tuple(range(labels.ndim))


@pytest.mark.parametrize("axes", AXES)
def test_labels_on_disk_are_read_in_windows(axes):
    grid, labels = made(axes)
    array, lazy = grid.on_layer(labels), grid.on_layer(Lazy(labels))
    assert tuple(lazy.shape) == array.shape
    assert grid.labels(lazy).shape == labels.shape
    for key in (0, (slice(1, 3),), tuple(0 if a in "TZC" else slice(1, 4) for a in axes)):
        np.testing.assert_array_equal(lazy[key], array[key])


@pytest.mark.parametrize("axes", AXES)
def test_of_a_part_of_all_planes_only_the_plane_in_view_is_read(axes):
    grid, labels = made(axes)
    stored = Lazy(labels)
    array, lazy = grid.on_layer(labels), grid.on_layer(stored)
    view = tuple(slice(1, 4) if axis in "YX" else slice(None) for axis in axes)
    plane = tuple(slice(None) if axis in "YX" else 0 for axis in axes)
    part = lazy[view]  # as napari cuts a pyramid
    assert (part.shape, part.ndim, part.size) == (array[view].shape, len(axes), array[view].size)
    assert stored.most == 0
    np.testing.assert_array_equal(np.asarray(part[plane]), array[view][plane])
    assert stored.most == 9
    np.testing.assert_array_equal(np.asarray(part), array[view])
    np.testing.assert_array_equal(np.asarray(part[view]), array[view][view])


def test_an_array_of_other_axes_is_left_as_it_is():
    grid, labels = made("ZCYX")
    assert grid.labels(labels) is labels


@pytest.fixture
def layer():
    return Labels(np.zeros((3, 64, 48), np.uint32))  # its first plane is shown


@pytest.fixture
def drawn(layer):
    events = []
    layer.events.labels_update.connect(lambda event: events.append(event))
    return events


def test_only_a_part_is_drawn(layer, drawn):
    layer.data[0, 10:20, 5:9] = 7
    layer.data[0, 40, 40] = 8  # elsewhere
    assert draw_part(layer, (0,), Box((10, 4), (20, 10)))
    (event,) = drawn
    assert list(event.offset) == [10, 4]
    view = layer._slice.image.view
    assert view[10:20, 5:9].all()
    assert not view[40, 40]
    layer.refresh()
    np.testing.assert_array_equal(layer._slice.image.view[10:20, 4:10], event.data)


def test_another_plane_is_drawn_when_it_is_looked_at(layer, drawn):
    assert draw_part(layer, (2,), Box((10, 4), (20, 10)))
    assert drawn == []


def test_all_is_drawn_at_the_end_only_where_something_is_left(layer, monkeypatch):
    refreshed = []
    monkeypatch.setattr(layer, "refresh", lambda **_: refreshed.append(True))
    redraw = Redraw(layer)
    redraw.part((0,), Box((0, 0), (9, 9)))
    redraw.finish()
    assert refreshed == []
    redraw.soon()
    redraw.soon()  # just now
    redraw.finish()
    assert refreshed
    refreshed.clear()
    redraw.finish()
    assert refreshed == []


@pytest.mark.parametrize("kept", [0, 7])  # rows that hold labels
@pytest.mark.parametrize("how", ["usual", "contour", "selected", "direct", "other background"])
def test_colours_in_strips_are_those_of_napari(monkeypatch, how, kept):
    monkeypatch.setattr(label_grid, "STRIP", 100)
    data = np.random.default_rng(0).integers(0, 90, (61, 37)).astype(np.uint32)
    data[kept:-5] = 0
    layer = Labels(data)
    match how:
        case "contour":
            layer.contour = 1
        case "selected":
            layer.selected_label, layer.show_selected_label = 3, True
        case "direct":
            colours = {None: "red", 0: "blue", 3: "green"}
            layer.colormap = DirectLabelColormap(color_dict=colours)
        case "other background":
            layer.colormap = label_colormap(49, 0.5, background_value=5)
    plain = layer._raw_to_displayed(data)
    colour_in_strips(layer)
    found = layer._raw_to_displayed(data)
    assert found.dtype == plain.dtype
    np.testing.assert_array_equal(found, plain)
