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
from napari_unet.plugin.result import incremental
from napari_unet.plugin.result.slide_result import slide_result
from napari_unet.plugin.session import open_region
from napari_unet.plugin.session.session import RECTANGLE, VIEW, WHOLE
from tests.strategies import blob_labels

SHAPE = (704, 900)


@pytest.fixture
def slide(viewer, monkeypatch, tmp_path):
    """Large for the panel, and so small that its labels are there in seconds."""
    monkeypatch.setattr(incremental, "LARGE", 500 * 500)
    monkeypatch.setattr(open_region, "MOST", 512)
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
    panel.form.model.value = "nuclei"
    panel.form.diameter.value = 22
    return panel


@pytest.fixture
def segmented(panel, slide, click, idle):
    panel.form.where.value = WHOLE
    click(panel.segment.segment)
    idle()
    assert panel.session.runs.problem is None
    found = slide_result(panel.session.viewer, slide)
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
    click(panel.large.edit)
    idle()
    return panel.form.image.value


def finest(result) -> np.ndarray:
    return np.asarray(LabelPyramid(result.incremental.output).levels[0])


def test_all_of_it_goes_into_a_folder_and_is_shown(viewer, panel, slide, segmented):
    labels = finest(segmented)
    assert labels.max() == segmented.incremental.objects > 50
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
    assert panel.saving.save.enabled
    assert not panel.form.sliders[0].visible


def test_stopped_it_goes_on(panel, slide, click, idle, qtbot):
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: slide_result(panel.session.viewer, slide) is not None, timeout=PATIENCE)
    result = slide_result(panel.session.viewer, slide)
    qtbot.waitUntil(lambda: finest(result).any(), timeout=PATIENCE)
    click(panel.segment.segment)  # Cancel
    idle()
    assert "go on" in panel.sentence
    there = np.count_nonzero(finest(result))
    click(panel.segment.segment)
    idle()
    assert slide_result(panel.session.viewer, slide) is result
    assert np.count_nonzero(finest(result)) > there
    assert (np.unique(finest(result)) == np.arange(result.incremental.objects + 1)).all()


def test_other_settings_make_another_layer(panel, slide, segmented, click, idle):
    panel.form.diameter.value = 30
    click(panel.segment.segment)
    idle()
    assert slide_result(panel.session.viewer, slide) is not segmented
    assert finest(segmented).any()


def test_a_view_is_edited_and_put_back(panel, slide, segmented, edited, click, idle):
    region = region_of(edited)
    assert region is not None, panel.sentence
    assert region.source() is slide
    y, x = region.box.start
    assert (edited.data == slide.data[0][region.box.slices]).all()
    assert np.allclose(edited.data_to_world((0, 0)), slide.data_to_world((y, x)))
    result = panel.session.results.current
    before = finest(segmented)
    assert (result.layer.data == before[region.box.slices]).all()
    assert not result.correcting.any
    erased = int(np.unique(result.layer.data)[-1])
    result.layer.data[result.layer.data == erased] = 0
    result.layer.data[2:9, 2:9] = 999_999
    click(panel.large.put_back)
    idle()
    assert "put back" in panel.sentence
    after = finest(segmented)
    assert not (after[region.box.slices] == erased).any()
    drawn = np.unique(after[y + 2 : y + 9, x + 2 : x + 9])
    assert len(drawn) == 1
    assert drawn[0] == segmented.incremental.objects
    outside = np.ones(SHAPE, bool)
    outside[region.box.slices] = False
    assert (after == before)[outside].all()
    click(panel.large.put_back)
    assert "Nothing was changed" in panel.sentence


def test_what_is_painted_on_a_part_is_offered_with_the_whole(
    viewer, panel, slide, edited, click, idle, qtbot
):
    result, box = panel.session.results.current, region_of(edited).box
    result.layer.data[5:15, 5:15] = 31
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    result.correcting.look_everywhere()
    assert result.correcting.journal.flush(10)
    viewer.layers.remove(result.layer)
    viewer.layers.remove(edited)
    panel.form.image.value = slide
    qtbot.waitUntil(lambda: panel.restoring.visible, timeout=PATIENCE)
    assert "part of this image" in panel.restoring.offer_text.text
    click(panel.restoring.restore)
    qtbot.waitUntil(lambda: panel.form.image.value is not slide, timeout=PATIENCE)
    idle()
    assert region_of(panel.form.image.value).box == box
    qtbot.waitUntil(lambda: panel.session.results.current is not None, timeout=PATIENCE)
    assert (panel.session.results.current.layer.data[5:15, 5:15] == 31).all()
    assert panel.session.results.current.correcting.any


def test_a_view_is_segmented_as_an_image_of_its_own(viewer, panel, slide, click, idle, qtbot):
    zoom_to(viewer, slide, 350, 450, qtbot)
    panel.form.where.value = VIEW
    click(panel.segment.segment)
    idle()
    part, result = panel.form.image.value, panel.session.results.current
    region = region_of(part)
    assert region is not None, panel.sentence
    assert result.layer.data.shape == region.box.shape
    assert result.count > 3
    whole = panel.session.opened(part).whole
    assert whole is not None
    assert whole.data is slide.data[0]
    click(panel.segment.segment)  # what is shown is this part already
    idle()
    assert panel.form.image.value is part


def test_what_is_painted_on_a_part_comes_to_labels_made_later(
    viewer, panel, slide, click, idle, qtbot
):
    zoom_to(viewer, slide, 350, 450, qtbot)
    panel.form.where.value = VIEW
    click(panel.segment.segment)
    idle()
    part, result = panel.form.image.value, panel.session.results.current
    region = region_of(part)
    result.layer.data[3:9, 3:9] = 888_888
    panel.form.image.value = slide
    panel.form.where.value = WHOLE
    click(panel.segment.segment)
    idle()
    panel.form.image.value = part
    click(panel.large.put_back)
    idle()
    labels = finest(slide_result(panel.session.viewer, slide))[region.box.slices]
    assert len(np.unique(labels[3:9, 3:9])) == 1
    assert labels[4, 4] == slide_result(panel.session.viewer, slide).incremental.objects


def test_background_painted_before_the_run_came_there_is_put_back(
    viewer, panel, slide, click, idle, qtbot
):
    viewer.scene.camera.center = slide.data_to_world((60, 60))
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: slide_result(panel.session.viewer, slide) is not None, timeout=PATIENCE)
    click(panel.segment.segment)  # Cancel
    idle()
    zoom_to(viewer, slide, 600, 800, qtbot)
    click(panel.large.edit)
    idle()
    part, result = panel.form.image.value, panel.session.results.current
    box = region_of(part).box
    assert not result.layer.data.any()
    result.correcting.adopt(np.full(box.shape, BACKGROUND, np.uint32))
    click(panel.large.put_back)
    idle()
    assert "put back" in panel.sentence
    panel.form.image.value = slide
    click(panel.segment.segment)
    idle()
    labels = finest(slide_result(panel.session.viewer, slide))
    assert labels.any()
    assert not labels[box.slices].any()


def test_labels_of_other_settings_take_all_that_is_painted(
    panel, slide, segmented, edited, click, idle
):
    result, box = panel.session.results.current, region_of(edited).box
    result.layer.data[3:9, 3:9] = 888_888
    click(panel.large.put_back)
    idle()
    panel.form.image.value = slide
    panel.form.diameter.value = 20
    click(panel.segment.segment)
    idle()
    assert "Put back again" in panel.sentence
    other = slide_result(panel.session.viewer, slide)
    assert other is not segmented
    panel.form.image.value = edited
    click(panel.large.put_back)
    idle()
    ids, counts = np.unique(finest(other)[box.slices][3:9, 3:9], return_counts=True)
    assert counts.tolist() == [36]
    assert np.count_nonzero(finest(other) == ids[0]) == 36


def test_too_large_a_part_is_refused_with_a_reason(panel, slide, segmented, click, viewer, qtbot):
    viewer.reset_view()
    qtbot.wait(100)
    click(panel.large.edit)
    assert "Zoom in" in panel.sentence
    panel.form.where.value = RECTANGLE
    corners = [slide.data_to_world(p) for p in ((0, 0), (0, 899), (703, 899), (703, 0))]
    viewer.add_shapes(np.array(corners))
    panel.form.image.value = slide
    click(panel.segment.segment)
    assert "smaller rectangle" in panel.sentence


def test_a_view_beside_the_image_is_told_from_a_large_one(panel, slide, segmented, click, viewer):
    panel.form.image.value = slide
    viewer.scene.camera.center = (1e5, 1e5)
    click(panel.large.edit)
    assert "in view" in panel.sentence
    assert "Zoom in" not in panel.sentence


def test_saved_labels_hold_everything(panel, segmented, idle, tmp_path: Path):
    panel.saving.save_to(tmp_path / "out.zarr")
    idle()
    assert panel.session.runs.problem is None
    image = read_image(tmp_path / "out.zarr")
    assert (image.data[:] == finest(segmented)).all()
    assert zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["napari_unet"]["diameter"] == 22
    assert not (tmp_path / "out.zarr" / ".unfinished").exists()
    panel.saving.save_to(tmp_path / "out.zarr")
    idle()
    assert "exists already" in panel.sentence
    panel.saving.save_to(tmp_path / "out.ome.tif")
    idle()
    assert panel.session.runs.problem is None
    assert (read_image(tmp_path / "out.ome.tif").data[:] == finest(segmented)).all()


def test_another_panel_goes_on_with_what_is_shown(viewer, panel, slide, segmented, idle_of, qtbot):
    viewer.layers.remove(slide)
    panel.close_down()
    assert finest(segmented).any()
    viewer.layers.insert(0, slide)
    _, again = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    try:
        again.form.image.value = slide
        assert slide_result(again.session.viewer, slide) is segmented
        assert again.saving.save.enabled
    finally:
        again.close_down()


def test_a_large_image_is_not_painted_on_as_a_whole(viewer, panel, slide, click):
    click(panel.correct.other_classes.toggleButton())
    panel.classes.switch.native.setChecked(True)
    assert "too large to be painted on as a whole" in panel.sentence
    assert not panel.session.results.classes
    assert list(viewer.layers) == [slide]
