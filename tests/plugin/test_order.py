"""The order in which a result is dressed, watched and kept safe, and in which a panel closes down.

Keys act on a layer that is dressed; a journal begins when somebody listens; what is written last
is written before the engine ends.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.engine.client import Engine
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.journal.journal import Journal
from napari_unet.plugin.correct.keys import Keys
from napari_unet.plugin.result.correcting import Correcting
from napari_unet.plugin.result.handover import HANDOVER
from napari_unet.plugin.segment_panel import SegmentPanel

SHAPE = (60, 80)
OBJECTS, CLASSES = False, True


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path / "data")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")
    monkeypatch.setattr(Engine, "warm_up", lambda *_: None)


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).integers(0, 4000, SHAPE, np.uint16), name="cells")
    return viewer


@pytest.fixture
def panel(viewer: ViewerModel) -> Iterator[SegmentPanel]:
    panel = SegmentPanel(viewer)
    yield panel
    panel.close_down()


def before(monkeypatch, owner: type, name: str, note) -> None:
    """Call `note` with the object whenever one of its methods is called."""
    method = getattr(owner, name)

    def noting(self, *arguments, **options):
        note(self)
        return method(self, *arguments, **options)

    monkeypatch.setattr(owner, name, noting)


def watch_keys(monkeypatch, events) -> None:
    """Note whether a result's layer is dressed when the keys begin to follow it."""
    follow = Keys.follow

    def noting(keys, correcting):
        events.append(("bound", dressed(correcting.layer)))
        follow(keys, correcting)

    monkeypatch.setattr(Keys, "follow", noting)


def make(panel: SegmentPanel, *, classes: bool):
    """Make a result of the only image."""
    layer = panel.form.image.value
    return panel.session.results.make(layer, panel.session.opened(layer), classes=classes)


def test_classes_are_dressed_then_watched_then_kept_safe(viewer, panel, monkeypatch, qtbot):
    events = []
    watch_keys(monkeypatch, events)
    before(
        monkeypatch, Correcting, "keep_in", lambda c: events.append(("kept", bool(c.layer.keymap)))
    )
    result = make(panel, classes=CLASSES)
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=10_000)
    assert events == [("bound", True), ("kept", True)]
    again = make(panel, classes=OBJECTS)  # the image is identified by now
    assert again.correcting.journal is not None
    assert events[2:] == [("bound", False), ("kept", True)]


def dressed(layer) -> bool:
    return isinstance(layer.colormap, DirectLabelColormap) and "class" in layer.features


def test_a_journal_of_classes_gets_their_names_at_once(panel, monkeypatch, qtbot):
    notes = []
    note = Journal.note

    def noting(self, kind, **values):
        notes.append((kind, tuple(values.values())))
        note(self, kind, **values)

    monkeypatch.setattr(Journal, "note", noting)
    result = make(panel, classes=CLASSES)
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=10_000)
    assert notes == [("classes", panel.session.class_names.names)]


def test_a_result_that_is_shown_is_active_and_its_kind_is_worked_on(viewer, panel):
    image = panel.form.image.value
    panel.session.take_corrections(image, np.ones(SHAPE, np.uint32), classes=CLASSES)
    classes = panel.session.results.current
    assert classes.classes
    assert viewer.layers.selection.active == classes.layer
    panel.session.take_corrections(image, np.ones(SHAPE, np.uint32), classes=OBJECTS)
    objects = panel.session.results.current
    assert not objects.classes
    assert viewer.layers.selection.active == objects.layer
    viewer.layers.selection.active = classes.layer
    assert panel.session.results.current is classes


def test_closing_down_lets_go_of_results_before_the_engine_ends(viewer, panel, monkeypatch, qtbot):
    result = make(panel, classes=OBJECTS)
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=10_000)
    events = []
    before(monkeypatch, Keys, "leave", lambda _: events.append("keys"))
    before(
        monkeypatch,
        Correcting,
        "close",
        lambda c: events.append(
            ("corrections", panel.session.closed, HANDOVER in c.layer.metadata)
        ),
    )
    before(monkeypatch, Journal, "close", lambda _: events.append("journal"))
    before(monkeypatch, Engine, "close", lambda _: events.append("engine"))
    before(monkeypatch, ProbabilityMapCache, "close", lambda _: events.append("cache"))
    panel.close_down()
    panel.close_down()
    assert events == ["keys", ("corrections", True, False), "journal", "engine", "cache"]
    assert result.layer.metadata[HANDOVER].result is result
    assert not result.layer.keymap


def test_the_next_panel_takes_over_in_the_same_order(viewer, panel, monkeypatch, qtbot):
    result = make(panel, classes=CLASSES)
    result.layer.data[5:9, 5:9] = 2
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=10_000)
    files = result.correcting.journal.paths
    panel.close_down()
    events = []
    watch_keys(monkeypatch, events)
    before(monkeypatch, Correcting, "keep_in", lambda _: events.append("kept"))
    other = SegmentPanel(viewer)
    try:
        assert HANDOVER not in result.layer.metadata
        taken = other.session.results.of(viewer.layers["cells"], classes=CLASSES)
        assert taken.layer == result.layer
        assert (taken.painted() == 2).sum() == 16
        qtbot.waitUntil(lambda: taken.correcting.journal is not None, timeout=10_000)
        assert events == [("bound", True), "kept"]
        qtbot.waitUntil(lambda: not any(path.exists() for path in files), timeout=10_000)
        assert not other.restoring.visible
    finally:
        other.close_down()


def test_a_removed_layer_ends_its_corrections_and_they_are_offered(viewer, panel, qtbot):
    result = make(panel, classes=OBJECTS)
    result.layer.data[5:9, 5:9] = 2
    qtbot.waitUntil(lambda: result.correcting.journal is not None, timeout=10_000)
    viewer.layers.remove(result.layer)
    assert panel.session.results.current is None
    qtbot.waitUntil(lambda: "Corrections of" in panel.restoring.offer_text.text, timeout=10_000)
