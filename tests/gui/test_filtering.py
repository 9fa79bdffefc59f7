"""Filter objects: handles dragged with a real mouse, and what comes into files."""

import numpy as np
import pandas as pd
import pytest
from flow import SHAPE, A, B, times_of_strokes
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_unet.image import Box
from napari_unet.io.records import read_record
from napari_unet.io.tiff import read_labels
from napari_unet.labels.linking import separated
from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.segmentation import methods_text

PATIENCE = 60_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton
SMALL, EDGE = Box((120, 200), (130, 210)), Box((0, 150), (30, 180))  # 100 px, 900 px


@pytest.fixture
def found(viewer, network, panel, image, click, idle):
    """The result: A and B of 1600 px, a small object, and one at the image's edge."""
    viewer.window.resize(1300, 950)
    network.finds["nuclei"] = [A, B, SMALL, EDGE]
    click(panel.segment.segment)
    idle()
    viewer.reset_view()
    return panel.session.results.current


@pytest.fixture
def filters(found, panel, click, qtbot):
    """The section, unfolded."""
    click(panel.filter.fold.toggleButton())
    qtbot.waitUntil(lambda: "4 objects" in panel.filter.told.text, timeout=PATIENCE)
    return panel.filter


@pytest.fixture
def pull(filters, qtbot, panel):
    """Drag a handle, 0 = left or 1 = right, by pixels of the screen."""

    def pull(which: int, by: int) -> None:
        histogram = filters.histogram
        panel._scrolling.ensureWidgetVisible(histogram)
        qtbot.wait(50)
        widget, start = histogram.plot.viewport(), histogram.handle_at(which)
        assert widget.visibleRegion().contains(start)
        qtbot.mouseMove(widget, start)
        qtbot.mousePress(widget, LEFT, pos=start)
        for step in range(1, 11):
            place = start + type(start)(round(by * step / 10), 0)
            qtbot.mouseMove(widget, place)
            qtbot.wait(20)
        qtbot.mouseRelease(widget, LEFT, pos=place)
        qtbot.wait(100)

    return pull


def ids(result) -> dict[str, int]:
    """Id of each object by its name."""
    places = {"A": A, "B": B, "small": SMALL, "edge": EDGE}
    return {name: int(result.shown[box.start]) for name, box in places.items()}


def hidden(result) -> set[str]:
    names = {number: name for name, number in ids(result).items()}
    return {names.get(number, number) for number in result.hidden}


def is_seen(viewer, mouse, box: Box) -> bool:
    """Whether something is drawn in the middle of a box."""
    viewer.layers["cells"].visible = False
    QApplication.processEvents()
    picture = viewer.screenshot(flash=False)
    viewer.layers["cells"].visible = True
    point = mouse._at(*box.centre)
    return bool(picture[point.y(), point.x(), :3].any())


def type_into(field, text: str, qtbot) -> None:
    field.setFocus()
    field.selectAll()
    qtbot.keyClick(field, Qt.Key.Key_Delete)
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, Qt.Key.Key_Return)


def test_a_handle_hides_objects_and_brings_them_back(viewer, found, filters, pull, mouse, qtbot):
    before, edits = found.shown.copy(), found.correcting.edits
    assert is_seen(viewer, mouse, SMALL)
    pull(0, 40)
    qtbot.waitUntil(lambda: hidden(found) == {"small"}, timeout=PATIENCE)
    least = float(filters.least.text())
    assert 100 < least < 900
    assert filters.told.text == (
        f"3 of 4 objects; 1 is filtered out: objects smaller than {least:.6g} px."
    )
    assert "(1 hidden)" in filters.fold.text()
    assert not is_seen(viewer, mouse, SMALL)
    assert is_seen(viewer, mouse, A)
    pull(1, -40)
    qtbot.waitUntil(lambda: hidden(found) == {"small", "A", "B"}, timeout=PATIENCE)
    assert not is_seen(viewer, mouse, A)
    assert filters.least.text() == f"{least:.6g}"
    pull(1, 100)
    pull(0, -100)
    assert hidden(found) == set()
    assert filters.least.text() == filters.most.text() == ""
    assert "none is filtered out" in filters.told.text
    assert is_seen(viewer, mouse, SMALL)
    np.testing.assert_array_equal(found.shown, before)
    assert found.correcting.edits == edits
    assert not found.correcting.any


def test_filters_add_up_and_show_all_takes_them_away(found, filters, mouse, tick, click, qtbot):
    tick(filters.edge)
    assert hidden(found) == {"edge"}
    type_into(filters.least, "200", qtbot)
    assert hidden(found) == {"edge", "small"}
    seen = set()
    for _ in range(4):
        mouse.press(Qt.Key.Key_N)  # next object
        seen.add(found.layer.selected_label)
    assert seen == {ids(found)["A"], ids(found)["B"]}
    filters.column.value = "circularity"
    assert filters.least.text() == ""
    type_into(filters.most, "0,1", qtbot)
    assert hidden(found) == {"A", "B", "edge", "small"}
    assert "above 0.1" in filters.told.text
    type_into(filters.most, "", qtbot)
    filters.column.value = "area"
    assert filters.least.text() == "200"
    click(filters.show_all)
    assert hidden(found) == set()
    assert not filters.edge.value
    assert not filters.show_all.enabled


def test_what_is_no_limit_is_a_sentence(panel, found, filters, qtbot):
    type_into(filters.least, "big", qtbot)
    assert "'big' is no number" in panel.sentence
    assert filters.least.text() == ""
    filters.most.setFocus()  # nothing is typed, so nothing is right yet
    filters.least.setFocus()
    assert "'big' is no number" in panel.sentence
    type_into(filters.most, "50", qtbot)
    assert panel.sentence == ""
    type_into(filters.least, "500", qtbot)
    assert panel.sentence.startswith("The least area was given as 500 and the most as 50: no")
    assert filters.least.text() == ""
    type_into(filters.least, "20", qtbot)
    assert panel.sentence == ""


def test_a_painted_object_is_never_hidden_and_a_hidden_one_comes_back(
    viewer, found, filters, mouse, tick, qtbot
):
    viewer.layers.selection.active = found.layer
    small = ids(found)["small"]
    tick(filters.edge)
    type_into(filters.least, "200", qtbot)
    assert hidden(found) == {"edge", "small"}
    found.layer.mode, found.layer.selected_label, found.layer.brush_size = "paint", 77, 6
    mouse.drag((160, 40), (160, 44))
    qtbot.waitUntil(lambda: "of 5 objects" in filters.told.text, timeout=PATIENCE)
    assert hidden(found) == {"edge", "small"}
    found.layer.selected_label = small
    mouse.drag((125, 215), (125, 217))
    qtbot.waitUntil(lambda: hidden(found) == {"edge"}, timeout=PATIENCE)
    assert is_seen(viewer, mouse, SMALL)
    mouse.undo()
    qtbot.waitUntil(lambda: hidden(found) == {"edge", "small"}, timeout=PATIENCE)
    found.layer.selected_label, found.layer.brush_size = 0, 3
    found.layer.mode = "erase"
    mouse.drag((10, 165), (12, 165))  # some pixels of the object at the edge
    qtbot.waitUntil(lambda: hidden(found) == {"small"}, timeout=PATIENCE)


def test_all_correct_shows_hidden_objects_again_and_says_so(
    viewer, panel, found, filters, mouse, click, tick, qtbot
):
    tick(filters.edge)
    click(panel.correct.all_correct)
    mouse.drag((5, 140), (20, 160), (40, 195))
    click(panel.correct.all_correct)
    assert "filtered out (1) are right as well now, and shown again" in panel.sentence
    qtbot.waitUntil(lambda: hidden(found) == set(), timeout=PATIENCE)
    assert ids(found)["edge"] in found.correcting.tracker.ids


def test_what_is_being_typed_stays_while_something_is_measured(found, filters, qtbot):
    type_into(filters.most, "1600.25", qtbot)
    filters.least.setFocus()
    qtbot.keyClicks(filters.least, "1")
    found.layer.data[150:160, 20:30] = 9
    qtbot.waitUntil(lambda: "of 5" in filters.told.text or "5 objects" in filters.told.text)
    qtbot.keyClicks(filters.least, "01")
    qtbot.keyClick(filters.least, Qt.Key.Key_Return)
    assert found.filters.limits("area") == (101, 1600.25)
    assert hidden(found) == {"small"}


def test_a_file_lacks_what_is_hidden_and_says_so(
    viewer, image, panel, found, filters, idle, click, qtbot, tmp_path
):
    found.layer.data[150:154, 20:24] = 9  # painted, and small
    small = ids(found)["small"]
    qtbot.waitUntil(lambda: "5 objects" in filters.told.text, timeout=PATIENCE)
    type_into(filters.least, "200", qtbot)
    path = tmp_path / "cells_labels.ome.tif"
    panel.saving.save_to(path)
    idle()
    assert "4 objects saved; 1 filtered out is not in the file." in panel.sentence
    saved, shown = read_labels(path)[0], found.shown.copy()
    np.testing.assert_array_equal(saved, np.where(shown == small, 0, shown))
    assert small in shown
    assert 9 in saved
    record = read_record(path)
    assert record["filters"] == [
        {"ranges": {"area": [200.0, None]}, "at_edge": False, "left_out": 1}
    ]
    assert record["corrected"] == [9]
    assert "Objects smaller than 200 px were left out, unless" in methods_text(record)
    painted = found.painted()
    panel.close_down()
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.add_image(image.data.copy(), name="cells")
    again = SegmentPanel(viewer)
    viewer.window.add_dock_widget(again, name="again")
    try:
        viewer.open(path, plugin="napari-unet-interactive")
        again.session.choose(viewer.layers["cells"])
        again.correct.others.layer.value = viewer.layers["cells_labels"]
        click(again.correct.others.go_on)
        qtbot.waitUntil(lambda: again.session.results.current is not None, timeout=PATIENCE)
        result = again.session.results.current
        np.testing.assert_array_equal(result.shown, saved)
        if again.restoring.visible:
            click(again.restoring.restore)
            qtbot.waitUntil(lambda: "are restored" in again.sentence, timeout=PATIENCE)
        np.testing.assert_array_equal(again.session.results.current.painted() == 9, painted == 9)
    finally:
        again.close_down()


def test_what_is_left_out_of_the_file_is_not_saved_once_it_is_shown_again(
    panel, found, filters, tick, click, idle, tmp_path
):
    tick(filters.edge)
    panel.saving.save_to(tmp_path / "cells_labels.ome.tif")
    idle()
    assert panel.saving.unsaved() == []
    click(filters.show_all)
    assert panel.saving.unsaved() == [found.layer.name]
    tick(filters.edge)
    assert panel.saving.unsaved() == []


def test_save_stands_out_as_soon_as_the_filter_is_another(
    panel, found, filters, tick, click, idle, tmp_path
):
    step, save = panel.next_step, panel.saving.save
    click(panel.measure.table)
    panel.saving.save_to(tmp_path / "cells_labels.ome.tif")
    idle()
    assert step.button is None
    tick(filters.edge)
    assert step.button is save
    click(filters.show_all)
    assert step.button is None


def test_exports_lack_what_is_hidden(panel, found, filters, tick, idle, monkeypatch, tmp_path):
    tick(filters.edge)
    exports = panel.measure.exports
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda _, __, name, ___: (str(tmp_path / name), "")
    )
    exports._save("csv")
    idle()
    assert "3 objects saved; 1 filtered out is not in the file." in panel.sentence
    table = pd.read_csv(tmp_path / "cells_objects.csv")
    assert table["label"].tolist() == sorted(ids(found)[name] for name in ("A", "B", "small"))


def test_table_and_colours_go_with_the_filter(
    viewer, panel, found, filters, mouse, click, tick, qtbot
):
    plain = found.layer.colormap
    click(panel.measure.table)
    table = panel.measure.objects
    qtbot.waitUntil(lambda: table.model.rowCount() == 4, timeout=PATIENCE)
    tick(filters.edge)
    assert table.model.rowCount() == 3
    assert table.note.text() == "3 of 4 objects; 1 filtered out"
    for box, name in ((EDGE, "edge"), (A, "A")):  # what is hidden has no line and no row
        tick(filters.edge)
        viewer.layers.selection.active = viewer.layers["cells"]
        mouse.drag(box.centre)
        assert table._selected == (ids(found)[name], ())
        assert len(viewer.layers["selected object"].data) == 1
        tick(filters.edge)
        assert ("selected object" in viewer.layers) == (name == "A")
        assert len(table.view.selectionModel().selectedRows()) == (name == "A")
    mouse.drag(EDGE.centre)  # cannot be seen
    assert table._selected[0] == ids(found)["A"]
    viewer.window.resize(1300, 1000)
    viewer.reset_view()
    table.colour.setCurrentText("area")
    table._choose_colour(0)
    qtbot.waitUntil(lambda: found.layer.get_color(ids(found)["A"])[0] > 0.9, timeout=PATIENCE)
    assert not is_seen(viewer, mouse, EDGE)
    assert is_seen(viewer, mouse, SMALL)
    tick(filters.edge)
    assert is_seen(viewer, mouse, EDGE)
    tick(filters.edge)
    viewer.window.remove_dock_widget(table)
    qtbot.waitUntil(lambda: panel.measure.objects is None, timeout=PATIENCE)
    assert not is_seen(viewer, mouse, EDGE)
    found.layer.new_colormap(3)  # as napari's button does
    assert not is_seen(viewer, mouse, EDGE)
    tick(filters.edge)
    assert is_seen(viewer, mouse, EDGE)
    assert type(found.layer.colormap) is type(plain)


def test_the_filter_follows_a_run_and_another_image(
    viewer, network, panel, found, filters, tick, click, idle, qtbot
):
    tick(filters.edge)
    network.finds["nuclei"] = [A, Box((180, 10), (200, 60))]
    click(panel.segment.segment)
    idle()
    qtbot.waitUntil(lambda: "1 of 2 objects" in filters.told.text, timeout=PATIENCE)
    assert found.hidden == {int(found.shown[190, 20])}
    other = viewer.add_image(np.zeros(SHAPE, np.uint16), name="other")
    panel.form.image.value = other
    assert "no objects to filter" in filters.told.text
    assert len(found.hidden) == 1
    panel.form.image.value = viewer.layers["cells"]
    assert filters.edge.value
    assert "1 of 2 objects" in filters.told.text


def test_a_panel_that_closes_shows_all_and_another_one_hides_again(
    viewer, panel, found, filters, tick, qtbot
):
    plain = found.layer.colormap
    tick(filters.edge)
    assert found.layer.colormap is not plain
    panel.close_down()
    assert found.layer.colormap is plain
    viewer.window.remove_dock_widget("all")
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    again = SegmentPanel(viewer)
    viewer.window.add_dock_widget(again, name="again")
    try:
        qtbot.waitUntil(lambda: "(1 hidden)" in again.filter.fold.text(), timeout=PATIENCE)
        assert again.session.results.current.hidden
    finally:
        again.close_down()


def test_a_stroke_with_ten_thousand_objects_holds_nothing_up(viewer, panel, mouse, click, qtbot):
    """Measuring, rows, filter, histogram: all that the window computes after a stroke."""
    grid = np.kron(np.arange(1, 10_001).reshape(100, 100), np.ones((12, 12), int))
    grid[::12], grid[:, ::12] = 0, 0
    grid[::24, :600:7] = grid[1::24, :600:7]  # some are larger
    grey = np.random.default_rng(0).integers(0, 4000, grid.shape, np.uint16)
    layer = viewer.add_image(grey, name="many")
    panel.session.choose(layer)
    result = panel.session.results.make(layer, panel.session.opened(layer), classes=False)
    result.layer.data[...] = grid
    result.take_up(grid.astype(np.uint32), None)
    click(panel.measure.table)
    click(panel.filter.fold.toggleButton())
    qtbot.waitUntil(lambda: "10000 objects" in panel.filter.told.text, timeout=PATIENCE)
    type_into(panel.filter.least, "122", qtbot)
    assert 4000 < len(result.hidden) < 9990
    took = times_of_strokes(panel.filter._shown.measured)
    viewer.layers.selection.active = result.layer
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 600, 600), 1.0
    result.layer.mode, result.layer.selected_label = "paint", 5051
    for count, y in enumerate((590, 600, 610, 620, 630), 1):
        mouse.drag((y, 580), (y, 640))
        qtbot.waitUntil(lambda n=count: len(took) >= n, timeout=PATIENCE)
    assert 5051 not in result.hidden
    assert min(took) < 0.05, took


@pytest.mark.parametrize("axes", ["ZYX", "TZYX", "TYX"])
def test_linked_objects_are_filtered_as_they_are_saved(
    viewer, network, panel, click, idle, qtbot, tmp_path, axes
):
    network.finds["nuclei"] = [A, B, SMALL, EDGE]
    shape = [*(3 if axis == "Z" else 2 for axis in axes[:-2]), *SHAPE]
    noise = np.random.default_rng(0).integers(0, 4000, shape, np.uint16)
    viewer.add_image(noise, name="cells", rgb=False, axis_labels=tuple(axes.lower()))
    click(panel.segment.segment)
    idle()
    qtbot.waitUntil(lambda: not panel.link.running, timeout=PATIENCE)
    result = panel.session.results.current
    click(panel.filter.fold.toggleButton())
    deep = "Z" in axes
    there = "4 objects" if deep else "8 objects"
    qtbot.waitUntil(lambda: there in panel.filter.told.text, timeout=PATIENCE)
    assert panel.filter.unit.text() == ("voxels" if deep else "px")
    type_into(panel.filter.least, "301" if deep else "101", qtbot)
    small = np.unique(result.shown[..., *SMALL.slices])
    assert result.hidden == set(small.tolist())
    linked = viewer.layers["cells linked"]
    (name,) = np.unique(linked.data[..., *SMALL.slices])
    assert linked.get_color(name)[3] == 0
    click(panel.measure.table)
    there, out = (8, 2) if "T" in axes else (4, 1)
    left = f"{there - out} of {there} objects; {out} filtered out"
    qtbot.waitUntil(lambda: panel.measure.objects.note.text() == left, timeout=PATIENCE)
    assert name not in {panel.measure.objects.model.place(row)[0] for row in range(there - out)}
    path = tmp_path / "cells_labels.ome.tif"
    panel.saving.save_to(path)
    idle()
    assert "3 objects saved; 1 filtered out is not in the file." in panel.sentence
    saved, record = read_labels(path)[0], read_record(path)
    np.testing.assert_array_equal(saved, np.where(linked.data == name, 0, linked.data))
    own = separated(saved, record["link_ids"])
    np.testing.assert_array_equal(own, np.where(np.isin(result.shown, small), 0, result.shown))
    result.shown[..., 120:122, 212] = small[0]  # painted: the object in all planes stays
    qtbot.waitUntil(
        lambda: (
            linked.get_color(name)[3] > 0
            and result.hidden == (set() if deep else set(small[1:].tolist()))
        ),
        timeout=PATIENCE,
    )
