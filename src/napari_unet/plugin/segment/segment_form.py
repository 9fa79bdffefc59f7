"""The panel's form: what can be chosen, what is shown of it, and what is asked for in the end."""

import weakref
from typing import Any

from magicgui.widgets import ComboBox, Container, LineEdit, ProgressBar, PushButton
from napari import Viewer
from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QWidget

from napari_unet.errors import UNetError
from napari_unet.execution.class_map_cache import ClassMapCache
from napari_unet.image import Image
from napari_unet.models.library import load_card, model_files
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.rectangles import selected_box
from napari_unet.plugin.widgets.fold import Fold
from napari_unet.plugin.widgets.scrolling import Scrolling
from napari_unet.plugin.widgets.setting_widgets import field_widget, keep_narrow, side_by_side
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.settings import DecodeSettings, SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

WHOLE, PLANE, VIEW, RECTANGLE = "Whole image", "This plane", "Current view", "Selected rectangle"
AVERAGE = "Average"


class SegmentForm(Container):  # type: ignore[type-arg]
    """Widgets of the panel; knows layers and settings, starts nothing.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose layers are offered.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(labels=True)
        self._viewer = viewer
        self._closed = False
        self._recommended: dict[str, float] = {}  # values of the sliders, by the model's card
        self._described: tuple[int, ...] = ()  # shape the axes and channels are shown for
        # axes and channel that a person gave
        self._given: weakref.WeakKeyDictionary[ImageLayer, tuple[str, str]]
        self._given = weakref.WeakKeyDictionary()
        self._build()
        viewer.layers.selection.events.active.connect(self._follow)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.refresh)
        self.image.changed.connect(self._describe)
        self.axes.changed.connect(self._describe_channels)
        self.axes.changed.connect(self._note_given)
        self.channel.changed.connect(self._note_given)
        self.model.changed.connect(self._recommend)
        self._recommend()

    def _build(self) -> None:
        self.image = ComboBox(label="Image", choices=self._image_layers, nullable=True)
        self.model = ComboBox(label="Model", choices=lambda _: list(model_files()))
        self.axes = LineEdit(
            label="Axes", tooltip="One letter for each dimension, such as ZYX; C = channels"
        )
        self.channel = ComboBox(label="Channel", choices=self._channels)
        self.diameter = field_widget(
            SegmentSettings, "diameter", "FloatSpinBox", value=0.0, min=0.0, step=1.0
        )
        self.diameter.native.setSpecialValueText("automatic")
        self.where = ComboBox(label="Where", choices=[WHOLE, PLANE, VIEW, RECTANGLE])
        self.segment = PushButton(text="Segment")
        self.save = PushButton(text="Save labels…", enabled=False)
        self.progress = ProgressBar(visible=False)
        sliders = [
            field_widget(
                DecodeSettings, name, "FloatSlider", value=value, step=step, tracking=False
            )
            for name, value, step in (("sensitivity", 0.5, 0.01), ("separation", 0.5, 0.01))
        ]
        smallest = field_widget(DecodeSettings, "minimum_diameter", "FloatSpinBox", step=1.0)
        self.sliders = [*sliders, smallest]
        self._lay_out()

    def _lay_out(self) -> None:
        """Keep what is always needed at the top and the bottom; the rest scrolls in between."""
        self.extend([self.image, self.model])
        asked = [self.axes, self.channel, self.diameter, self.where, *self.sliders]
        options: Container[Any] = Container(labels=True)
        options.extend(asked)
        options.margins = (0, 0, 0, 0)
        self._scrolling = Scrolling()
        self._scrolling.add(options.native)
        self._sentence = Wrapped(fewest=2, most=4)
        layout = self.native.layout()
        layout.addLayout(side_by_side(self.segment, self.save))
        layout.addWidget(self._scrolling, 1)
        layout.addWidget(self.progress.native)
        layout.addWidget(self._sentence)
        for combo in (self.image, self.model, self.channel, self.where):
            keep_narrow(combo)

    def add_section(self, title: str, section: Any) -> Fold:
        """Show a part of the panel below those there are."""
        fold = Fold(title, section.native, main=True)
        self._scrolling.add(fold)
        return fold

    def add_question(self, question: Any) -> None:
        """Show something that a person has to decide about where it cannot be overlooked."""
        layout = self.native.layout()
        layout.insertWidget(layout.indexOf(self._scrolling), question.native)

    def reveal(self, widget: QWidget) -> None:
        """Unfold and scroll to something new, unless the person is at something else."""
        self._scrolling.reveal(widget)

    def _image_layers(self, _widget: Any = None) -> list[ImageLayer]:
        images = (layer for layer in self._viewer.layers if isinstance(layer, ImageLayer))
        return [layer for layer in images if not layers.is_beside(layer)]

    @property
    def closed(self) -> bool:
        """Whether the panel is closed, and its widgets may be gone."""
        return self._closed

    def refresh(self, *_: Any) -> None:
        """Offer the image layers there are now."""
        if self._closed:
            return
        chosen = self.image.value
        self.image.reset_choices()
        available = self._image_layers()
        if chosen not in available:
            self.image.value = available[-1] if available else None
        self._describe()

    def _follow(self, *_: Any) -> None:
        active = self._viewer.layers.selection.active
        if not self._closed and isinstance(active, ImageLayer) and active in self._image_layers():
            self.image.value = active

    def _describe(self, *_: Any) -> None:
        """Show what the image needs to be asked: axes and channels only where there are any."""
        layer = self.image.value
        if layer is None:
            self.axes.visible = self.channel.visible = False
            self._offer_afterwards(there=False)
            return
        if self._described != tuple(layers.finest(layer).shape):
            self.diameter.native.setSpecialValueText("automatic")
        self._described = tuple(layers.finest(layer).shape)
        with self.axes.changed.blocked():
            self.axes.value = self.axes_of(layer)
        self.axes.visible = len(self.axes.value) > 2 and not (layer.rgb and layer.ndim == 2)
        self._describe_channels()
        channel = self.channel_of(layer)
        with self.channel.changed.blocked():
            self.channel.value = channel if channel in self.channel.choices else AVERAGE
        self._offer_afterwards(self.has_result(layer))

    def axes_of(self, layer: ImageLayer) -> str:
        """Return the axes that were given if they fit, else a guess to begin with."""
        guess = layers.guess_layer_axes(layer)
        axes, _ = self._given.get(layer, (guess, AVERAGE))
        return axes if len(axes) == len(guess) else guess

    def channel_of(self, layer: ImageLayer) -> str:
        """Return the channel that was given for a layer."""
        return self._given[layer][1] if layer in self._given else AVERAGE

    def _note_given(self, *_: Any) -> None:
        if self.image.value is not None:
            self._given[self.image.value] = self.axes.value, self.channel.value or AVERAGE

    def has_result(self, layer: ImageLayer) -> bool:
        """Whether there is a result of the layer that sliders and Save act on."""
        return False

    def _offer_afterwards(self, there: bool) -> None:
        """Show sliders and Save only where there is a result they act on."""
        self.save.enabled = there
        for slider in self.sliders:
            slider.visible = there

    def _describe_channels(self, *_: Any) -> None:
        with self.channel.changed.blocked():
            self.channel.reset_choices()
        self.channel.visible = len(self._channels()) > 2

    def _channels(self, _widget: Any = None) -> list[str]:
        layer, axes = self.image.value, self.axes.value.upper()
        shape = layers.finest(layer).shape if layer is not None else ()
        count = shape[axes.index("C")] if "C" in axes and len(axes) == len(shape) else 1
        return [AVERAGE, *(str(i) for i in range(count))]

    @property
    def sentence(self) -> str:
        """What the panel says at the moment."""
        return self._sentence.text

    def say(self, text: str) -> None:
        """Show one sentence."""
        self._sentence.say(text)

    def _recommend(self, *_: Any) -> None:
        """Set the sliders to what the model's card recommends; nothing is decoded again."""
        if not self.model.value:
            return
        try:
            self._set_sliders(load_card(self.model.value).decode)
        except UNetError as error:
            self.say(str(error))

    def _set_sliders(self, recommended: DecodeSettings) -> None:
        for slider in self.sliders:
            with slider.changed.blocked():
                slider.value = getattr(recommended, slider.name)
        self._recommended = self._slider_values()

    def _slider_values(self) -> dict[str, float]:
        return {slider.name: slider.value for slider in self.sliders}

    def show_found(self, plan: SegmentPlan) -> None:
        """Show the diameter that was found, and what is therefore too small to be an object."""
        self.diameter.native.setSpecialValueText(f"automatic ({plan.diameter:.0f})")
        if self._slider_values() == self._recommended and plan.card.kind == "instances":
            given = self.diameter.value or None
            self._set_sliders(plan.card.decode_for(plan.found or given))

    def settings(self) -> SegmentSettings:
        """Return what the panel is set to."""
        values = self._slider_values()
        untouched = values == self._recommended  # then the model may fit them to the image
        return SegmentSettings(
            model=self.model.value,
            diameter=self.diameter.value or None,
            decode=None if untouched else DecodeSettings(**values),
        )

    def opened(self, layer: ImageLayer) -> Image:
        """Describe the layer with the axes and the channel chosen."""
        if tuple(layers.finest(layer).shape) != self._described:
            self._describe()  # the layer's array was replaced
        channel = None if self.channel.value in (None, AVERAGE) else int(self.channel.value)
        return layers.image_of(layer, self.axes.value.upper(), channel)

    def describe(self, layer: ImageLayer, *, quietly: bool = False) -> Image | None:
        """Describe a layer as `opened` does; None, and a sentence, if that is not possible."""
        try:
            return self.opened(layer)
        except UNetError as error:
            if not quietly:
                self.say(str(error))
            return None

    def part(self, layer: ImageLayer, image: Image, cache: ClassMapCache | None) -> Where:
        """Return the part of the image chosen, beginning where the person looks."""
        plane = (layers.current_plane(self._viewer, layer, image),)
        view = layers.visible_box(self._viewer, layer, image)
        wanted, region = self.where.value, None
        if wanted == VIEW and view.size:
            region = view
        elif wanted == RECTANGLE:
            region = selected_box(self._viewer, layer, image)
        return Where(
            region=region,
            planes=None if wanted == WHOLE else plane,
            centre=view.centre if view.size else None,
            cache=cache,
        )
