"""napari without any plugin ends with a segmentation fault where layers are removed.

    python -m benchmarks.reliability.napari_alone            ends with SIGSEGV (napari 0.9.2, Mesa)
    python -m benchmarks.reliability.napari_alone --guarded  ends in order

`VispyCanvas._clean_and_update_scenegraph` of napari calls `self._scene_canvas.context.finish()`,
which carries out all that vispy has queued. It is called outside of `paintGL`, where Qt has left
another OpenGL context current: that of the window. What is needed in napari is one line before it,
`self._scene_canvas.set_current()`. With --guarded the line is added from outside, as the panel of
this plugin does.
"""

import argparse
import faulthandler

import napari
import numpy as np
from qtpy.QtTest import QTest

from napari_unet.plugin.canvas import draw_in_own_contexts

EMPTY = np.zeros((256, 256), np.uint32)
PATH = np.array([[20, 30], [90, 60], [40, 150], [180, 170]])


def remove_layers(viewer: napari.Viewer) -> None:
    """Add two layers of labels and a path, and remove them one after the other."""
    first = viewer.add_labels(EMPTY.copy())
    QTest.qWait(1)
    first.mode = "paint"
    first.paint((100, 100), 5)
    first.refresh()
    shapes = viewer.add_shapes(ndim=2)
    shapes.data = [(PATH, "path")]
    QTest.qWait(40)
    second = viewer.add_labels(EMPTY.copy())
    QTest.qWait(1)
    viewer.layers.remove(second)
    QTest.qWait(40)
    viewer.layers.remove(shapes)
    first.mode = "polygon"
    QTest.qWait(5)
    viewer.layers.remove(first)
    QTest.qWait(100)


def main() -> None:
    """Open a window, remove layers, and close it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guarded", action="store_true", help="make the right context current")
    guarded = parser.parse_args().guarded
    faulthandler.enable()
    viewer = napari.Viewer()
    if guarded:
        draw_in_own_contexts()
    for _ in range(10 if guarded else 1):
        remove_layers(viewer)
    viewer.close()
    QTest.qWait(100)


if __name__ == "__main__":
    main()
