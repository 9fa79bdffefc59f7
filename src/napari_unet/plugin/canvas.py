"""The canvas of napari: its own OpenGL context is current where layers are removed."""

from typing import Any

from qtpy.QtWidgets import QApplication


def draw_in_own_contexts() -> None:
    """Let napari finish what is queued for a canvas while the canvas's own context is current.

    When a layer is removed, napari 0.9 carries out what is queued at once. Qt has left the window's
    context current, so buffers and programs change where nothing is drawn. The canvas then draws
    with what it does not have, and the program ends without a word. docs/reliability.md names a
    script that shows it without this plugin.

    It acts on the canvases that are open, and not twice on one.
    """
    for widget in QApplication.allWidgets():
        canvas: Any = getattr(widget, "_vispy_canvas", None)
        if canvas is not None and canvas.context is not None:
            _draw_in_own_context(canvas)


def _draw_in_own_context(canvas: Any) -> None:
    context = canvas.context
    if "finish" in vars(context):  # an earlier panel has seen to it
        return
    finish = context.finish

    def finish_there() -> None:
        canvas.set_current()
        finish()

    context.finish = finish_there
