"""A large image in the window: all of it into a folder, parts of it painted on and put back."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from conftest import PATIENCE
from flow import PANEL, PLUGIN
from napari.layers import Labels
from scipy.ndimage import gaussian_filter

from napari_unet import read_image
from napari_unet.image import Image
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.labels.painted import BACKGROUND
from napari_unet.planning import planner as planning
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.segment.segment_form import RECTANGLE, VIEW, WHOLE
from napari_unet.plugin.session import slides
from tests.strategies import blob_labels

SHAPE = (704, 900)


@pytest.fixture
def slide(viewer, monkeypatch, tmp_path):
    """Large for the panel, and so small that its labels are there in seconds."""
    monkeypatch.setattr(slides, "LARGE", 500 * 500)
    monkeypatch.setattr(slides, "MOST", 512)
    monkeypatch.setattr(planning, "SIDE", 192)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")
    cells = gaussian_filter((blob_labels(5, SHAPE, 22) > 0) * 1000.0, 1)
    pixels = (cells + np.random.default_rng(0).normal(200, 10, SHAPE)).astype(np.uint16)
    levels = [pixels, pixels[::2, ::2]]
    return viewer.add_image(
        levels, name="slide", scale=(0.5, 0.5), translate=(3, 7), multiscale=True
    )


@pytest.fixture
def panel(slide, panel):
    panel.model.value = "nuclei"
    panel.diameter.value = 22
    return panel


@pytest.fixture
def segmented(panel, slide, click, idle):
    panel.where.value = WHOLE
    click(panel.segment)
    idle()
    assert panel.problem is None
    found = panel.slides.result_of(slide)
    assert found is not None
    return found


def zoom_to(viewer, slide, y: int, x: int, qtbot) -> None:
    """Show some hundred pixels around one."""
    viewer.scene.camera.center = slide.data_to_world((y, x))
    viewer.scene.camera.zoom = 8
    image = Image(slide.data[0], "YX")
    qtbot.waitUntil(
        lambda: max(layers.visible_box(viewer, slide, image).shape) < 300, timeout=20_000
    )


@pytest.fixture
def edited(viewer, panel, slide, segmented, click, idle, qtbot):
    """A view of the segmented image, opened to be edited; its layer."""
    zoom_to(viewer, slide, 350, 450, qtbot)
    click(panel.slides.edit)
    idle()
    return panel.image.value


def finest(slide_result) -> np.ndarray:
    return np.asarray(LabelPyramid(slide_result.growing.output).levels[0])


def test_all_of_it_goes_into_a_folder_and_is_shown(viewer, panel, slide, segmented):
    labels = finest(segmented)
    assert labels.max() == segmented.growing.objects > 50
    layer = segmented.layer
    assert isinstance(layer, Labels)
    assert layer.multiscale
    assert (layer.scale == (0.5, 0.5)).all()
    assert (layer.translate == (3, 7)).all()
    assert len(layer.data) == 2
    shown = layer.get_value(slide.data_to_world(np.argwhere(labels == 9)[0]), world=True)
    assert shown[1] == 9
    assert "objects" in panel.sentence
    assert "Edit this view" in panel.sentence
    assert panel.save.enabled
    assert not panel.sliders[0].visible


def test_stopped_it_goes_on(panel, slide, click, idle, qtbot):
    click(panel.segment)
    qtbot.waitUntil(lambda: panel.slides.result_of(slide) is not None, timeout=PATIENCE)
    result = panel.slides.result_of(slide)
    qtbot.waitUntil(lambda: finest(result).any(), timeout=PATIENCE)
    click(panel.segment)  # Cancel
    idle()
    assert "go on" in panel.sentence
    there = np.count_nonzero(finest(result))
    click(panel.segment)
    idle()
    assert panel.slides.result_of(slide) is result
    assert np.count_nonzero(finest(result)) > there
    assert (np.unique(finest(result)) == np.arange(result.growing.objects + 1)).all()


def test_other_settings_make_another_layer(panel, slide, segmented, click, idle):
    panel.diameter.value = 30
    click(panel.segment)
    idle()
    assert panel.slides.result_of(slide) is not segmented
    assert finest(segmented).any()


def test_a_view_is_edited_and_put_back(panel, slide, segmented, edited, click, idle):
    region = region_of(edited)
    assert region is not None, panel.sentence
    assert region.source() is slide
    y, x = region.box.start
    assert (edited.data == slide.data[0][region.box.slices]).all()
    assert np.allclose(edited.data_to_world((0, 0)), slide.data_to_world((y, x)))
    result = panel.current_result()
    before = finest(segmented)
    assert (result.layer.data == before[region.box.slices]).all()
    assert not result.correcting.any
    erased = int(np.unique(result.layer.data)[-1])
    result.layer.data[result.layer.data == erased] = 0
    result.layer.data[2:9, 2:9] = 999_999
    click(panel.slides.put_back)
    idle()
    assert "put back" in panel.sentence
    after = finest(segmented)
    assert not (after[region.box.slices] == erased).any()
    drawn = np.unique(after[y + 2 : y + 9, x + 2 : x + 9])
    assert len(drawn) == 1
    assert drawn[0] == segmented.growing.objects
    outside = np.ones(SHAPE, bool)
    outside[region.box.slices] = False
    assert (after == before)[outside].all()
    click(panel.slides.put_back)
    assert "Nothing was changed" in panel.sentence


def test_what_is_painted_on_a_part_is_offered_with_the_whole(
    viewer, panel, slide, edited, click, idle, qtbot
):
    result, box = panel.current_result(), region_of(edited).box
    result.layer.data[5:15, 5:15] = 31
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    result.correcting.look_everywhere()
    assert result.correcting.journal.flush(10)
    viewer.layers.remove(result.layer)
    viewer.layers.remove(edited)
    panel.image.value = slide
    qtbot.waitUntil(lambda: panel.restoring.visible, timeout=PATIENCE)
    assert "part of this image" in panel.restoring.said.text
    click(panel.restoring.restore)
    qtbot.waitUntil(lambda: panel.image.value is not slide, timeout=PATIENCE)
    idle()
    assert region_of(panel.image.value).box == box
    qtbot.waitUntil(lambda: panel.current_result() is not None, timeout=PATIENCE)
    assert (panel.current_result().layer.data[5:15, 5:15] == 31).all()
    assert panel.current_result().correcting.any


def test_a_view_is_segmented_as_an_image_of_its_own(viewer, panel, slide, click, idle, qtbot):
    zoom_to(viewer, slide, 350, 450, qtbot)
    panel.where.value = VIEW
    click(panel.segment)
    idle()
    part, result = panel.image.value, panel.current_result()
    region = region_of(part)
    assert region is not None, panel.sentence
    assert result.layer.data.shape == region.box.shape
    assert result.count > 3
    whole = panel.opened(part).whole
    assert whole is not None
    assert whole.data is slide.data[0]
    click(panel.segment)  # what is shown is this part already
    idle()
    assert panel.image.value is part


def test_what_is_painted_on_a_part_comes_to_labels_made_later(
    viewer, panel, slide, click, idle, qtbot
):
    zoom_to(viewer, slide, 350, 450, qtbot)
    panel.where.value = VIEW
    click(panel.segment)
    idle()
    part, result = panel.image.value, panel.current_result()
    region = region_of(part)
    result.layer.data[3:9, 3:9] = 888_888
    panel.image.value = slide
    panel.where.value = WHOLE
    click(panel.segment)
    idle()
    panel.image.value = part
    click(panel.slides.put_back)
    idle()
    labels = finest(panel.slides.result_of(slide))[region.box.slices]
    assert len(np.unique(labels[3:9, 3:9])) == 1
    assert labels[4, 4] == panel.slides.result_of(slide).growing.objects


def test_background_painted_before_the_run_came_there_is_put_back(
    viewer, panel, slide, click, idle, qtbot
):
    viewer.scene.camera.center = slide.data_to_world((60, 60))
    click(panel.segment)
    qtbot.waitUntil(lambda: panel.slides.result_of(slide) is not None, timeout=PATIENCE)
    click(panel.segment)  # Cancel
    idle()
    zoom_to(viewer, slide, 600, 800, qtbot)
    click(panel.slides.edit)
    idle()
    part, result = panel.image.value, panel.current_result()
    box = region_of(part).box
    assert not result.layer.data.any()
    result.correcting.adopt(np.full(box.shape, BACKGROUND, np.uint32))
    click(panel.slides.put_back)
    idle()
    assert "put back" in panel.sentence
    panel.image.value = slide
    click(panel.segment)
    idle()
    labels = finest(panel.slides.result_of(slide))
    assert labels.any()
    assert not labels[box.slices].any()


def test_labels_of_other_settings_take_all_that_is_painted(
    panel, slide, segmented, edited, click, idle
):
    result, box = panel.current_result(), region_of(edited).box
    result.layer.data[3:9, 3:9] = 888_888
    click(panel.slides.put_back)
    idle()
    panel.image.value = slide
    panel.diameter.value = 20
    click(panel.segment)
    idle()
    assert "Put back again" in panel.sentence
    other = panel.slides.result_of(slide)
    assert other is not segmented
    panel.image.value = edited
    click(panel.slides.put_back)
    idle()
    ids, counts = np.unique(finest(other)[box.slices][3:9, 3:9], return_counts=True)
    assert counts.tolist() == [36]
    assert np.count_nonzero(finest(other) == ids[0]) == 36


def test_too_large_a_part_is_refused_with_a_reason(panel, slide, segmented, click, viewer, qtbot):
    viewer.reset_view()
    qtbot.wait(100)
    click(panel.slides.edit)
    assert "Zoom in" in panel.sentence
    panel.where.value = RECTANGLE
    corners = [slide.data_to_world(p) for p in ((0, 0), (0, 899), (703, 899), (703, 0))]
    viewer.add_shapes(np.array(corners))
    panel.image.value = slide
    click(panel.segment)
    assert "smaller rectangle" in panel.sentence


def test_a_view_beside_the_image_is_told_from_a_large_one(panel, slide, segmented, click, viewer):
    panel.image.value = slide
    viewer.scene.camera.center = (1e5, 1e5)
    click(panel.slides.edit)
    assert "in view" in panel.sentence
    assert "Zoom in" not in panel.sentence


def test_saved_labels_hold_everything(panel, segmented, idle, tmp_path: Path):
    panel.save_to(tmp_path / "out.zarr")
    idle()
    assert panel.problem is None
    image = read_image(tmp_path / "out.zarr")
    assert (image.data[:] == finest(segmented)).all()
    assert zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["napari_unet"]["diameter"] == 22
    assert not (tmp_path / "out.zarr" / ".unfinished").exists()
    panel.save_to(tmp_path / "out.zarr")
    idle()
    assert "exists already" in panel.sentence
    panel.save_to(tmp_path / "out.ome.tif")
    idle()
    assert panel.problem is None
    assert (read_image(tmp_path / "out.ome.tif").data[:] == finest(segmented)).all()


def test_another_panel_goes_on_with_what_is_shown(viewer, panel, slide, segmented, idle_of, qtbot):
    viewer.layers.remove(slide)
    panel.close_down()
    assert finest(segmented).any()
    viewer.layers.insert(0, slide)
    _, again = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    try:
        again.image.value = slide
        assert again.slides.result_of(slide) is segmented
        assert again.save.enabled
    finally:
        again.close_down()


def test_many_planes_are_a_large_image_too(panel, monkeypatch):
    """Labels of 200 planes of 9000² px would take 65 GB of memory."""
    monkeypatch.setattr(slides, "LARGE", 10**8)
    for planes, large in ((200, True), (5, False)):
        data = np.broadcast_to(np.uint8(0), (planes, 9000, 9000))
        assert panel.slides.takes(Image(data, "ZYX")) is large


def test_a_large_image_is_not_painted_on_as_a_whole(viewer, panel, slide, click):
    click(panel.correct.other_classes.toggleButton())
    panel.classes.switch.native.setChecked(True)
    assert "too large to be painted on as a whole" in panel.sentence
    assert not panel.classes.on
    assert list(viewer.layers) == [slide]
