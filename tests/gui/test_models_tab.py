"""The panel Models: a tab beside the other panel, and packages that a child process writes."""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from flow import PLUGIN
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_unet.engine import commands
from napari_unet.models.card import SUFFIX
from napari_unet.plugin.models_panel import PACKAGES
from tests.bioimage_packages import blobs, fields_04, package

PATIENCE = 180_000
WRITES = """
import pathlib, sys, time
time.sleep(1)
pathlib.Path(sys.argv[5]).write_text(" ".join(sys.argv[1:4]))
"""
DIES = "import os; os._exit(3)"


@pytest.fixture
def models(viewer, panel, qtbot):
    _, models = viewer.window.add_plugin_dock_widget(PLUGIN, "Models")
    qtbot.waitUntil(lambda: models.isVisible() and models.name != "", timeout=PATIENCE)
    return models


@pytest.fixture
def export(models, click, qtbot, monkeypatch, tmp_path):
    """Press Export…, choose a package, and wait; returns the file that was asked for."""

    def export(name: str = f"nuclei{SUFFIX}") -> Path:
        chosen = str(tmp_path / name), PACKAGES
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: chosen)
        click(models.buttons["Export…"])
        qtbot.waitUntil(models.isEnabled, timeout=PATIENCE)
        return tmp_path / "nuclei.zip"

    return export


def test_it_is_a_tab_beside_the_panel(viewer, panel, models, qtbot):
    window = viewer.window._qt_window
    docks = {name.split(" (")[0]: dock for name, dock in viewer.window.dock_widgets.items()}
    assert set(docks) == {"Segment, retrain", "Models"}
    from napari_unet.plugin.widgets.docks import _dock_of

    own, other = _dock_of(models), _dock_of(panel.native)
    qtbot.waitUntil(lambda: other in window.tabifiedDockWidgets(own), timeout=5_000)
    assert models.isVisible()
    qtbot.waitUntil(
        lambda: not panel.segment.segment.native.visibleRegion().boundingRect().height()
    )
    assert not panel.session.closed


def test_a_package_is_written_while_the_window_stays_alive(models, export, qtbot, monkeypatch):
    monkeypatch.setattr(commands, "CODE", WRITES)
    beats, seen = [], []
    timer = QTimer(interval=20)
    timer.timeout.connect(lambda: beats.append(time.monotonic()))
    timer.timeout.connect(lambda: seen.append((models.sentence, models.progress.isVisible())))
    timer.start()
    file = export()
    timer.stop()
    assert file.read_bytes() == b"models export nuclei"
    assert models.sentence == f"Exported 'nuclei' to {file}, and tested it."
    assert any("takes a minute" in sentence and shown for sentence, shown in seen)
    assert not models.progress.isVisible()
    assert len(beats) > 15
    assert models.name == "nuclei"


def test_a_process_that_dies_is_told(models, export, monkeypatch):
    monkeypatch.setattr(commands, "CODE", DIES)
    assert not export().exists()
    assert "stopped unexpectedly" in models.sentence


def test_the_real_command(models, export):
    file = export()
    if find_spec("bioimageio") is None:
        assert "pip install" in models.sentence
        assert "bioimageio" in models.sentence
        assert not file.exists()
    else:
        assert file.read_bytes()[:2] == b"PK"
        assert "tested it" in models.sentence


def press_import(models, click, qtbot, monkeypatch, file: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(file), ""))
    click(models.buttons["Import…"])
    qtbot.waitUntil(models.isEnabled, timeout=PATIENCE)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_package_of_others_is_imported_segments_and_does_not_learn(
    viewer, panel, models, click, idle, qtbot, monkeypatch, tmp_path
):
    file, asked = package(tmp_path / "edges.zip", fields_04()), []

    def answer(_parent, title, text, choices):
        asked.append(text)
        return choices[0], True

    monkeypatch.setattr(QInputDialog, "getItem", answer)
    press_import(models, click, qtbot, monkeypatch, file)
    if find_spec("bioimageio") is None:
        assert "pip install" in models.sentence
        return
    qtbot.waitUntil(lambda: models.sentence == "Imported 'edges of blobs'.", timeout=PATIENCE)
    assert "channel0, channel1" in asked[0].replace("\n", " ")
    assert models.name == "edges of blobs"
    qtbot.waitUntil(lambda: "TorchScript" in models.card.toPlainText(), timeout=PATIENCE)
    assert "not possible" in models.card.toPlainText()

    picture, count = blobs((200, 300), seed=4)
    viewer.add_image(picture, name="blobs")
    models.parentWidget().close()
    panel.form.model.value = "edges of blobs"
    click(panel.segment.segment)
    idle()
    result = panel.session.results.current
    assert len(np.unique(result.layer.data)) - 1 == count
    result.layer.data[2:9, 2:9] = 999
    click(panel.retrain.form.retrain)
    qtbot.waitUntil(lambda: "can neither be retrained" in panel.sentence, timeout=PATIENCE)


ASKS = """
import sys
given = sys.argv[sys.argv.index("--outputs") + 1] if "--outputs" in sys.argv else ""
if given != "foreground":
    sys.exit(f"Error: The outputs were said to be {given!r}. Say what each is (--outputs).")
print("Imported\tone.safetensors")
"""


def test_outputs_are_asked_for_until_they_fit(models, click, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "CODE", ASKS)
    answers, asked, said = ["boundary", "foreground"], [], []

    def answer(_parent, _title, text, _choices):
        asked.append(text)
        said.append(models.sentence)
        return answers.pop(0), True

    monkeypatch.setattr(QInputDialog, "getItem", answer)
    press_import(models, click, qtbot, monkeypatch, package(tmp_path / "one.zip", fields_04()))
    qtbot.waitUntil(lambda: models.sentence == "Imported 'one'.", timeout=PATIENCE)
    assert asked == said  # and neither speaks of the command line
    assert asked[1] == "The outputs were said to be 'boundary'. Say what each is."


def test_a_file_that_is_no_package_is_told(models, click, qtbot, monkeypatch, tmp_path):
    file = tmp_path / "odd.zip"
    file.write_bytes(b"no zip")
    press_import(models, click, qtbot, monkeypatch, file)
    assert "odd.zip is damaged or is no package of BioImage.IO" in models.sentence
