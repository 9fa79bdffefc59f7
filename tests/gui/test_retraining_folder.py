"""Retrain with a folder of images and masks, in a real window, trained by the real engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog

from napari_unet.io import training_pairs as pairs
from napari_unet.labels.painted import hold_out, painted_objects, take_whole
from napari_unet.models.card import SUFFIX, read_card
from napari_unet.models.library import user_folder
from napari_unet.plugin.samples import sample_folder
from tests.library import put

PATIENCE = 300_000  # milliseconds
SHORT = 5  # seconds of training
LEFT, RIGHT = (slice(0, 224), slice(0, 224)), (slice(0, 224), slice(224, 448))
FAULTY = {"sensitivity": 0.05, "separation": 0.5, "minimum_diameter": 4.0}


@pytest.fixture(autouse=True)
def _one_parent(monkeypatch) -> None:
    """Which models compete in a few seconds would depend on the machine."""
    monkeypatch.setattr("napari_unet.finetuning.in_engine.competitors", lambda one: [one])


@pytest.fixture
def section(panel, click):
    """The section, with a model in use that other thresholds alone put right."""
    put("poor", decode=FAULTY)
    panel.form.model.reset_choices()
    panel.form.model.value = "poor"
    click(panel.retrain.form.other_images.toggleButton())
    panel.retrain.form.time.min = SHORT
    panel.retrain.form.time.value = SHORT
    return panel.retrain


def part(where: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    names = ("nuclei.tif", "nuclei_truth.tif")
    image, truth = (tifffile.imread(sample_folder() / name)[where] for name in names)
    return image, truth.astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with masks in folders of their own, and one that has none."""
    for number, where in enumerate((LEFT, RIGHT)):
        image, truth = part(where)
        for kind, ending, array in (("images", "", image), ("masks", "_masks", truth)):
            (tmp_path / "wells" / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "wells" / kind / f"w{number}{ending}.tif", array)
    tifffile.imwrite(tmp_path / "wells" / "images" / "w2.tif", image)
    return tmp_path / "wells"


@pytest.fixture
def choose(section, click, qtbot, monkeypatch) -> Callable[..., None]:
    """Press the button and choose folders in the dialogs, one after the other."""

    def choose(*folders: Path) -> None:
        answers = [*map(str, folders), *[""] * (2 - len(folders))]
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: answers.pop(0))
        click(section.form.folder.add)
        qtbot.waitUntil(lambda: section.form.folder.add.enabled, timeout=10_000)

    return choose


def test_a_folder_is_trained_on_with_what_is_painted(
    viewer, panel, section, folder, choose, click, idle, qtbot
):
    [opened] = viewer.open(folder / "images" / "w0.tif", plugin="napari")
    panel.form.image.value = opened
    panel.session.take_corrections(opened, take_whole(part(LEFT)[1]))
    choose(folder)
    assert section.form.folder.line == "2 images with masks from wells"
    assert "w2.tif" in panel.sentence
    assert section.form.folder.remove.native.isVisible()
    assert not section.form.folder.add.native.isVisible()
    click(section.form.retrain)
    assert not section.form.folder.remove.native.isEnabled()
    idle()
    assert panel.form.model.value == "poor retrained", panel.sentence
    card = read_card(user_folder() / f"poor retrained{SUFFIX}")
    assert card.images == 2  # what is open and painted is trained on once
    truths = [part(LEFT)[1], part(RIGHT)[1]]
    assert card.painted_objects == sum(len(np.unique(t)) - 1 for t in truths)
    assert section.form.folder.line  # and is there for the next retraining
    click(section.form.folder.remove)
    assert section.form.folder.line == ""
    assert section.form.folder.add.native.isVisible()


def test_a_folder_alone_is_enough(viewer, panel, section, folder, choose, click, idle):
    choose(folder)
    click(section.form.retrain)
    idle()
    assert panel.form.model.value == "poor retrained", panel.sentence
    card = read_card(user_folder() / f"poor retrained{SUFFIX}")
    assert card.images == 2
    whole = [take_whole(part(where)[1]) for where in (LEFT, RIGHT)]
    assert card.painted_objects == sum(len(painted_objects(p)) for p in whole)
    assert 0 < card.report["held"] <= len(hold_out(painted_objects(np.stack(whole)))[1])


def test_masks_elsewhere_are_asked_for(panel, section, folder, choose):
    choose(folder / "images")
    assert "Nothing was added" in panel.sentence
    assert section.form.folder.line == ""
    choose(folder / "images", folder / "masks")
    assert section.form.folder.line == "2 images with masks from images"


def test_what_cannot_be_used_is_a_sentence(panel, section, folder, choose, click, idle, tmp_path):
    choose(tmp_path / "gone")
    assert "does not exist" in panel.sentence
    assert section.form.folder.line == ""
    tifffile.imwrite(folder / "masks" / "w1_masks.tif", np.ones((9, 9), np.uint16))
    choose(folder)
    click(section.form.retrain)
    idle()
    assert "w1_masks.tif has the shape (9, 9)" in panel.sentence
    assert panel.form.model.value == "poor"
    assert section.form.folder.remove.native.isEnabled()


def test_retrain_waits_for_the_folder(panel, section, folder, click, monkeypatch, qtbot):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    click(section.form.folder.add)
    click(section.form.retrain)  # no event was handled in between: its names cannot be known yet
    assert not section.running
    assert "still being looked at" in panel.sentence
    qtbot.waitUntil(lambda: bool(section.form.folder.line), timeout=10_000)


def test_files_are_read_beside_the_window(section, folder, choose, click, idle, monkeypatch):
    import threading

    readers, read = set(), pairs.read_image

    def noting(*arguments, **options):
        readers.add(threading.current_thread())
        return read(*arguments, **options)

    monkeypatch.setattr(pairs, "read_image", noting)
    choose(folder)
    click(section.form.retrain)
    idle()
    assert readers
    assert threading.main_thread() not in readers
