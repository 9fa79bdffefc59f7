"""One-key corrections of a result, bound only while its layer is the active one.

Edits go through the layer, so that Ctrl+Z takes them back. No key is one of napari's own.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from napari import Viewer
from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding

from napari_unet.errors import InputError, UNetError
from napari_unet.labels.edits import (
    Edit,
    confirm_pieces,
    delete_object,
    find_object,
    merge_along,
    next_object,
    split_along,
)
from napari_unet.labels.painted import painted_ids
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.result.correcting import Correcting

DELETE, MERGE, SPLIT, CONFIRM, BRUSH = "D", "J", "S", "C", "G"
NEXT, PREVIOUS, WHERE = "N", "Shift-N", "W"
KEYS = {
    DELETE: "delete the object under the cursor",
    MERGE: "join objects: press, then draw a line across them",
    SPLIT: "split an object: press, then draw a line through it",
    CONFIRM: "confirm the object under the cursor, or undo that",
    BRUSH: "background brush; again: paint objects",
    NEXT: "next object",
    PREVIOUS: "previous object",
    WHERE: "where the model is least sure; again: the next region",
}
NAPARIS_KEYS = {
    "M": "new object: the brush paints with a new number",
    "Ctrl+Z": "undo, on the layer that is selected",
    "Ctrl+Shift+Z": "redo",
}
FLAT = (
    "This key acts on planes of rows and columns. Switch to the 2-D view, roll the axes back so "
    "that Y and X are shown, and press again."
)

Stroke = list[tuple[float, float]]


@dataclass(eq=False)
class Keys:
    """The keys of one result.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the cursor and the camera are.
    correcting : Correcting
        What is corrected.
    say : callable
        Shows a sentence.
    jump : callable
        Leads to the next region worth painting.
    """

    viewer: Viewer
    correcting: Correcting
    say: Callable[[str], None]
    jump: Callable[[], None]
    _armed: "_LineTool | None" = field(default=None, init=False)
    _bound: set[str] = field(default_factory=set, init=False)
    _marks: list[Labels] = field(default_factory=list, init=False)

    def unbind(self) -> None:
        """Take all of our keys from the result's layer and its marks; nobody answers any more."""
        if self._armed is not None:
            self._armed.put_back()
            self._armed = None
        self.correcting.marks.brushing.disconnect(self._on_brush, missing_ok=True)
        for key in self._bound:
            self.layer.bind_key(key, None)
        for marks in self._marks:
            for key in (BRUSH, WHERE):
                marks.bind_key(key, None)

    def bind(self) -> None:
        """Bind the keys to the result's layer, except any that napari or the person uses.

        A class is no object to delete, join or split, so classes only have the background brush.
        """
        actions = {
            DELETE: self.delete,
            MERGE: self.merge,
            SPLIT: self.split,
            CONFIRM: self.confirm,
            BRUSH: self.brush,
            NEXT: lambda: self.go(1),
            PREVIOUS: lambda: self.go(-1),
            WHERE: self.jump,
        }
        if self.correcting.tracker.live.assembly.classes:
            actions = {BRUSH: self.brush}
        for key, action in actions.items():
            if not self._is_taken(key):
                self.layer.bind_key(key, _ignoring_argument(action), overwrite=True)
                self._bound.add(key)
        self.correcting.marks.brushing.connect(self._on_brush)

    def _on_brush(self, on: bool) -> None:
        """Wait for a line no more, and let the keys work while background is painted."""
        self.disarm()
        if on:
            self.bind_marks(self.correcting.marks.layer())

    def bind_marks(self, marks: Labels) -> None:
        """Bind the keys that are of use while the background brush paints."""
        for key, action in ((BRUSH, self.brush), (WHERE, self.jump)):
            if not self._is_taken(key):
                marks.bind_key(key, _ignoring_argument(action), overwrite=True)
        if marks not in self._marks:
            self._marks.append(marks)

    def _is_taken(self, key: str) -> bool:
        binding = coerce_keybinding(key)
        classes = [*type(self.layer).__mro__, *type(self.viewer).__mro__]
        keymaps = [c.class_keymap for c in classes if hasattr(c, "class_keymap")]
        return any(binding in keymap for keymap in [*keymaps, self.viewer.keymap])

    @property
    def layer(self) -> Labels:
        """The result's layer."""
        return self.correcting.layer

    # ---- what the keys do ------------------------------------------------------------------

    def delete(self) -> None:
        """Make the object under the cursor background."""
        self._try(lambda labels, point: delete_object(labels, point))

    def confirm(self) -> None:
        """Mark the object under the cursor as right, or take that back."""
        try:
            self.correcting.marks.confirm(*self._under_cursor())
        except UNetError as error:
            self.say(str(error))
        else:
            self.bind_marks(self.correcting.marks.layer())

    def brush(self) -> None:
        """Change between painting background and painting objects; a line is waited for no more."""
        self.disarm()
        # equal, not the same: what a docked panel is given is a proxy of the viewer
        painting_objects = self.viewer.layers.selection.active == self.layer
        self.correcting.marks.brush_background(on=painting_objects)
        self.bind_marks(self.correcting.marks.layer())

    def merge(self) -> None:
        """Wait for a line across the objects to join."""
        text = "Draw a line across the objects to join."
        self._arm(text, merge_along, self._carry_out)

    def split(self) -> None:
        """Wait for a line through the object to split."""

        def cut(labels: Any, line: Stroke) -> Edit:
            return split_along(labels, line, new_id=self.correcting.tracker.new_id)

        self._arm("Draw a line through the object to split.", cut, self._carry_out_split)

    def go(self, step: int) -> None:
        """Select the next object of the plane, or the one before, and show it in the middle."""
        try:
            plane = self._plane()
        except UNetError as error:
            self.say(str(error))
            return
        labels = self.correcting.shown[plane]
        number = next_object(painted_ids(labels), int(self.layer.selected_label), step)
        box = None if number is None else find_object(labels, number)
        if number is None or box is None:
            self.say("There is no object in this plane.")
            return
        self.layer.selected_label = number
        y, x = (middle - 0.5 for middle in box.centre)
        layers.look_at(self.viewer, self.layer, (*plane, y, x))

    def _try(self, edit: Callable[[Any, tuple[float, float]], Edit]) -> None:
        try:
            plane, point = self._under_cursor()
            self._carry_out(edit(self.correcting.shown[plane], point).on(plane))
        except UNetError as error:
            self.say(str(error))

    def _carry_out(self, edit: Edit) -> None:
        # at once, not when it is found: the next tile may come before that
        self.correcting.tracker.live.keep_clear(edit.largest)
        self.layer.data_setitem(grid_of(self.layer).indices(edit.indices), edit.new)

    def _carry_out_split(self, edit: Edit) -> None:
        """Split; both pieces count as corrected, and one Ctrl+Z takes all of it back."""
        marks = self.correcting.marks.array[edit.plane]
        pieces = confirm_pieces(self.correcting.shown[edit.plane], marks, edit).on(edit.plane)
        self.bind_marks(self.correcting.marks.layer())
        with self.layer.block_history():
            self._carry_out(edit)
            self.correcting.marks.mark(pieces)

    def _under_cursor(self) -> tuple[tuple[int, ...], tuple[float, float]]:
        position = self.viewer.cursor.position
        return self._plane(), layers.point_in_plane(self.layer, position)

    def _plane(self) -> tuple[int, ...]:
        """Return the plane that is shown; `InputError` if what is shown is no plane of the image.

        Objects are those of one plane. In a rolled view little of it is seen, and a key would act
        out of sight.
        """
        displayed = sorted(self.viewer.dims.displayed)
        if displayed != sorted(layers.viewer_axes(self.viewer, self.layer)[-2:]):
            raise InputError(FLAT)
        return layers.shown_plane(self.viewer, self.layer)

    # ---- lines -----------------------------------------------------------------------------

    def _arm(
        self,
        text: str,
        edit: Callable[[Any, Stroke], Edit],
        carry_out: Callable[[Edit], None],
    ) -> None:
        """Wait for a line; the same key or Escape calls it off."""
        waited = self._armed.text if self._armed is not None else ""
        self.disarm()
        if waited == text:
            return
        try:
            self._plane()
        except UNetError as error:
            self.say(str(error))
            return
        self.say(f"{text} Escape calls it off.")

        def finish(line: Stroke) -> None:
            self.disarm()
            self._try_line(edit, carry_out, line)

        self._armed = _LineTool(self.viewer, self.layer, text, finish, self.disarm)

    def disarm(self) -> None:
        """Call off the line that is waited for."""
        if self._armed is not None:
            self._armed.put_back()
            self._armed = None
            self.say("")

    def _try_line(
        self,
        edit: Callable[[Any, Stroke], Edit],
        carry_out: Callable[[Edit], None],
        line: Stroke,
    ) -> None:
        try:
            plane = self._plane()
            carry_out(edit(self.correcting.shown[plane], line).on(plane))
        except UNetError as error:
            self.say(str(error))


class _LineTool:
    """Takes the next drag over a layer as a line instead of letting napari paint or move."""

    def __init__(
        self,
        viewer: Viewer,
        layer: Labels,
        text: str,
        finish: Callable[[Stroke], None],
        call_off: Callable[[], None],
    ) -> None:
        self.text = text
        self._viewer, self._layer, self._finish = viewer, layer, finish
        self._shown = layers.add_line(viewer, layer)
        self._over = False
        self._mode = layer.mode
        layer.mode = "pan_zoom"  # the brush would paint along the line
        layer.mouse_pan = False
        layer.cursor = "cross"
        layer.mouse_drag_callbacks.append(self._drag)
        self._call_off = call_off
        layer.events.mode.connect(self._on_mode)
        # Escape belongs to polygons, which cannot be drawn while a line is waited for.
        layer.bind_key("Escape", _ignoring_argument(call_off), overwrite=True)

    def put_back(self) -> None:
        """Leave the layer as it was."""
        layer, self._over = self._layer, True
        layer.events.mode.disconnect(self._on_mode)
        if self._shown in self._viewer.layers:
            self._viewer.layers.remove(self._shown)
        if self._drag in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._drag)
        layer.bind_key("Escape", None)
        if layer.mode == "pan_zoom":  # another tool has set all this for itself
            layer.mouse_pan = True
            layer.cursor = "standard"
            layer.mode = self._mode

    def _on_mode(self, _event: Any = None) -> None:
        """Give way to another tool: one drag would paint, and cut too."""
        self._call_off()

    def _drag(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        line = [layers.point_in_plane(layer, event.position)]
        plane = layers.shown_plane(self._viewer, layer)
        yield
        while event.type == "mouse_move":
            line.append(layers.point_in_plane(layer, event.position))
            if not self._over:
                layers.show_line(self._shown, layer, plane, line)
            yield
        if not self._over:  # else Escape was pressed on the way
            self._finish(line)


def _ignoring_argument(action: Callable[[], None]) -> Callable[[Any], None]:
    """Make a function such as napari binds, which it gives the layer."""

    def call(_layer: Any) -> None:
        action()

    return call
