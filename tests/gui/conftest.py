"""A real napari window with the panel docked, clicked with a real mouse."""

import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unet.plugin.segment_panel import SegmentPanel

PLUGIN, PANEL = "napari-unet-interactive", "Segment, paint, retrain"
PATIENCE = 120_000  # milliseconds; a run takes seconds, a busy machine longer


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """No thread of ours and no child process outlives the viewer."""
    before = children()
    yield
    for pid in children() - before:
        psutil.Process(pid).wait(5)
    ours = [t.name for t in threading.enumerate() if t.name.startswith("napari-unet")]
    assert children() - before == set()
    assert ours == []


@pytest.fixture
def viewer(no_leaks, make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def hidden_viewer(no_leaks, make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def panel(viewer) -> Iterator[SegmentPanel]:
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    yield panel
    panel.close_down()


@pytest.fixture
def click(qtbot) -> Callable[[object], None]:
    """Click a magicgui widget with the left mouse button."""

    def click(widget) -> None:
        native = widget.native
        assert native.isVisible()
        assert native.isEnabled()
        middle = QPoint(native.width() // 2, native.height() // 2)
        qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=middle)

    return click


@pytest.fixture
def idle_of(qtbot) -> Callable[[SegmentPanel], None]:
    """Wait until no job of a panel runs and no file is being written."""
    return lambda panel: qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)


@pytest.fixture
def idle(idle_of, panel) -> Callable[[], None]:
    return lambda: idle_of(panel)
