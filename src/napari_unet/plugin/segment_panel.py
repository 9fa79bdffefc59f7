"""The panel: which image, which model, Segment, sliders, Save. Thin: it decides nothing itself."""

import time
import weakref
from importlib import import_module
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, LineEdit, ProgressBar, PushButton
from napari import Viewer
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel
from superqt.utils import qdebounced

from napari_unet.assembly import LiveLabels
from napari_unet.engine.client import Engine
from napari_unet.errors import UNetError
from napari_unet.image import Image
from napari_unet.inference.cache import ClassMapCache
from napari_unet.inference.run import Event, Notice, Started, TileDone
from napari_unet.models.library import find_model, model_files
from napari_unet.plugin import layers
from napari_unet.plugin.form import field_widget
from napari_unet.plugin.hooks import write_labels
from napari_unet.plugin.jobs import Job, in_background, sentence
from napari_unet.plugin.results import Result
from napari_unet.segmentation import Where, load_model, segment_events
from napari_unet.settings import DecodeSettings, SegmentSettings

WHOLE, PLANE, VIEW, RECTANGLE = "Whole image", "This plane", "Current view", "Selected rectangle"
AVERAGE = "Average"
SLIDER_DELAY = 150  # milliseconds a slider must rest before the objects are made anew


class SegmentPanel(Container):  # type: ignore[type-arg]
    """Dock widget "Segment and retrain".

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer it is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(labels=True)
        self._viewer = napari_viewer
        self.engine, self._cache = Engine(), ClassMapCache()
        self._results: weakref.WeakKeyDictionary[ImageLayer, Result] = weakref.WeakKeyDictionary()
        self._job: Job | None = None
        self._begun = 0.0
        self._described: tuple[int, ...] = ()  # shape the axes and channels are shown for
        self._saving = self._closed = False
        self.problem: str | None = None  # what went wrong in the last job or save
        self._build()
        self._connect()
        self.refresh()
        self._warm_up()
        # napari's first labels layer imports pandas; half a second better spent before the click
        in_background(lambda: import_module("pandas"), lambda *_: None)

    # ---- widgets ---------------------------------------------------------------------------

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
        self.progress = ProgressBar(visible=False)
        sliders = [
            field_widget(
                DecodeSettings, name, "FloatSlider", value=value, step=step, tracking=False
            )
            for name, value, step in (("sensitivity", 0.5, 0.01), ("separation", 0.5, 0.01))
        ]
        smallest = field_widget(DecodeSettings, "minimum_diameter", "FloatSpinBox", step=1.0)
        self.sliders = [*sliders, smallest]
        self.save = PushButton(text="Save labels…", enabled=False)
        self.extend([self.image, self.model, self.axes, self.channel, self.diameter, self.where])
        self.extend([self.segment, self.progress, *self.sliders, self.save])
        self._sentence = QLabel()  # one sentence over the whole width, which a person can copy
        self._sentence.setWordWrap(True)
        self._sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = self.native.layout()
        layout.addWidget(self._sentence)
        layout.addStretch()

    def _connect(self) -> None:
        viewer, events = self._viewer, self._viewer.layers.events
        viewer.layers.selection.events.active.connect(self._follow)
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.refresh)
        self.image.changed.connect(self._describe)
        self.axes.changed.connect(self._describe_channels)
        self.model.changed.connect(self._warm_up)
        self.segment.clicked.connect(self._press)
        self.save.clicked.connect(self._ask_and_save)
        decode = qdebounced(self._decode_again, timeout=SLIDER_DELAY)
        for slider in self.sliders:
            slider.changed.connect(lambda _value: decode())
        self.native.destroyed.connect(self.close_down)

    def _image_layers(self, _widget: Any = None) -> list[ImageLayer]:
        return [layer for layer in self._viewer.layers if isinstance(layer, ImageLayer)]

    def refresh(self, *_: Any) -> None:
        """Offer the image layers there are now."""
        chosen = self.image.value
        self.image.reset_choices()
        available = self._image_layers()
        if chosen not in available:
            self.image.value = available[-1] if available else None
        self._describe()

    def _follow(self, *_: Any) -> None:
        active = self._viewer.layers.selection.active
        if isinstance(active, ImageLayer) and active in self._image_layers():
            self.image.value = active

    def _describe(self, *_: Any) -> None:
        """Show what the image needs to be asked: axes and channels only where there are any."""
        layer = self.image.value
        if layer is None:
            self.axes.visible = self.channel.visible = False
            self._offer_afterwards(there=False)
            return
        self.diameter.native.setSpecialValueText("automatic")
        self._described = tuple(layers.finest(layer).shape)
        with self.axes.changed.blocked():
            self.axes.value = layers.guess_layer_axes(layer)
        self.axes.visible = len(self.axes.value) > 2 and not (layer.rgb and layer.ndim == 2)
        self._describe_channels()
        result = self._results.get(layer)
        self._offer_afterwards(result is not None)

    def _offer_afterwards(self, there: bool) -> None:
        """Show sliders and Save only where there is a result they act on."""
        self.save.enabled = there
        for slider in self.sliders:
            slider.visible = there

    def _describe_channels(self, *_: Any) -> None:
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
        return self._sentence.text()

    def say(self, text: str) -> None:
        """Show one sentence."""
        self._sentence.setText(text)

    @property
    def busy(self) -> bool:
        """Whether a job runs or a file is being written."""
        return self._saving or (self._job is not None and self._job.running)

    # ---- what was asked --------------------------------------------------------------------

    def settings(self) -> SegmentSettings:
        """Return what the panel is set to."""
        values = {slider.name: slider.value for slider in self.sliders}
        return SegmentSettings(
            model=self.model.value,
            diameter=self.diameter.value or None,
            decode=DecodeSettings(**values),
        )

    def _opened(self, layer: ImageLayer) -> Image:
        channel = None if self.channel.value in (None, AVERAGE) else int(self.channel.value)
        return layers.image_of(layer, self.axes.value.upper(), channel)

    def _where(self, layer: ImageLayer, image: Image) -> Where:
        plane = (layers.current_plane(self._viewer, layer, image),)
        view = layers.visible_box(layer, image)
        wanted, region = self.where.value, None
        if wanted == VIEW and view.size:
            region = view
        elif wanted == RECTANGLE:
            region = layers.selected_box(self._viewer, layer, image)
        return Where(
            region=region,
            planes=None if wanted == WHOLE else plane,
            centre=view.centre if view.size else None,
            cache=self._cache,
        )

    def _warm_up(self, *_: Any) -> None:
        if self.model.value:
            try:
                self.engine.warm_up(find_model(self.model.value), "auto")
            except (UNetError, OSError) as error:
                self.say(sentence(error))

    # ---- segment ---------------------------------------------------------------------------

    def _press(self) -> None:
        if self._job is not None and self._job.running:
            self.cancel()
            return
        try:
            self.start()
        except UNetError as error:
            self.say(str(error))

    def start(self) -> None:
        """Segment the chosen image; raises `UNetError` if that is not possible."""
        layer = self.image.value
        if layer is None:
            self.say("There is no image. Open one, or take one from File → Open Sample.")
            return
        if self._viewer.dims.ndisplay == 3:
            self.say("Planes are segmented in 2-D. Switch to the 2-D view and press Segment.")
            return
        if tuple(layers.finest(layer).shape) != self._described:
            self._describe()  # the layer's array was replaced
        image, settings = self._opened(layer), self.settings()
        where, model = self._where(layer, image), load_model(settings.model)
        result = self._result(layer, image, classes=model.card.kind == "classes")
        result.image, result.have = image, where.have
        result.begin()
        self._viewer.layers.selection.active = result.layer  # ready to be painted on
        self.say("Looking at the image…")
        events = segment_events(image, model, settings, self.engine, where=where)
        self._run(events, result, settings)

    def _result(self, layer: ImageLayer, image: Image, *, classes: bool) -> Result:
        """Return the image's result if its layer is still there and fits, else a new one."""
        result = self._results.get(layer)
        if result is not None and result.layer in self._viewer.layers and result.fits(image):
            return result
        live = LiveLabels.empty(image.labels_shape, classes=classes)
        labels = layers.add_result(self._viewer, layer, image)
        result = self._results[layer] = Result(labels, live, weakref.ref(layer), image)
        return result

    def _run(self, events: Any, result: Result, settings: SegmentSettings) -> None:
        self._begun, self.problem = time.monotonic(), None
        self.segment.text = "Cancel"
        self.progress.visible, self.progress.value = True, 0
        self._job = Job(
            events,
            lambda event: self._on_event(event, result),
            lambda problem: self._on_end(problem, result, settings),
        )
        self._job.start()

    def cancel(self) -> None:
        """Stop the job; finished tiles stay."""
        if self._job is not None and self._job.running:
            self._job.cancel()
            self.engine.cancel()

    def _on_event(self, event: Event, result: Result) -> None:
        match event:
            case Started():
                result.started(event)
                automatic = f"automatic ({event.plan.diameter:.0f})"
                self.diameter.native.setSpecialValueText(automatic)
            case TileDone():
                if self._gone(result):
                    return
                result.place(event)
                self.progress.max, self.progress.value = event.total, event.done
                self.say(_progress(event, time.monotonic() - self._begun))
            case Notice(text=text):
                self._viewer.status = text
                self.say(text)

    def _gone(self, result: Result) -> bool:
        """Stop if the image or the result is no longer what the job began with."""
        source = result.source()
        if source is None or source not in self._viewer.layers:
            reason = "The image was removed; what is finished stays in its labels layer."
        elif layers.finest(source) is not result.image.data:
            reason = "The image was replaced; press Segment for the new one."
        elif result.layer not in self._viewer.layers:
            reason = "The labels layer was removed, so the job was stopped."
        else:
            return False
        self.cancel()
        self.problem = reason
        return True

    def _on_end(self, problem: str | None, result: Result, settings: SegmentSettings) -> None:
        if self._closed:
            return  # the widgets are gone
        cancelled = self._job is not None and self._job.cancelled
        self.segment.text, self.progress.visible = "Segment", False
        result.finish(settings)
        self._describe()
        self.problem = problem or self.problem
        if self.problem:
            self.say(self.problem)
        elif cancelled:
            self.say("Cancelled. What is finished stays.")
        else:
            self.say(_summary(result))

    def close_down(self, *_: Any) -> None:
        """Stop everything this panel started; what is on the layers stays."""
        self._closed = True
        self.cancel()
        self.engine.close()
        self._cache.close()

    # ---- afterwards ------------------------------------------------------------------------

    def _decode_again(self) -> None:
        layer = self.image.value
        result = self._results.get(layer) if layer is not None else None
        if result is None or result.plan is None:
            return
        if self._job is not None and self._job.running:
            self._job.cancel()
        settings = self.settings()
        result.begin()
        view = layers.visible_box(layer, result.image)
        near = [key for key in result.plan.blocks(view.centre) if result.in_view(key, view)]
        self._run(result.decode_again(settings, self.engine, view.centre, near), result, settings)

    def _ask_and_save(self) -> None:
        result = self._results.get(self.image.value)
        if result is None:
            return
        suggestion = f"{result.image.name}_labels.ome.tif"
        chosen, _ = QFileDialog.getSaveFileName(
            self.native, "Save labels", suggestion, "Labels (*.ome.tif *.tif)"
        )
        if chosen:
            self.save_to(Path(chosen))

    def save_to(self, path: Path) -> None:
        """Write the labels, in the background, from a copy taken now."""
        result = self._results[self.image.value]
        data, meta = result.layer.data.copy(), layers.attributes(result.layer)
        if not path.suffix:
            path = path.with_name(path.name + ".ome.tif")
        self.say(f"Saving {path.name}…")
        self._saving, self.problem = True, None

        def saved(_files: Any, problem: str | None) -> None:
            self._saving, self.problem = False, problem
            self.say(problem or f"Saved {path}.")

        in_background(lambda: write_labels(str(path), data, meta), saved)


def _progress(event: TileDone, seconds: float) -> str:
    left = seconds / event.done * (event.total - event.done)
    return f"Tile {event.done} of {event.total}, about {left:.0f} s left"


def _summary(result: Result) -> str:
    if result.plan is None:
        return ""
    if result.plan.card.kind == "classes":
        return "Done."
    text = f"{result.count} objects, about {result.plan.diameter:.0f} px in diameter."
    if not result.whole:
        text += (
            " The image is larger than what is kept for the sliders: they act on the current view; "
            "press Segment to apply them everywhere."
        )
    return text
