"""The Retrain section in a real window: what came of it, and that nothing is lost."""

from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import tifffile
from flow import put

from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.card import SUFFIX, read_card
from napari_unet.models.library import load_model, user_folder
from napari_unet.models.parents import choose_parent
from napari_unet.plugin.retrain.retrain_job import new_name
from napari_unet.plugin.retrain.retrain_section import RetrainSection
from napari_unet.plugin.samples import sample_folder

PATIENCE = 300_000  # milliseconds
SHORT = 5  # seconds of training
CROP = slice(0, 224), slice(0, 256)


def poor() -> str:
    """A model that finds far too little, which other thresholds alone put right."""
    decode = {"sensitivity": 0.05, "separation": 0.5, "minimum_diameter": 4.0}
    return put("poor", decode=decode).stem


@pytest.fixture
def section(panel) -> Iterator[RetrainSection]:
    panel.retrain.time.min = SHORT
    panel.retrain.time.value = SHORT
    yield panel.retrain
    panel.close_down()  # a preview that nobody has decided about goes with it
    assert list(user_folder().parent.glob("candidate-*")) == []


@pytest.fixture
def image(viewer, panel):
    layer = viewer.add_image(tifffile.imread(sample_folder() / "nuclei.tif")[CROP], name="cells")
    panel.image.value = layer
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
    panel.model.reset_choices()
    panel.model.value = name


def test_accepted_compared_and_taken_back(viewer, panel, section, image, truth, click, idle):
    use(panel, poor())
    panel.take_corrections(image, painted(truth))
    corrected = panel.current_result().layer.data.copy()
    click(section.retrain)
    assert section.retrain.text == "Stop"
    assert section.cancel.native.isVisible()
    idle()
    assert panel.model.value == "poor retrained", panel.sentence
    assert section.retrain.text == "Retrain"
    assert "objects set aside: " in section.outcome
    assert section.outcome.count("→") == 2
    assert section.curve.losses
    card = read_card(user_folder() / f"poor retrained{SUFFIX}")
    assert card.parent == "poor"
    assert card.report["outcome"] == "accepted"
    np.testing.assert_array_equal(panel.current_result().layer.data, corrected)  # all is locked
    before = viewer.layers["cells before"]
    assert not before.visible
    click(section.compare)
    assert before.visible
    assert not panel.current_result().layer.visible
    click(section.back)
    idle()
    assert panel.model.value == "poor"
    assert before not in viewer.layers
    assert panel.current_result().layer.visible


def test_refused_the_old_one_stays(panel, section, image, click, idle):
    click(panel.segment)
    idle()
    panel.take_corrections(image, painted(np.asarray(panel.current_result().layer.data)))
    click(section.retrain)
    idle()
    assert panel.model.value == "nuclei"
    assert "the old one stays" in section.outcome
    assert not section.back.native.isVisible()
    assert list(user_folder().glob(f"*{SUFFIX}")) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_with_too_little_to_judge_the_person_looks_and_decides(
    viewer, panel, section, image, truth, click, idle, wanted
):
    panel.take_corrections(image, painted(truth, 2))
    result = panel.current_result()
    shown = result.layer.data.copy()
    click(section.retrain)
    idle()
    assert panel.model.value == "nuclei"
    assert "too few to tell" in section.outcome
    preview = viewer.layers["cells preview"]
    assert preview.data.max() > shown.max()  # it has looked at the image by itself
    assert not preview.visible
    assert section.look.text in panel.sentence
    click(section.look)
    assert preview.visible
    assert not result.layer.visible
    np.testing.assert_array_equal(result.layer.data, shown)
    assert preview not in panel.correct.labels_layer.choices
    click(section.keep if wanted else section.discard)
    idle()
    assert "cells preview" not in viewer.layers
    assert result.layer.visible
    assert panel.model.value == ("nuclei retrained" if wanted else "nuclei")
    assert (user_folder() / f"nuclei retrained{SUFFIX}").exists() is wanted
    assert not section.keep.native.isVisible()
    assert not section.look.native.isVisible()
    assert bool(result.layer.data.max() > shown.max()) is wanted
    np.testing.assert_array_equal(result.layer.data[shown > 0], shown[shown > 0])


def test_a_preview_is_not_lost_by_a_retraining_without_result(
    viewer, panel, section, image, truth, click, idle, qtbot
):
    panel.take_corrections(image, painted(truth, 2))
    click(section.retrain)
    idle()
    click(section.retrain)
    assert not section.keep.enabled
    qtbot.waitUntil(lambda: section.retrain.enabled, timeout=PATIENCE)
    click(section.cancel)
    idle()
    assert "Cancelled" in panel.sentence
    assert "too few to tell" in section.outcome
    viewer.layers.remove(panel.current_result().layer)
    click(section.retrain)
    idle()
    assert "paint" in section.problem
    assert section.look.native.isVisible()
    click(section.look)
    idle()
    assert viewer.layers["cells preview"].visible
    click(section.keep)
    idle()
    assert panel.model.value == "nuclei retrained"
    assert (user_folder() / f"nuclei retrained{SUFFIX}").exists()


def test_too_little_paint_is_a_sentence(panel, section, image, truth, click, idle):
    click(section.retrain)
    idle()
    assert "paint" in panel.sentence.lower()
    nothing = painted(truth, 2)
    nothing[nothing == BACKGROUND] = 0
    panel.take_corrections(image, nothing)
    click(section.retrain)
    idle()
    assert "background" in panel.sentence
    assert panel.model.value == "nuclei"


def test_stop_cancel_and_a_dead_engine(panel, section, image, truth, click, idle, qtbot):
    section.time.value = 300
    panel.take_corrections(image, painted(truth, 8))
    shown = panel.current_result().layer.data.copy()
    for deed in (lambda: click(section.cancel), lambda: psutil.Process(panel.engine.pid).kill()):
        click(section.retrain)
        qtbot.waitUntil(lambda: section.retrain.enabled, timeout=PATIENCE)
        deed()
        qtbot.waitUntil(lambda: not section.running, timeout=2_000)
        assert panel.model.value == "nuclei"
        np.testing.assert_array_equal(panel.current_result().layer.data, shown)
    assert "press Retrain" in section.problem
    click(section.retrain)
    qtbot.waitUntil(lambda: section.retrain.enabled, timeout=PATIENCE)
    click(section.retrain)
    assert section.retrain.text == "Stop"
    assert not section.retrain.enabled
    idle()
    assert section.problem is None
    assert "objects set aside" in section.outcome


def test_segmenting_and_retraining_take_turns(panel, section, image, truth, click, idle, qtbot):
    panel.take_corrections(image, painted(truth))
    click(section.retrain)
    assert panel.busy
    assert not panel.segment.enabled
    panel.sliders[0].value = 0.8  # would replace the job in the engine
    qtbot.wait(400)
    assert section.running
    click(section.cancel)
    idle()
    assert panel.segment.enabled


def test_which_model_is_taught():
    root = load_model("nuclei")
    assert choose_parent(root, ["a"], 3, made=frozenset()) == (root, "")
    child = load_model(put("child", parent="nuclei", parent_sha=root.sha, images=2,
                           taught_images=["a", "b"], painted_objects=9))  # fmt: skip
    made = frozenset([child.sha])
    both, one, other = ["a", "b"], ["a"], ["a", "c", "d"]
    assert choose_parent(child, both, 9, made=frozenset())[0].card.name == "nuclei"
    assert choose_parent(child, both, 8, made=made)[0].card.name == "nuclei"
    for images, objects, ours in (
        (both, 8, frozenset()), (one, 9, frozenset()), (one, 9, made), (other, 50, frozenset()),
    ):  # fmt: skip
        chosen, remark = choose_parent(child, images, objects, made=ours)
        assert chosen is child
        assert "that model itself learns on" in remark
    orphan = load_model(put("orphan", parent="gone", parent_sha="0" * 64, images=1))
    chosen, remark = choose_parent(orphan, both, 50, made=frozenset())
    assert chosen is orphan
    assert "What 'orphan' was made from is gone" in remark
    assert new_name("nuclei") == "nuclei retrained"
    put("nuclei retrained")
    assert new_name("nuclei") == new_name("nuclei retrained") == "nuclei retrained 2"
    assert len(new_name("x" * 80)) <= 80
