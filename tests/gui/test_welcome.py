"""An empty panel says what to do first, and help is there at any time."""

import ast
import re
from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, QUrl

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
