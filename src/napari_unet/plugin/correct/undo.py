"""Ctrl+Z takes back the last thing a person did to a result, on whichever of its layers it was.

napari keeps a history for each layer. Here is only in which order a person acted on the layers of
a result; what an action was stays with napari.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app_model.types import KeyCode, KeyMod
from napari import Viewer
from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding

from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.line_tool import ignoring_argument
from napari_unet.plugin.result.correcting import Correcting

UNDO = KeyMod.CtrlCmd | KeyCode.KeyZ
REDO = KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ
TAKEN_BACK = "The last thing you did is taken back; Ctrl+Shift+Z does it again."
DONE_AGAIN = "Done again; Ctrl+Z takes it back."
NOTHING = "There is nothing to take back."
NOTHING_AGAIN = "There is nothing to do again."


@dataclass(slots=True, eq=False)
class _Action:
    """What a person did on a layer: an item of its history in napari, known by its first edit."""

    layer: Labels
    edit: Any

    def is_next(self, history: str) -> bool:
        """Whether a history of the layer goes on with this."""
        return self._is_among([*getattr(self.layer, history, ())][-1:])

    def is_in(self, history: str) -> bool:
        """Whether a history of the layer has this."""
        return self._is_among(getattr(self.layer, history, ()))

    def _is_among(self, items: Iterable[Sequence[Any]]) -> bool:
        """Whether this is one of some items; napari turns an item round each time."""
        return any(edit is self.edit for item in items for edit in (item[0], item[-1]))


class Undo:
    """The order of a person's actions on the layers of one result.

    Parameters
    ----------
    correcting : Correcting
        Of the result.
    """

    def __init__(self, correcting: Correcting) -> None:
        self._correcting = correcting
        self._actions: list[_Action] = []
        self._follow(correcting.layer)
        if correcting.marks.shown is not None:
            self._follow(correcting.marks.shown)
        correcting.marks.added.connect(self._follow)

    def leave(self) -> None:
        """Follow the layers no longer."""
        self._correcting.marks.added.disconnect(self._follow, missing_ok=True)
        for layer in self._layers():
            layer.events.paint.disconnect(self._note)

    def back(self) -> bool:
        """Take back the last action; False if there is none."""
        self._correcting.look_now()  # what a stroke of background clears belongs to it
        done = [one for one in self._actions if one.is_next("_undo_history")]
        # of actions before this panel only each layer's own order is known
        others = [one for one in self._layers() if getattr(one, "_undo_history", ())]
        layer = done[-1].layer if done else next(iter(others), None)
        if layer is None:
            return False
        layer.undo()
        self._correcting.look_again()
        return True

    def again(self) -> bool:
        """Do again what was taken back last; False if there is nothing."""
        self._correcting.look_now()
        undone = [one for one in self._actions if one.is_next("_redo_history")]
        if not undone:
            return False
        undone[0].layer.redo()
        self._correcting.look_again()
        return True

    def _layers(self) -> list[Labels]:
        marks = self._correcting.marks.shown
        return [self._correcting.layer, *([] if marks is None else [marks])]

    def _follow(self, layer: Labels) -> None:
        layer.events.paint.connect(self._note)

    def _note(self, event: Any) -> None:
        """Note an action; what was taken back before it cannot be done again."""
        done = [one for one in self._actions if one.is_in("_undo_history")]
        self._actions = [*done, _Action(event.source, event.value[0])]


@dataclass(eq=False)
class UndoKeys:
    """Ctrl+Z and Ctrl+Shift+Z, whichever layer is active.

    A labels layer that is a person's own keeps napari's keys.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the keys are pressed.
    current : callable
        Returns what is corrected, None if there is nothing.
    say : callable
        Shows a sentence.
    """

    viewer: Viewer
    current: Callable[[], Correcting | None]
    say: Callable[[str], None]
    _undos: dict[Correcting, Undo] = field(default_factory=dict, init=False)

    def bind(self) -> None:
        """Bind the keys to the viewer, unless they are used there, and to layers of ours."""
        used = [c.class_keymap for c in type(self.viewer).__mro__ if hasattr(c, "class_keymap")]
        for key in (UNDO, REDO):
            if not any(coerce_keybinding(key) in keys for keys in [*used, self.viewer.keymap]):
                self.viewer.bind_key(key, self._action(key))
        self.viewer.layers.events.inserted.connect(self._on_inserted)

    def unbind(self) -> None:
        """Give the keys back."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        for correcting in [*self._undos]:
            self.leave(correcting)
        for layer in filter(_is_ours, self.viewer.layers):
            self._free(layer)
        self._free(self.viewer)

    def follow(self, correcting: Correcting) -> None:
        """Note what is done to a result from now on."""
        self._undos[correcting] = Undo(correcting)
        for key in (UNDO, REDO):
            correcting.layer.bind_key(key, self._action(key, correcting), overwrite=True)

    def leave(self, correcting: Correcting) -> None:
        """Do nothing for a result any more."""
        undo = self._undos.pop(correcting, None)
        if undo is not None:
            undo.leave()
            self._free(correcting.layer)

    def _on_inserted(self, event: Any) -> None:
        if _is_ours(event.value):
            for key in (UNDO, REDO):
                event.value.bind_key(key, self._action(key), overwrite=True)

    def _free(self, owner: Any) -> None:
        for key in (UNDO, REDO):
            owner.bind_key(key, None)

    def _action(self, key: int, correcting: Correcting | None = None) -> Callable[[Any], None]:
        return ignoring_argument(partial(self._press, key, correcting))

    def _press(self, key: int, correcting: Correcting | None) -> None:
        chosen = self.current() if correcting is None else correcting
        undo = None if chosen is None else self._undos.get(chosen)
        done = undo is not None and (undo.back() if key == UNDO else undo.again())
        # said in any case: what was said of the action is not true any more
        if key == UNDO:
            self.say(TAKEN_BACK if done else NOTHING)
        else:
            self.say(DONE_AGAIN if done else NOTHING_AGAIN)


def _is_ours(layer: Any) -> bool:
    """Whether a labels layer accompanies a result: marks, or what counts as corrected."""
    return isinstance(layer, Labels) and layers.is_beside(layer)
