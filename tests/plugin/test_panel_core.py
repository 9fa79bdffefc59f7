"""The panel without a window: layers that are renamed or removed, and what is said of it."""

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.plugin.session.segmentation_runs import segment
from tests.gui.flow import SHAPE, Network

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
