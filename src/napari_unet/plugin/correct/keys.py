"""One-key corrections of the chosen image's result, whichever layer is the active one.

Edits go through the result's layer, so that its history has them. Of napari's own keys only *M*
is changed, on the layers of results: it takes the brush as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels
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
from napari_unet.labels.painted import MARK_CONFIRMED, MARK_NONE, painted_ids
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.layers.line_tool import LineTool, Stroke, ignoring_argument
from napari_unet.plugin.result.correcting import Correcting

DELETE, MERGE, SPLIT, CONFIRM, BRUSH = "D", "J", "S", "C", "G"
NEXT, PREVIOUS, WHERE, HELP, NEW = "N", "Shift-N", "W", "?", "M"
KEYS = {
    DELETE: "delete the object under the cursor",
    MERGE: "join objects: press, then draw a line across them",
    SPLIT: "split an object: press, then draw a line through it",
    CONFIRM: "confirm the object under the cursor, or undo that",
    BRUSH: "background brush; again: paint objects",
    NEXT: "next object",
    PREVIOUS: "previous object",
    WHERE: "where the model is least sure; again: the next region",
    HELP: "show or fold this list",
}
NAPARIS_KEYS = {
    NEW: "new object: take the brush, with a new number",
    "Ctrl+Z": "take back what you did last, on whichever layer",
    "Ctrl+Shift+Z": "do it again",
}
OF_CLASSES = (BRUSH, HELP)  # a class is no object to delete, join or split
FLAT = (
    "This key acts on planes of rows and columns. Switch to the 2-D view, roll the axes back so "
    "that Y and X are shown, and press again."
)
NOTHING = "There are no objects yet that could be corrected. Press Segment first."
CLASSES = "The key {} is for objects, and classes are painted now. Choose the layer of objects."
CLICK = "Click the object to {}."


@dataclass(eq=False)
class Keys:
    """What the keys and their buttons do to the chosen image's result.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the cursor and the camera are.
    current : callable
        Returns what is corrected, None if there is nothing.
    say : callable
        Shows a sentence.
    jump : callable
        Leads to the next region worth painting.
    explain : callable
        Shows what the keys do, or hides it.
    """

    viewer: Viewer
    current: Callable[[], Correcting | None]
    say: Callable[[str], None]
    jump: Callable[[], None]
    explain: Callable[[], None] = lambda: None
    _armed: LineTool | None = field(default=None, init=False)
    _bound: set[str] = field(default_factory=set, init=False)

    # ---- bound and free ----------------------------------------------------------------------

    def bind(self) -> None:
        """Bind the keys to the viewer, except any that napari or the person uses."""
        for key in KEYS:  # napari takes any key that it does not know for "?", which does no harm
            if not self._is_taken(key):
                self.viewer.bind_key(key, ignoring_argument(partial(self.press, key)))
                self._bound.add(key)
        if coerce_keybinding(NEW) not in self.viewer.keymap:  # a person's labels keep napari's
            self.viewer.bind_key(NEW, ignoring_argument(self._new))
            self._bound.add(NEW)
        self.viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in self.viewer.layers:
            self._take_from_napari(layer)

    def _on_inserted(self, event: Any) -> None:
        self._take_from_napari(event.value)

    def _take_from_napari(self, layer: Any) -> None:
        """Let keys act over an image where napari has another use for them, and *M* on marks."""
        for key, own in _keys_of_napari(layer).items():
            layer.bind_key(key, self._instead_of(own, key), overwrite=True)
        if isinstance(layer, Labels) and layers.is_beside(layer):
            layer.bind_key(NEW, ignoring_argument(self._new), overwrite=True)

    def _instead_of(self, own: Callable[[Any], Any], key: str) -> Callable[[Any], None]:
        """Make what corrects; where there is nothing to correct, it does what napari does."""

        def press(layer: Any) -> None:
            if self.current() is None:
                own(layer)
            else:
                self.press(key)

        return press

    def _new(self) -> None:
        """Take the brush for the chosen image's result."""
        correcting = self.current()
        if correcting is None:
            self.say(NOTHING)
        else:
            self.paint_new(correcting)

    def unbind(self) -> None:
        """Take all of our keys from the viewer; nobody answers any more."""
        self.disarm()
        for key in self._bound:
            self.viewer.bind_key(key, None)
        self._bound.clear()
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self.viewer.layers:
            ours = isinstance(layer, Labels) and layers.is_beside(layer)
            for key in [*_keys_of_napari(layer), *([NEW] if ours else [])]:
                layer.bind_key(key, None)

    def follow(self, correcting: Correcting) -> None:
        """Let *M* take the brush on a result's layer, and give a line up for the brush."""
        layer = correcting.layer
        layer.bind_key(NEW, ignoring_argument(lambda: self.paint_new(correcting)), overwrite=True)
        correcting.marks.brushing.connect(self._on_brush)

    def leave(self, correcting: Correcting) -> None:
        """Do nothing for a result any more."""
        if self._armed is not None and self._armed.layer is correcting.layer:
            self.disarm()
        correcting.layer.bind_key(NEW, None)
        correcting.marks.brushing.disconnect(self._on_brush, missing_ok=True)

    def _is_taken(self, key: str) -> bool:
        binding = coerce_keybinding(key)
        classes = [*Labels.__mro__, *type(self.viewer).__mro__]
        keymaps = [c.class_keymap for c in classes if hasattr(c, "class_keymap")]
        return any(binding in keymap for keymap in [*keymaps, self.viewer.keymap])

    def _on_brush(self, _on: bool) -> None:
        self.disarm()

    # ---- what the keys do ------------------------------------------------------------------

    def press(self, key: str, *, button: bool = False) -> None:
        """Do what a key is for, or say why that is not possible.

        Parameters
        ----------
        key : str
            One of `KEYS`.
        button : bool, default False
            Whether its button was pressed: then no object is under the cursor, and a click tells.
        """
        if key == HELP:
            self.explain()
            return
        correcting = self.current()
        if correcting is None:
            self.say(NOTHING)
        elif correcting.tracker.live.assembly.classes and key not in OF_CLASSES:
            self.say(CLASSES.format(key))
        else:
            self._actions(button=button)[key](correcting)

    def _actions(self, *, button: bool) -> dict[str, Callable[[Correcting], None]]:
        return {
            DELETE: self._click_to_delete if button else self._delete,
            CONFIRM: self._click_to_confirm if button else self._confirm,
            MERGE: self._merge,
            SPLIT: self._split,
            BRUSH: self._brush,
            NEXT: lambda correcting: self._go(correcting, 1),
            PREVIOUS: lambda correcting: self._go(correcting, -1),
            WHERE: lambda _: self.jump(),
        }

    def paint_new(self, correcting: Correcting) -> None:
        """Take the brush, with an id that nothing has."""
        self.disarm()
        layer = correcting.layer
        layer.selected_label = correcting.tracker.new_id
        layer.mode = "paint"
        self.viewer.layers.selection.active = layer

    def _delete(self, correcting: Correcting) -> None:
        """Make the object under the cursor background."""
        self._try(correcting, lambda: self._delete_at(correcting, *self._under_cursor(correcting)))

    def _delete_at(
        self, correcting: Correcting, plane: tuple[int, ...], point: tuple[float, float]
    ) -> None:
        edit = delete_object(correcting.shown[plane], point)
        right = edit.pixels & (correcting.marks.array[plane][edit.box.slices] == MARK_CONFIRMED)
        with correcting.layer.block_history():
            self._carry_out(correcting, edit.on(plane))
            if right.any():  # its mark would stay, and look like the object
                correcting.marks.mark(Edit(edit.box, right, MARK_NONE, plane))

    def _click_to_delete(self, correcting: Correcting) -> None:
        def delete(line: Stroke) -> None:
            self._delete_at(correcting, self._plane(correcting), line[-1])

        self._arm(correcting, CLICK.format("delete"), delete)

    def _confirm(self, correcting: Correcting) -> None:
        """Mark the object under the cursor as right, or take that back."""
        self._try(correcting, lambda: correcting.marks.confirm(*self._under_cursor(correcting)))

    def _click_to_confirm(self, correcting: Correcting) -> None:
        def confirm(line: Stroke) -> None:
            correcting.marks.confirm(self._plane(correcting), line[-1])

        self._arm(correcting, CLICK.format("confirm"), confirm)

    def _brush(self, correcting: Correcting) -> None:
        """Change between painting background and painting objects; a line is waited for no more."""
        self.disarm()
        background = correcting.marks.is_layer(self.viewer.layers.selection.active)
        correcting.marks.brush_background(on=not background)

    def _merge(self, correcting: Correcting) -> None:
        """Wait for a line across the objects to join."""

        def join(line: Stroke) -> None:
            plane = self._plane(correcting)
            edit = merge_along(correcting.shown[plane], line).on(plane)
            self._carry_out(correcting, edit)

        self._arm(correcting, "Draw a line across the objects to join.", join)

    def _split(self, correcting: Correcting) -> None:
        """Wait for a line through the object to split.

        Both pieces count as corrected, and one Ctrl+Z takes all of it back.
        """

        def cut(line: Stroke) -> None:
            plane, layer, marks = self._plane(correcting), correcting.layer, correcting.marks
            labels = correcting.shown[plane]
            edit = split_along(labels, line, new_id=correcting.tracker.new_id).on(plane)
            pieces = confirm_pieces(labels, marks.array[plane], edit).on(plane)
            with layer.block_history():
                self._carry_out(correcting, edit)
                marks.mark(pieces)

        self._arm(correcting, "Draw a line through the object to split.", cut)

    def _go(self, correcting: Correcting, step: int) -> None:
        """Select the next object of the plane, or the one before, and show it in the middle."""

        def go() -> None:
            layer, plane = correcting.layer, self._plane(correcting)
            labels = correcting.shown[plane]
            ids = np.setdiff1d(painted_ids(labels), [*correcting.hidden])
            number = next_object(ids, int(layer.selected_label), step)
            box = None if number is None else find_object(labels, number)
            if number is None or box is None:
                self.say("There is no object in this plane.")
                return
            layer.selected_label = number
            y, x = (middle - 0.5 for middle in box.centre)
            layers.look_at(self.viewer, layer, (*plane, y, x))

        self._try(correcting, go)

    # ---- how -------------------------------------------------------------------------------

    def _try(self, correcting: Correcting, action: Callable[[], Any]) -> None:
        """Act, or say why that is not possible."""
        try:
            self._plane(correcting)
            action()
        except UNetError as error:
            self.say(str(error))

    def _carry_out(self, correcting: Correcting, edit: Edit) -> None:
        # at once, not when it is found: the next tile may come before that
        correcting.tracker.live.keep_clear(edit.largest)
        indices = grid_of(correcting.layer).indices(edit.indices)
        correcting.layer.data_setitem(indices, edit.new)

    def _under_cursor(self, correcting: Correcting) -> tuple[tuple[int, ...], tuple[float, float]]:
        point = layers.point_in_plane(correcting.layer, self.viewer.cursor.position)
        return self._plane(correcting), point

    def _plane(self, correcting: Correcting) -> tuple[int, ...]:
        """Return the plane that is shown; `InputError` if what is shown is no plane of the image.

        Objects are those of one plane. In a rolled view little of it is seen, and a key would act
        out of sight.
        """
        displayed, flat = sorted(self.viewer.dims.displayed), self.viewer.dims.ndisplay == 2
        if not flat or displayed != sorted(layers.viewer_axes(self.viewer, correcting.layer)[-2:]):
            raise InputError(FLAT)
        return layers.shown_plane(self.viewer, correcting.layer)

    def _arm(self, correcting: Correcting, text: str, act: Callable[[Stroke], None]) -> None:
        """Wait for a line or a click; the same key or Escape calls it off."""
        waited = self._armed.text if self._armed is not None else ""
        self.disarm()
        if waited == text:
            return

        def finish(line: Stroke) -> None:
            self.disarm()
            self._try(correcting, lambda: act(line))

        def arm() -> None:
            self.say(f"{text} Escape calls it off.")
            self._armed = LineTool(self.viewer, correcting.layer, text, finish, self.disarm)

        self._try(correcting, arm)

    def disarm(self) -> None:
        """Call off the line that is waited for."""
        if self._armed is not None:
            self._armed.put_back()
            self._armed = None
            self.say("")


def _keys_of_napari(layer: Any) -> dict[str, Callable[[Any], Any]]:
    """Return which of our keys napari uses itself while an image is active, and what for."""
    if not isinstance(layer, Image):
        return {}
    bound = {key: type(layer).class_keymap.get(coerce_keybinding(key)) for key in KEYS}
    return {key: action for key, action in bound.items() if action is not None}
