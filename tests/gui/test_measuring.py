"""The table of objects: opened, clicked, coloured by, and kept right while a person paints."""

import numpy as np
import pytest
from flow import SHAPE, A, B, times_of_strokes
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtWidgets import QApplication, QTableView

from napari_unet.measure import ObjectTable
from napari_unet.plugin.measure.table_model import TableModel

PATIENCE = 15_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def table(viewer, painted, panel, click, qtbot):
    """The table of two found objects and a painted one."""
    viewer.window.resize(1300, 950)
    click(panel.measure.table)
    objects = panel.measure.objects
    qtbot.waitUntil(lambda: objects.model.rowCount() == 3, timeout=PATIENCE)
    viewer.reset_view()
    return objects


def cell(table, row: int, name: str) -> str:
    """What a cell shows."""
    columns = range(table.model.columnCount())
    names = [table.model.headerData(i, Qt.Orientation.Horizontal) for i in columns]
    return table.model.data(table.model.index(row, names.index(name)))


def numbers(table) -> list[int]:
    return [table.model.place(row)[0] for row in range(table.model.rowCount())]


def click_row(table, qtbot, row: int) -> None:
    index = table.model.index(row, 1)
    table.view.scrollTo(index)
    place = table.view.visualRect(index).center()
    qtbot.mouseClick(table.view.viewport(), LEFT, pos=place)


def truth(result, *, corrected=()) -> dict:
    return ObjectTable(result.layer.data, result.image).columns(corrected=corrected)


def same(table, result, *, corrected=()) -> bool:
    shown, wanted = table._objects[result].measured.columns, truth(result, corrected=corrected)
    return shown.keys() == wanted.keys() and all(
        len(shown[name]) == len(wanted[name])
        and np.allclose(shown[name].astype(float), wanted[name].astype(float), equal_nan=True)
        for name in wanted
    )


def test_a_row_for_each_object_and_what_was_painted_is_said(table, painted, qtbot):
    assert numbers(table) == [2, 3, 9]
    qtbot.waitUntil(lambda: cell(table, 2, "corrected") == "yes", timeout=PATIENCE)
    assert cell(table, 0, "area") == str(A.size)
    assert [cell(table, row, "corrected") for row in range(3)] == ["", "", "yes"]
    assert float(cell(table, 2, "mean_intensity")) > 0
    assert table.note.text() == "3 objects"
    assert same(table, painted, corrected=[9])


def test_a_click_on_a_row_shows_its_object(viewer, table, painted, qtbot):
    click_row(table, qtbot, 1)
    assert painted.layer.selected_label == 3
    middle = viewer.scene.camera.center[-2:]
    np.testing.assert_allclose(middle, np.array(B.centre) - 0.5)
    (line,) = viewer.layers["selected object"].data
    np.testing.assert_allclose(line.min(axis=0), np.array(B.start) - 0.5)
    np.testing.assert_allclose(line.max(axis=0), np.array(B.stop) - 0.5)
    assert viewer.layers.selection.active is not viewer.layers["selected object"]


def test_a_click_on_an_object_shows_its_row(viewer, table, painted, mouse):
    viewer.layers.selection.active = painted.layer
    painted.layer.mode = "pick"
    mouse.drag((155, 30))
    assert painted.layer.selected_label == 9
    assert [index.row() for index in table.view.selectionModel().selectedRows()] == [2]
    assert len(viewer.layers["selected object"].data) == 1
    mouse.drag((5, 5))  # background
    assert table.view.selectionModel().selectedRows() == []
    assert "selected object" not in viewer.layers


def rows(table) -> list[int]:
    return [index.row() for index in table.view.selectionModel().selectedRows()]


@pytest.mark.parametrize("active", ["image", "objects", "nothing"])
def test_a_click_with_the_hand_shows_the_row_and_leaves_the_brush(
    viewer, image, table, painted, mouse, active
):
    painted.layer.mode, painted.layer.selected_label = "pan_zoom", 77
    viewer.layers.selection.active = {"image": image, "objects": painted.layer}.get(active)
    mouse.drag((155, 30))
    assert rows(table) == [2]
    assert len(viewer.layers["selected object"].data) == 1
    middle = viewer.scene.camera.center
    mouse.drag((60, 60))
    assert rows(table) == [0]
    assert viewer.scene.camera.center == middle
    mouse.drag((5, 5))  # background
    assert rows(table) == [0]
    assert painted.layer.selected_label == 77


def test_only_a_click_with_the_hand_shows_a_row(viewer, table, painted, mouse):
    layer = viewer.layers.selection.active = painted.layer
    layer.mode = "pan_zoom"
    middle = viewer.scene.camera.center
    mouse.drag((60, 60), (70, 70), (100, 100))
    assert viewer.scene.camera.center != middle  # the image moves
    mouse.drag((60, 60), (100, 100), (60, 60))
    assert rows(table) == []
    viewer.reset_view()
    mouse.press(Qt.Key.Key_J)  # a line is waited for
    mouse.drag((60, 60))
    assert rows(table) == []
    layer.mode, layer.selected_label, layer.brush_size = "paint", 77, 4
    mouse.drag((60, 60))
    assert rows(table) == []
    assert layer.data[60, 60] == 77
    layer.mode = "pan_zoom"
    viewer.dims.ndisplay = 3
    canvas = mouse._native
    mouse._qtbot.mouseClick(canvas, LEFT, pos=canvas.rect().center())
    assert rows(table) == []


def test_a_closed_table_hears_no_clicks(viewer, panel, table, qtbot):
    hears = table._hand._press
    assert hears in viewer.mouse_drag_callbacks
    viewer.window.remove_dock_widget(table)
    qtbot.waitUntil(lambda: panel.measure.objects is None, timeout=PATIENCE)
    assert hears not in viewer.mouse_drag_callbacks


def test_a_click_on_a_heading_sorts_and_the_object_stays_selected(table, painted, qtbot):
    click_row(table, qtbot, 0)
    header = table.view.horizontalHeader()
    for _ in range(2):
        qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(15, 8))
    assert numbers(table) == [9, 3, 2]
    assert [index.row() for index in table.view.selectionModel().selectedRows()] == [2]
    assert painted.layer.selected_label == 2


def test_the_table_follows_the_brush_delete_and_undo(viewer, table, painted, mouse, qtbot):
    layer = viewer.layers.selection.active = painted.layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 9, 10
    mouse.drag((155, 40), (155, 90))
    qtbot.waitUntil(lambda: same(table, painted, corrected=[9]), timeout=PATIENCE)
    assert int(cell(table, 2, "area")) > 400
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_D)
    qtbot.waitUntil(lambda: numbers(table) == [3, 9], timeout=PATIENCE)
    assert table.note.text() == "2 objects"
    mouse.undo()
    qtbot.waitUntil(lambda: numbers(table) == [2, 3, 9], timeout=PATIENCE)
    assert same(table, painted, corrected=[9])


def test_the_table_follows_a_run(panel, network, table, painted, click, idle, qtbot):
    network.finds["nuclei"] = [A]
    click(panel.segment.segment)
    idle()
    qtbot.waitUntil(lambda: numbers(table) == [2, 9], timeout=PATIENCE)
    assert same(table, painted, corrected=[9])


def test_the_layer_has_the_numbers_for_the_status_bar(table, painted, qtbot):
    qtbot.waitUntil(lambda: len(painted.layer.features) == 3, timeout=PATIENCE)
    features = painted.layer.features
    assert features["index"].tolist() == [2, 3, 9]
    assert features["area"].tolist() == [A.size, B.size, 200]
    assert "area: 1600" in str(painted.layer.get_status((60, 60), world=True))


def choose(table, qtbot, name: str) -> None:
    """Choose an item of the box: click it, and type its name."""
    qtbot.wait(QApplication.keyboardInputInterval() + 100)  # else it goes on with the last name
    table.colour.setFocus()
    qtbot.keyClicks(table.colour, name)
    assert table.colour.currentText() == name


def test_objects_are_coloured_by_a_column_and_plain_again(viewer, table, painted, qtbot):
    layer = painted.layer
    plain = layer.colormap
    choose(table, qtbot, "area")
    qtbot.waitUntil(lambda: layer.colormap is not plain, timeout=PATIENCE)
    large, small = layer.get_color(2), layer.get_color(9)
    np.testing.assert_allclose(layer.get_color(3), large)
    assert large[0] > 0.9  # the yellow end
    assert small[0] < 0.35
    assert table.legend.isVisible()
    assert table.legend.text[1] == "1600 ≤"
    assert layer.get_color(77) is not None  # not measured yet
    np.testing.assert_allclose(layer.get_color(77), [0.5, 0.5, 0.5, 1])
    choose(table, qtbot, "none")
    assert layer.colormap is plain
    assert not table.legend.isVisible()


def test_the_name_of_a_column_that_came_later_is_not_cut_off(table, qtbot):
    box, name = table.colour, "mean_intensity of a channel with a long name"
    box.addItem(name)
    box.setCurrentText(name)
    qtbot.waitUntil(lambda: box.width() > box.fontMetrics().horizontalAdvance(name))


def test_colours_follow_what_is_painted(table, painted, qtbot):
    layer = painted.layer
    choose(table, qtbot, "area")
    qtbot.waitUntil(lambda: layer.get_color(2)[0] > 0.9, timeout=PATIENCE)
    layer.data[100:140, 200:240] = 55
    qtbot.waitUntil(lambda: layer.get_color(55)[0] > 0.9, timeout=PATIENCE)


def test_a_closed_table_leaves_all_as_it_was(viewer, panel, table, painted, qtbot, click):
    layer = painted.layer
    plain = layer.colormap
    click_row(table, qtbot, 0)
    choose(table, qtbot, "area")
    qtbot.waitUntil(lambda: layer.colormap is not plain, timeout=PATIENCE)
    qtbot.waitUntil(lambda: len(layer.features) == 3, timeout=PATIENCE)
    viewer.window.remove_dock_widget(table)
    qtbot.waitUntil(lambda: panel.measure.objects is None, timeout=PATIENCE)
    assert layer.colormap is plain
    assert layer.features.empty
    assert "selected object" not in viewer.layers
    click(panel.measure.table)
    qtbot.waitUntil(lambda: panel.measure.objects.model.rowCount() == 3, timeout=PATIENCE)


def test_a_window_that_closes_with_its_table_ends_the_session(viewer, panel, table):
    viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert panel.session.closed
    assert panel.measure.objects is None


def test_an_image_without_result_has_no_table(panel, image):
    assert not panel.measure.table.native.isEnabled()
    assert "Press Segment first" in panel.measure.table.tooltip


def test_of_a_stack_with_channels_a_row_leads_to_its_plane(
    viewer, network, panel, click, tick, idle, qtbot
):
    noise = np.random.default_rng(0).integers(0, 4000, (3, 2, *SHAPE), np.uint16)
    viewer.add_image(noise, name="stack", rgb=False, axis_labels=("z", "c", "y", "x"))
    click(panel.segment.segment)
    idle()
    tick(panel.link.link)  # each plane by itself
    click(panel.measure.table)
    table, result = panel.measure.objects, panel.session.results.current
    qtbot.waitUntil(lambda: table.model.rowCount() == 6, timeout=PATIENCE)
    assert [cell(table, row, "Z") for row in range(6)] == ["0", "0", "1", "1", "2", "2"]
    assert cell(table, 0, "mean_intensity_0") != cell(table, 0, "mean_intensity_1")
    for row, plane in ((5, 2), (0, 0)):
        click_row(table, qtbot, row)
        assert viewer.dims.current_step[0] == plane
        (line,) = viewer.layers["selected object"].data
        assert set(line[:, 0]) == {plane}
    result.shown[1, 150:160, 20:40] = 99
    qtbot.waitUntil(lambda: table.model.rowCount() == 7, timeout=PATIENCE)
    assert table.model.place(table.model.row_of(99, (1,))) == (99, (1,))


def test_a_stroke_with_ten_thousand_objects_holds_nothing_up(viewer, panel, mouse, click, qtbot):
    """Measuring, rows, outline: all that the window computes after a stroke."""
    grid = np.kron(np.arange(1, 10_001).reshape(100, 100), np.ones((12, 12), int))
    grid[::12], grid[:, ::12] = 0, 0
    grey = np.random.default_rng(0).integers(0, 4000, grid.shape, np.uint16)
    layer = viewer.add_image(grey, name="many")
    panel.session.choose(layer)
    result = panel.session.results.make(layer, panel.session.opened(layer), classes=False)
    result.layer.data[...] = grid
    result.take_up(grid.astype(np.uint32), None)
    click(panel.measure.table)
    table = panel.measure.objects
    qtbot.waitUntil(lambda: table.model.rowCount() == 10_000, timeout=PATIENCE)
    click_row(table, qtbot, 3)
    took = times_of_strokes(table._objects[result].measured)
    viewer.layers.selection.active = result.layer
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 600, 600), 1.0
    result.layer.mode, result.layer.selected_label = "paint", 5051
    for y in (590, 600, 610, 620, 630):
        mouse.drag((y, 580), (y, 640))
        qtbot.waitUntil(lambda: same(table, result, corrected=[5051]), timeout=PATIENCE)
    assert len(took) >= 5
    assert min(took) < 0.05


def test_a_view_that_had_more_columns_takes_an_empty_model(qtbot):
    view, many = QTableView(), TableModel("")
    qtbot.addWidget(view)
    many.show({name: np.arange(3) for name in ("label", "area", "mean")}, np.zeros(3, bool))
    view.setModel(many)
    view.resizeColumnsToContents()
    view.show()
    empty = TableModel("")
    view.setModel(empty)
    names = [empty.headerData(at, Qt.Orientation.Horizontal) for at in range(3)]
    assert names == [None] * 3
