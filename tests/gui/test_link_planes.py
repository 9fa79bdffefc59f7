"""Linking in a real window: what a stack and a movie become, and what stays after corrections."""

import numpy as np
import pytest
from flow import SHAPE, A, B
from napari.layers import Labels, Tracks
from qtpy.QtCore import Qt

from napari_unet.image import Box
from napari_unet.io.records import read_record
from napari_unet.io.tiff import read_labels
from napari_unet.labels.linking import separated
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.labels_files import METADATA_KEY

PATIENCE = 60_000  # milliseconds
PAINTED = 999
FREE = Box((150, 20), (160, 40))  # the model finds nothing there


@pytest.fixture
def stack(viewer, network, panel, click, idle, qtbot):
    """Segment an image of some axes; wait until its planes are linked."""

    def segmented(axes: str, lengths: dict[str, int]):
        size = {"Y": SHAPE[0], "X": SHAPE[1], **lengths}
        noise = np.random.default_rng(0).integers(0, 4000, [size[a] for a in axes], np.uint16)
        labels = tuple(axes.lower())
        viewer.add_image(noise, name="cells", rgb=False, axis_labels=labels)
        click(panel.segment.segment)
        idle()
        linked(panel, qtbot)
        return panel.session.results.current

    return segmented


def linked(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: not panel.link.running, timeout=PATIENCE)


def test_stack_is_counted_by_objects_through_its_planes(viewer, stack, panel):
    result = stack("ZCYX", {"Z": 6, "C": 2})
    assert panel.link.visible
    assert result.count == 12
    assert panel.link.told.text == "2 objects in 6 planes"
    assert panel.sentence.startswith("2 objects in 6 planes. The layer 'cells linked' shows them")
    layer = viewer.layers["cells linked"]
    assert layer.data.shape == result.layer.data.shape == (6, 1, *SHAPE)
    np.testing.assert_array_equal(layer.scale, result.layer.scale)
    assert set(np.unique(layer.data[:, :, A.start[0], A.start[1]])) == {layer.data[0, 0, 40, 40]}
    assert viewer.layers.selection.active is result.layer
    assert not [one for one in viewer.layers if isinstance(one, Tracks)]


def test_movie_gets_tracks_with_their_times_and_places(viewer, stack, panel):
    stack("TCYX", {"T": 5, "C": 2})
    assert panel.link.told.text == "2 tracks in 5 frames"
    tracks = viewer.layers["cells tracks"]
    assert tracks.data.shape == (10, 1 + 4)
    first = tracks.data[tracks.data[:, 0] == tracks.data[0, 0]]
    np.testing.assert_array_equal(first[:, 1], range(5))
    np.testing.assert_allclose(first[:, 3:], [[(c - 0.5) for c in A.centre]] * 5)


def test_movie_of_stacks_with_channels_is_linked_without_tracks(viewer, stack, panel):
    stack("TZCYX", {"T": 2, "Z": 3, "C": 2})  # napari shows no tracks of five axes
    assert panel.link.told.text == "2 tracks in 2 frames of 3 planes"
    assert len(np.unique(viewer.layers["cells linked"].data)) == 1 + 2
    assert not [one for one in viewer.layers if isinstance(one, Tracks)]


def test_corrections_keep_ids_and_are_linked_anew(viewer, stack, panel, qtbot):
    result = stack("ZYX", {"Z": 6})
    before = np.array(viewer.layers["cells linked"].data)
    painted = result.layer.data.copy()
    result.layer.data[3][A.slices] = 0  # missing in one plane
    result.layer.data[2:5, *FREE.slices] = PAINTED
    result.layer.refresh()
    qtbot.waitUntil(lambda: "3 objects" in panel.link.told.text, timeout=PATIENCE)
    linked(panel, qtbot)
    after = np.array(viewer.layers["cells linked"].data)
    same = painted == result.layer.data
    np.testing.assert_array_equal(after[same], before[same])
    assert set(np.unique(after[2:5, *FREE.slices])) == {PAINTED}
    assert (result.painted()[2:5, *FREE.slices] == PAINTED).all()  # nothing of it is lost
    assert (result.layer.data[2:5, *FREE.slices] == PAINTED).all()


def test_another_run_links_again_with_the_same_ids(viewer, stack, panel, click, idle, qtbot):
    result = stack("ZYX", {"Z": 4})
    before = np.array(viewer.layers["cells linked"].data)
    result.layer.data[1, *FREE.slices] = PAINTED
    click(panel.segment.segment)
    idle()
    linked(panel, qtbot)
    after = np.array(viewer.layers["cells linked"].data)
    assert panel.link.told.text == "3 objects in 4 planes"
    np.testing.assert_array_equal(after[after != PAINTED], before[after != PAINTED])


def test_box_takes_the_links_away_and_brings_them_back(viewer, stack, panel, tick, qtbot):
    stack("TYX", {"T": 3})
    tick(panel.link.link)
    names = {layer.name for layer in viewer.layers}
    assert not names & {"cells linked", "cells tracks"}
    assert panel.link.told.text == ""
    tick(panel.link.link)
    linked(panel, qtbot)
    assert {"cells linked", "cells tracks"} < {layer.name for layer in viewer.layers}


def test_settings_stand_beside_the_box_and_are_kept(
    viewer, stack, panel, tick, click, idle, qtbot, tmp_path
):
    result = stack("ZYX", {"Z": 6})
    link = panel.link
    assert not link.settings["gap"].native.isVisible()
    click(link.fold.toggleButton())
    there = [name for name, widget in link.settings.items() if widget.native.isVisible()]
    assert there == ["least_overlap", "waist", "gap", "smallest_diameter"]
    before = np.array(viewer.layers["cells linked"].data)
    result.layer.data[2:4][:, *A.slices] = 0
    result.layer.refresh()
    qtbot.waitUntil(lambda: link.told.text.startswith("3 objects"), timeout=PATIENCE)
    link.settings["gap"].value = 2
    assert link.running
    linked(panel, qtbot)
    assert link.told.text == "2 objects in 6 planes"
    link.settings["smallest_diameter"].value = 25  # 8181 voxels
    linked(panel, qtbot)
    assert link.told.text == "1 object in 6 planes"
    panel.saving.save_to(tmp_path / "cells_labels.tif")
    idle()
    record = read_record(tmp_path / "cells_labels.tif")
    assert (record["link"]["gap"], record["link"]["smallest_diameter"]) == (2, 25)
    assert len(np.unique(read_labels(tmp_path / "cells_labels.tif")[0])) == 2
    link.settings["smallest_diameter"].value = 0
    linked(panel, qtbot)
    after = np.array(viewer.layers["cells linked"].data)
    np.testing.assert_array_equal(after[:2], before[:2])  # ids stay, whatever is set meanwhile
    assert len(np.unique(after)) == 3
    tick(link.link)
    assert not link.fold.isVisible()


def test_box_is_shown_for_images_that_have_planes(viewer, stack, panel):
    stack("ZYX", {"Z": 3})
    viewer.add_image(np.zeros(SHAPE, np.uint16), name="flat")
    assert not panel.link.visible
    panel.form.image.value = viewer.layers["cells"]
    assert panel.link.visible
    assert panel.link.told.text == "2 objects in 3 planes"


def test_planes_without_z_and_t_are_not_linked(viewer, stack, panel):
    stack("CYX", {"C": 2})
    assert not panel.link.visible
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Labels"]


def test_file_holds_linked_labels_and_can_be_worked_on_again(
    viewer, stack, panel, click, idle, qtbot, tmp_path
):
    result = stack("ZYX", {"Z": 4})
    result.layer.data[1:3, *FREE.slices] = PAINTED
    qtbot.waitUntil(lambda: "3 objects" in panel.link.told.text, timeout=PATIENCE)
    own, saved = result.layer.data.copy(), tmp_path / "cells_labels.ome.tif"
    panel.saving.save_to(saved)
    idle()
    written = read_labels(saved)[0]
    np.testing.assert_array_equal(written, viewer.layers["cells linked"].data)
    assert len(np.unique(written)) == 1 + 3
    viewer.layers.remove(result.layer)
    qtbot.waitUntil(lambda: "cells linked" not in viewer.layers, timeout=PATIENCE)
    (opened,) = viewer.open(saved, plugin="napari-unet-interactive")
    assert isinstance(opened, Labels)
    np.testing.assert_array_equal(
        separated(opened.data, opened.metadata[METADATA_KEY]["link_ids"]), own
    )
    panel.session.choose(viewer.layers["cells"])
    others = panel.correct.others
    others.layer.value = opened
    others._press_go_on()
    qtbot.waitUntil(lambda: panel.session.results.current is not None, timeout=PATIENCE)
    again = panel.session.results.current
    np.testing.assert_array_equal(again.layer.data, own)
    assert again.correcting.tracker.ids == {PAINTED}  # the rest counts as what the model found
    linked(panel, qtbot)
    np.testing.assert_array_equal(viewer.layers["cells linked"].data, written)


def test_labels_whose_planes_are_linked_otherwise_are_not_saved(
    viewer, stack, panel, click, tick, idle, qtbot, tmp_path
):
    result = stack("ZYX", {"Z": 3})
    click(panel.measure.table)
    panel.saving.save_to(tmp_path / "cells_labels.tif")
    idle()
    linked(panel, qtbot)
    step, save = panel.next_step, panel.saving.save
    assert panel.saving.unsaved() == []
    assert step.button is None
    tick(panel.link.link)  # the file has other ids now, which closing would lose
    assert panel.saving.unsaved() == [result.layer.name]
    assert step.button is save
    tick(panel.link.link)
    assert panel.saving.unsaved() == []
    assert step.button is None
    panel.link.settings["gap"].value = 2
    linked(panel, qtbot)
    assert panel.saving.unsaved() == [result.layer.name]
    assert step.button is save


def test_linking_that_is_stopped_leaves_the_labels_and_is_done_later(viewer, stack, panel, qtbot):
    result = stack("ZYX", {"Z": 3})
    before = result.layer.data.copy()
    panel.link.results._due[result] = False
    panel.link.results.look()
    assert panel.link.running
    panel.session.runs.making_way.emit()
    assert not panel.link.running
    np.testing.assert_array_equal(result.layer.data, before)
    panel.session.refresh()
    linked(panel, qtbot)
    assert panel.link.told.text == "2 objects in 3 planes"


def rows(table) -> list[dict[str, float]]:
    columns = table._measured.columns
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


@pytest.fixture
def measured(panel, click, qtbot):
    """Open the table of a linked result."""

    def opened():
        click(panel.measure.table)
        table = panel.measure.objects
        qtbot.waitUntil(lambda: table.model.rowCount() > 0, timeout=PATIENCE)
        return table

    return opened


def choose_row(table, qtbot, row: int) -> None:
    index = table.model.index(row, 1)
    table.view.scrollTo(index)
    place = table.view.visualRect(index).center()
    qtbot.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_table_of_a_stack_has_one_row_for_each_object(viewer, stack, panel, measured, qtbot, tick):
    viewer.window.resize(1300, 950)
    result = stack("ZCYX", {"Z": 6, "C": 2})
    table = measured()
    assert table.note.text() == "2 objects"
    first = rows(table)[0]
    assert (first["volume"], first["planes"], first["centroid_z"]) == (6 * A.size, 6, 2.5)
    assert "mean_intensity_0" in first
    choose_row(table, qtbot, 1)
    shapes = viewer.layers["selected object"]
    assert layers.shown_plane(viewer, result.layer) == (2,)
    np.testing.assert_array_equal(np.unique(shapes.data[0][:, 0]), [2])
    own = result.layer.data[2, 0, B.start[0] + 5, B.start[1] + 5]
    assert result.layer.selected_label == own
    result.layer.selected_label = result.layer.data[2, 0, A.start[0] + 5, A.start[1] + 5]
    assert table.model.place(table.view.currentIndex().row())[0] == first["label"]
    result.layer.data[1:5, :, *FREE.slices] = PAINTED
    qtbot.waitUntil(lambda: len(rows(table)) == 3, timeout=PATIENCE)
    painted = next(row for row in rows(table) if row["label"] == PAINTED)
    assert (painted["volume"], painted["planes"]) == (4 * FREE.size, 4)
    assert painted["corrected"]
    assert [row["corrected"] for row in rows(table)].count(True) == 1
    table.colour.setCurrentText("volume")
    table.colour.activated.emit(table.colour.currentIndex())
    coloured = viewer.layers["cells linked"]
    qtbot.waitUntil(lambda: coloured.visible and not result.layer.visible, timeout=PATIENCE)
    assert list(coloured.features["volume"]) == [row["volume"] for row in rows(table)]
    table.colour.setCurrentText("none")
    table.colour.activated.emit(table.colour.currentIndex())
    assert result.layer.visible
    assert not coloured.visible
    tick(panel.link.link)
    qtbot.waitUntil(lambda: table.model.rowCount() == 6 * 2 + 4, timeout=PATIENCE)
    assert "area" in rows(table)[0]


def test_table_of_a_movie_has_one_row_for_each_object_and_time(
    viewer, stack, panel, measured, qtbot
):
    result = stack("TYX", {"T": 4})
    table = measured()
    found = rows(table)
    assert [(row["T"], row["parent"]) for row in found] == [(t, 0) for t in range(4) for _ in "AB"]
    assert len({row["label"] for row in found}) == 2
    choose_row(table, qtbot, 5)
    assert layers.shown_plane(viewer, result.layer) == (2,)
    viewer.dims.set_point(0, 3)
    result.layer.selected_label = result.layer.data[3, A.start[0] + 5, A.start[1] + 5]
    assert table.view.currentIndex().row() == 6
    table.colour.setCurrentText("area")
    table.colour.activated.emit(table.colour.currentIndex())
    qtbot.waitUntil(lambda: not result.layer.visible, timeout=PATIENCE)
    viewer.layers.remove("cells linked")
    assert result.layer.visible
    assert not table.colour.isEnabled()
