"""The demonstration: napari on the sample image, the panel docked, the labels drawn."""

import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_unet.errors import UNetError
from napari_unet.plugin.segment_panel import SegmentPanel

PLUGIN = "napari-unet-interactive"
PANEL = "Segment, retrain"
LIMIT = 300.0  # seconds the demonstration may take without a person


def run_demo(output: Path | None) -> None:
    """Open the sample and segment it.

    Parameters
    ----------
    output : Path or None
        Folder to write ``labels.tif`` and ``screenshot.png`` to, leaving afterwards; None = stay
        open for the person.
    """
    viewer = napari.Viewer(title="Interactive U-Net")
    viewer.window.resize(1500, 900)
    viewer.open_sample(PLUGIN, "nuclei")
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    assert isinstance(panel, SegmentPanel), "the manifest names this class"
    panel.session.choose(viewer.layers["nuclei"])
    QApplication.processEvents()  # the dock takes its room before the image is fitted to the rest
    viewer.reset_view()
    panel.segment.start()
    if output is None:
        napari.run()
        return
    try:
        _wait(panel)
        output.mkdir(parents=True, exist_ok=True)
        panel.saving.save_to(output / "labels.tif")
        _wait(panel)
        viewer.window.screenshot(str(output / "screenshot.png"), canvas_only=False, flash=False)
    finally:
        viewer.close()


def _wait(panel: SegmentPanel) -> None:
    """Let Qt work until the panel is idle, and a little longer so that everything is drawn."""
    end, settled = time.monotonic() + LIMIT, 0.0
    while settled < 0.5:
        QApplication.processEvents()
        time.sleep(0.01)
        settled = 0.0 if panel.session.runs.busy else settled + 0.01
        if time.monotonic() > end:
            raise UNetError(f"The demonstration did not end within {LIMIT:.0f} s.")
    if panel.session.runs.problem:
        raise UNetError(panel.session.runs.problem)
