"""Which bundled model is chosen for an image, and that a person's choice is never replaced."""

import pytest

from napari_unet.execution.events import Waiting
from napari_unet.models.library import load_model
from napari_unet.plugin.segment import model_advice

PATIENCE = 60_000  # milliseconds


@pytest.fixture
def cells(monkeypatch):
    """Every image looks like cells in phase contrast, which no image here may be."""

    def looks(*_):
        yield Waiting()
        return load_model("cells-phase")

    monkeypatch.setattr(model_advice, "best_model", looks)


def test_the_model_that_fits_is_chosen_and_said(cells, panel, image, qtbot):
    qtbot.waitUntil(lambda: panel.model.value == "cells-phase", timeout=PATIENCE)
    assert panel.sentence.startswith("cells-phase knows more of what is in this image than nuclei")


def test_what_a_person_chose_stays(cells, panel, viewer, image, qtbot):
    qtbot.waitUntil(lambda: panel.model.value == "cells-phase", timeout=PATIENCE)
    panel.model.value = "nuclei"
    panel.image.value = viewer.add_image(image.data.copy(), name="another")
    qtbot.wait(300)
    assert panel.model.value == "nuclei"
    assert not panel.advice.running


def test_nuclei_are_looked_at_with_nuclei(panel, viewer, qtbot):
    viewer.open_sample("napari-unet-interactive", "nuclei")
    qtbot.waitUntil(lambda: panel.advice.running, timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.advice.running, timeout=PATIENCE)
    assert panel.model.value == "nuclei"
