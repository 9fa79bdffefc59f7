"""Labels lie on their image whatever its axes are: painted with the mouse, read from the file."""

import numpy as np
import pytest
import tifffile
from flow import SHAPE, A
from qtpy.QtCore import Qt
from skimage.color import rgb2hed

from napari_unet.image import Box
from napari_unet.io.tiff import read_labels
from napari_unet.labels.painted import BACKGROUND
from napari_unet.plugin.layers.layers import FILE

PATIENCE = 30_000  # milliseconds
PAINTED = 999
AT = (150.0, 40.0), (150.0, 60.0)  # image pixels where the model finds nothing


@pytest.fixture
def scene(viewer, network, panel, click, idle, qtbot):
    """Show an image of some axes, segment its last channel, and look at one of its planes."""
    viewer.window.resize(1500, 900)

    def show(axes: str, lengths: dict[str, int], look: dict[str, int]):
        size = {"Y": SHAPE[0], "X": SHAPE[1], **lengths}
        noise = np.random.default_rng(0).integers(0, 4000, [size[a] for a in axes], np.uint16)
        image = viewer.add_image(
            noise,
            name="cells",
            rgb=False,
            scale=[{"Z": 2.0, "Y": 0.5, "X": 0.5}.get(a, 1.0) for a in axes],
            translate=[{"Z": 10.0}.get(a, 0.0) for a in axes],
            axis_labels=tuple(axes.lower()),
        )
        rest = [i for i, a in enumerate(axes) if a not in "YX"]
        viewer.dims.order = (*rest, axes.index("Y"), axes.index("X"))
        assert panel.session.intent.axes == axes
        if "C" in axes:
            panel.form.channel.value = str(lengths["C"] - 1)
        click(panel.segment.segment)
        idle()
        for axis, number in look.items():
            step = image.data_to_world([number if a == axis else 0 for a in axes])
            viewer.dims.set_point(axes.index(axis), step[axes.index(axis)])
        qtbot.wait(100)  # the dock takes its room before the image is fitted to the rest
        viewer.reset_view()
        qtbot.wait(100)
        return panel.session.results.current

    return show


def shown_on_canvas(viewer, layer):
    """What napari draws of a labels layer, ``(Y, X)``."""
    layer.refresh()
    return np.asarray(layer._slice.image.raw)


def paint(result, mouse, qtbot) -> None:
    layer = result.layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 10, PAINTED
    mouse.drag(*((0.5 * y, 0.5 * x) for y, x in AT))
    qtbot.waitUntil(lambda: PAINTED in result.correcting.tracker.ids, timeout=PATIENCE)


CASES = {
    "ZCYX": ({"Z": 40, "C": 2}, {"Z": 30, "C": 1}, (30,)),
    "TCYX": ({"T": 4, "C": 3}, {"T": 2, "C": 2}, (2,)),
    "TZCYX": ({"T": 2, "Z": 3, "C": 2}, {"T": 1, "Z": 2, "C": 1}, (1, 2)),
    "CZYX": ({"Z": 3, "C": 2}, {"Z": 2, "C": 1}, (2,)),
    "YXC": ({"C": 2}, {"C": 1}, ()),
    "ZYX": ({"Z": 3}, {"Z": 1}, (1,)),
}


@pytest.mark.parametrize("axes", CASES)
def test_painted_on_the_plane_that_is_shown(
    axes, scene, viewer, panel, mouse, click, idle, qtbot, tmp_path
):
    lengths, look, plane = CASES[axes]
    result = scene(axes, lengths, look)
    letters = "".join(a for a in axes if a not in "CYX") + "YX"
    assert result.shown.shape == (*(lengths[a] for a in letters[:-2]), *SHAPE)
    found = shown_on_canvas(viewer, result.layer)  # also where the slider of channels is at its end
    assert found.shape == SHAPE
    assert (found[A.slices] == result.shown[(*plane, A.start[0], A.start[1])]).all()
    paint(result, mouse, qtbot)
    painted = result.shown == PAINTED
    assert painted[plane].sum() > 100
    assert painted.sum() == painted[plane].sum()
    assert painted[(*plane, *(int(i) for i in AT[0]))]
    saved = tmp_path / "cells_labels.ome.tif"
    panel.saving.save_to(saved)
    idle()
    written, _, _, written_axes = read_labels(saved)
    assert written_axes == letters
    np.testing.assert_array_equal(written == PAINTED, painted)
    np.testing.assert_array_equal(written > 0, result.shown > 0)  # the ids are linked ones


def test_keys_undo_and_restoring_hit_the_plane_that_is_shown(
    scene, viewer, panel, mouse, click, qtbot
):
    lengths, look, plane = CASES["ZCYX"]
    result = scene("ZCYX", lengths, look)
    before = result.shown.copy()
    mouse.move(*(0.5 * c for c in A.centre))
    mouse.press(Qt.Key.Key_D)
    assert not result.shown[plane][A.slices].any()
    assert (result.shown != before).sum() == A.size
    mouse.undo()
    np.testing.assert_array_equal(result.shown, before)
    click(panel.correct.brush)
    mouse.drag(*((0.5 * y, 0.5 * x) for y, x in ((60.0, 30.0), (60.0, 70.0))))
    qtbot.waitUntil(lambda: not result.shown[(*plane, 60, slice(41, 70))].any(), timeout=PATIENCE)
    changed = result.shown != before
    assert changed.sum() == changed[plane].sum() > 0
    stroke = result.painted() == BACKGROUND
    assert stroke.sum() == stroke[plane].sum() > 0
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    viewer.layers.remove(result.layer)
    qtbot.waitUntil(lambda: panel.restoring.visible, timeout=PATIENCE)
    click(panel.restoring.restore)
    qtbot.waitUntil(lambda: panel.session.results.current is not None, timeout=PATIENCE)
    again = panel.session.results.current
    assert again.layer.data.shape == (40, 1, *SHAPE)
    np.testing.assert_array_equal(again.painted() == BACKGROUND, stroke)


def test_axes_are_shown_with_their_sizes_before_anything_runs(
    viewer, network, panel, tmp_path, qtbot
):
    form = panel.form
    viewer.add_image(np.zeros((6, 2, *SHAPE), np.uint16), name="cells", rgb=False)
    assert form.axes.value == "TZYX"
    assert form.sizes.native.isVisible()
    assert form.sizes.value == "6 T × 2 Z × 200 × 300"
    form.axes.value = "zcyx"
    assert form.sizes.value == "6 Z × 2 channels × 200 × 300"
    assert form.channel.choices == ("Average", "0", "1")
    form.axes.value = "zcy"
    assert form.axes.native.isVisible()
    assert form.sizes.value.startswith("Give one letter for each dimension of 6 × 2 × 200 × 300")
    form.axes.value = "ZCYX"
    assert form.sizes.value == "6 Z × 2 channels × 200 × 300"


def test_channels_have_the_names_of_their_file(viewer, network, panel, tmp_path, qtbot):
    path, form = tmp_path / "stains.ome.tif", panel.form
    channels = np.zeros((3, 2, 64, 64), np.uint16)
    names = {"axes": "ZCYX", "Channel": {"Name": ["DNA", "actin"]}}
    tifffile.imwrite(path, channels, ome=True, metadata=names, photometric="minisblack")
    viewer.open(path, plugin="napari", axis_labels=("z", "c", "y", "x"))
    wanted = "3 Z × 2 channels (DNA, actin) × 64 × 64"
    qtbot.waitUntil(lambda: form.sizes.value == wanted, timeout=PATIENCE)
    box = form.channel.native
    assert [box.itemText(i) for i in range(box.count())] == ["Average", "0: DNA", "1: actin"]
    form.channel.value = "1"
    assert panel.session.intent.channel == 1
    byte = np.zeros((64, 64, 3), np.uint8)
    viewer.add_image(np.stack([byte] * 2), rgb=True, name="tissue")
    assert form.sizes.value == "2 Z × 64 × 64 × 3 channels (Red, Green, Blue)"


def test_stains_of_a_colour_image_can_be_chosen(viewer, network, panel):
    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    layer = viewer.add_image(colours, rgb=True, name="tissue")
    form, session = panel.form, panel.session
    box = form.channel.native
    names = [box.itemText(i) for i in range(box.count())]
    assert names == ["Average", "0: Red", "1: Green", "2: Blue", "3: Haematoxylin", "4: Eosin"]
    form.channel.value = "3"
    image = session.opened(layer)
    assert (image.channel, session.channels_of(layer)) == (3, (3, None))
    read = image.read((), Box((0, 0), (64, 64)))[0]
    np.testing.assert_allclose(read, rgb2hed(colours)[..., 0], rtol=1e-3, atol=1e-4)


def fluorescence(axes: str, lengths: dict[str, int]) -> np.ndarray:
    size = {"Y": SHAPE[0], "X": SHAPE[1], **lengths}
    return np.random.default_rng(0).integers(0, 4000, [size[a] for a in axes], np.uint16)


@pytest.fixture
def opened(viewer, network, panel, qtbot, tmp_path):
    """Write a file, and open it with napari's own reader."""

    def open_(axes: str, lengths: dict[str, int], name: str, **options):
        path = tmp_path / name
        tifffile.imwrite(path, fluorescence(axes, lengths), **options)
        (layer,) = viewer.open(path, plugin="napari")
        assert not any(label.isalpha() for label in layer.axis_labels)
        assert panel.session.intent.layer is layer
        qtbot.waitUntil(lambda: FILE in layer.metadata, timeout=PATIENCE)
        return layer

    return open_


def test_axes_and_sizes_of_an_imagej_stack_are_those_of_its_file(
    opened, panel, viewer, click, idle, tmp_path
):
    metadata = {"axes": "ZCYX", "spacing": 2.0, "unit": "um"}
    layer = opened(
        "ZCYX", {"Z": 3, "C": 2}, "cells.tif", imagej=True, metadata=metadata, resolution=(2, 2)
    )
    assert panel.session.intent.axes == panel.form.axes.value == "ZCYX"
    assert panel.form.sizes.value == "3 Z × 2 channels × 200 × 300"
    assert panel.form.channel.visible
    spacing = panel.session.opened(layer).spacing
    assert {axis: (one.size, one.unit) for axis, one in spacing.items()} == {
        "Z": (2.0, "micrometer"), "Y": (0.5, "micrometer"), "X": (0.5, "micrometer"),
    }  # fmt: skip
    assert layer.scale.tolist() == [1, 1, 1, 1]  # what is shown stays as it was
    click(panel.segment.segment)
    idle()
    result = panel.session.results.current
    assert result.layer.data.shape == (3, 1, *SHAPE)
    saved = tmp_path / "cells_labels.ome.tif"
    panel.saving.save_to(saved)
    idle()
    _, sizes, unit, axes = read_labels(saved)
    assert (sizes, unit, axes) == ((2.0, 0.5, 0.5), "micrometer", "ZYX")


def test_axes_and_names_of_an_ome_movie_are_those_of_its_file(opened, panel):
    names = {"axes": "TCYX", "Channel": {"Name": ["DNA", "actin"]}}
    opened("TCYX", {"T": 4, "C": 2}, "cells.ome.tif", ome=True, metadata=names)
    assert panel.session.intent.axes == "TCYX"
    assert panel.form.sizes.value == "4 T × 2 channels (DNA, actin) × 200 × 300"


def test_of_another_shape_than_its_file_axes_are_guessed(opened, panel):
    layer = opened("TYX", {"T": 4}, "cells.ome.tif", ome=True, metadata={"axes": "TYX"})
    assert panel.session.intent.axes == "TYX"
    layer.data = fluorescence("TYX", {"T": 5})
    panel.session.refresh()
    assert panel.session.intent.axes == "ZYX"


def test_saved_labels_that_are_opened_lie_on_the_planes_of_their_image(
    scene, viewer, panel, idle, qtbot, tmp_path
):
    lengths, look, plane = CASES["ZCYX"]
    result = scene("ZCYX", lengths, look)
    result.layer.data[30, 0, 150:160, 20:40] = PAINTED
    saved = tmp_path / "cells_labels.tif"
    panel.saving.save_to(saved)
    idle()
    viewer.layers.remove(result.layer)
    (opened,) = viewer.open(saved, plugin="napari-unet-interactive")
    qtbot.waitUntil(lambda: opened.ndim == 4, timeout=PATIENCE)
    written = read_labels(saved)[0]
    found = shown_on_canvas(viewer, opened)
    np.testing.assert_array_equal(found, written[plane])
    assert PAINTED in found
    assert "was put onto the planes of cells" in panel.sentence
    np.testing.assert_array_equal(opened.scale, result.layer.scale)


def test_saved_labels_take_the_scale_of_an_image_whose_file_alone_tells_it(
    opened, panel, viewer, click, idle, qtbot, tmp_path
):
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    opened("ZYX", {"Z": 3}, "cells.tif", imagej=True, metadata=metadata, resolution=(2, 2))
    click(panel.segment.segment)
    idle()
    saved = tmp_path / "cells_labels.tif"
    panel.saving.save_to(saved)
    idle()
    viewer.layers.remove(panel.session.results.current.layer)
    (labels,) = viewer.open(saved, plugin="napari-unet-interactive")
    qtbot.waitUntil(lambda: labels.scale.tolist() == [1, 1, 1], timeout=PATIENCE)
