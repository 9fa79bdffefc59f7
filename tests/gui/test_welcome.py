"""An empty panel says what to do first, and help is there at any time."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from flow import PLUGIN, SHAPE
from qtpy.QtCore import QPoint, QUrl
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QLabel,
    QPushButton,
    QScrollBar,
    QWidget,
)

from napari_unet.plugin.guide import help as guide
from napari_unet.plugin.guide.help import PAGES, PARAGRAPHS, anchor, documents, paragraph_of

PATIENCE = 60_000  # milliseconds


def test_an_empty_panel_offers_the_samples(viewer, network, panel, click, qtbot):
    welcome = panel.welcome
    assert welcome.isVisible()
    assert set(welcome.samples) == {"nuclei", "tissue", "large"}
    click(welcome.samples["nuclei"])
    qtbot.waitUntil(lambda: "nuclei" in viewer.layers, timeout=PATIENCE)
    assert not welcome.isVisible()
    assert panel.form.image.value.name == "nuclei"
    viewer.layers.clear()
    assert welcome.isVisible()


def buttons_of(panel) -> dict[str, QPushButton]:
    """All buttons but the titles of folds, which can always be pressed."""
    found = [b for b in panel.native.findChildren(QPushButton) if b.text()[:1] not in "▸▾"]
    return {button.text(): button for button in found if button.isVisible()}


def test_on_an_empty_panel_only_what_makes_sense_can_be_pressed(
    viewer, network, panel, click, idle, qtbot
):
    there = buttons_of(panel)
    can = {text for text, button in there.items() if button.isEnabled()}
    samples = {button.text() for button in panel.welcome.samples.values()}
    assert can == samples | {"First steps…", "Segment all…", "?", "Help"}
    expected = {"Segment": "no image", "Retrain": "Open an image", "Open table": "no image"}
    for text, reason in expected.items():
        assert reason in there[text].toolTip()
    viewer.add_image(np.random.default_rng(0).integers(0, 4000, SHAPE, np.uint16), name="cells")
    there = buttons_of(panel)
    assert there["Segment"].isEnabled()
    assert there["Retrain"].isEnabled()  # it says what is to be painted
    for text in ("Open table", "Export…", "Save labels…", "Confirm (C)"):
        assert not there[text].isEnabled()
        assert "Press Segment first" in there[text].toolTip()
    click(there["Segment"])
    idle()
    assert all(button.isEnabled() for button in buttons_of(panel).values())
    assert "Press Segment" not in there["Confirm (C)"].toolTip()
    viewer.layers.clear()
    there = buttons_of(panel)
    assert {text for text, button in there.items() if button.isEnabled()} == can


def test_what_a_run_finds_can_be_corrected_and_measured_before_it_ends(
    viewer, network, panel, image, click, idle
):
    buttons = {
        "Confirm (C)",
        "Split (S)",
        "Where next (W)",
        "Open table",
        "Export…",
        "Save labels…",
    }
    seen = []
    panel.session.runs.found.connect(
        lambda _event: seen.append({b for b in buttons if buttons_of(panel)[b].isEnabled()})
    )
    click(panel.segment.segment)
    idle()
    assert seen == [buttons]


def test_every_control_has_a_tooltip(viewer, network, panel, image, click, idle):
    click(panel.segment.segment)
    idle()
    _, models = viewer.window.add_plugin_dock_widget(PLUGIN, "Models")
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox)
    owners = (panel.native, models)
    found = [one for owner in owners for one in owner.findChildren(QWidget)]
    controls = [one for one in found if isinstance(one, kinds) and not isinstance(one, QScrollBar)]
    titles = [one for one in controls if isinstance(one, QPushButton) and one.text()[:1] in "▸▾"]

    def tip(one: QWidget | None) -> str:
        """Return its own, or that of the slider or box that it is a part of."""
        return (one.toolTip() or tip(one.parentWidget())) if one not in (None, *owners) else ""

    silent = [one for one in controls if not tip(one)]
    assert [getattr(one, "text", str)() for one in silent if one not in titles] == []


@pytest.mark.parametrize("size", [(1366, 768), (1600, 1000)])
def test_titles_of_the_docks_are_not_cut_off(viewer, network, panel, size, qtbot):
    viewer.window.resize(*size)
    viewer.window.add_plugin_dock_widget(PLUGIN, "Models")
    docks = [d for d in viewer.window._qt_window.findChildren(QDockWidget) if PLUGIN in d.name]

    def titles() -> set[str]:
        """Return those that are drawn as a whole."""
        labels = [dock.titleBarWidget().findChild(QLabel) for dock in docks]
        whole = [one for one in labels if one.sizeHint().width() <= one.width()]
        return {label.text() for label in whole}

    wanted = {"Segment, retrain – Interactive U-Net", "Models – Interactive U-Net"}
    qtbot.waitUntil(lambda: titles() == wanted, timeout=PATIENCE)
    for floating in (True, False):  # napari makes the title anew
        docks[0].setFloating(floating)
        qtbot.waitUntil(lambda: titles() == wanted, timeout=PATIENCE)


def test_the_tutorial_has_its_pictures(viewer, network, panel, click, qtbot):
    click(panel.welcome.first_steps)
    tutorial = panel.help.documents
    qtbot.waitUntil(tutorial.isVisible, timeout=PATIENCE)
    assert "You segment the sample image" in tutorial.toPlainText()
    picture = tutorial.loadResource(2, QUrl("screenshots/step-5-corrected.png"))
    assert 0 < picture.width() < tutorial.width()


@pytest.mark.parametrize("name", ["first-steps.md", "retraining.md", "command-line.md"])
def test_documents_are_there(name):
    assert (documents() / name).is_file()


def top(reader) -> str:
    """The first line that is shown."""
    return reader.cursorForPosition(QPoint(20, 20)).block().text()


def test_help_is_there_while_somebody_works(viewer, network, panel, image, click, idle, qtbot):
    network.finds[panel.session.intent.model] = []
    click(panel.segment.segment)
    idle()
    assert panel.sentence.startswith("No objects were found. Set the object diameter")
    click(panel.help.more)
    reader = panel.help.documents
    qtbot.waitUntil(lambda: top(reader) == "If nothing is found", timeout=PATIENCE)
    panel.session.say("Something of which no document tells more.")
    assert not panel.help.more.isVisible()
    assert panel.help.all.isVisible()
    titles = {action.text(): action for action in panel.help.menu.actions()}
    titles["Stacks and movies"].trigger()
    qtbot.waitUntil(lambda: top(reader) == "In the panel", timeout=PATIENCE)
    assert reader.source().fileName() == "stacks.md"
    panel.close_down()
    assert not reader.isVisible()


@pytest.mark.parametrize("place", sorted({*PAGES.values(), *PARAGRAPHS.values()}))
def test_every_place_is_in_the_documents(place):
    name, _, wanted = place.partition("#")
    text = (documents() / name).read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert not wanted or wanted in map(anchor, headings)


def texts() -> list[str]:
    """What the source says, and the literal parts of what it puts together."""
    package = Path(guide.__file__).parents[2]
    paths = [path for path in package.rglob("*.py") if path != Path(guide.__file__)]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_every_phrase_is_said_somewhere():
    said = texts()
    assert [phrase for phrase in PARAGRAPHS if not any(phrase in text for text in said)] == []
    assert paragraph_of("Nothing that a document tells of.") == ""
