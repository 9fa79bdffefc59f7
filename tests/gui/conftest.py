"""A real napari window with the panel docked, clicked with a real mouse."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from flow import PANEL, PLUGIN, SHAPE, Network
from mouse import Mouse
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_unet.plugin.segment_panel import SegmentPanel
from napari_unet.settings import APPLICATION

PATIENCE = 60_000  # milliseconds; a run takes seconds, a busy machine longer
LEFT = Qt.MouseButton.LeftButton


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models and journals of one test only, in its processes too."""
    folder = tmp_path / "data" / APPLICATION  # where platformdirs has it in a child process
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return folder


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """No thread of ours and no child process outlives the viewer."""
    before, threads = children(), set(threading.enumerate())
    yield
    for pid in children() - before:
        psutil.Process(pid).wait(5)
    left = (
        set(threading.enumerate()) - threads
    )  # not what tests before this one left in the process
    ours = [thread.name for thread in left if thread.name.startswith("napari-unet")]
    assert children() - before == set()
    assert ours == []


@pytest.fixture
def viewer(no_leaks, make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def hidden_viewer(no_leaks, make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def image(viewer):
    """Noise, for tests in which no network looks at it."""
    noise = np.random.default_rng(0).integers(0, 4000, SHAPE, np.uint16)
    return viewer.add_image(noise, name="cells")


@pytest.fixture
def panel(viewer, qtbot) -> Iterator[SegmentPanel]:
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    qtbot.waitUntil(panel.segment.segment.native.isVisible, timeout=PATIENCE)
    yield panel
    panel.close_down()


@pytest.fixture
def network(monkeypatch) -> Network:
    """Stands for the engine; a test that uses it asks for it before the panel."""
    return Network(monkeypatch)


@pytest.fixture
def painted(network, panel, image, click, idle):
    """Segmented, and an object painted where the model saw none."""
    click(panel.segment.segment)
    idle()
    result = panel.session.results.current
    result.layer.data[150:160, 20:40] = 9
    return result


@pytest.fixture
def mouse(viewer, qtbot) -> Mouse:
    return Mouse(viewer, qtbot)


def bring_into_view(native: QWidget) -> None:
    """Scroll to a widget, as a person does who wants to click it."""
    parent = native.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(native)
        parent = parent.parentWidget()


@pytest.fixture
def click(qtbot) -> Callable[[object], None]:
    """Click a magicgui or Qt widget with the left mouse button."""

    def click(widget) -> None:
        native = getattr(widget, "native", widget)
        assert native.isVisible()
        assert native.isEnabled()

        def reached() -> bool:  # Qt may just be laying it out
            bring_into_view(native)
            return bool(native.visibleRegion().contains(native.rect().center()))

        qtbot.waitUntil(reached, timeout=5_000)
        qtbot.mouseClick(native, LEFT, pos=native.rect().center())

    return click


@pytest.fixture
def tick(qtbot) -> Callable[[object], None]:
    """Click into the box of a check box."""

    def tick(widget) -> None:
        native = widget.native
        assert native.isVisible()
        bring_into_view(native)
        qtbot.mouseClick(native, LEFT, pos=QPoint(8, native.height() // 2))

    return tick


@pytest.fixture
def idle_of(qtbot) -> Callable[[SegmentPanel], None]:
    """Wait until no job of a panel runs and no file is being written."""
    return lambda panel: qtbot.waitUntil(lambda: not panel.session.runs.busy, timeout=PATIENCE)


@pytest.fixture
def idle(idle_of, panel) -> Callable[[], None]:
    return lambda: idle_of(panel)
