"""The part of the panel that helps to say what is right: brush, boxes, whole layers, keys."""

import weakref
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, PushButton
from napari.layers import Labels, Shapes
from qtpy.QtWidgets import QLabel

from napari_unet.errors import InputError, UNetError
from napari_unet.labels.painted import take_whole
from napari_unet.plugin.correct.keys import KEYS, NAPARIS_KEYS, Keys
from napari_unet.plugin.correct.reopen import CHOOSE, ReopenLabels
from napari_unet.plugin.correct.uncertain_regions import Spots
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.labels_files import METADATA_KEY
from napari_unet.plugin.layers.rectangles import correct_box
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.setting_widgets import keep_narrow
from napari_unet.plugin.widgets.wrapping_text import Wrapped

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

BRUSH, OBJECTS, CLASSES = "Background brush", "Paint objects", "Paint classes"
OTHER, INSTEAD = "Use labels of a file or another layer", "Classes instead of objects"
NOTHING_YET = "Nothing is corrected yet."
BUSY = "Something is still running. Wait for it or cancel it, then press the button again."


class CorrectSection(Container):  # type: ignore[type-arg]
    """Widgets for corrections of the chosen image's result.

    Parameters
    ----------
    host : SegmentPanel
        The panel it is part of.
    """

    def __init__(self, host: "SegmentPanel") -> None:
        super().__init__(labels=False)
        self._host, self._viewer = host, host._viewer
        self._keys: weakref.WeakKeyDictionary[Labels, Keys] = weakref.WeakKeyDictionary()
        self._rectangles: Shapes | None = None
        self._offered: weakref.WeakSet[Labels] = weakref.WeakSet()  # saved labels to go on with
        self.spots, self.going_on = Spots(host), ReopenLabels(host)
        self._build()
        self.brush.clicked.connect(self._press_brush)
        self.all_correct.clicked.connect(self._press_all_correct)
        self.show_corrected.changed.connect(self._press_show)
        self.take.clicked.connect(self._press_take)
        self.go_on.clicked.connect(self._press_go_on)
        self.where.clicked.connect(self.spots.jump)
        self.heat.changed.connect(self.spots.show_heat)
        self._viewer.layers.selection.events.active.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.brush = PushButton(text=BRUSH, tooltip="Paint where there is no object (key G)")
        self.all_correct = PushButton(
            text="All correct", tooltip="Everything inside a rectangle is right, also empty parts"
        )
        self.show_corrected = CheckBox(text="Show what counts as corrected")
        self.where = PushButton(
            text="Where to paint next", tooltip="Go to where the model is least sure (key W)"
        )
        self.heat = CheckBox(text="Show where it is unsure")
        self.counter = Wrapped()
        self.margins = (0, 0, 0, 0)
        self.extend([_row(self.brush, self.all_correct), _row(self.where, self.heat)])
        self.append(self.show_corrected)
        self.other_labels = Fold(OTHER, self._build_other_labels().native)
        self.other_classes = Fold(INSTEAD, self._host.classes.native)
        self.keys = Fold("Keys", _list_of_keys())
        for widget in (self.counter, self.other_labels, self.other_classes, self.keys):
            self.native.layout().addWidget(widget)

    def _build_other_labels(self) -> Container[Any]:
        self.labels_layer = ComboBox(
            choices=self._other_labels,
            nullable=True,
            tooltip="A labels layer of the image's shape, such as one that was saved earlier",
        )
        self.take = PushButton(
            text="Take as corrections", tooltip="It is right everywhere, also where it is empty"
        )
        self.go_on = PushButton(
            text="Go on with it",
            tooltip="Work on in this layer: it counts as what the model found, what is painted on "
            "it from now on as corrections; earlier corrections are found again",
        )
        keep_narrow(self.labels_layer)
        return Container(widgets=[self.labels_layer, _row(self.take, self.go_on)], labels=False)

    # ---- what there is ---------------------------------------------------------------------

    def watch(self, result: Result) -> None:
        """Bind the keys to a new result and count its corrections."""
        keys = Keys(self._viewer, result.correcting, self._host.say, self.spots.jump)
        keys.bind()
        self._keys[result.layer] = keys
        result.correcting.changed.connect(self._recount)
        result.correcting.trouble.connect(self._host.say)

    def unbind(self, layer: Labels) -> None:
        """Take the keys from a layer that nobody looks after any more."""
        keys = self._keys.pop(layer, None)
        if keys is not None:
            keys.unbind()

    def refresh(self, *_: Any) -> None:
        """Show what can be done now, and how much is corrected."""
        if self._host.closed:
            return
        result = self._host.current_result()
        there = result is not None
        for widget in (self.brush, self.all_correct, self.show_corrected, self.where, self.heat):
            widget.enabled = there
        with self.show_corrected.changed.blocked():
            self.show_corrected.value = result is not None and result.correcting.overlay.shown
        self.labels_layer.reset_choices()
        self.take.enabled = self.go_on.enabled = bool(self.labels_layer.choices)
        if not there:
            self._offer_saved()
        active = self._viewer.layers.selection.active
        on = result is not None and result.correcting.is_marks(active)
        kind = CLASSES if self._host.classes.on else OBJECTS
        self.brush.text = kind if on else BRUSH
        self._recount()

    def _offer_saved(self) -> None:
        """Choose and show labels that were saved from here, when they have just been opened."""
        for layer in self.labels_layer.choices:
            if layer is not None and METADATA_KEY in layer.metadata and layer not in self._offered:
                self._offered.add(layer)
                self.labels_layer.value = layer
                self._host.reveal(self.other_labels.content())

    def _recount(self) -> None:
        result = self._host.current_result()
        self.counter.say(_count(result) if result is not None else NOTHING_YET)

    def _other_labels(self, _widget: Any = None) -> list[Labels]:
        image = self._host.image.value
        described = self._host.describe(image, quietly=True) if image is not None else None
        ours = {id(result.layer) for result in self._host.results()}
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels)
            and described is not None
            and id(layer) not in ours
            and not layers.is_beside(layer)
            and not layer.multiscale
            and tuple(layer.data.shape) == described.labels_shape
        ]

    # ---- buttons ---------------------------------------------------------------------------

    def _press_brush(self) -> None:
        result = self._host.current_result()
        if result is None:
            return
        active = self._viewer.layers.selection.active
        self.paint_background(on=not result.correcting.is_marks(active))

    def paint_background(self, *, on: bool) -> None:
        """Let the person paint background; with `on` false, objects or classes."""
        result = self._host.current_result()
        if result is None:
            return
        keys = self._keys[result.layer]
        keys.disarm()
        result.correcting.brush_background(on=on)
        if on:
            keys.bind_marks(result.correcting.marks_layer())
        self.refresh()

    def _press_show(self, on: bool) -> None:
        result = self._host.current_result()
        if result is not None:
            result.correcting.overlay.show(on=on)
        self.refresh()  # while the layer was being added it was not there yet

    def _press_all_correct(self) -> None:
        result = self._host.current_result()
        if result is None:
            return
        try:
            box = correct_box(self._viewer, result.layer)
        except InputError as error:
            self._ask_for_rectangle(result)
            self._host.say(str(error))
            return
        plane = layers.shown_plane(self._viewer, result.layer)
        result.correcting.mark_box(plane, box)
        height, width = box.shape
        self._host.say(f"{height} × {width} pixels are marked as right.")
        if self._rectangles is not None and self._rectangles in self._viewer.layers:
            self._viewer.layers.remove(self._rectangles)
        self._rectangles = None
        self._viewer.layers.selection.active = result.layer

    def _ask_for_rectangle(self, result: Result) -> None:
        if self._rectangles is None or self._rectangles not in self._viewer.layers:
            self._rectangles = layers.add_rectangles(self._viewer, result.layer, "all correct")
        self._viewer.layers.selection.active = self._rectangles
        self._rectangles.mode = "add_rectangle"

    def _press_take(self) -> None:
        chosen, image = self.labels_layer.value, self._host.image.value
        if chosen is None or image is None:
            self._host.say(CHOOSE)
            return
        try:
            self._host.take_corrections(image, take_whole(chosen.data))
        except UNetError as error:
            self._host.say(str(error))
        else:
            self._host.say(f"All of {chosen.name} counts as corrected now.")

    def _press_go_on(self) -> None:
        chosen, image = self.labels_layer.value, self._host.image.value
        if chosen is None or image is None:
            self._host.say(CHOOSE)
            return
        if self._host.busy:
            self._host.say(BUSY)
            return
        try:
            self.going_on.begin(image, chosen)
        except UNetError as error:
            self._host.say(str(error))


def _row(*widgets: Any) -> Container[Any]:
    row: Container[Any] = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def _list_of_keys() -> QLabel:
    lines = [f"<b>{key}</b> {text}" for key, text in {**KEYS, **NAPARIS_KEYS}.items()]
    listed = QLabel("<br>".join(lines))
    listed.setWordWrap(True)
    return listed


def _count(result: Result) -> str:
    objects, background = result.correcting.count
    if not objects and not background:
        return NOTHING_YET
    singular, plural = ("class", "classes") if result.classes else ("object", "objects")
    noun = singular if objects == 1 else plural
    done = "painted" if result.classes else "corrected"
    return f"{objects} {noun} and {background} px background {done}"
