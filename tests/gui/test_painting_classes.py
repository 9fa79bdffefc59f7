"""Painting classes in a real window: the palette, the model that comes of it, and a restart."""

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_unet import segment
from napari_unet.labels.painted import BACKGROUND, CLASSES
from napari_unet.models.card import describe
from napari_unet.models.class_names import DEFAULT
from napari_unet.models.library import load_card
from napari_unet.plugin.segment_panel import SegmentPanel

PATIENCE = 300_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton
SHAPE = (160, 240)
COLOURS = np.array([[30, 30, 30], [170, 60, 60], [120, 200, 240]])
COLUMNS = (40, 120, 200)  # in the middle of background, class 1, class 2


def stripes() -> tuple[np.ndarray, np.ndarray]:
    """An RGB image of three colours side by side; easy, as there are seconds to learn it."""
    truth = np.zeros(SHAPE, np.uint32)
    truth[:, 80:160], truth[:, 160:] = 1, 2
    noise = np.random.default_rng(0).normal(0, 8, (*SHAPE, 3))
    return np.clip(COLOURS[truth] + noise, 0, 255).astype(np.uint8), truth


@pytest.fixture
def image(viewer, panel, qtbot):
    viewer.window.resize(1500, 900)
    layer = viewer.add_image(stripes()[0], name="tissue", rgb=True)
    panel.form.image.value = layer
    panel.retrain.form.time.min = panel.retrain.form.time.value = 20
    qtbot.wait(100)  # the dock takes its room before the image is fitted to the rest
    viewer.reset_view()
    qtbot.wait(100)
    return layer


@pytest.fixture
def palette(panel, image, click, tick):
    click(panel.correct.other_classes.toggleButton())
    tick(panel.classes.switch)
    return panel.classes


@pytest.fixture
def choose(qtbot):
    """Click a class of the list."""

    def choose(palette, number: int) -> None:
        area = palette.list.visualItemRect(palette.list.item(number))
        qtbot.mouseClick(palette.list.viewport(), LEFT, pos=area.center())

    return choose


@pytest.fixture
def name_class(qtbot):
    """Double-click a class and type its name."""

    def name(palette, number: int, text: str) -> None:
        item = palette.list.item(number)
        viewport, at = palette.list.viewport(), palette.list.visualItemRect(item).center()
        qtbot.mouseClick(viewport, LEFT, pos=at)
        qtbot.mouseDClick(viewport, LEFT, pos=at)
        editor = palette.list.findChild(QLineEdit)
        editor.selectAll()
        qtbot.keyClicks(editor, text)
        qtbot.keyClick(editor, Qt.Key.Key_Return)
        # Qt takes the text over only after the key, and then removes the editor
        qtbot.waitUntil(lambda: palette.list.findChild(QLineEdit) is None, timeout=PATIENCE)

    return name


def paint(palette, mouse, choose, rows=range(15, 150, 20), numbers=(0, 1, 2)) -> None:
    for number in numbers:
        choose(palette, number)
        mouse._viewer.layers.selection.active.brush_size = 8
        for row in rows:
            mouse.drag((row, COLUMNS[number] - 15), (row, COLUMNS[number] + 15))


def test_a_model_of_three_classes(
    viewer, panel, palette, mouse, click, choose, name_class, qtbot, idle
):
    for number, name in enumerate(("glass", "stroma", "nuclei")):
        name_class(palette, number, name)
    layer = viewer.layers["tissue classes"]
    assert isinstance(layer, Labels)
    assert layer.data.shape == SHAPE
    paint(palette, mouse, choose, range(10, 150, 18))  # eight of each: enough for a verdict
    painted = panel.session.results.current.painted()
    assert set(np.unique(painted)) == {0, 1, 2, BACKGROUND}
    qtbot.waitUntil(lambda: "2 classes" in panel.correct.counter.text, timeout=PATIENCE)
    click(panel.retrain.form.retrain)
    qtbot.waitUntil(lambda: not panel.retrain.running, timeout=PATIENCE)
    idle()
    assert panel.form.model.value == "nuclei classes", panel.sentence
    card = load_card("nuclei classes")
    assert not card.finds_objects
    assert card.class_names == panel.session.class_names.names == ("glass", "stroma", "nuclei")
    assert card.spec.in_channels == card.spec.classes == 3
    assert "glass, stroma, nuclei" in dict(describe(card))["Finds"]
    shown = np.asarray(layer.data)  # no new layer: the paint grew
    # how well it learned in these seconds is a matter of the machine; see tests/training
    found = segment(stripes()[0], "nuclei classes").labels
    np.testing.assert_array_equal(shown[painted == 0], found[painted == 0])
    assert (shown[painted == 0] > 0).any()
    np.testing.assert_array_equal(shown[painted == 2], 2)
    assert "class: nuclei" in layer.get_status((75, 200), world=True)["value"]
    assert layer.metadata["napari_unet"]["class_names"] == ["glass", "stroma", "nuclei"]
    assert "tissue objects" not in viewer.layers
    # what the model found is no paint of the person
    np.testing.assert_array_equal(panel.session.results.current.painted(), painted)
    click(panel.retrain.form.back)
    idle()
    assert panel.form.model.value == "nuclei"
    np.testing.assert_array_equal(layer.data, np.where(painted == BACKGROUND, 0, painted))


def test_too_little_is_a_sentence(panel, palette, mouse, click, choose, qtbot):
    for numbers, words in (((), "at least one class"), ((1,), "Only one class is painted")):
        paint(palette, mouse, choose, rows=(80,), numbers=numbers)
        click(panel.retrain.form.retrain)
        qtbot.waitUntil(lambda: not panel.retrain.running, timeout=PATIENCE)
        assert words in panel.sentence
        assert panel.form.model.value == "nuclei"
    result = panel.session.results.current
    result.layer.data[:10, :10] = CLASSES + 3
    result.correcting.look_everywhere()
    click(panel.retrain.form.retrain)
    qtbot.waitUntil(lambda: not panel.retrain.running, timeout=PATIENCE)
    assert f"Class {CLASSES + 3} is painted" in panel.sentence


def test_the_palette(viewer, panel, palette, mouse, click, choose, name_class, tick, qtbot):
    assert panel.session.class_names.names == DEFAULT
    click(palette.add)
    assert panel.session.class_names.names[-1] == "class 3"
    layer = viewer.layers["tissue classes"]
    assert viewer.layers.selection.active == layer
    assert (layer.mode, layer.selected_label) == ("paint", 3)
    mouse.drag((80, 20), (80, 60))
    assert (layer.data == 3).any()
    click(palette.remove)
    assert "is painted" in panel.sentence
    mouse.undo()
    click(palette.remove)
    assert panel.session.class_names.names == DEFAULT
    choose(palette, 0)
    assert viewer.layers.selection.active.name == "tissue classes marks"
    name_class(palette, 2, "class 1")  # taken
    assert panel.session.class_names.names == DEFAULT
    assert not panel.form.sliders[0].visible
    layer.data[20:30, 20:30] = 5  # by number alone
    qtbot.waitUntil(lambda: len(panel.session.class_names.names) == 6, timeout=PATIENCE)
    assert list(layer.features["class"]) == list(panel.session.class_names.names)
    tick(palette.switch)
    assert not palette.list.isVisible()
    viewer.layers.selection.active = layer
    assert panel.session.results.classes
    assert palette.list.currentRow() == layer.selected_label


def test_restart_restores_objects_classes_and_names(
    viewer, panel, palette, mouse, click, choose, name_class, image, qtbot
):
    name_class(palette, 2, "nuclei")
    paint(palette, mouse, choose, rows=(40, 80))
    painted = panel.session.results.current.painted()
    labels = np.zeros(SHAPE, np.uint32)
    labels[20:40, 20:40] = 7
    panel.session.take_corrections(image, labels, classes=False)
    journals = [result.correcting for result in panel.session.results.all()]
    assert len(journals) == 2
    qtbot.waitUntil(lambda: all(j.journal is not None for j in journals), timeout=PATIENCE)
    panel.close_down()  # as when the window is closed
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.add_image(image.data.copy(), name="again", rgb=True)
    again = SegmentPanel(viewer)
    viewer.window.add_dock_widget(again, name="again")
    try:
        qtbot.waitUntil(lambda: again.restoring.visible, timeout=PATIENCE)
        assert "Corrections of" in again.restoring.offer_text.text
        click(again.restoring.restore)
        offer = again.restoring
        qtbot.waitUntil(lambda: "Classes painted" in offer.offer_text.text, timeout=PATIENCE)
        assert not again.session.results.classes
        click(offer.restore)
        qtbot.waitUntil(
            lambda: again.session.results.classes and not again.session.runs.busy, timeout=PATIENCE
        )
        qtbot.waitUntil(lambda: "are restored" in again.sentence, timeout=PATIENCE)
        assert again.session.class_names.names == ("background", "class 1", "nuclei")
        assert again.session.results.current.layer.name == "again classes"
        np.testing.assert_array_equal(again.session.results.current.painted(), painted)
        objects = again.session.results.of(again.form.image.value, classes=False)
        np.testing.assert_array_equal(objects.painted(), labels)
    finally:
        again.close_down()


def test_saved_with_the_names(panel, palette, mouse, choose, qtbot, idle, tmp_path):
    paint(palette, mouse, choose, rows=(80,))
    panel.saving.save_to(tmp_path / "classes.ome.tif")
    idle()
    saved = tifffile.imread(tmp_path / "classes.ome.tif")
    np.testing.assert_array_equal(saved, panel.session.results.current.layer.data)
    assert saved.max() == 2
