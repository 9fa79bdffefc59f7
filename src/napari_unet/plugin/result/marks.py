"""The marks beside a result: strokes of background, and objects that are confirmed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.image import Box, Plane
from napari_unet.labels.edits import Edit, confirm, mark_box
from napari_unet.labels.live_labels import index_of
from napari_unet.labels.painted import MARK_BACKGROUND
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of

MOST_ALONE = 2**18  # pixels that are drawn by themselves; of more all that is shown is drawn anew
SAVE_HISTORY = "_save_history"  # napari has no public way to add to a history, or not to
MARK_COLOURS = {None: "transparent", 0: "transparent", 1: "#2f7fff", 2: "#3fe06a"}


class Marks:
    """The marks of one result, their layer, and the way back.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    result : Labels
        The layer that they mark.
    array : ndarray of uint8
        ``(..., Y, X)``, the marks.
    name : str
        Of the image, for the name of the layer.
    """

    added = Signal(object)  # the layer, once it is there
    changed = Signal(object)  # an edit, made by a key or a button
    brushing = Signal(bool)  # the background brush is about to paint, or objects and classes again

    def __init__(self, viewer: Viewer, result: Labels, array: NDArray[np.uint8], name: str) -> None:
        self.array = array
        self._viewer, self._result, self._name = viewer, result, name
        self._layer: Labels | None = None
        self._placed: Any = None  # the marks, with the axes of the layer
        self._undoable: list[_Marked] = []

    def is_layer(self, layer: Any) -> bool:
        """Whether a layer is that of the marks."""
        # equal, not the same: what a docked panel is given is a proxy of the viewer
        return layer is not None and bool(layer == self._layer)

    @property
    def shown(self) -> Labels | None:
        """The layer, if it was ever needed."""
        return self._layer

    def layer(self) -> Labels:
        """Return the layer of the marks, added now if there is none."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            layer = self._layer = layers.add_beside(
                self._viewer, self._result, self.array, f"{self._name} marks", MARK_COLOURS
            )
            self._placed = layer.data
            layer.opacity = 0.4
            self.added.emit(layer)
        return layer

    def brush_background(self, *, on: bool = True) -> None:
        """Let the person paint background; with `on` false, objects again."""
        self.brushing.emit(on)
        active = self._result
        if on:
            active = self.layer()
            active.visible = True
            active.brush_size, active.selected_label = self._result.brush_size, MARK_BACKGROUND
        active.mode = "paint"
        self._viewer.layers.selection.active = active

    def confirm(self, plane: Plane, point: tuple[float, float]) -> None:
        """Mark the object under a point as right, or take that back; `InputError` without one."""
        shown = grid_of(self._result).labels(self._result.data)[plane]
        self.mark(confirm(shown, self.array[plane], point).on(plane))

    def mark_box(self, plane: Plane, box: Box) -> None:
        """Mark all of a box as right as it is shown."""
        self.mark(mark_box(self.array[plane], box).on(plane))

    def mark(self, edit: Edit) -> None:
        """Change marks so that the result's history takes it back."""
        window = self.array[index_of(edit.plane, edit.box)]
        marked = _Marked(edit, window.copy(), self._result.ndim)
        carry_out(edit, self.layer(), self.array)
        save = getattr(self._result, SAVE_HISTORY, None)
        if save is not None:
            save(marked.entry)
            self._undoable.append(marked)
        self.changed.emit(edit)

    def follow_history(self) -> None:
        """Take marks back, or make them again, where the result's history went."""
        if not self._undoable:
            return
        done, undone = (
            {id(atom) for item in getattr(self._result, name, ()) for atom in item}
            for name in ("_undo_history", "_redo_history")
        )
        for marked in self._undoable:
            if marked.done != (id(marked.entry) in done) and id(marked.entry) in done | undone:
                edit = marked.turn(self.array)
                carry_out(edit, self._layer, self.array)
                self.changed.emit(edit)
        self._undoable = [m for m in self._undoable if id(m.entry) in done | undone]

    def take_replaced(self) -> None:
        """Take over what is in an array that someone put into the layer, and show ours again."""
        layer = self._layer
        if layer is None or layer.data is self._placed or not layers.same_grid(layer, self._result):
            return
        np.copyto(self.array, grid_of(layer).labels(layer.data), casting="unsafe")
        layer.data = self._placed


@dataclass(slots=True, eq=False)
class _Marked:
    """An edit of the marks, and the empty edit of the result that stands for it in its history."""

    edit: Edit
    before: NDArray[np.uint8]
    ndim: int  # of the result's layer
    done: bool = True
    entry: Any = None

    def __post_init__(self) -> None:
        nothing = np.zeros(0, np.intp)
        self.entry = ((nothing,) * self.ndim, np.zeros(0, np.uint32), 0)

    def turn(self, marks: NDArray[np.uint8]) -> Edit:
        """Take it back, or make it again; what a person marked there since stays."""
        edit, self.done = self.edit, not self.done
        old, new = (self.before, edit.values) if self.done else (edit.values, self.before)
        pixels = edit.pixels & (marks[index_of(edit.plane, edit.box)] == old)
        return Edit(edit.box, pixels, np.where(pixels, new, 0).astype(np.uint32), edit.plane)


def carry_out(edit: Edit, layer: Labels | None, array: NDArray[Any]) -> None:
    """Write an edit that is not a person's own action: no history has it."""
    count = int(np.count_nonzero(edit.pixels))
    if not count:
        return
    if layer is not None and count <= MOST_ALONE:
        with _unrecorded(layer):
            layer.data_setitem(grid_of(layer).indices(edit.indices), edit.new)
        return
    window = array[index_of(edit.plane, edit.box)]
    np.copyto(window, edit.values, where=edit.pixels, casting="unsafe")
    if layer is not None:
        layer.refresh()


@contextmanager
def _unrecorded(layer: Labels) -> Iterator[None]:
    """Keep what is written meanwhile out of a layer's history; it would void what can be redone."""
    vars(layer)[SAVE_HISTORY] = lambda _edit: None
    try:
        yield
    finally:
        del vars(layer)[SAVE_HISTORY]
