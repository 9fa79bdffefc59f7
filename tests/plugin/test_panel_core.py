"""The panel without a window: layers that are renamed or removed, and what is said of it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.plugin.result.result import Result
from napari_unet.plugin.result.wording import objects_found
from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.plugin.session.segmentation_runs import segment
from tests.gui.flow import SHAPE, A, Network

PATIENCE = 20_000  # milliseconds


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path / "data")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")


@pytest.fixture
def network(monkeypatch) -> Network:
    return Network(monkeypatch)


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE, np.uint16), name="other")
    viewer.add_image(np.zeros(SHAPE, np.uint16), name="cells")
    return viewer


@pytest.fixture
def panel(network, viewer) -> Iterator[SegmentPanel]:
    panel = SegmentPanel(viewer)
    events = viewer.layers.events
    for event in (events.inserted, events.removed, events.reordered, events.renamed):
        event.connect(panel.reset_choices)  # as napari does when it docks a panel
    yield panel
    panel.close_down()


@pytest.fixture
def idle(panel, qtbot):
    return lambda: qtbot.waitUntil(lambda: not panel.session.runs.busy, timeout=PATIENCE)


# ---- renamed -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["treated", "cells"])
def test_a_renamed_image_stays_chosen(viewer, panel, idle, name):
    image = viewer.layers["cells"]
    panel.form.image.value = image
    chosen = []
    panel.session.intent_changed.connect(lambda now, _before: chosen.append(now.layer))
    segment(panel.session)
    image.name = name  # while it is segmented
    idle()
    viewer.layers["other"].name = "another"
    assert panel.form.image.value is panel.session.intent.layer is image
    assert panel.form.image.current_choice == name
    assert panel.saving.save.enabled
    assert chosen == []  # not even for a moment


def test_renamed_labels_stay_chosen(viewer, panel):
    labels = viewer.add_labels(np.zeros(SHAPE, np.uint16), name="week 1")
    viewer.add_labels(np.zeros(SHAPE, np.uint16), name="week 2")
    panel.correct.others.layer.value = labels
    labels.name = "first week"
    assert panel.correct.others.layer.value is labels
    assert panel.correct.others.layer.current_choice == "first week"


def test_another_image_is_chosen_in_place_of_a_removed_one(viewer, panel):
    panel.form.image.value = viewer.layers["cells"]
    viewer.layers.remove("cells")
    assert panel.form.image.value is viewer.layers["other"]
    viewer.layers.clear()
    assert panel.form.image.value is panel.session.intent.layer is None


# ---- what is said of a run -----------------------------------------------------------------


@pytest.fixture
def cells(viewer, panel, idle, monkeypatch):
    """The result of an image in which the model finds two objects."""
    monkeypatch.setattr(Result, "all_maps_kept", True)
    panel.form.image.value = viewer.layers["cells"]
    segment(panel.session)
    idle()
    assert panel.sentence == "2 objects, about 40 px in diameter."
    return panel.session.results.current


def test_the_objects_that_the_layer_holds_are_counted(panel, cells, idle):
    cells.layer.data[A.slices] = 0
    segment(panel.session)
    idle()
    assert panel.sentence == "1 object, about 40 px in diameter."
    cells.layer.data[150:160, 20:40] = 9
    cells.layer.data[150:160, 50:70] = 10
    segment(panel.session)
    idle()
    assert panel.sentence == "3 objects, about 40 px in diameter."


def test_why_nothing_was_found_stays(panel, network, cells, idle):
    network.finds["nuclei"], network.notices = [], ["The image has no contrast."]
    for _ in range(2):
        segment(panel.session)
        idle()
        assert panel.sentence == "No objects were found. The image has no contrast."
    network.finds["nuclei"], network.notices = [A], []
    segment(panel.session)
    idle()
    assert panel.sentence == "1 object, about 40 px in diameter."


def test_a_notice_stays_while_sliders_are_moved(panel, network, cells, idle):
    network.notices = ["Some pixels are not numbers."]
    segment(panel.session)
    idle()
    runs, settings = panel.session.runs, panel.session.settings()
    runs.start(
        (event for event in ()), cells, settings
    )  # as a slider does, whose run makes no plan
    idle()
    assert panel.sentence == "2 objects, about 40 px in diameter. Some pixels are not numbers."


def test_no_diameter_is_made_up(cells):
    card = cells.plan.card
    usual = card.usual_diameter or card.object_diameter
    assert objects_found(1, replace(cells.plan, diameter=usual)) == "1 object."
    found = replace(cells.plan, diameter=usual, found=usual)
    assert objects_found(3, found) == f"3 objects, about {usual:.0f} px in diameter."


def test_progress_names_the_image(viewer, panel, idle):
    said = []
    panel.session.said.connect(said.append)
    panel.form.image.value = viewer.layers["cells"]
    segment(panel.session)
    panel.form.image.value = viewer.layers["other"]
    idle()
    assert any(text.startswith("Tile 1 of 1 of cells,") for text in said)
