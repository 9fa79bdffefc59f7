"""Segment all…: open images or a folder, one after the other, in a window that stays alive."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.utils import progress
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog

from napari_unet.io.records import read_record

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"
PATIENCE = 120_000
FILES = ["a_labels.tif", "a_objects.csv", "c_labels.tif", "c_objects.csv"]


@pytest.fixture
def pixels() -> np.ndarray:
    return tifffile.imread(SAMPLE)[:160, :200]


@pytest.fixture
def folder(tmp_path: Path, pixels) -> Path:
    """An image, a damaged one, and a stack."""
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "a.tif", pixels)
    (images / "b.tif").write_bytes(b"no image")
    stack = np.stack([pixels] * 3)
    tifffile.imwrite(images / "c.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    return images


@pytest.fixture
def window(viewer, panel, click):
    """The window, opened by its button."""
    click(panel.batch.button)
    return panel.batch.window


@pytest.fixture
def ended(qtbot, window):
    return lambda: qtbot.waitUntil(lambda: not window.running, timeout=PATIENCE)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def choose(monkeypatch, folder: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(folder))


def take_folder(window, click, qtbot, monkeypatch, folder: Path) -> None:
    choose(monkeypatch, folder)
    click(window.from_folder)
    qtbot.waitUntil(window.start.isEnabled, timeout=PATIENCE)


def test_a_folder(window, panel, click, ended, qtbot, monkeypatch, folder, tmp_path):
    assert "There are no images yet" in window.sentence
    assert not window.start.isEnabled()
    take_folder(window, click, qtbot, monkeypatch, folder)
    assert window.table.rowCount() == 3
    assert "3 images with the model nuclei" in window.sentence
    output = tmp_path / "results"
    output.mkdir()
    choose(monkeypatch, output)
    click(window.into)
    assert str(output) in window.sentence
    beats, bars = [], []
    timer = QTimer(interval=20)
    timer.timeout.connect(lambda: beats.append(time.monotonic()))
    timer.timeout.connect(lambda: bars.extend(one.desc for one in progress._all_instances))
    timer.start()
    click(window.start)
    assert window.start.text() == "Stop"
    assert not window.from_folder.isEnabled()
    ended()
    timer.stop()
    assert names(output) == FILES
    assert names(folder) == ["a.tif", "b.tif", "c.tif"]
    states = window.states()
    assert "objects" in states[0]
    assert "b.tif cannot be read" in states[1]
    assert window.sentence.splitlines()[0] == "2 of 3 images segmented. 1 failed:"
    assert "b.tif: " in window.sentence
    assert any(desc.startswith("Segment all") for desc in bars)
    assert not progress._all_instances
    assert max(np.diff(beats)) < 2  # on a busy computer; a run that blocked would take far longer
    found = tifffile.imread(output / "c_labels.tif")
    assert found.shape == (3, 160, 200)
    table = pd.read_csv(output / "a_objects.csv")
    assert len(table) == np.unique(tifffile.imread(output / "a_labels.tif")).size - 1
    assert states[0].startswith(str(len(table)))
    # a stack is linked: its three equal planes are one object each
    assert (found[0] == found[2]).mean() > 0.99


def test_stop_and_go_on(window, click, ended, qtbot, monkeypatch, folder):
    (folder / "b.tif").unlink()
    take_folder(window, click, qtbot, monkeypatch, folder)
    click(window.start)
    qtbot.waitUntil(lambda: "objects" in window.states()[0], timeout=PATIENCE)
    click(window.start)
    ended()
    qtbot.waitUntil(lambda: window.start.text() == "Segment all", timeout=PATIENCE)
    assert "Stopped; press Segment all to go on" in window.sentence
    assert window.states()[1] == "stopped"
    assert "a_labels.tif" in names(folder)
    before = (folder / "a_labels.tif").stat().st_mtime_ns
    click(window.start)
    ended()
    assert window.states()[0] == "has a result already"
    assert (folder / "a_labels.tif").stat().st_mtime_ns == before
    assert "c_labels.tif" in names(folder)
    qtbot.waitUntil(lambda: "had a result already" in window.sentence, timeout=PATIENCE)
    window.overwrite.click()
    (folder / "c.tif").unlink()
    take_folder(window, click, qtbot, monkeypatch, folder)
    assert "1 image with the model nuclei" in window.sentence
    click(window.start)
    ended()
    assert (folder / "a_labels.tif").stat().st_mtime_ns > before


def test_open_images_with_what_is_chosen_for_each(
    viewer, panel, window, click, ended, monkeypatch, tmp_path, pixels
):
    two = np.stack([np.zeros_like(pixels), pixels], 0)
    for name in ("one", "two"):
        viewer.add_image(two, name=name, axis_labels=("channel", "y", "x"))
    panel.session.give("CYX", 1)
    click(window.open_images)
    assert "comes from no file" in window.sentence
    assert not window.start.isEnabled()
    choose(monkeypatch, tmp_path)
    click(window.into)
    assert window.table.rowCount() == 2
    click(window.start)
    ended()
    assert window.sentence == "2 of 2 images segmented."
    one, other = (tifffile.imread(tmp_path / f"{name}_labels.tif") for name in ("one", "two"))
    assert one.max() > 1
    assert np.array_equal(one, other)  # the panel's channel counts where none was chosen


def test_a_filter_that_is_set_counts_for_all(
    viewer, panel, click, idle, qtbot, monkeypatch, folder, pixels
):
    (folder / "b.tif").unlink()
    (folder / "c.tif").unlink()
    viewer.add_image(pixels, name="nuclei")
    click(panel.segment.segment)
    idle()
    click(panel.batch.button)
    window = panel.batch.window
    assert "Filter objects" not in window.sentence
    click(panel.filter.fold.toggleButton())
    qtbot.waitUntil(lambda: "objects" in panel.filter.told.text, timeout=PATIENCE)
    panel.filter.least.setFocus()
    qtbot.keyClicks(panel.filter.least, "250")
    qtbot.keyClick(panel.filter.least, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "filtered out" in panel.filter.told.text, timeout=PATIENCE)
    take_folder(window, click, qtbot, monkeypatch, folder)
    told = "As Filter objects is set, objects smaller than 250 px are left out."
    assert told in window.sentence
    click(window.start)
    assert window.sentence.startswith(told)
    qtbot.waitUntil(lambda: not window.running, timeout=PATIENCE)
    assert "filtered out" in window.states()[0]
    assert pd.read_csv(folder / "a_objects.csv")["area"].min() >= 250
    assert read_record(folder / "a_labels.tif")["filters"][0]["ranges"] == {"area": [250, None]}


def test_a_panel_that_is_closed_stops_all(window, panel, click, qtbot, monkeypatch, folder):
    take_folder(window, click, qtbot, monkeypatch, folder)
    click(window.start)
    assert window.running
    panel.close_down()
    qtbot.waitUntil(lambda: not window.running, timeout=PATIENCE)
    assert not window.isVisible()
    assert not progress._all_instances
