"""An empty panel says what to do first, and opens samples and the tutorial."""

import pytest
from qtpy.QtCore import QUrl

from napari_unet.plugin.guide.welcome import documents

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
    tutorial = panel.welcome._tutorial
    qtbot.addWidget(tutorial)
    qtbot.waitUntil(tutorial.isVisible, timeout=PATIENCE)
    assert "You segment the sample image" in tutorial.toPlainText()
    picture = tutorial.loadResource(2, QUrl("screenshots/step-5-corrected.png"))
    assert 0 < picture.width() < tutorial.width()


@pytest.mark.parametrize("name", ["first-steps.md", "retraining.md", "command-line.md"])
def test_documents_are_there(name):
    assert (documents() / name).is_file()
