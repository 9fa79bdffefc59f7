"""The part of the panel that helps to say what is right: brush, boxes, whole layers, keys."""

from functools import partial
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, Container, PushButton
from napari.layers import Shapes
from qtpy.QtWidgets import QLabel, QWidget

from napari_unet.errors import InputError
from napari_unet.labels.live_labels import index_of
from napari_unet.plugin.correct.keys import (
    BRUSH,
    CONFIRM,
    DELETE,
    HELP,
    KEYS,
    MERGE,
    NAPARIS_KEYS,
    NEXT,
    NOTHING,
    SPLIT,
    WHERE,
    Keys,
)
from napari_unet.plugin.correct.other_labels import OtherLabels
from napari_unet.plugin.correct.uncertain_regions import UncertainRegions
from napari_unet.plugin.correct.undo import UndoKeys
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.rectangles import correct_box
from napari_unet.plugin.result.correcting import Correcting
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.setting_widgets import offer, row_of
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.wording import counted, listed

BACKGROUND, OBJECTS, CLASSES = "Background brush", "Paint objects", "Paint classes"
# Buttons of the keys that need no second thought, each with its letter.
BUTTONS = {
    CONFIRM: ("Confirm", "This object is right: click it, or press C above it"),
    DELETE: ("Delete", "There is no object: click it, or press D above it"),
    SPLIT: ("Split", "Draw a line through one object to make two of it"),
    MERGE: ("Join", "Draw a line across objects to make one of them"),
    NEXT: ("Next", "Show the next object in the middle"),
    WHERE: ("Where next", "Go to where the model is least sure"),
}
OTHER, INSTEAD = "Use labels of a file or another layer", "Classes instead of objects"
OF_OBJECTS = "This is for objects, and classes are painted now."
NOTHING_YET = "Nothing is corrected yet."
KEPT = (
    "{} was removed. Its corrections are kept: choose its image and press Restore your corrections."
)
STILL_COUNTS = (
    "What is marked on {} still counts as corrected. To take it back, press Background brush and "
    "erase it with napari's eraser."
)
CAME_BACK = (
    " Objects in it that were filtered out ({}) are right as well now, and shown again. Delete "
    "those that are wrong."
)


class CorrectSection(Container):  # type: ignore[type-arg]
    """Widgets for corrections of the chosen image's result.

    Parameters
    ----------
    session : Session
        What is worked on.
    classes : QWidget
        What is folded under "Classes instead of objects".
    """

    def __init__(self, session: Session, classes: QWidget) -> None:
        super().__init__(labels=False)
        self._session, self._viewer = session, session.viewer
        self._rectangles: Shapes | None = None
        self.uncertain, self.others = UncertainRegions(session), OtherLabels(session)
        self.keys = Keys(
            session.viewer, self._correcting, session.say, self.uncertain.jump, self._explain
        )
        self.undo = UndoKeys(session.viewer, self._correcting, session.say)
        self._build(classes)
        self._connect()
        self.keys.bind()
        self.undo.bind()
        self.refresh()

    def _connect(self) -> None:
        session = self._session
        self.brush.clicked.connect(partial(self.keys.press, BRUSH))
        self.help.clicked.connect(self._explain)
        for key, button in self.buttons.items():
            button.clicked.connect(partial(self.keys.press, key, button=True))
        self.all_correct.clicked.connect(self._press_all_correct)
        self.show_corrected.changed.connect(self._press_show)
        self.heat.changed.connect(self.uncertain.show_heat)
        self._viewer.layers.selection.events.active.connect(self.refresh)
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self.refresh)
        events.removed.connect(self._on_layer_removed)
        session.results.added.connect(self._watch)
        session.results.removed.connect(self._unbind)
        session.results.lost.connect(self._on_lost)
        session.results.changed.connect(self.refresh)
        session.intent_changed.connect(self._on_intent)
        session.closing.connect(self.keys.unbind)
        session.closing.connect(self.undo.unbind)

    def _build(self, classes: QWidget) -> None:
        self.brush = PushButton(text=_with(BACKGROUND, BRUSH), tooltip="Paint where no object is")
        self.all_correct = PushButton(
            text="All correct", tooltip="Everything inside a rectangle is right, also empty parts"
        )
        self.buttons = {
            key: PushButton(text=_with(name, key), tooltip=tip)
            for key, (name, tip) in BUTTONS.items()
        }
        self.help = PushButton(text=HELP, tooltip="Show all keys")
        self.show_corrected = CheckBox(
            text="Show what counts as corrected", tooltip="Outlines of all that you have corrected"
        )
        self.heat = CheckBox(
            text="Show where it is unsure", tooltip="Draw over the image how unsure the model is"
        )
        there = (self.brush, self.all_correct, self.show_corrected, self.heat)
        self._need_result = [(widget, str(widget.tooltip)) for widget in there]
        self._need_objects = [(widget, str(widget.tooltip)) for widget in self.buttons.values()]
        self.counter = Wrapped()
        self.margins = (0, 0, 0, 0)
        edits, steps = [*self.buttons.values()][:4], [*self.buttons.values()][4:]
        self.append(row_of(self.brush, self.all_correct))
        self.extend([row_of(*edits), row_of(*steps, self.help)])
        self.extend([self.heat, self.show_corrected])
        self.other_labels = Fold(OTHER, self.others.native)
        self.other_classes = Fold(INSTEAD, classes)
        self.key_list = Fold("Keys", _list_of_keys())
        for widget in (self.counter, self.other_labels, self.other_classes, self.key_list):
            self.native.layout().addWidget(widget)

    # ---- what there is ---------------------------------------------------------------------

    def _watch(self, result: Result) -> None:
        """Count the corrections of a new result."""
        self.keys.follow(result.correcting)
        self.undo.follow(result.correcting)
        result.correcting.changed.connect(self._recount)
        result.correcting.trouble.connect(self._session.say)
        self.refresh()  # a run may take minutes, and what it finds is corrected meanwhile

    def _unbind(self, result: Result) -> None:
        """Take our keys from a layer that nobody looks after any more."""
        self.keys.leave(result.correcting)
        self.undo.leave(result.correcting)

    def _correcting(self) -> Correcting | None:
        result = self._session.results.current
        return None if result is None else result.correcting

    def _on_lost(self, result: Result) -> None:
        """Say what became of the corrections; what was said of the objects is over anyway."""
        self._session.say(KEPT.format(result.layer.name) if result.correcting.any else "")

    def _on_layer_removed(self, event: Any) -> None:
        """Say that marks are not taken back when only their layer is removed."""
        for result in self._session.results.all():
            if (
                result.correcting.marks.is_layer(event.value)
                and result.correcting.marks.array.any()
            ):
                self._session.say(STILL_COUNTS.format(result.layer.name))

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.layer is not before.layer or now.axes != before.axes:
            self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show what can be done now, and how much is corrected."""
        if self._session.closed:
            return
        results = self._session.results
        result = results.current
        there = result is not None
        missing = "" if there else NOTHING
        for widget, tip in self._need_result:
            offer(widget, tip, missing)
        for widget, tip in self._need_objects:
            offer(widget, tip, missing or (OF_OBJECTS if results.classes else ""))
        with self.show_corrected.changed.blocked():
            self.show_corrected.value = result is not None and result.correcting.overlay.shown
        self.others.refresh(offer=not there)
        active = self._viewer.layers.selection.active
        on = result is not None and result.correcting.marks.is_layer(active)
        kind = CLASSES if results.classes else OBJECTS
        self.brush.text = _with(kind if on else BACKGROUND, BRUSH)
        self._recount()

    def _recount(self) -> None:
        result = self._session.results.current
        self.counter.say(_count(result) if result is not None else NOTHING_YET)

    # ---- buttons ---------------------------------------------------------------------------

    def _explain(self) -> None:
        """Show all keys, or fold them away."""
        if self.key_list.isExpanded():
            self.key_list.collapse(animate=False)
        else:
            self.key_list.expand(animate=False)
            self._session.reveal.emit(self.key_list)

    def _press_show(self, on: bool) -> None:
        result = self._session.results.current
        if result is not None:
            result.correcting.overlay.show(on=on)
        self.refresh()  # while the layer was being added it was not there yet

    def _press_all_correct(self) -> None:
        result = self._session.results.current
        if result is None:
            return
        try:
            box = correct_box(self._viewer, result.layer)
        except InputError as error:
            self._ask_for_rectangle(result)
            self._session.say(str(error))
            return
        plane = layers.shown_plane(self._viewer, result.layer)
        result.correcting.marks.mark_box(plane, box)
        height, width = box.shape
        hidden = result.hidden.intersection(np.unique(result.shown[index_of(plane, box)]).tolist())
        back = CAME_BACK.format(len(hidden)) if hidden else ""
        self._session.say(f"{height} × {width} pixels are marked as right.{back}")
        if self._rectangles is not None and self._rectangles in self._viewer.layers:
            self._viewer.layers.remove(self._rectangles)
        self._rectangles = None
        self._viewer.layers.selection.active = result.layer

    def _ask_for_rectangle(self, result: Result) -> None:
        if self._rectangles is None or self._rectangles not in self._viewer.layers:
            self._rectangles = layers.add_rectangles(self._viewer, result.layer, "all correct")
        self._viewer.layers.selection.active = self._rectangles
        self._rectangles.mode = "add_rectangle"


def _with(name: str, key: str) -> str:
    """Return the text of a button, with the letter of its key."""
    return f"{name} ({key})"


def _list_of_keys() -> QLabel:
    lines = [f"<b>{key}</b> {text}" for key, text in {**KEYS, **NAPARIS_KEYS}.items()]
    listed = QLabel("<br>".join(lines))
    listed.setWordWrap(True)
    return listed


def _count(result: Result) -> str:
    objects, background = result.correcting.count
    if not objects and not background:
        return NOTHING_YET
    one, several = ("class", "classes") if result.classes else ("object", "objects")
    parts = [counted(objects, one, several)] if objects else []
    deleted = result.correcting.deleted
    if deleted:
        parts.append(counted(deleted, f"deleted {one}", f"deleted {several}"))
    if background:
        # what a deleted object leaves is background that nobody painted
        what = "background" if deleted else "background strokes"
        parts.append(f"{what} ({background} px)")
    return f"{listed(parts)} {'painted' if result.classes else 'corrected'}"
