"""What can be chosen: image, model, axes, channel, diameter, region and thresholds."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, Label, LineEdit
from napari.layers import Image as ImageLayer

from napari_unet.errors import UNetError
from napari_unet.io.images import FileFacts
from napari_unet.io.units import approximate_length
from napari_unet.models.library import load_card, model_files
from napari_unet.plugin.layers import layers
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import PLANE, RECTANGLE, VIEW, WHOLE, Intent, Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.setting_widgets import (
    LayerBox,
    field_widget,
    keep_narrow,
    keep_wrapped,
)
from napari_unet.settings import DecodeSettings, SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

IMAGE = "What is segmented, corrected and measured"
MODEL = "What segments; the panel Models tells what each is for"
WHERE = (WHOLE, PLANE, VIEW, RECTANGLE)
AVERAGE, NO_NUCLEI, AUTOMATIC = "Average", "none", "automatic"
NUCLEI = (
    "Which channel shows stained nuclei. The model looks at it beside the channel of the cells, "
    "and tells touching cells apart by their nuclei. Leave it at none if no nuclei are stained."
)


def _number(shown: str | None) -> int | None:
    """Return the channel that a box shows; None for the average, or none."""
    return None if shown in (None, AVERAGE, NO_NUCLEI) else int(shown)


def _asked(intent: Intent) -> tuple[str, int | None, int | None, str]:
    """What of an intent decides which axes and channels are asked for."""
    return intent.axes, intent.channel, intent.nuclei, intent.model


def described_axes(layer: ImageLayer, axes: str, names: Sequence[str]) -> str:
    """Return what axes make of a layer, such as "60 Z × 2 channels (DNA, actin) × 256 × 256".

    Parameters
    ----------
    layer : Image layer
        What is described.
    axes : str
        One letter for each dimension, as a person typed them.
    names : sequence of str
        Of the channels that are stored; empty = unknown.
    """
    shape, letters = layers.finest(layer).shape, axes.upper()
    if len(letters) != len(shape) or len(set(letters)) < len(letters) or not {*"YX"} <= {*letters}:
        lengths = " × ".join(map(str, shape))
        return f"Give one letter for each dimension of {lengths}, Y and X among them."
    named = f" ({', '.join(names)})" if names else ""
    plain = {"Y": "{}", "X": "{}", "C": f"{{}} channels{named}"}
    sizes = (plain.get(a, f"{{}} {a}").format(n) for a, n in zip(letters, shape, strict=True))
    return " × ".join(sizes)


class SegmentForm:
    """Widgets that show the session's intent, and change it when a person changes them.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._viewer = session, session.viewer
        self._recommended: dict[str, float] = {}  # values of the sliders, by the model's card
        self._found = 0.0  # diameter in pixels, 0 = none was found yet
        self._described: tuple[int, ...] = ()  # shape that the diameter was found for
        self._looked: weakref.WeakSet[ImageLayer] = (
            weakref.WeakSet()
        )  # whose files were looked into
        self._build()
        self._viewer.layers.selection.events.active.connect(self._follow)
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.refresh)
        self.image.changed.connect(session.choose)
        self.model.changed.connect(self._on_model)
        self.axes.changed.connect(self._on_axes)
        for combo in (self.channel, self.nuclei):
            combo.changed.connect(self._give)
        for widget in (self.diameter, self.where, *self.sliders):
            widget.changed.connect(self._intend)
        for size in self._pixels:
            size.changed.connect(self._tell_lengths)
        session.intent_changed.connect(self._show)
        session.results.changed.connect(self._describe)
        session.runs.planned.connect(self._show_found)
        session.runs.activity_changed.connect(self._take_turns)
        self._on_model()

    def _build(self) -> None:
        self.image = LayerBox(
            label="1 Image", choices=self._image_layers, nullable=True, tooltip=IMAGE
        )
        self.model = ComboBox(label="Model", choices=lambda _: list(model_files()), tooltip=MODEL)
        self.axes = LineEdit(
            label="Axes", tooltip="One letter for each dimension, such as ZYX; C = channels"
        )
        self.sizes = Label(label=" ")
        keep_wrapped(self.sizes)
        self.channel = ComboBox(
            label="Channel", choices=self._channel_choices, tooltip="Which one shows the objects"
        )
        self.nuclei = ComboBox(label="Nuclei", choices=self._nuclei_channels, tooltip=NUCLEI)
        self.diameter = field_widget(
            SegmentSettings, "diameter", "FloatSpinBox", value=0.0, min=0.0, step=1.0
        )
        self.diameter.native.setSpecialValueText(AUTOMATIC)
        self.where = ComboBox(label="Where", choices=[*WHERE], tooltip="What Segment does of it")
        sliders = [
            field_widget(
                DecodeSettings, name, "FloatSlider", value=value, step=step, tracking=False
            )
            for name, value, step in (("sensitivity", 0.5, 0.01), ("separation", 0.5, 0.01))
        ]
        smallest = field_widget(DecodeSettings, "minimum_diameter", "FloatSpinBox", step=1.0)
        self.sliders = [*sliders, smallest]
        self.options: Container[Any] = Container(labels=True)
        self.options.extend([self.axes, self.sizes, self.channel, self.nuclei])
        self.options.extend([self.diameter, self.where])
        self.options.extend(self.sliders)
        self._pixels = {one: one.label for one in (self.diameter, smallest)}  # in which they are
        self.options.margins = (0, 0, 0, 0)
        for combo in (self.image, self.model, self.channel, self.nuclei, self.where):
            keep_narrow(combo)

    def _image_layers(self, _widget: Any = None) -> list[ImageLayer]:
        return layers.image_layers(self._viewer)

    # ---- what a person changes -------------------------------------------------------------

    def refresh(self, *_: Any) -> None:
        """Offer the image layers there are now."""
        if self._session.closed:
            return
        chosen = self.image.value
        self.image.reset_choices()
        available = self._image_layers()
        if chosen not in available:
            self.image.value = available[-1] if available else None
        self._session.refresh()

    def _follow(self, *_: Any) -> None:
        """Choose the image that is made active."""
        active = self._viewer.layers.selection.active
        available = isinstance(active, ImageLayer) and active in self._image_layers()
        if available and not self._session.closed:
            self.image.value = active

    def _on_axes(self, *_: Any) -> None:
        self._describe_channels()
        self._give()

    def _give(self, *_: Any) -> None:
        channel, nuclei = _number(self.channel.value), _number(self.nuclei.value)
        self._session.give(self.axes.value, channel, nuclei)

    def _on_model(self, *_: Any) -> None:
        """Set the sliders to what the model's card recommends; nothing is decoded again."""
        if self.model.value:
            try:
                self._set_sliders(load_card(self.model.value).decode)
            except UNetError as error:
                self._session.say(str(error))
        self._intend()

    def _intend(self, *_: Any) -> None:
        values = self._slider_values()
        untouched = values == self._recommended  # then the model may fit them to the image
        self._session.intend(
            model=self.model.value or "",
            diameter=self.diameter.value or None,
            region=self.where.value,
            decode=None if untouched else DecodeSettings(**values),
        )

    # ---- what is shown ---------------------------------------------------------------------

    def _show(self, now: Intent, before: Intent) -> None:
        """Show what others have changed."""
        if now.model != before.model and self.model.value != now.model:
            with self.model.changed.blocked():
                self.model.reset_choices()
                self.model.value = now.model
            self._on_model()
        layer_changed = now.layer is not before.layer
        if layer_changed and self.image.value != now.layer:
            with self.image.changed.blocked():
                self.image.value = now.layer
        if layer_changed or _asked(now) != _asked(before):
            self._describe()

    def _describe(self) -> None:
        """Show what the image needs to be asked: axes and channels only where there are any."""
        intent, layer = self._session.intent, self._session.intent.layer
        self._offer_sliders()
        if layer is None:
            self.axes.visible = self.sizes.visible = False
            self.channel.visible = self.nuclei.visible = False
            return
        shape = tuple(layers.finest(layer).shape)
        if self._described != shape:
            self._found = 0.0
            self.diameter.native.setSpecialValueText(AUTOMATIC)
        self._described = shape
        self._tell_lengths()
        with self.axes.changed.blocked():
            self.axes.value = intent.axes
        self.axes.visible = len(shape) > 2 and not (layer.rgb and layer.ndim == 2)
        self.sizes.visible = self.axes.visible
        self._look_into_file(layer)
        self._describe_channels()
        with self.channel.changed.blocked():
            self.channel.value = AVERAGE if intent.channel is None else str(intent.channel)
        self._offer_nuclei(NO_NUCLEI if intent.nuclei is None else str(intent.nuclei))

    def _describe_channels(self) -> None:
        layer, axes = self._session.intent.layer, self.axes.value
        if layer is not None:
            stored = self._channel_names(layer)[: layers.channel_count(layer, axes)]
            names = stored if any(stored) else ()
            self.sizes.value = described_axes(layer, axes, names)
        with self.channel.changed.blocked():
            self.channel.reset_choices()
        self._offer_nuclei(self.nuclei.value)
        several = len(self._channels()) > 2
        self.channel.visible = several
        self.nuclei.visible = several and self._session.takes_nuclei

    def _channels(self, _widget: Any = None) -> list[str]:
        layer = self._session.intent.layer
        count = len(self._channel_names(layer)) if layer is not None else 1
        return [AVERAGE, *(str(i) for i in range(count))]

    def _channel_choices(self, _widget: Any = None) -> list[tuple[str, str]]:
        return self._named(self._channels())

    def _named(self, channels: list[str]) -> list[tuple[str, str]]:
        """Return numbers of channels with what is shown for them."""
        layer = self._session.intent.layer
        names = self._channel_names(layer) if layer is not None else ()
        named = {str(i): f"{i}: {name}" for i, name in enumerate(names) if name}
        return [(named.get(one, one), one) for one in channels]

    def _channel_names(self, layer: ImageLayer) -> tuple[str, ...]:
        """Return a name for each channel that can be chosen now, empty where it has none."""
        told = layers.facts_of(layer)
        names = told[0].channels if told is not None else ()
        return layers.channel_names(layer, self.axes.value, names)

    def _look_into_file(self, layer: ImageLayer) -> None:
        """Ask the layer's file for axes, sizes and names of channels, in the background."""
        path = Path(layer.source.path or "")
        if layer in self._looked or layer.rgb or not layer.source.path or not path.exists():
            return
        self._looked.add(layer)

        def found(facts: FileFacts | None, _problem: str | None) -> None:
            if facts is None or self._session.closed:  # a file of another kind has none to tell
                return
            layer.metadata = {**layer.metadata, layers.FILE: facts}
            if layer is not self._session.intent.layer or layers.facts_of(layer) is None:
                return
            if not self._session.results.has(layer) and not self._session.runs.segmenting:
                self._session.refresh()  # axes are no guess any more
            self._describe()

        in_background(lambda: FileFacts.of(path), found)

    def _offer_nuclei(self, chosen: str | None) -> None:
        """Offer the channels in their order: a box adds at its end what it did not have."""
        with self.nuclei.changed.blocked():
            self.nuclei.choices = self._named([NO_NUCLEI])
            self.nuclei.reset_choices()
            if chosen in self.nuclei.choices:
                self.nuclei.value = chosen

    def _nuclei_channels(self, _widget: Any = None) -> list[tuple[str, str]]:
        """Offer every channel but the one that is chosen already."""
        _, *numbers = self._channels()
        return self._named([NO_NUCLEI, *(one for one in numbers if one != self.channel.value)])

    def _offer_sliders(self) -> None:
        """Show thresholds of objects where they act: saved labels have no probability maps."""
        results = self._session.results
        there = results.has(results.chosen) and not results.classes
        result = results.current if there else None
        shown = result is not None and result.plan is not None
        for slider in self.sliders:
            slider.visible = shown

    def _take_turns(self) -> None:
        for slider in self.sliders:
            slider.enabled = not self._session.runs.doing(Activity.RETRAINING)

    def _set_sliders(self, recommended: DecodeSettings) -> None:
        for slider in self.sliders:
            with slider.changed.blocked():
                slider.value = getattr(recommended, slider.name)
        self._recommended = self._slider_values()
        self._tell_lengths()

    def _slider_values(self) -> dict[str, float]:
        return {slider.name: slider.value for slider in self.sliders}

    def _show_found(self, plan: SegmentPlan) -> None:
        """Show the diameter that was found, and what is therefore too small to be an object."""
        self._found = plan.found or 0.0
        found = f"{AUTOMATIC} ({plan.diameter:.0f})" if plan.found else AUTOMATIC
        self.diameter.native.setSpecialValueText(found)
        if self._slider_values() == self._recommended and plan.card.finds_objects:
            given = self.diameter.value or None
            self._set_sliders(plan.card.decode_for(plan.found or given))
        self._tell_lengths()

    def _tell_lengths(self, *_: Any) -> None:
        """Show how long the pixels of sizes are, in an image whose pixel size is known."""
        layer = self._session.intent.layer
        image = self._session.describe(layer, quietly=True) if layer is not None else None
        for box, label in self._pixels.items():
            pixels = box.value or (self._found if box is self.diameter else 0.0)
            length = approximate_length(pixels, image) if image is not None else ""
            box.label = f"{label}\n{length}".strip()
