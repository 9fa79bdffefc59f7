"""From one step of the work to the next: what a person decides, finds again, and must not lose."""

from threading import Event

import numpy as np
import pytest
from flow import ALL, SHAPE, A, B, C, sha_of
from mouse import Mouse
from qtpy.QtCore import Qt

from napari_unet.io.tiff import read_labels
from napari_unet.journal.recovery import replay
from napari_unet.models import store
from napari_unet.models.card import SUFFIX
from napari_unet.models.library import user_folder
from napari_unet.plugin.layers.labels_files import write_labels
from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.plugin.session.session import RECTANGLE, VIEW
from tests.library import put

PATIENCE = 60_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton
CANDIDATE = "nuclei retrained"


@pytest.fixture
def panel(viewer, image, network, qtbot):
    viewer.window.resize(1500, 1000)
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, name="panel")
    qtbot.waitUntil(panel.segment.segment.native.isVisible, timeout=PATIENCE)
    yield panel
    panel.close_down()


def expected(*boxes, paint=True) -> np.ndarray:
    """What is an object where the model finds some boxes and the person painted."""
    labels = np.zeros(SHAPE, bool)
    for box in boxes:
        labels[box.slices] = True
    if paint:
        labels[150:160, 20:40] = True
    return labels


# ---- a preview -----------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_a_preview_is_looked_at_before_it_is_decided_about(
    viewer, panel, network, painted, click, idle, wanted
):
    network.finds[CANDIDATE] = [B, C]
    shown = painted.layer.data.copy()
    click(panel.retrain.form.retrain)
    idle()
    preview = viewer.layers["cells preview"]
    np.testing.assert_array_equal(preview.data > 0, expected(B, C, paint=False))
    assert not preview.visible
    assert not preview.editable
    assert panel.retrain.form.look.text in panel.sentence
    assert preview not in panel.correct.others.layer.choices
    click(panel.retrain.form.look)
    assert preview.visible
    assert not painted.layer.visible
    click(panel.retrain.form.look)
    assert not preview.visible
    assert painted.layer.visible
    click(panel.retrain.form.look)
    np.testing.assert_array_equal(painted.layer.data, shown)
    assert painted.plan.card.name == "nuclei"
    click(panel.retrain.form.keep if wanted else panel.retrain.form.discard)
    idle()
    assert "cells preview" not in viewer.layers
    assert painted.layer.visible
    assert panel.form.model.value == (CANDIDATE if wanted else "nuclei")
    assert list(user_folder().parent.glob("candidate-*")) == []
    assert not panel.retrain.form.look.native.isVisible()
    now = expected(B, C) if wanted else shown > 0
    np.testing.assert_array_equal(painted.layer.data > 0, now)
    assert (painted.layer.data[150:160, 20:40] == 9).all()


def test_of_a_large_image_the_view_is_previewed(
    viewer, panel, network, painted, click, idle, monkeypatch
):
    monkeypatch.setattr("napari_unet.plugin.retrain.preview.LARGE", 5000)
    click(panel.retrain.form.retrain)
    idle()
    name, where = network.asked[-1]
    assert name == CANDIDATE
    assert 0 < where.region.size <= 5000
    assert where.planes == ((),)


def test_the_box_makes_a_preview_that_could_not_be_made(
    viewer, panel, network, painted, click, idle
):
    viewer.dims.ndisplay = 3
    click(panel.retrain.form.retrain)
    idle()
    assert "2-D" in panel.sentence
    assert "cells preview" not in viewer.layers
    viewer.dims.ndisplay = 2
    click(panel.retrain.form.look)
    idle()
    assert viewer.layers["cells preview"].visible
    assert viewer.layers["cells preview"].data.any()


def test_a_preview_is_not_lost_by_a_retraining_without_result(
    viewer, panel, network, painted, click, idle, qtbot
):
    click(panel.retrain.form.retrain)
    idle()
    for network.outcome in ("cancel", "error"):
        click(panel.retrain.form.retrain)
        assert not panel.retrain.form.keep.enabled
        if network.outcome == "cancel":
            qtbot.waitUntil(lambda: network.went_on, timeout=PATIENCE)
            click(panel.retrain.form.cancel)
        idle()
        assert "too few to tell" in panel.retrain.form.outcome
        assert panel.retrain.form.keep.enabled
        assert panel.retrain.form.keep.native.isVisible()
        assert "cells preview" in viewer.layers
    viewer.layers.remove(painted.layer)
    click(panel.retrain.form.retrain)
    idle()
    assert "Nothing is painted" in panel.sentence
    click(panel.retrain.form.keep)
    idle()
    assert panel.form.model.value == CANDIDATE
    assert (user_folder() / f"{CANDIDATE}{SUFFIX}").exists()


# ---- segmented again -----------------------------------------------------------------------


@pytest.mark.parametrize("where", [VIEW, RECTANGLE])
def test_a_new_model_segments_everything_again_wherever_it_is_pressed(
    viewer, panel, network, painted, click, idle, where, qtbot
):
    network.outcome, network.finds[CANDIDATE] = "accepted", [C]
    viewer.scene.camera.zoom *= 4
    qtbot.wait(100)
    panel.form.where.value = where  # no rectangle is drawn
    click(panel.retrain.form.retrain)
    idle()
    assert panel.form.model.value == CANDIDATE
    assert network.asked[-1][1].region == ALL
    np.testing.assert_array_equal(painted.layer.data > 0, expected(C))
    assert painted.layer.metadata["napari_unet"]["model"] == CANDIDATE
    click(panel.retrain.form.back)
    idle()
    np.testing.assert_array_equal(painted.layer.data > 0, expected(A, B))


def test_in_the_3d_view_it_is_said_that_the_old_objects_stay(
    viewer, panel, network, painted, click, idle
):
    network.outcome, network.finds[CANDIDATE] = "accepted", [C]
    viewer.dims.ndisplay = 3
    click(panel.retrain.form.retrain)
    idle()
    assert panel.form.model.value == CANDIDATE
    assert "found by the one before" in panel.sentence
    assert "2-D view" in panel.sentence
    np.testing.assert_array_equal(painted.layer.data > 0, expected(A, B))


# ---- labels from a file ------------------------------------------------------------------------


def reopened(viewer, panel, image, path):
    """A week later: nothing is left but the image and the file."""
    viewer.layers.clear()
    viewer.add_image(image.data.copy(), name="cells")
    [labels] = viewer.open(path, plugin="napari-unet-interactive")
    panel.correct.others.layer.value = labels
    return labels


def is_result(panel, labels, qtbot):
    qtbot.waitUntil(lambda: "is the result now" in panel.sentence, timeout=PATIENCE)
    result = panel.session.results.current
    assert result.layer == labels
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=PATIENCE)
    return result


def test_a_saved_tiff_goes_on_with_its_corrections(
    viewer, image, panel, network, painted, click, idle, qtbot, tmp_path
):
    qtbot.waitUntil(lambda: painted.correcting.journal is not None, timeout=PATIENCE)
    painted.layer.scale = (1, 1)
    panel.saving.save_to(tmp_path / "cells_labels.ome.tif")
    idle()
    painted.layer.data[180:190, 20:40] = 11  # since then
    before, files = painted.painted(), painted.correcting.journal.paths
    shown = painted.layer.data.copy()
    labels = reopened(viewer, panel, image, tmp_path / "cells_labels.ome.tif")
    click(panel.correct.others.go_on)
    result = is_result(panel, labels, qtbot)
    assert "before" in panel.sentence
    np.testing.assert_array_equal(labels.data, shown)
    np.testing.assert_array_equal(result.painted(), before)
    assert labels.metadata["napari_unet"]["model"] == "nuclei"
    qtbot.waitUntil(lambda: not any(path.exists() for path in files), timeout=PATIENCE)
    np.testing.assert_array_equal(replay(result.correcting.journal.paths)[0], before)
    assert not panel.restoring.visible
    network.finds["nuclei"] = [C]
    click(panel.segment.segment)
    idle()
    assert [layer.name for layer in viewer.layers if "objects" in layer.name] == []
    found = expected(C)
    found[180:190, 20:40] = True
    np.testing.assert_array_equal(labels.data > 0, found)
    assert (labels.data[150:160, 20:40] == 9).all()


def test_without_a_journal_labels_count_as_the_model_s(
    viewer, image, panel, network, painted, click, idle, qtbot, tmp_path
):
    panel.saving.save_to(tmp_path / "cells_labels.tif")
    idle()
    journals = painted.correcting.journal
    shown = painted.layer.data.copy()
    viewer.layers.remove(painted.layer)
    for path in journals.paths:
        path.unlink()
    labels = reopened(viewer, panel, image, tmp_path / "cells_labels.tif")
    assert labels.data.dtype == np.uint16
    click(panel.correct.others.go_on)
    result = is_result(panel, labels, qtbot)
    np.testing.assert_array_equal(labels.data, shown)
    assert not result.painted().any()
    labels.data[180:190, 20:40] = 70_000
    assert set(np.unique(result.painted())) == {0, 70_000}
    network.finds["nuclei"] = [A, C]
    click(panel.segment.segment)
    idle()
    found = expected(A, C, paint=False)
    found[180:190, 20:40] = True
    np.testing.assert_array_equal(labels.data > 0, found)
    np.testing.assert_array_equal(labels.data[A.slices], shown[A.slices])


def test_going_on_takes_the_place_of_a_result(viewer, image, panel, painted, click, qtbot):
    other = np.zeros(SHAPE, np.int64)
    other[C.slices] = 5
    labels = viewer.add_labels(other, name="by hand")
    panel.form.image.value = image
    click(panel.correct.other_labels.toggleButton())
    panel.correct.others.layer.value = labels
    click(panel.correct.others.go_on)
    is_result(panel, labels, qtbot)
    assert painted.layer in viewer.layers
    assert painted.layer in panel.correct.others.layer.choices
    assert len(panel.session.results.all()) == 1
    assert not any(
        slider.visible for slider in panel.form.sliders
    )  # nothing to make them anew from
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: not panel.session.runs.busy, timeout=PATIENCE)
    assert all(slider.visible for slider in panel.form.sliders)


def test_labels_that_are_no_ids_are_a_sentence(viewer, image, panel, click):
    labels = viewer.add_labels(np.full(SHAPE, -5), name="odd")
    click(panel.correct.other_labels.toggleButton())
    panel.correct.others.layer.value = labels
    click(panel.correct.others.go_on)
    assert "-5" in panel.sentence
    assert panel.session.results.current is None


def test_saved_classes_go_on_as_classes(viewer, image, panel, click, qtbot):
    names = ["glass", "stroma", "nuclei"]
    classes = np.ones(SHAPE, np.uint8)
    classes[C.slices] = 2
    labels = viewer.add_labels(
        classes, name="cells_classes", metadata={"napari_unet": {"class_names": names}}
    )
    panel.correct.others.layer.value = labels
    click(panel.correct.others.go_on)
    result = is_result(panel, labels, qtbot)
    assert result.classes
    assert panel.session.results.classes
    assert panel.session.class_names.names == tuple(names)
    assert not result.painted().any()
    labels.data[0:5, 0:5] = 2
    assert set(np.unique(result.painted())) == {0, 2}


# ---- a panel closed while its layers stay ----------------------------------------------------


@pytest.fixture
def again(viewer, panel, qtbot):
    """Close the panel as a person does, and open it again when asked."""
    opened = []

    def close_and_open(meanwhile=lambda: None) -> SegmentPanel:
        viewer.window.remove_dock_widget("all")
        qtbot.waitUntil(lambda: panel.session.closed, timeout=PATIENCE)
        meanwhile()
        opened.append(SegmentPanel(viewer))
        viewer.window.add_dock_widget(opened[0], name="again")
        qtbot.waitUntil(opened[0].segment.segment.native.isVisible, timeout=PATIENCE)
        return opened[0]

    yield close_and_open
    for other in opened:
        other.close_down()


def test_keys_are_free_once_the_panel_is_closed(viewer, panel, painted, again, qtbot):
    layer = painted.layer
    painted.correcting.marks.brush_background()
    assert layer.keymap
    assert len(viewer.keymap) > 5
    mouse = Mouse(viewer, qtbot)
    viewer.layers.selection.active = layer

    def meanwhile() -> None:
        assert not layer.keymap
        assert not viewer.keymap
        before = layer.data.copy()
        mouse.move(60, 60)
        for key in (Qt.Key.Key_D, Qt.Key.Key_W, Qt.Key.Key_G):
            mouse.press(key)
        np.testing.assert_array_equal(layer.data, before)
        viewer.add_image(np.zeros((8, 8)), name="another")  # nobody of the old panel listens
        viewer.layers.remove("another")

    panel = again(meanwhile)
    assert panel.session.results.current.layer == layer
    assert len(viewer.keymap) > 5
    viewer.layers.selection.active = layer
    mouse.move(60, 60)
    mouse.press(Qt.Key.Key_D)
    qtbot.waitUntil(lambda: not layer.data[60, 60], timeout=PATIENCE)


def test_the_next_panel_goes_on_with_the_result(
    viewer, image, panel, network, painted, again, click, qtbot
):
    layer, correcting = painted.layer, painted.correcting
    qtbot.waitUntil(lambda: correcting.journal is not None, timeout=PATIENCE)
    viewer.layers.selection.active = layer
    correcting.marks.confirm((), (60, 60))
    old = painted.painted()
    qtbot.waitUntil(lambda: bool(correcting.journal.paths), timeout=PATIENCE)
    files = correcting.journal.paths
    shown = layer.data.copy()

    def meanwhile() -> None:
        layer.data[180:190, 20:40] = 11

    panel = again(meanwhile)
    result = panel.session.results.current
    assert result.layer == layer
    assert [other.name for other in viewer.layers].count("cells marks") == 1
    expected_paint = old.copy()
    expected_paint[180:190, 20:40] = 11
    np.testing.assert_array_equal(result.painted(), expected_paint)
    qtbot.waitUntil(lambda: not any(path.exists() for path in files), timeout=PATIENCE)
    np.testing.assert_array_equal(replay(result.correcting.journal.paths)[0], expected_paint)
    assert not panel.restoring.visible
    network.finds["nuclei"] = [B, C]
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: not panel.session.runs.busy, timeout=PATIENCE)
    assert [other.name for other in viewer.layers if "objects" in other.name] == ["cells objects"]
    found = expected(A, B, C)  # A was confirmed
    found[180:190, 20:40] = True
    np.testing.assert_array_equal(layer.data > 0, found)
    np.testing.assert_array_equal(layer.data[B.slices], shown[B.slices])  # its id


# ---- the model in use ------------------------------------------------------------------------


def test_a_rename_is_followed_and_a_loss_is_told(panel, network, painted, qtbot):
    put("mine")
    panel.form.model.reset_choices()
    panel.form.model.value = "mine"
    panel.form.sliders[0].value = 0.8
    store.duplicate("mine", "a copy")
    qtbot.waitUntil(lambda: "a copy" in panel.form.model.choices, timeout=PATIENCE)
    store.rename("mine", "ours")
    qtbot.waitUntil(lambda: panel.form.model.value == "ours", timeout=PATIENCE)
    assert "'mine' is called 'ours' now" in panel.sentence
    assert panel.form.sliders[0].value == 0.8
    store.rename("ours", "theirs")
    qtbot.waitUntil(lambda: panel.form.model.value == "theirs", timeout=PATIENCE)
    store.delete("theirs")
    qtbot.waitUntil(lambda: panel.form.model.value == "nuclei", timeout=PATIENCE)
    assert "'theirs' is not in the library any more. 'nuclei' is chosen" in panel.sentence


# ---- results that get lost -------------------------------------------------------------------


def test_a_result_removed_while_it_is_saved(
    viewer, panel, painted, idle, qtbot, tmp_path, monkeypatch
):
    def write_later(*arguments):
        assert gone.wait(60)
        return write_labels(*arguments)

    gone = Event()
    monkeypatch.setattr("napari_unet.plugin.segment.saving.write_labels", write_later)
    qtbot.waitUntil(lambda: painted.correcting.journal is not None, timeout=PATIENCE)
    shown = painted.layer.data.copy()
    panel.saving.save_to(tmp_path / "cells_labels.tif")
    viewer.layers.remove(painted.layer)
    gone.set()
    idle()  # an error in a slot would fail the test
    assert panel.sentence == f"Saved {tmp_path / 'cells_labels.tif'}."
    np.testing.assert_array_equal(read_labels(tmp_path / "cells_labels.tif")[0], shown)
    panel.saving.save_to(tmp_path / "nothing.tif")
    assert "nothing to save" in panel.sentence


@pytest.mark.parametrize("others", [True, False])
def test_a_replaced_result_is_left_out_with_a_sentence(
    viewer, panel, network, painted, click, idle, others
):
    if others:
        network.outcome = "refused"
        viewer.add_image(np.zeros(SHAPE, np.uint16), name="second")
        click(panel.segment.segment)
        idle()
        panel.session.results.current.layer.data[0:9, 0:9] = 3
    painted.layer.data = painted.layer.data[:50, :50].copy()
    click(panel.retrain.form.retrain)
    idle()
    said = panel.retrain.form.outcome if others else panel.sentence
    assert "replaced by one of another shape or kind: cells objects" in said
    assert ("Nothing is painted" in said) is not others


# ---- back to an earlier model ------------------------------------------------------------------


def test_back_to_any_earlier_model(panel, network, painted, click, idle, qtbot):
    section, network.outcome = panel.retrain, "accepted"
    assert not section.form.back.native.isVisible()
    put("root")
    put("mine", parent="root", parent_sha=sha_of("root"))
    panel.form.model.reset_choices()
    panel.form.model.value = "mine"
    qtbot.waitUntil(lambda: section.form.earlier.choices == ("root",), timeout=PATIENCE)
    for _ in range(2):
        click(section.form.retrain)
        idle()
    assert panel.form.model.value == "mine retrained 2"
    wanted = ("mine retrained", "mine", "root")
    qtbot.waitUntil(lambda: section.form.earlier.choices == wanted, timeout=PATIENCE)
    assert section.form.earlier.value == "mine retrained"
    network.finds["root"] = [C]
    section.form.earlier.value = "root"
    click(section.form.back)
    idle()
    assert panel.form.model.value == "root"
    np.testing.assert_array_equal(painted.layer.data > 0, expected(C))
    section.form.earlier.value = "mine"
    click(section.form.back)
    idle()
    assert panel.form.model.value == "mine"
    np.testing.assert_array_equal(painted.layer.data > 0, expected(A, B))
    qtbot.waitUntil(lambda: section.form.earlier.choices == ("root",), timeout=PATIENCE)


def test_the_count_follows_edits_while_it_is_shown(network, panel, image, click, idle, qtbot):
    click(panel.segment.segment)
    idle()
    assert panel.sentence.startswith("2 objects")
    result = panel.session.results.current
    result.layer.data[150:160, 20:40] = 9
    qtbot.waitUntil(lambda: panel.sentence.startswith("3 objects"), timeout=10_000)
    panel.session.say("Something else.")
    result.layer.data[180:190, 20:40] = 10
    qtbot.waitUntil(lambda: result.correcting.count[0] == 2, timeout=10_000)
    qtbot.wait(1000)
    assert panel.sentence == "Something else."


def test_edits_during_a_count_are_counted_next(
    network, panel, image, click, idle, qtbot, monkeypatch
):
    click(panel.segment.segment)
    idle()
    result, runs = panel.session.results.current, panel.session.runs
    conclude, begun, go_on = runs.conclude, Event(), Event()

    def slow(target):
        text = conclude(target)
        begun.set()
        go_on.wait(10)
        return text

    monkeypatch.setattr(runs, "conclude", slow)
    result.layer.data[150:160, 20:40] = 9
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    result.layer.data[180:190, 20:40] = 10
    qtbot.waitUntil(lambda: result.correcting.count[0] == 2, timeout=10_000)
    qtbot.wait(1000)  # until the second edit is told of
    go_on.set()
    qtbot.waitUntil(lambda: panel.sentence.startswith("4 objects"), timeout=10_000)
