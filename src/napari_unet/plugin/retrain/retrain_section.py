"""The Retrain section of the panel: one button, a curve, and what came of it."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.errors import UNetError
from napari_unet.execution.events import Waiting
from napari_unet.models.card import sha256_of
from napari_unet.models.library import lineage, load_card, model_files
from napari_unet.models.store import add
from napari_unet.plugin.result.previous_result import PreviousResult
from napari_unet.plugin.retrain.preview import Previewing
from napari_unet.plugin.retrain.retrain_form import RetrainForm
from napari_unet.plugin.retrain.retrain_job import (
    FinetuneResult,
    Prepared,
    RetrainEvent,
    Work,
    retrain,
)
from napari_unet.plugin.segment.segment_form import AVERAGE
from napari_unet.plugin.widgets.jobs import Job, in_background, sentence
from napari_unet.training.events import TrainingStep

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

DISCARDED = "The new model is discarded; the old one stays."
LEFT_OUT = "Left out, because its array was replaced by one of another shape or kind: {names}."
QUIET = 1.5  # seconds without a step after which it must be judging


class RetrainSection(RetrainForm):
    """Part of the panel that retrains the model in use.

    Parameters
    ----------
    host : SegmentPanel
        The panel.
    """

    running_changed = Signal(bool)  # the panel must not start anything meanwhile

    def __init__(self, host: "SegmentPanel") -> None:
        super().__init__()
        self._host = host
        self._job: Job | None = None
        self._news: FinetuneResult | None = None  # what the retraining has brought
        self._kept: FinetuneResult | None = None  # the preview that a person has to decide about
        self._remark = ""
        self._used: list[str] = []  # models that were in use before the present one
        self._left_out = ""  # what of the paint could not be used
        self._stepped = 0.0
        self._made: set[str] = set()
        self._before = PreviousResult(host._viewer)
        self._previewing = Previewing(host)
        self._closed = self._stopping = False
        self.problem: str | None = None  # what went wrong in the last retraining
        self.retrain.clicked.connect(self._press)
        self.cancel.clicked.connect(self.cancel_job)
        self.keep.clicked.connect(self._keep_preview)
        self.discard.clicked.connect(self._discard_preview)
        self.back.clicked.connect(self._go_back)
        self.compare.changed.connect(self._before.show)
        self.look.changed.connect(self._previewing.show)
        self.folder.said.connect(host.say)
        host.model.changed.connect(self._offer_earlier)
        self._offer_earlier()

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
        self._news = None  # a preview stays until there is something new
        self.problem, self._remark, self._stepped, self._stopping = None, "", 0.0, False
        self.retrain.native.setFocus()  # not left to the platform: the person is here now
        self.show_running(running=True)
        host.reveal(self.learning)
        host.say(f"{work.remark} Gathering what was painted…".strip())
        self._job = Job(retrain(work, host.engine), self._on_event, self._on_end)
        self._job.start()
        self.running_changed.emit(True)

    def _work(self) -> Work:
        host, pairs, files = self._host, [], set[Path]()
        folder = self.folder.pairs
        names, remark = host.classes.to_teach(objects=folder is not None)
        replaced = host.replaced(classes=bool(names))
        self._left_out = LEFT_OUT.format(names=", ".join(replaced)) if replaced else ""
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
            f"{remark} {self._left_out}".strip(),
            folder=None if names else folder,
            known=frozenset(files),
            channel=None if host.channel.value in (None, AVERAGE) else int(host.channel.value),
        )

    def stop(self) -> None:
        """End the training now; the best so far is judged."""
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
        if self._kept is None:
            self._kept = _preview_of(self._news)  # it came just now
        self._drop_preview()

    # ---- while it runs ---------------------------------------------------------------------

    def _on_event(self, event: RetrainEvent) -> None:
        match event:
            case Prepared(remark=remark):
                self._remark = remark
                self._host.say(remark or "Looking at what the model finds now…")
            case TrainingStep():
                self._on_step(event)
            case Waiting():
                if self._stepped and time.monotonic() - self._stepped > QUIET:
                    self._stepped = 0.0
                    self._host.say("Judging on the objects set aside…")
            case FinetuneResult():
                self._news = event

    def _on_step(self, event: TrainingStep) -> None:
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
        if self._news is not None:
            self._drop_preview()
            self._conclude(self._news)
            return
        if self._kept is not None:
            self.show_preview_again()
            self._host.reveal(self.result)
        if problem or cancelled:
            said = problem or "Cancelled. The model stays as it was."
            self._host.say(f"{said} {self._left_out}".strip())

    # ---- afterwards ------------------------------------------------------------------------

    def _conclude(self, kept: FinetuneResult) -> None:
        report = kept.model.report
        assert report is not None, "a retraining ends with a report"
        self.show_outcome(report, self._left_out)
        self._host.say(f"{report.sentence} {self._left_out}".strip())
        if report.outcome == "accepted":
            self._adopt(kept.name, kept.model.sha)
        elif report.outcome == "preview":
            self._kept = kept
            self.offer_preview(there=True)
            self._previewing.begin(kept.model)
        self._host.reveal(self.result)

    def _adopt(self, name: str, sha: str) -> None:
        """Use the new model, keep what the old one found, and segment anew."""
        self._made.add(sha)
        self._used.append(self._host.model.value)
        self._host.classes.show_on(on=load_card(name).kind == "classes")
        result = self._host.current_result()
        if result is not None:
            self._before.keep(result)
        self._use(name)
        self.offer_comparison(there=True)

    def _use(self, name: str) -> None:
        model, result = self._host.model, self._host.current_result()
        model.reset_choices()
        if name not in model.choices:
            self._host.say(f"There is no model {name!r} any more. Look for it in the panel Models.")
            return
        model.value = name
        if result is not None:
            self._host.segment_again(result)

    def _offer_earlier(self, *_: Any) -> None:
        """Offer to go back to what was in use before, and to what the model was made from."""
        now, used = self._host.model.value, [*reversed(self._used)]
        self.offer_earlier(earlier_models(now, used, ()))

        def found(ancestors: list[str] | None, _problem: str | None) -> None:
            if not self._closed and now == self._host.model.value:
                names = earlier_models(now, used, ancestors or ())
                self.offer_earlier(names, self.earlier.value)

        if now:  # it may take a moment: files are told by their sha256
            in_background(lambda: [card.name for card in lineage(now)[1:]], found)

    def _go_back(self) -> None:
        name = self.earlier.value
        if not name:
            return
        self._before.remove()
        self.offer_comparison(there=False)
        if name in self._used:
            del self._used[self._used.index(name) :]
        self._use(name)

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
        self.say_outcome(DISCARDED)
        self._host.say(DISCARDED)

    def _drop_preview(self) -> None:
        kept, self._kept = self._kept, None
        if kept is None:
            return
        self._previewing.remove()
        shutil.rmtree(kept.model.path.parent, ignore_errors=True)
        if not self._closed:
            self.offer_preview(there=False)


def _preview_of(kept: FinetuneResult | None) -> FinetuneResult | None:
    """Return what a retraining has brought if it is a preview, which has a folder of its own."""
    report = kept.model.report if kept is not None else None
    return kept if report is not None and report.outcome == "preview" else None


def earlier_models(now: str, used: Sequence[str], ancestors: Sequence[str]) -> list[str]:
    """Return those of the models used before, then of the ancestors, that are in the library."""
    there = model_files()
    return [name for name in dict.fromkeys([*used, *ancestors]) if name in there and name != now]
