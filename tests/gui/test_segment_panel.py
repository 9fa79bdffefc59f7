"""The panel in a real window: what a person does, and what must not be lost."""

import os
import signal

import dask.array as da
import numpy as np
import pytest
import tifffile
from flow import PANEL, PLUGIN
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from benchmarks.common.matching import count as count_matches
from benchmarks.common.matching import match
from napari_unet import read_image, segment
from napari_unet.plugin.samples import sample_folder
from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.plugin.session.session import PLANE, RECTANGLE, VIEW


@pytest.fixture
def nuclei(viewer):
    """The sample, opened from File → Open Sample: the image and its ground truth."""
    menu_item(
        viewer.window.file_menu, "Open Sample", "Interactive U-Net", "Nuclei (16 bit)"
    ).trigger()
    truth = viewer.layers["ground truth"].data
    viewer.layers.remove("ground truth")
    return viewer.layers["nuclei"], np.asarray(truth)


PATIENCE = 120_000  # milliseconds


def menu_item(menu, *titles):
    """Find an action by the titles on the way to it, as a person reads them."""
    for title in titles:
        menu.aboutToShow.emit()
        found = {action.text().replace("&", ""): action for action in menu.actions()}
        assert title in found, f"{title!r} is not in {list(found)}"
        action = found[title]
        menu = action.menu()
    return action


def result_of(viewer, name="nuclei") -> Labels:
    return viewer.layers[f"{name} objects"]


def test_sample_segment_save_reopen(viewer, nuclei, panel, click, idle, tmp_path):
    image, truth = nuclei
    assert panel.form.image.value is image
    click(panel.segment.segment)
    assert panel.segment.segment.text == "Cancel"
    idle()
    assert "objects" in panel.sentence
    panel.saving.save_to(tmp_path / "cells_labels.ome.tif")
    idle()
    assert panel.sentence == f"Saved {tmp_path / 'cells_labels.ome.tif'}."
    saved = tifffile.imread(tmp_path / "cells_labels.ome.tif")
    assert saved.dtype == np.uint16
    np.testing.assert_array_equal(saved, result_of(viewer).data)
    assert count_matches([match(truth, saved)]).pooled[0] >= 0.80
    true = len(np.unique(truth)) - 1
    assert abs(len(np.unique(saved)) - 1 - true) <= 0.1 * true


def test_panel_and_library_give_the_same_objects(viewer, nuclei, panel, click, idle):
    click(panel.segment.segment)
    idle()
    library = segment(read_image(sample_folder() / "nuclei.tif")).labels
    shown = result_of(viewer).data
    np.testing.assert_array_equal(shown > 0, library > 0)
    assert len(np.unique(shown)) == len(np.unique(library))


def test_record_in_metadata(viewer, nuclei, panel, click, idle):
    click(panel.segment.segment)
    idle()
    record = result_of(viewer).metadata["napari_unet"]
    assert len(record["model_sha256"]) == 64
    assert record["settings"]["model"] == "nuclei"
    assert set(record["versions"]) >= {"torch", "numpy"}


def test_cancel_keeps_finished_tiles(viewer, panel, click, idle, qtbot):
    big = np.tile(np.random.default_rng(0).integers(0, 4000, (512, 512), np.uint16), (6, 6))
    viewer.add_image(big, name="big")
    panel.form.diameter.value = 20
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: "Tile 1 " in panel.sentence, timeout=PATIENCE)
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: panel.segment.segment.text == "Segment", timeout=2_000)
    assert panel.sentence == "Cancelled. What is finished stays."
    finished = result_of(viewer, "big").data.copy()
    qtbot.wait(500)
    np.testing.assert_array_equal(result_of(viewer, "big").data, finished)


def test_killed_engine_is_one_sentence_and_the_next_click_works(viewer, panel, click, idle, qtbot):
    viewer.open_sample("napari-unet-interactive", "nuclei")
    image = viewer.layers["nuclei"]
    image.data = np.tile(image.data, (3, 3))
    panel.form.image.value = image
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: "Tile 1 " in panel.sentence, timeout=PATIENCE)
    os.kill(panel.session.engine.pid, signal.SIGKILL)
    idle()
    assert panel.sentence.startswith("The process that computes stopped unexpectedly (signal 9).")
    kept = result_of(viewer).data.any()
    assert kept
    click(panel.segment.segment)
    idle()
    assert "objects" in panel.sentence


def test_painted_pixels_survive_sliders_and_another_run(viewer, nuclei, panel, click, idle, qtbot):
    click(panel.segment.segment)
    idle()
    layer = result_of(viewer)
    said = layer.data.copy()
    layer.selected_label = int(said.max()) + 1
    layer.brush_size = 20
    layer.paint((100, 300), layer.selected_label)
    first = int(said[said > 0][0])
    layer.data[said == first] = 0  # erased behind napari's back
    painted = layer.data != said
    wanted = layer.data[painted].copy()
    assert painted.sum() > 300

    def unchanged() -> None:
        np.testing.assert_array_equal(layer.data[painted], wanted)

    for slider, values in zip(panel.form.sliders, ((0.9, 0.1), (0.8, 0.3), (60,)), strict=True):
        for value in (*values, slider.value):
            slider.value = value
            qtbot.wait(300)
            idle()
            unchanged()
    click(panel.segment.segment)
    idle()
    unchanged()
    assert result_of(viewer) is layer
    others = ~painted & (said != first)
    np.testing.assert_array_equal(layer.data[others] > 0, said[others] > 0)


def test_sliders_act_without_the_network(viewer, nuclei, panel, click, idle, qtbot, monkeypatch):
    click(panel.segment.segment)
    idle()
    before = result_of(viewer).data.copy()
    tasks = []
    submit = panel.session.engine.submit
    monkeypatch.setattr(
        panel.session.engine, "submit", lambda task: (tasks.append(task), submit(task))
    )
    panel.form.sliders[0].value = 0.9
    qtbot.wait(300)
    idle()
    assert {type(task).__name__ for task in tasks} == {"DecodeBlock"}
    assert (result_of(viewer).data > 0).sum() > (before > 0).sum()


def test_result_lies_on_the_image(viewer, nuclei, panel, click, idle):
    image, _ = nuclei
    image.scale, image.translate, image.rotate = (0.3, 0.2), (5, -7), 30
    image.shear, image.units = [0.1], ("um", "um")
    click(panel.segment.segment)
    idle()
    labels = result_of(viewer)
    assert labels.units == image.units
    for corner in ((0, 0), (0, 639), (511, 0), (511, 639)):
        np.testing.assert_allclose(labels.data_to_world(corner), image.data_to_world(corner))


@pytest.mark.parametrize("kind", ["rgb", "channels", "time", "multiscale", "dask"])
def test_kinds_of_images(viewer, nuclei, panel, click, idle, kind):
    image, _ = nuclei
    plane = image.data[:256, :320]
    viewer.layers.clear()
    byte = (plane / plane.max() * 255).astype(np.uint8)
    expected = plane.shape
    if kind == "rgb":
        viewer.add_image(np.stack([byte] * 3, axis=-1), name="a")
    elif kind == "channels":
        viewer.add_image(np.stack([plane, plane // 3]), axis_labels=("c", "y", "x"), name="a")
        panel.form.channel.value = "0"
    elif kind == "time":
        viewer.add_image(np.stack([plane, plane[::-1], plane]), scale=(3, 1, 1), name="a")
        expected = (3, *plane.shape)
    elif kind == "multiscale":
        viewer.add_image([plane, plane[::2, ::2]], name="a", multiscale=True)
    else:
        viewer.add_image(da.from_array(plane, chunks=100), name="a")
    click(panel.segment.segment)
    idle()
    labels = result_of(viewer, "a").data
    assert labels.shape == expected
    per_plane = [len(np.unique(p)) - 1 for p in labels.reshape(-1, *plane.shape)]
    assert min(per_plane) >= 8
    assert len(np.unique(labels)) - 1 == sum(per_plane)


@pytest.mark.parametrize("where", [VIEW, RECTANGLE, PLANE])
def test_only_a_part(viewer, nuclei, panel, click, idle, qtbot, where):
    image, _ = nuclei
    image.data = np.stack([image.data] * 2)
    panel.form.image.value = image
    viewer.dims.set_point(0, 1)
    if where == VIEW:
        viewer.scene.camera.zoom *= 4
    if where == RECTANGLE:
        corners = [[1, 100, 200], [1, 100, 400], [1, 300, 400], [1, 300, 200]]
        viewer.add_shapes([corners], shape_type="rectangle", ndim=3)
        panel.form.image.value = image
    qtbot.wait(200)
    panel.form.where.value = where
    click(panel.segment.segment)
    idle()
    labels = result_of(viewer).data
    assert labels[1].any()
    assert not labels[0].any()
    found = np.argwhere(labels[1])
    if where == RECTANGLE:
        assert found[:, 0].max() < 400
        assert found[:, 0].min() > 30
    if where == VIEW:
        assert (labels[1] > 0).mean() < (labels[1] > 0).size


def test_corrections_on_given_axes_are_offered_again(viewer, panel, qtbot):
    pixels = np.random.default_rng(0).integers(0, 4000, (4, 64, 64), np.uint16)
    image = viewer.add_image(pixels, name="stains")
    panel.form.image.value, panel.form.axes.value = image, "CYX"
    painted = np.zeros((64, 64), np.uint32)
    painted[20:40, 20:40] = 7
    panel.session.take_corrections(image, painted)
    [result] = panel.session.results.all()
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    panel.close_down()  # as when napari is closed
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.add_image(pixels, name="again")
    again = SegmentPanel(viewer)
    viewer.window.add_dock_widget(again, name="again")
    try:
        qtbot.wait(500)
        assert not again.restoring.visible  # those of a stack would have another shape
        again.form.axes.value = "CYX"
        qtbot.waitUntil(lambda: again.restoring.visible, timeout=PATIENCE)
    finally:
        again.close_down()


def test_a_name_without_its_ending_replaces_no_file(painted, panel, click, idle, monkeypatch, home):
    home.mkdir(parents=True, exist_ok=True)
    file = home / "cells.ome.tif"
    file.write_bytes(b"last week's")
    asked = iter([str(home / "cells"), str(file)])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (next(asked), ""))
    click(panel.saving.save)
    idle()
    assert "cells.ome.tif exists already" in panel.sentence
    assert file.read_bytes() == b"last week's"
    click(panel.saving.save)  # that file was chosen, so the dialog has asked
    idle()
    assert tifffile.imread(file).max() == 9


def test_a_renamed_image_stays_chosen(viewer, panel, painted, image):
    image.name = "treated"
    assert panel.form.image.value is image
    assert panel.form.image.native.currentText() == "treated"
    assert panel.saving.save.native.isEnabled()


def test_labels_without_room_for_ids_are_no_result_any_more(painted, panel, click, idle, home):
    """As *Convert data type* in napari's menu does."""
    layer = painted.layer
    layer.data = layer.data.astype(np.uint8)
    assert panel.session.results.all() == []
    panel.saving.save_to(home / "narrow.ome.tif")
    assert "numbers too small for ids" in panel.sentence
    click(panel.segment.segment)
    idle()
    assert panel.session.results.current is not painted
    layer.data = layer.data.astype(np.uint32)
    assert painted.correcting.fits


@pytest.mark.parametrize("loss", ["image removed", "image replaced", "result removed"])
def test_layers_lost_in_the_middle(hidden_viewer, idle_of, qtbot, loss):
    # Not shown: with Mesa's software renderer, drawing a labels layer after the image below it was
    # removed crashes napari 0.9.2 also without this plugin.
    viewer = hidden_viewer
    big = np.tile(np.random.default_rng(0).integers(0, 4000, (512, 512), np.uint16), (4, 4))
    viewer.add_image(big, name="big")
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    panel.form.diameter.value = 20
    panel.segment.start()
    qtbot.waitUntil(lambda: "Tile 1 " in panel.sentence, timeout=PATIENCE)
    if loss == "image removed":
        viewer.layers.remove("big")
    elif loss == "image replaced":
        viewer.layers["big"].data = big[:100, :100]
    else:
        viewer.layers.remove("big objects")
    idle_of(panel)
    assert loss.split()[1] in panel.sentence
    assert panel.segment.segment.text == "Segment"
    if loss != "result removed":
        assert result_of(viewer, "big").data.shape == big.shape
    panel.close_down()


def test_viewer_closed_in_the_middle(viewer, panel, click, qtbot):
    viewer.add_image(np.tile(np.arange(512, dtype=np.uint16), (2048, 4)), name="big")
    click(panel.segment.segment)
    qtbot.wait(300)
    viewer.close()
    assert panel.session.engine.pid is None
