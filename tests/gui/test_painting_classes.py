"""Painting classes in a real window: the palette, the model that comes of it, and a restart."""

import numpy as np
import pytest
import tifffile
from flow import put
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_unet import segment
from napari_unet.errors import InputError
from napari_unet.finetuning import class_parent, gather, painting_of
from napari_unet.image import Image
from napari_unet.labels.painted import BACKGROUND, CLASSES
from napari_unet.models.card import describe
from napari_unet.models.class_names import DEFAULT, names_of, tidy
from napari_unet.models.library import load_card, load_model
from napari_unet.models.parents import objects_parent
from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.settings import FinetuneSettings

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
    panel.image.value = layer
    panel.retrain.time.min = panel.retrain.time.value = 20
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


def paint(palette, hand, choose, rows=range(15, 150, 20), numbers=(0, 1, 2)) -> None:
    for number in numbers:
        choose(palette, number)
        hand._viewer.layers.selection.active.brush_size = 8
        for row in rows:
            hand.drag((row, COLUMNS[number] - 15), (row, COLUMNS[number] + 15))


def test_a_model_of_three_classes(
    viewer, panel, palette, hand, click, choose, name_class, qtbot, idle
):
    for number, name in enumerate(("glass", "stroma", "nuclei")):
        name_class(palette, number, name)
    layer = viewer.layers["tissue classes"]
    assert isinstance(layer, Labels)
    assert layer.data.shape == SHAPE
    paint(palette, hand, choose)
    painted = panel.current_result().painted()
    assert set(np.unique(painted)) == {0, 1, 2, BACKGROUND}
    qtbot.waitUntil(lambda: "2 classes" in panel.correct.counter.text, timeout=PATIENCE)
    click(panel.retrain.retrain)
    qtbot.waitUntil(lambda: not panel.retrain.running, timeout=PATIENCE)
    idle()
    assert panel.model.value == "nuclei classes", panel.sentence
    card = load_card("nuclei classes")
    assert card.kind == "classes"
    assert card.class_names == palette.names == ("glass", "stroma", "nuclei")
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
    np.testing.assert_array_equal(panel.current_result().painted(), painted)
    click(panel.retrain.back)
    idle()
    assert panel.model.value == "nuclei"
    np.testing.assert_array_equal(layer.data, np.where(painted == BACKGROUND, 0, painted))


def test_too_little_is_a_sentence(panel, palette, hand, click, choose, qtbot):
    for numbers, words in (((), "at least one class"), ((1,), "Only one class is painted")):
        paint(palette, hand, choose, rows=(80,), numbers=numbers)
        click(panel.retrain.retrain)
        qtbot.waitUntil(lambda: not panel.retrain.running, timeout=PATIENCE)
        assert words in panel.sentence
        assert panel.model.value == "nuclei"
    result = panel.current_result()
    result.layer.data[:10, :10] = CLASSES + 3
    result.correcting.look_everywhere()
    click(panel.retrain.retrain)
    qtbot.waitUntil(lambda: not panel.retrain.running, timeout=PATIENCE)
    assert f"Class {CLASSES + 3} is painted" in panel.sentence


def test_the_palette(viewer, panel, palette, hand, click, choose, name_class, tick, qtbot):
    assert palette.names == DEFAULT
    click(palette.add)
    assert palette.names[-1] == "class 3"
    layer = viewer.layers["tissue classes"]
    assert viewer.layers.selection.active == layer
    assert (layer.mode, layer.selected_label) == ("paint", 3)
    hand.drag((80, 20), (80, 60))
    assert (layer.data == 3).any()
    click(palette.remove)
    assert "is painted" in panel.sentence
    hand.undo()
    click(palette.remove)
    assert palette.names == DEFAULT
    choose(palette, 0)
    assert viewer.layers.selection.active.name == "tissue classes marks"
    name_class(palette, 2, "class 1")  # taken
    assert palette.names == DEFAULT
    assert not panel.sliders[0].visible
    layer.data[20:30, 20:30] = 5  # by number alone
    qtbot.waitUntil(lambda: len(palette.names) == 6, timeout=PATIENCE)
    assert list(layer.features["class"]) == list(palette.names)
    tick(palette.switch)
    assert not palette.list.isVisible()
    viewer.layers.selection.active = layer
    assert palette.on
    assert palette.list.currentRow() == layer.selected_label


def test_objects_and_classes_side_by_side(viewer, panel, palette, hand, choose, image, tick):
    paint(palette, hand, choose, rows=(40, 80))
    tick(palette.switch)
    labels = np.zeros(SHAPE, np.uint32)
    labels[20:40, 20:40] = 7
    panel.take_corrections(image, labels)
    objects, classes = viewer.layers["tissue objects"], viewer.layers["tissue classes"]
    assert panel.current_result().layer is objects
    assert palette.to_teach()[0] == ()
    assert "the objects are taught" in palette.to_teach()[1]
    viewer.layers.selection.active = classes
    assert palette.to_teach()[0] == palette.names
    assert "the classes are taught" in palette.to_teach()[1]
    objects.data[:] = 0
    panel.result_of(image, classes=False).correcting.marks[:] = 0
    palette.show_on(on=False)
    assert palette.to_teach() == (palette.names, "")
    assert palette.on


def test_restart_restores_objects_classes_and_names(
    viewer, panel, palette, hand, click, choose, name_class, image, qtbot
):
    name_class(palette, 2, "nuclei")
    paint(palette, hand, choose, rows=(40, 80))
    painted = panel.current_result().painted()
    labels = np.zeros(SHAPE, np.uint32)
    labels[20:40, 20:40] = 7
    panel.take_corrections(image, labels, classes=False)
    journals = [result.correcting for result in panel.results()]
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
        assert "Corrections of" in again.restoring.said.text
        click(again.restoring.restore)
        offer = again.restoring
        qtbot.waitUntil(lambda: "Classes painted" in offer.said.text, timeout=PATIENCE)
        assert not again.classes.on
        click(offer.restore)
        qtbot.waitUntil(lambda: again.classes.on and not again.busy, timeout=PATIENCE)
        qtbot.waitUntil(lambda: "are restored" in again.sentence, timeout=PATIENCE)
        assert again.classes.names == ("background", "class 1", "nuclei")
        assert again.current_result().layer.name == "again classes"
        np.testing.assert_array_equal(again.current_result().painted(), painted)
        objects = again.result_of(again.image.value, classes=False)
        np.testing.assert_array_equal(objects.painted(), labels)
    finally:
        again.close_down()


def test_names_of_any_model_can_be_shown():
    card = load_card("nuclei")
    spec = type(card.spec)(3, 4, distance=False)
    for given, shown in (
        (("a", "b", "c", "d"), ("a", "b", "c", "d")),
        (("a",), ("background", "class 1", "class 2", "class 3")),
    ):
        changed = card.model_copy(update={"kind": "classes", "spec": spec, "class_names": given})
        assert names_of(changed) == shown
    assert tidy(["", "a", "a", "x" * 90])[:3] == ("background", "a", "class 2")
    assert len(tidy(["x"] * 40)) == len(set(tidy(["x"] * 40))) == CLASSES


def test_saved_with_the_names(panel, palette, hand, choose, qtbot, idle, tmp_path):
    paint(palette, hand, choose, rows=(80,))
    panel.save_to(tmp_path / "classes.ome.tif")
    idle()
    saved = tifffile.imread(tmp_path / "classes.ome.tif")
    np.testing.assert_array_equal(saved, panel.current_result().layer.data)
    assert saved.max() == 2


def test_what_objects_are_taught_to(tmp_path):
    root = load_model("nuclei")
    assert objects_parent(root) is root
    for name, sha in (("tissue", root.sha), ("orphan", "0" * 64)):
        parent = "nuclei" if name == "tissue" else "gone"
        changes = {"name": name, "kind": "classes", "parent": parent, "parent_sha": sha}
        put(**changes)
    assert objects_parent(load_model("tissue")).card.name == "nuclei"
    with pytest.raises(InputError, match="'orphan' finds classes"):
        objects_parent(load_model("orphan"))


def test_as_many_channels_as_the_image_has(tmp_path):
    """Two channels, one of them chosen, and colour: each gives a network of its own."""
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 64, 64), np.uint16)
    painted = np.zeros((64, 64), np.uint32)
    painted[10:20, 10:20], painted[40:50, 40:50] = 1, 2
    parent = load_model("nuclei")
    for channel, expected in ((None, 2), (1, 1)):
        image = Image(pixels, "CYX", channel)
        card = class_parent(parent.card, image, DEFAULT)
        painting = painting_of(image, painted, card)
        teaching = gather([painting], parent, "x", FinetuneSettings(), class_names=DEFAULT)
        assert teaching.card["spec"]["in_channels"] == expected
        assert {len(example.image) for example in teaching.examples} == {expected}
