"""The panel without a window: layers that are renamed or removed, and what is said of it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers._source import layer_source
from qtpy.QtWidgets import QDoubleSpinBox

from napari_unet.execution.events import objects_found
from napari_unet.labels.painted import MARK_BACKGROUND
from napari_unet.models.report import Report
from napari_unet.plugin.layers.labels_files import write_labels
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.retrain.curve import Curve
from napari_unet.plugin.retrain.painted_inputs import gather_request
from napari_unet.plugin.retrain.retrain_form import told
from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.plugin.session.segmentation_runs import segment
from napari_unet.plugin.session.session import RECTANGLE, WHOLE
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import TrainingStep
from tests.gui.flow import SHAPE, A

PATIENCE = 20_000  # milliseconds


pytestmark = pytest.mark.usefixtures("home")


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
    monkeypatch.setattr(Result, "_room_for_maps", True)
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
        assert panel.sentence.startswith("No objects were found. Set the object diameter")
        assert panel.sentence.endswith("press Retrain. The image has no contrast.")
    network.finds["nuclei"], network.notices = [A], []
    segment(panel.session)
    idle()
    assert panel.sentence == "1 object, about 40 px in diameter."


def test_a_notice_stays_while_sliders_are_moved(panel, network, cells, idle):
    network.notices = ["Some pixels are not numbers."]
    segment(panel.session)
    idle()
    runs = panel.session.runs
    runs.start((event for event in ()), cells)  # as a slider does, whose run makes no plan
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


# ---- removed -------------------------------------------------------------------------------


def test_marks_go_with_their_objects_and_the_strokes_are_kept(viewer, panel, cells, qtbot):
    marks = cells.correcting.marks.layer()
    marks.data[100:110, 20:60] = MARK_BACKGROUND
    cells.correcting.overlay.show(on=True)
    cells.correcting.look_everywhere()
    viewer.layers.selection = {cells.layer, marks}
    viewer.layers.remove_selected()
    assert "cells objects was removed. Its corrections are kept" in panel.sentence
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=PATIENCE)
    assert not panel.saving.save.enabled
    qtbot.waitUntil(lambda: not panel.restoring.native.isHidden(), timeout=PATIENCE)


def test_objects_without_corrections_go_in_silence(viewer, panel, cells):
    viewer.layers.remove(cells.layer)
    assert panel.sentence == ""


def test_marks_whose_layer_is_removed_still_count_and_that_is_said(viewer, panel, cells):
    marks = cells.correcting.marks.layer()
    viewer.layers.remove(marks)
    assert "still counts" not in panel.sentence  # nothing is marked
    marks = cells.correcting.marks.layer()
    marks.data[100:110, 20:60] = MARK_BACKGROUND
    cells.correcting.look_everywhere()
    viewer.layers.remove(marks)
    assert "still counts as corrected" in panel.sentence
    assert cells.correcting.count == (0, 400)


def test_nothing_is_said_of_images_that_are_gone(viewer, panel, cells):
    viewer.layers.clear()
    assert panel.sentence == ""


def test_a_refusal_goes_with_its_reason(viewer, panel, cells):
    panel.form.where.value = RECTANGLE
    panel.segment.start()
    assert "No rectangle lies on the image" in panel.sentence
    panel.form.where.value = WHOLE
    assert panel.sentence == ""


def test_going_back_is_said_in_place_of_what_was_kept(panel, cells, idle):
    section = panel.retrain
    section.form.offer_earlier(["cells-phase"])
    section.form.say_outcome("The new model is kept as 'nuclei'.")
    section._go_back()
    idle()
    assert section.form.outcome == "'cells-phase' is in use again."


def test_an_empty_curve_is_not_shown(qapp):
    curve = Curve()
    curve.begin(60.0)
    assert curve.isHidden()
    curve.draw()  # it ended before anything was learned
    assert curve.isHidden()
    curve.add(TrainingStep(1, 0.5, 60.0, 0.1))
    curve.draw()
    assert not curve.isHidden()
    curve.hide()


# ---- words and numbers ---------------------------------------------------------------------


def counted(panel, result) -> str:
    result.correcting.look_everywhere()
    panel.correct.refresh()
    return panel.correct.counter.text


def test_what_is_corrected_is_counted_in_words(panel, cells):
    layer = cells.layer
    layer.data[A.slices] = 0
    assert counted(panel, cells) == "1 deleted object and background (1600 px) corrected"
    layer.data[150:160, 20:40] = 9
    expected = "1 object, 1 deleted object and background (1600 px) corrected"
    assert counted(panel, cells) == expected
    layer.data[A.start[0], A.start[1]] = cells.live.assembly.labels[A.start]  # some of it is back
    assert "deleted" not in counted(panel, cells)
    layer.data[A.slices] = cells.live.assembly.labels[A.slices]
    assert counted(panel, cells) == "1 object corrected"


def test_numbers_are_not_more_precise_than_they_are(panel):
    assert panel.retrain.form.time.native.findChild(QDoubleSpinBox).text() == "60"
    smallest = panel.form.sliders[2]
    smallest.value = 10.2
    assert smallest.native.text() == "10.2"


def test_a_model_without_time_to_learn_is_not_blamed():
    report = Report(
        outcome="refused", sentence="It is not better.", objects=14, held=4, old=0.43, new=0.43,
        base_old=0, base_new=0, trained=True, steps=1, seconds=15,
    )  # fmt: skip
    assert "ended after 1 step," in told(report)
    assert told(report.model_copy(update={"steps": 200})) == "It is not better."


# ---- files ---------------------------------------------------------------------------------


def test_saved_labels_that_napari_takes_for_an_image_are_recognised(viewer, panel, cells, tmp_path):
    path = str(tmp_path / "week1.tif")
    write_labels(path, *cells.layer.as_layer_data_tuple()[:2])
    with layer_source(path=path):
        viewer.add_image(cells.layer.data, name="week1")
    assert panel.sentence.startswith("week1 holds labels that were saved here")
    assert "Convert to Labels" in panel.sentence


@pytest.mark.parametrize("name", ["week1.tif", "my_labels.tif"])
def test_it_is_said_how_a_file_of_that_name_opens(panel, cells, idle, tmp_path, name):
    panel.saving.save_to(tmp_path / name)
    idle()
    assert f"Saved {tmp_path / name}." in panel.sentence
    assert ("opens a file of this name as an image" in panel.sentence) == (name == "week1.tif")


def test_a_retraining_is_compared_with_what_is_shown(panel, cells):
    cells.layer.data[A.slices] = 77

    def request():
        return gather_request(panel.session, FinetuneSettings(), None, frozenset())[0]

    assert request().seen == (cells.plan.diameter,)
    cells.settings = cells.settings.model_copy(update={"model": "another"})
    assert request().seen == (None,)
