"""The Retrain section of the panel: one button, a curve, and what came of it."""

import shutil
import time
from pathlib import Path
from typing import Any, Protocol

from napari import Viewer
from napari.layers import Labels, Layer
from psygnal import Signal

from napari_unet.engine.client import Engine
from napari_unet.errors import UNetError
from napari_unet.inference.run import Waiting
from napari_unet.learning import Learning
from napari_unet.models.card import sha256_of
from napari_unet.models.library import load_card
from napari_unet.models.store import add
from napari_unet.plugin.classes_section import ClassesSection
from napari_unet.plugin.jobs import Job, sentence
from napari_unet.plugin.layers import BESIDE
from napari_unet.plugin.results import Result
from napari_unet.plugin.retrain_form import RetrainForm
from napari_unet.plugin.retrain_job import Kept, Prepared, RetrainEvent, Work, retrain
from napari_unet.plugin.segment_form import AVERAGE

QUIET = 1.5  # seconds without a step after which it must be judging


class Host(Protocol):
    """What the section needs of the panel it is in."""

    _viewer: Viewer
    engine: Engine
    model: Any  # a combo box of names
    channel: Any  # a combo box of numbers, and the average
    classes: ClassesSection

    @property
    def busy(self) -> bool:
        """Whether a segmentation runs or a file is being written."""

    def results(self, *, classes: bool | None = None) -> list[Result]:
        """Results of the images that are open: classes or objects."""

    def current_result(self) -> Result | None:
        """Result of the image chosen."""

    def say(self, text: str) -> None:
        """Show one sentence."""

    def segment_again(self, result: Result) -> None:
        """Segment anew around what is painted."""


class RetrainSection(RetrainForm):
    """Part of the panel that retrains the model in use.

    Parameters
    ----------
    host : Host
        The panel.
    """

    running_changed = Signal(bool)  # the panel must not start anything meanwhile

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self._job: Job | None = None
        self._kept: Kept | None = None
        self._remark = self._previous = ""
        self._stepped = 0.0
        self._made: set[str] = set()
        self._before = Before(host._viewer)
        self._closed = self._stopping = False
        self.problem: str | None = None  # what went wrong in the last retraining
        self.retrain.clicked.connect(self._press)
        self.cancel.clicked.connect(self.cancel_job)
        self.keep.clicked.connect(self._keep_preview)
        self.discard.clicked.connect(self._discard_preview)
        self.back.clicked.connect(self._go_back)
        self.compare.changed.connect(self._before.show)
        self.folder.said.connect(host.say)

    @property
    def running(self) -> bool:
        """Whether a retraining runs."""
        return self._job is not None and self._job.running

    # ---- start, stop, cancel ---------------------------------------------------------------

    def _press(self) -> None:
        if self.running:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        """Retrain the model in use with what is painted on the open images, and the folder."""
        host = self._host
        if host.busy:
            host.say("Something is still running. Wait for it or cancel it, then press Retrain.")
            return
        if not host.model.value:
            host.say("There is no model to retrain. Import one in the panel Models.")
            return
        if self.folder.looking:
            host.say("The folder is still being looked at. Press Retrain in a moment.")
            return
        work = self._work()
        self._drop_preview()
        self.problem, self._remark, self._stepped, self._stopping = None, "", 0.0, False
        self.show_running(running=True)
        host.say(f"{work.remark} Gathering what was painted…".strip())
        self._job = Job(retrain(work, host.engine), self._on_event, self._on_end)
        self._job.start()
        self.running_changed.emit(True)

    def _work(self) -> Work:
        host, pairs, files = self._host, [], set[Path]()
        folder = self.folder.pairs
        names, remark = host.classes.to_teach(objects=folder is not None)
        for result in host.results(classes=bool(names)):
            painted, source = result.painted(), result.source()
            if painted.any():
                pairs.append((result.image, painted))
                if source is not None and source.source.path:
                    files.add(Path(source.source.path))
        return Work(
            pairs,
            host.model.value,
            frozenset(self._made),
            self.settings(),
            names,
            remark,
            folder=None if names else folder,
            known=frozenset(files),
            channel=None if host.channel.value in (None, AVERAGE) else int(host.channel.value),
        )

    def stop(self) -> None:
        """End the training now and keep the best so far."""
        try:
            self._host.engine.stop()
        except UNetError as error:  # it has just died, which the job tells, too
            self._host.say(sentence(error))
            return
        self._stopping, self.retrain.enabled = True, False
        self._host.say("Stopping, and judging the best so far…")

    def cancel_job(self) -> None:
        """End without a new model."""
        if self._job is not None and self._job.running:
            self._job.cancel()
            try:
                self._host.engine.cancel()
            except UNetError as error:
                self._host.say(sentence(error))

    def close_down(self) -> None:
        """Stop everything this section started."""
        self._closed = True
        self.folder.close_down()
        self.cancel_job()
        self._drop_preview()

    # ---- while it runs ---------------------------------------------------------------------

    def _on_event(self, event: RetrainEvent) -> None:
        match event:
            case Prepared(remark=remark):
                self._remark = remark
                self._host.say(remark or "Looking at what the model finds now…")
            case Learning():
                self._on_step(event)
            case Waiting():
                if self._stepped and time.monotonic() - self._stepped > QUIET:
                    self._stepped = 0.0
                    self._host.say("Judging on the objects set aside…")
            case Kept():
                self._kept = event

    def _on_step(self, event: Learning) -> None:
        self.show_step(event)
        if self._stopping or not event.steps:
            return
        self.retrain.enabled = True  # from now on there is something to keep
        self._stepped = time.monotonic()
        left = max(0.0, event.limit - event.seconds)
        self._host.say(f"{self._remark} Learning, about {left:.0f} s left.".strip())

    def _on_end(self, problem: str | None) -> None:
        if self._closed:
            return  # the widgets are gone
        cancelled = self._job is not None and self._job.cancelled
        self.show_running(running=False)
        self.running_changed.emit(False)
        self.problem = problem
        if problem:
            self._host.say(problem)
        elif self._kept is not None:
            self._conclude(self._kept)
        elif cancelled:
            self._host.say("Cancelled. The model stays as it was.")

    # ---- afterwards ------------------------------------------------------------------------

    def _conclude(self, kept: Kept) -> None:
        report = kept.model.report
        assert report is not None, "a retraining ends with a report"
        self.show_outcome(report)
        self._host.say(report.sentence)
        if report.outcome == "accepted":
            self._adopt(kept.name, kept.model.sha)
        elif report.outcome == "preview":
            self.offer_preview(there=True)

    def _adopt(self, name: str, sha: str) -> None:
        """Use the new model, keep what the old one found, and segment anew."""
        self._made.add(sha)
        self._previous = self._host.model.value
        self._host.classes.show_on(on=load_card(name).kind == "classes")
        result = self._host.current_result()
        if result is not None:
            self._before.keep(result)
        self._use(name)
        self.offer_way_back(self._previous)

    def _use(self, name: str) -> None:
        model, result = self._host.model, self._host.current_result()
        model.reset_choices()
        if name not in model.choices:
            self._host.say(f"There is no model {name!r} any more. Look for it in the panel Models.")
            return
        model.value = name
        if result is not None:
            self._host.segment_again(result)

    def _go_back(self) -> None:
        self._before.remove()
        self.offer_way_back("")
        self._use(self._previous)

    def _keep_preview(self) -> None:
        kept = self._kept
        if kept is None:
            return
        try:
            path = add(kept.model.path, kept.name)
        except UNetError as error:
            self._host.say(sentence(error))
            return
        self._drop_preview()
        self.say_outcome(f"The new model is kept as {path.stem!r}.")
        self._adopt(path.stem, sha256_of(path))

    def _discard_preview(self) -> None:
        self._drop_preview()
        self.say_outcome("The new model is discarded; the old one stays.")

    def _drop_preview(self) -> None:
        kept, self._kept = self._kept, None
        if kept is None or kept.model.report is None or kept.model.report.outcome != "preview":
            return
        shutil.rmtree(kept.model.path.parent, ignore_errors=True)
        if not self._closed:
            self.offer_preview(there=False)


class Before:
    """What the model before had found, as a hidden layer that can be looked at."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Layer | None = None
        self._after: Labels | None = None

    def keep(self, result: Result) -> None:
        """Copy a result as it is now."""
        self.remove()
        layers, self._after = self._viewer.layers, result.layer
        data, attributes, kind = result.layer.as_layer_data_tuple()
        source = result.source()
        name = f"{source.name if source is not None else result.layer.name} before"
        changed = {"name": name, "visible": False, "metadata": {BESIDE: True}}
        self._layer = Layer.create(data.copy(), {**attributes, **changed}, kind)
        active = layers.selection.active
        layers.insert(layers.index(result.layer), self._layer)
        self._layer.editable = False
        layers.selection.active = active

    def show(self, before: bool) -> None:
        """Show it in place of what the model finds now, or the other way round."""
        for layer, visible in ((self._layer, before), (self._after, not before)):
            if layer is not None and layer in self._viewer.layers:
                layer.visible = visible

    def remove(self) -> None:
        """Forget it, and show what the model finds now."""
        self.show(before=False)
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = self._after = None
