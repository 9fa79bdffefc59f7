"""The Retrain section in a real window: what came of it, and that nothing is lost."""

from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import tifffile

from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.card import SUFFIX, read_card
from napari_unet.models.library import load_model, user_folder
from napari_unet.plugin.retrain.retrain_section import RetrainSection
from napari_unet.plugin.samples import sample_folder
from napari_unet.training.events import TrainingStep
from tests.library import put

PATIENCE = 300_000  # milliseconds
SHORT = 5  # seconds of training
CROP = slice(0, 224), slice(0, 256)


def poor() -> str:
    """A model that finds far too little, which other thresholds alone put right."""
    decode = {"sensitivity": 0.05, "separation": 0.5, "minimum_diameter": 4.0}
    return put("poor", decode=decode).stem


@pytest.fixture(autouse=True)
def _one_parent(monkeypatch) -> None:
    """Which models compete in five seconds would depend on the machine."""
    monkeypatch.setattr("napari_unet.finetuning.in_engine.competitors", lambda one: [one])


@pytest.fixture
def section(panel) -> Iterator[RetrainSection]:
    panel.retrain.form.time.min = SHORT
    panel.retrain.form.time.value = SHORT
    yield panel.retrain
    panel.close_down()  # a preview that nobody has decided about goes with it
    assert list(user_folder().parent.glob("candidate-*")) == []


@pytest.fixture
def image(viewer, panel):
    layer = viewer.add_image(tifffile.imread(sample_folder() / "nuclei.tif")[CROP], name="cells")
    panel.form.image.value = layer
    return layer


@pytest.fixture
def truth() -> np.ndarray:
    return tifffile.imread(sample_folder() / "nuclei_truth.tif")[CROP]


def painted(labels: np.ndarray, count: int | None = None) -> np.ndarray:
    """Everything painted, or some objects that touch no border and a stroke of background."""
    paint = np.where(labels > 0, labels.astype(np.uint32), np.uint32(BACKGROUND))
    if count is None:
        return paint
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = np.setdiff1d(labels, [0, *rim])[:count]
    paint[~np.isin(labels, inner)] = 0
    y, x = np.argwhere(labels == 0)[len(labels)]
    paint[y : y + 6, x : x + 30][labels[y : y + 6, x : x + 30] == 0] = BACKGROUND
    return paint


def use(panel, name: str) -> None:
    panel.form.model.reset_choices()
    panel.form.model.value = name


def test_accepted_compared_and_taken_back(viewer, panel, section, image, truth, click, idle):
    use(panel, poor())
    panel.session.take_corrections(image, painted(truth))
    corrected = panel.session.results.current.layer.data.copy()
    click(section.form.retrain)
    assert section.form.retrain.text == "Stop"
    assert section.form.cancel.native.isVisible()
    idle()
    assert panel.form.model.value == "poor retrained", section.form.outcome
    assert section.form.retrain.text == "Retrain"
    assert "agreement with held-out objects: " in section.form.outcome
    assert section.form.outcome.count("→") == 4
    assert section.form.curve.losses
    card = read_card(user_folder() / f"poor retrained{SUFFIX}")
    assert card.parent == "poor"
    assert card.report["outcome"] == "accepted"
    np.testing.assert_array_equal(
        panel.session.results.current.layer.data, corrected
    )  # all is locked
    before = viewer.layers["cells before"]
    assert not before.visible
    click(section.form.compare)
    assert before.visible
    assert not panel.session.results.current.layer.visible
    click(section.form.back)
    idle()
    assert panel.form.model.value == "poor"
    assert before not in viewer.layers
    assert panel.session.results.current.layer.visible


def test_it_is_called_after_the_parent_that_is_chosen(
    panel, section, image, truth, click, idle, monkeypatch
):
    """Here there is but one, and another than the model in use."""
    parents = [load_model("nuclei")]
    monkeypatch.setattr("napari_unet.finetuning.in_engine.competitors", lambda _: parents)
    use(panel, poor())
    panel.session.take_corrections(image, painted(truth, 2))
    click(section.form.retrain)
    note = "'nuclei' learned it best, so it begins with that."
    section._on_event(TrainingStep(3, 9.0, 60.0, 0.5, note=note))
    assert f"{note} Learning, about 51 s left." in panel.sentence
    idle()
    click(section.form.keep)
    idle()
    assert panel.form.model.value == "nuclei retrained"


def test_refused_the_old_one_stays(panel, section, image, click, idle):
    click(panel.segment.segment)
    idle()
    panel.session.take_corrections(
        image, painted(np.asarray(panel.session.results.current.layer.data))
    )
    click(section.form.retrain)
    idle()
    assert panel.form.model.value == "nuclei"
    assert "old one" in section.form.outcome
    assert "stays" in section.form.outcome
    assert not section.form.back.native.isVisible()
    assert list(user_folder().glob(f"*{SUFFIX}")) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_with_too_little_to_judge_the_person_looks_and_decides(
    viewer, panel, section, image, truth, click, idle, wanted
):
    panel.session.take_corrections(image, painted(truth, 2))
    result = panel.session.results.current
    shown = result.layer.data.copy()
    click(section.form.retrain)
    idle()
    assert panel.form.model.value == "nuclei"
    assert "too few objects to hold any out" in section.form.outcome
    preview = viewer.layers["cells preview"]
    assert preview.data.max() > shown.max()  # it has looked at the image by itself
    assert not preview.visible
    assert section.form.look.text in panel.sentence
    click(section.form.look)
    assert preview.visible
    assert not result.layer.visible
    np.testing.assert_array_equal(result.layer.data, shown)
    assert preview not in panel.correct.others.layer.choices
    click(section.form.keep if wanted else section.form.discard)
    idle()
    assert "cells preview" not in viewer.layers
    assert result.layer.visible
    assert panel.form.model.value == ("nuclei retrained" if wanted else "nuclei")
    assert (user_folder() / f"nuclei retrained{SUFFIX}").exists() is wanted
    assert not section.form.keep.native.isVisible()
    assert not section.form.look.native.isVisible()
    assert bool(result.layer.data.max() > shown.max()) is wanted
    np.testing.assert_array_equal(result.layer.data[shown > 0], shown[shown > 0])


def test_a_preview_is_not_lost_by_a_retraining_without_result(
    viewer, panel, section, image, truth, click, idle, qtbot
):
    panel.session.take_corrections(image, painted(truth, 2))
    click(section.form.retrain)
    idle()
    click(section.form.retrain)
    assert not section.form.keep.enabled
    qtbot.waitUntil(lambda: section.form.retrain.enabled, timeout=PATIENCE)
    click(section.form.cancel)
    idle()
    assert "Cancelled" in panel.sentence
    assert "too few objects to hold any out" in section.form.outcome
    viewer.layers.remove(panel.session.results.current.layer)
    click(section.form.retrain)
    idle()
    assert "paint" in section.problem
    assert section.form.look.native.isVisible()
    click(section.form.look)
    idle()
    assert viewer.layers["cells preview"].visible
    click(section.form.keep)
    idle()
    assert panel.form.model.value == "nuclei retrained"
    assert (user_folder() / f"nuclei retrained{SUFFIX}").exists()


def test_too_little_paint_is_a_sentence(panel, section, image, truth, click, idle):
    click(section.form.retrain)
    idle()
    assert "paint" in panel.sentence.lower()
    nothing = painted(truth, 2)
    nothing[nothing == BACKGROUND] = 0
    panel.session.take_corrections(image, nothing)
    click(section.form.retrain)
    idle()
    assert "background" in panel.sentence
    assert panel.form.model.value == "nuclei"


def test_stop_cancel_and_a_dead_engine(panel, section, image, truth, click, idle, qtbot):
    section.form.time.value = 300
    panel.session.take_corrections(image, painted(truth, 8))
    shown = panel.session.results.current.layer.data.copy()
    for deed in (
        lambda: click(section.form.cancel),
        lambda: psutil.Process(panel.session.engine.pid).kill(),
    ):
        click(section.form.retrain)
        qtbot.waitUntil(lambda: section.form.retrain.enabled, timeout=PATIENCE)
        deed()
        qtbot.waitUntil(lambda: not section.running, timeout=2_000)
        assert panel.form.model.value == "nuclei"
        np.testing.assert_array_equal(panel.session.results.current.layer.data, shown)
    assert "press Retrain" in section.problem
    click(section.form.retrain)
    qtbot.waitUntil(lambda: section.form.retrain.enabled, timeout=PATIENCE)
    click(section.form.retrain)
    assert section.form.retrain.text == "Stop"
    assert not section.form.retrain.enabled
    idle()
    assert section.problem is None
    assert "held-out objects" in section.form.outcome


def test_segmenting_and_retraining_take_turns(panel, section, image, truth, click, idle, qtbot):
    panel.session.take_corrections(image, painted(truth))
    click(section.form.retrain)
    assert panel.session.runs.busy
    assert not panel.segment.segment.enabled
    panel.form.sliders[0].value = 0.8  # would replace the job in the engine
    qtbot.wait(400)
    assert section.running
    click(section.form.cancel)
    idle()
    assert panel.segment.segment.enabled
