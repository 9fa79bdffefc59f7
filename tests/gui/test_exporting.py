"""The menu Export…, opened and chosen from with a real mouse."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from flow import SHAPE, A, B
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_unet.io.records import read_record
from napari_unet.plugin.measure.exports import FILES, INTO, METHODS, OUTLINES, SCRIPT
from napari_unet.plugin.samples import sample_folder

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
PATIENCE = 30_000  # milliseconds
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def choose(panel, click, qtbot):
    """Open the menu, and click one of its entries."""

    def choose(title: str) -> None:
        menu = panel.measure.exports.menu
        (action,) = (action for action in menu.actions() if action.text() == title)

        click(panel.measure.export)
        qtbot.waitUntil(menu.isVisible, timeout=PATIENCE)
        qtbot.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())
        qtbot.waitUntil(lambda: not menu.isVisible(), timeout=PATIENCE)

    return choose


@pytest.fixture
def answer(monkeypatch, tmp_path):
    """Answer the dialog of a file with its name in a folder; returns the folder."""
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda _, __, name, ___: (str(tmp_path / name), "")
    )
    return tmp_path


def test_a_table_says_what_a_person_painted(painted, choose, answer, idle, panel):
    choose(FILES["csv"][0])
    idle()
    table = pd.read_csv(answer / "cells_objects.csv")
    assert table["area"].tolist() == [A.size, B.size, 200]
    assert table["corrected"].tolist() == [False, False, True]
    assert f"Wrote {answer / 'cells_objects.csv'}" in panel.sentence


def test_outlines_for_imagej_and_qupath(painted, choose, answer, idle):
    for kind in ("roi", "geojson"):
        choose(FILES[kind][0])
        idle()
    with zipfile.ZipFile(answer / "cells_rois.zip") as archive:
        assert len(archive.namelist()) == 3
    found = json.loads((answer / "cells_objects.geojson").read_text())
    assert [one["properties"]["measurements"]["area"] for one in found["features"]][2] == 200
    assert [one["properties"]["measurements"]["corrected"] for one in found["features"]] == [
        0,
        0,
        1,
    ]


def test_labels_into_the_folder_of_an_image_under_a_free_name(
    painted, choose, idle, panel, monkeypatch, tmp_path
):
    folder = tmp_path / "cells.zarr"
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": []}
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    for _ in range(2):
        choose(INTO)
        idle()
    assert "cells-2" in panel.sentence
    for name in ("cells", "cells-2"):
        np.testing.assert_array_equal(
            zarr.open_array(folder / "labels" / name / "0", mode="r")[...], painted.shown
        )


def test_a_folder_that_is_no_image_is_told(painted, choose, idle, panel, monkeypatch, tmp_path):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    choose(INTO)
    idle()
    assert "is no OME-Zarr image" in panel.sentence


def test_outlines_become_a_layer_with_ids(viewer, painted, choose, qtbot):
    choose(OUTLINES)
    qtbot.waitUntil(lambda: "cells outlines" in viewer.layers, timeout=PATIENCE)
    shapes = viewer.layers["cells outlines"]
    qtbot.waitUntil(lambda: len(shapes.data) == 3, timeout=PATIENCE)
    assert shapes.features["label"].tolist() == np.unique(painted.layer.data)[1:].tolist()
    np.testing.assert_allclose(shapes.data[2].min(axis=0), (149.5, 19.5))


def test_methods_text_counts_what_a_person_painted(painted, choose, panel, qtbot):
    choose(METHODS)
    qtbot.waitUntil(lambda: "Copied" in panel.sentence, timeout=PATIENCE)
    text = QGuiApplication.clipboard().text()
    assert "'nuclei'" in text
    assert "drew, corrected or confirmed 1 object." in text
    assert text in panel.sentence


def test_a_script_needs_an_image_from_a_file(painted, choose, panel, answer):
    choose(SCRIPT)
    assert "not opened from a file" in panel.sentence
    assert not [*answer.glob("*.py")]


def test_a_saved_file_names_the_objects_that_were_corrected(painted, panel, click, idle, answer):
    click(panel.saving.save)
    idle()
    (file,) = answer.glob("*.tif")
    assert read_record(file)["corrected"] == [9]


def test_nothing_is_exported_of_an_image_without_result(panel, image):
    assert not panel.measure.export.native.isEnabled()
    assert "Press Segment first" in panel.measure.export.tooltip


@pytest.fixture
def opened(viewer, network, panel, click, idle, tmp_path):
    """A stack that was opened from a file, segmented; an object is painted in its first plane."""
    stack = np.random.default_rng(0).integers(0, 4000, (2, *SHAPE), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    viewer.open(tmp_path / "stack.tif", plugin="napari")
    panel.form.axes.value = "ZYX"
    click(panel.segment.segment)
    idle()
    result = panel.session.results.current
    result.shown[0, 150:160, 20:40] = 99
    return result


def test_a_stack_is_exported_as_it_is_saved_with_linked_planes(
    viewer, opened, choose, answer, idle, panel
):
    choose(FILES["csv"][0])
    idle()
    (file,) = answer.glob("*_objects.csv")
    table = pd.read_csv(file)
    assert table["planes"].tolist() == [2, 2, 1]
    assert table["volume"].tolist() == [2 * A.size, 2 * B.size, 200]
    assert table["corrected"].tolist() == [False, False, True]


def test_a_script_is_saved_of_an_image_from_a_file(opened, choose, answer, idle, panel):
    choose(SCRIPT)
    idle()
    (file,) = answer.glob("*.py")
    text = file.read_text()
    compile(text, str(file), "exec")
    assert str(answer / "stack.tif") in text
    assert "linked" in text
    assert "The ids are the same" in text
    assert "without what you corrected" in panel.sentence


def test_the_script_of_a_window_makes_its_labels_to_the_id(
    viewer, panel, click, choose, answer, idle, tmp_path, qtbot
):
    """A real network, then other thresholds: many objects keep an id that they had before."""
    data = tifffile.imread(sample_folder() / "nuclei.tif")[:300, :320]
    tifffile.imwrite(tmp_path / "part.tif", data)
    viewer.open(tmp_path / "part.tif", plugin="napari")
    click(panel.segment.segment)
    idle()
    result = panel.session.results.current
    for sensitivity in (0.06, 0.6):
        drawn = result.drawn
        panel.form.sliders[0].value = sensitivity
        qtbot.waitUntil(lambda before=drawn: result.drawn > before, timeout=PATIENCE)
        idle()
    seen = result.shown.copy()
    ids = np.unique(seen)[1:]
    assert ids.max() > len(ids) + 1 > 5  # some came later
    choose(SCRIPT)
    idle()
    assert "makes the same labels" in panel.sentence
    (script,) = answer.glob("*.py")
    subprocess.run([sys.executable, script], check=True, env=os.environ | {"PYTHONPATH": SOURCES})
    (labels,) = answer.glob("*_segment_labels.tif")
    np.testing.assert_array_equal(tifffile.imread(labels), seen)
