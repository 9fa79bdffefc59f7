"""The panel: which image, which model, Segment, sliders, Save. Thin: it decides nothing itself."""

import time
from typing import Any

from napari import Viewer
from napari.layers import Image as ImageLayer
from superqt.utils import qdebounced

from napari_unet.engine.client import Engine
from napari_unet.errors import UNetError
from napari_unet.execution.class_map_cache import ClassMapCache
from napari_unet.execution.events import Event, Notice, Started, TileDone
from napari_unet.execution.run import BlockDone, BlockEvent, TileWritten
from napari_unet.image import Image
from napari_unet.models.class_names import names_of
from napari_unet.models.library import find_model, load_card, load_model
from napari_unet.planning.planner import Where
from napari_unet.plugin.correct.classes_section import ClassesSection
from napari_unet.plugin.correct.correct_section import CorrectSection
from napari_unet.plugin.correct.restoring import Restoring
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.result.result import Result, progress
from napari_unet.plugin.result.result_panel import NO_IMAGE, ResultPanel
from napari_unet.plugin.result.slide_result import SlideResult
from napari_unet.plugin.retrain.preview import Preview
from napari_unet.plugin.retrain.retrain_section import RetrainSection
from napari_unet.plugin.segment.model_advice import ModelAdvice
from napari_unet.plugin.segment.model_in_use import ModelInUse
from napari_unet.plugin.segment.saving import Saving
from napari_unet.plugin.segment.segment_form import PLANE, WHOLE
from napari_unet.plugin.session.slides import Slides
from napari_unet.plugin.widgets.jobs import Job, import_early, sentence
from napari_unet.plugin.widgets.library_watch import LibraryWatch
from napari_unet.plugin.widgets.undocking import Undocking
from napari_unet.segmentation import segment_events
from napari_unet.settings import SegmentSettings

FLAT = "Planes are segmented in 2-D. Switch to the 2-D view and press Segment."
STALE = (
    "Another model is in use now, but what is shown was found by the one before: planes are "
    "segmented in 2-D. Switch to the 2-D view and press Segment."
)
RETRAINING = "The model is being retrained. Wait for it or stop it, then press Segment."
Shown = Result | Preview | SlideResult
SLIDER_DELAY = 150  # milliseconds a slider must rest before the objects are made anew


class SegmentPanel(ResultPanel):
    """Dock widget "Segment, retrain".

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer it is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        self.classes = ClassesSection(self, napari_viewer)
        self.slides = Slides(self, napari_viewer)
        super().__init__(napari_viewer)
        self.engine, self._cache = Engine(), ClassMapCache()
        self._job: Job | None = None
        self._shown: Shown | None = None  # what the job fills
        self._begun, self._done = 0.0, 0  # when the job began, and its tiles so far
        self.saving = Saving(self)
        self.save_to = self.saving.save_to
        self.problem: str | None = None  # what went wrong in the last job or save
        self.restoring = Restoring(self)
        self.correct = CorrectSection(self)
        self.add_question(self.restoring)
        self.add_question(self.slides)
        self.add_section("Correct", self.correct)
        self.retrain = RetrainSection(self)
        self.add_section("Retrain", self.retrain)
        self._connect()
        self.advice = ModelAdvice(self, self._cache)
        self.refresh()
        self.take_over_what_was_left()
        self._warm_up()
        # napari's first labels layer imports pandas; half a second better spent before the click
        import_early("pandas")

    def _connect(self) -> None:
        self.model.changed.connect(self._warm_up)
        self.segment.clicked.connect(self._press)
        self.save.clicked.connect(self.saving.ask)
        decode = qdebounced(self._decode_again, timeout=SLIDER_DELAY)
        for slider in self.sliders:
            slider.changed.connect(lambda _value: decode())
        self.image.changed.connect(self._look_around)
        self.axes.changed.connect(self._look_around)  # a journal may fit these axes only
        self.retrain.running_changed.connect(self._take_turns)
        self._model_in_use = ModelInUse(self.model, self.say)
        LibraryWatch(self.native).changed.connect(self._model_in_use.library_changed)
        self._viewer.layers.events.inserted.connect(self.correct.refresh)
        self._viewer.layers.events.removed.connect(self.correct.refresh)
        self.native.destroyed.connect(self.close_down)
        self._undocking = Undocking(self.native)
        self._undocking.happened.connect(self.close_down)

    # ---- taking turns -----------------------------------------------------------------------

    def _look_around(self, *_: Any) -> None:
        if not self._closed:
            self.correct.refresh()
            self.restoring.look_for(self.image.value)

    @property
    def busy(self) -> bool:
        """Whether a job runs or a file is being written."""
        segmenting = self._job is not None and self._job.running
        waiting = self.saving.running or self.slides.running
        return waiting or segmenting or self.retrain.running

    def _take_turns(self, retraining: bool) -> None:
        """The engine does one thing at a time."""
        if retraining:
            self._make_way()
        for widget in (self.segment, *self.sliders):
            widget.enabled = not retraining

    def _make_way(self) -> None:
        """Stop what only looks, because the engine has something to do."""
        self.correct.spots.stop()
        self.advice.stop()

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
            self.say(NO_IMAGE)
        elif self._may_begin(FLAT):
            image = self.opened(layer)
            if self.slides.takes(image):
                chosen = self.where.value
                whole = chosen in (WHOLE, PLANE)
                self.slides.start(layer, image, whole=whole, only=chosen == PLANE)
            else:
                self._segment(layer, image, self.part(layer, image, self._cache))

    def _may_begin(self, flat: str) -> bool:
        """Whether a run can begin; if not it is said why, with `flat` in the 3-D view."""
        hindrance = flat if self._viewer.dims.ndisplay == 3 else ""
        hindrance = hindrance or self.slides.hindrance
        if self.retrain.running:
            hindrance = RETRAINING
        if hindrance:
            self.say(hindrance)
        return not hindrance

    def _segment(self, layer: ImageLayer, image: Image, where: Where) -> None:
        settings = self.settings()
        model = load_model(settings.model)
        classes = model.card.kind == "classes"
        self.classes.show_on(on=classes)
        if classes:
            self.classes.adopt_names(names_of(model.card))
        result = self._result(layer, image, classes=classes)
        result.image, result.have = image, where.have
        result.begin()
        self._viewer.layers.selection.active = result.layer  # ready to be painted on
        self.say("Looking at the image…")
        events = segment_events(image, model, settings, self.engine, where=where)
        self.run(events, result, settings)

    def segment_again(self, result: Result) -> None:
        """Segment a result's image anew, with the model chosen now, around the corrections.

        All of it that was segmented before, whatever *Where* says: objects of two models side by
        side would pass for those of the new one. A model of another kind can say nothing about it:
        then only what is painted stays.
        """
        source = result.source()
        if source is None or source not in self._viewer.layers:
            return
        if self._job is not None and self._job.running:
            self._job.cancel()
        self.image.value = source
        try:
            if result.classes != (load_card(self.model.value).kind == "classes"):
                result.forget()
            elif self._may_begin(STALE):
                image = self.opened(source)
                view = layers.visible_box(self._viewer, source, image)
                centre = view.centre if view.size else None
                self._segment(source, image, result.everywhere(centre, self._cache))
        except UNetError as error:
            self.say(str(error))

    def run(self, events: Any, result: Shown, settings: SegmentSettings) -> None:
        """Begin a job whose tiles are shown in a result or a preview."""
        self._make_way()
        self._begun, self.problem, self._shown = time.monotonic(), None, result
        self._done = 0
        self.segment.text = "Cancel"
        self.progress.visible, self.progress.value = True, 0
        job = self._job = Job(
            events,
            lambda event: self._on_event(event, result),
            # a job that another one has replaced ends in silence
            lambda problem: self._on_end(problem, result, settings) if job is self._job else None,
        )
        job.start()

    def cancel(self) -> None:
        """Stop the job; finished tiles stay."""
        if self._job is not None and self._job.running:
            self._job.cancel()
            self.engine.cancel()

    def stop_showing(self, shown: Preview) -> None:
        """Stop the job that fills a preview, if it still runs."""
        if self._shown is shown:
            self.cancel()

    def _on_event(self, event: Event | BlockEvent, result: Any) -> None:
        match event:
            case Started():
                result.started(event)
                self.show_found(event.plan)
            case TileDone() | BlockDone() | TileWritten():
                if self._gone(result):
                    return
                result.place(event)
                if not isinstance(event, TileWritten):
                    self.progress.max, self.progress.value = event.total, event.done
                    self._done += 1
                    self.say(progress(event, self._done, time.monotonic() - self._begun))
            case Notice(text=text):
                self._viewer.status = text
                self.say(text)

    def _gone(self, result: Shown) -> bool:
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

    def _on_end(self, problem: str | None, result: Shown, settings: SegmentSettings) -> None:
        if self._closed:
            return  # the widgets are gone
        cancelled = self._job is not None and self._job.cancelled
        self.segment.text, self.progress.visible = "Segment", False
        result.finish(settings)
        self.correct.spots.renew()
        self._describe()
        self.problem = problem or self.problem
        if self.problem:
            self.say(self.problem)
        elif result.layer in self._viewer.layers:  # else it was taken away, which was said
            self.say(result.conclusion(cancelled=cancelled))

    def close_down(self, *_: Any) -> None:
        """Stop everything this panel started; what is on the layers stays."""
        if self._closed:
            return
        self._closed = True
        self.restoring.close_down()
        self._make_way()
        self.retrain.close_down()
        self.cancel()
        self.let_go_of_all()
        self.engine.close()
        self._cache.close()

    def axes_of(self, layer: ImageLayer) -> str:
        """Return the axes that a large image was segmented with, else a guess."""
        result = self.slides.result_of(layer)
        return result.image.axes if result is not None else super().axes_of(layer)

    def channel_of(self, layer: ImageLayer) -> str:
        """Return the channel that was given; for a part of a large image that of the whole."""
        part = region_of(layer)
        whole = part.source() if part is not None and layer not in self._given else None
        return super().channel_of(layer if whole is None else whole)

    # ---- afterwards ------------------------------------------------------------------------

    def _offer_afterwards(self, there: bool) -> None:
        super()._offer_afterwards(there)
        self.slides.describe(self.image.value)
        if self.slides.result_of(self.image.value) is not None:
            self.save.enabled = True
        result = self.current_result() if there and not self.classes.on else None
        for slider in self.sliders:  # thresholds of objects; saved labels have no class maps
            slider.visible = result is not None and result.plan is not None

    def _decode_again(self) -> None:
        layer, result = self.image.value, self.current_result()
        if result is None or result.plan is None or result.classes or self.retrain.running:
            return
        if self._job is not None and self._job.running:
            self._job.cancel()
        settings = self.settings()
        result.begin()
        view = layers.visible_box(self._viewer, layer, result.image)
        near = [key for key in result.plan.blocks(view.centre) if result.in_view(key, view)]
        self.run(result.decode_again(settings, self.engine, view.centre, near), result, settings)
