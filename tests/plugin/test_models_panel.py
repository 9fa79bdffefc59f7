"""The panel Models: what it shows, what its buttons do, and that nothing is lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_unet.models.card import CARD_KEY, SUFFIX, read_card
from napari_unet.models.library import bundled_folder, load_model, user_folder
from napari_unet.models.store import part_copy
from napari_unet.plugin.models_panel import ModelsPanel
from napari_unet.plugin.widgets.library_watch import LibraryWatch

PATIENCE = 30_000  # milliseconds
BUNDLED = bundled_folder() / f"nuclei{SUFFIX}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path / "data")
    return tmp_path


def put(name: str, **changes: object) -> Path:
    """Put a model into the person's folder."""
    user_folder().mkdir(parents=True, exist_ok=True)
    target = user_folder() / f"{name}{SUFFIX}"
    with part_copy(BUNDLED, user_folder(), {"name": name, **changes}) as part:
        part.replace(target)
    return target


@pytest.fixture
def panel(home: Path, qtbot) -> Iterator[ModelsPanel]:
    put("mine", parent="nuclei", parent_sha=load_model("nuclei").sha, images=1, painted_objects=9)
    panel = ModelsPanel()
    qtbot.addWidget(panel)
    panel.show()
    yield panel
    qtbot.waitUntil(panel.isEnabled, timeout=PATIENCE)


@pytest.fixture
def idle(panel: ModelsPanel, qtbot) -> Callable[[], None]:
    return lambda: qtbot.waitUntil(panel.isEnabled, timeout=PATIENCE)


def names(panel: ModelsPanel) -> list[str]:
    return [panel.list.item(i).text() for i in range(panel.list.count())]


def press(panel: ModelsPanel, text: str) -> None:
    assert panel.buttons[text].enabled
    panel.buttons[text].native.click()


def test_lists_bundled_first_and_shows_card_and_lineage(panel: ModelsPanel, qtbot) -> None:
    assert names(panel) == ["nuclei", "cells-phase", "cells", "mine"]
    assert not panel.buttons["Rename…"].enabled  # the bundled one is chosen
    assert not panel.buttons["Delete"].enabled
    panel.list.setCurrentRow(3)
    shown = panel.card.toPlainText
    qtbot.waitUntil(lambda: "mine ← nuclei" in shown(), timeout=PATIENCE)
    assert "9 objects" in shown()
    assert "Thresholds" in shown()


def test_text_from_a_file_is_only_shown(panel: ModelsPanel, qtbot) -> None:
    put("odd", description="<img src='file:///x'> <b>bold</b>")
    panel.refresh("odd")
    shown = panel.card.toPlainText
    qtbot.waitUntil(lambda: "<img src='file:///x'> <b>bold</b>" in shown(), timeout=PATIENCE)


def test_rename_duplicate_delete_undo(panel: ModelsPanel, idle, monkeypatch) -> None:
    panel.refresh("mine")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("yeast", True))
    press(panel, "Rename…")
    idle()
    assert panel.name == "yeast"
    assert names(panel) == ["nuclei", "cells-phase", "cells", "yeast"]
    monkeypatch.setattr(QInputDialog, "getText", lambda *given: (given[-1], True))
    press(panel, "Duplicate…")
    idle()
    assert panel.name == "yeast 2"
    press(panel, "Delete")
    idle()
    assert names(panel) == ["nuclei", "cells-phase", "cells", "yeast"]
    assert "bin" in panel.sentence
    panel.undo.native.click()
    idle()
    assert panel.name == "yeast 2"
    assert not panel.undo.enabled
    assert read_card(user_folder() / f"yeast 2{SUFFIX}").name == "yeast 2"


def test_a_name_that_cannot_be_used_is_a_sentence(panel: ModelsPanel, idle) -> None:
    panel.refresh("mine")
    for wrong in ("nuclei", "../up", "mine/2", ""):
        panel.rename(wrong)
        idle()
        assert panel.problem
        assert panel.sentence == panel.problem
        assert names(panel) == ["nuclei", "cells-phase", "cells", "mine"]


def test_export_then_import(panel: ModelsPanel, idle, home: Path, monkeypatch) -> None:
    panel.refresh("mine")
    file = home / f"out{SUFFIX}"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    press(panel, "Export…")
    idle()
    assert panel.sentence == f"Exported 'mine' to {file}."
    press(panel, "Import…")
    idle()
    assert panel.sentence == "Imported 'mine 2'."
    assert panel.name == "mine 2"


def test_a_name_without_its_ending_replaces_no_file(
    panel: ModelsPanel, idle, home: Path, monkeypatch
) -> None:
    """The dialog asks whether `out` may be replaced, not whether `out.safetensors` may."""
    panel.refresh("mine")
    file = home / f"out{SUFFIX}"
    file.write_bytes(b"something else")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(home / "out"), ""))
    press(panel, "Export…")
    idle()
    assert "exists already" in panel.sentence
    assert file.read_bytes() == b"something else"


@pytest.mark.parametrize("kind", ["cut", "text", "no card", "empty", "missing"])
def test_a_bad_file_is_a_sentence(panel: ModelsPanel, idle, home: Path, kind: str) -> None:
    from safetensors.numpy import save_file

    file = home / f"bad{SUFFIX}"
    if kind == "no card":
        save_file({"a": np.zeros(3, np.float32)}, file, {CARD_KEY: "{}"})
    elif kind != "missing":
        contents = {"cut": BUNDLED.read_bytes()[:-1000], "text": b"hello" * 99, "empty": b""}
        file.write_bytes(contents[kind])
    panel.import_from(file)
    idle()
    assert panel.sentence == panel.problem
    assert "unexpected" not in panel.sentence
    assert names(panel) == ["nuclei", "cells-phase", "cells", "mine"]


def test_it_sees_what_others_do(panel: ModelsPanel, qtbot) -> None:
    shutil.copy(user_folder() / f"mine{SUFFIX}", user_folder() / f"other{SUFFIX}")
    qtbot.waitUntil(lambda: "other" in names(panel), timeout=PATIENCE)
    (user_folder() / f"other{SUFFIX}").unlink()
    qtbot.waitUntil(lambda: "other" not in names(panel), timeout=PATIENCE)


def test_the_watch_waits_for_a_folder_that_is_made_later(home: Path, qtbot) -> None:
    from qtpy.QtCore import QObject

    owner = QObject()
    watch = LibraryWatch(owner)
    told = []
    watch.changed.connect(lambda: told.append(1))
    put("first")
    qtbot.waitUntil(lambda: bool(told), timeout=PATIENCE)
    told.clear()
    put("second")
    qtbot.waitUntil(lambda: bool(told), timeout=PATIENCE)
