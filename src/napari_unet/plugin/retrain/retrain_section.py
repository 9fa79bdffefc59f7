"""The Retrain section of the panel: one button, a curve, and what came of it."""

import shutil
import time
from collections.abc import Sequence

from psygnal import Signal

from napari_unet.errors import UNetError
from napari_unet.execution.events import Waiting
from napari_unet.finetuning.in_engine import (
    FinetuneResult,
    Prepared,
    RetrainEvent,
    retrain,
)
from napari_unet.models.card import sha256_of
from napari_unet.models.library import lineage, load_card, model_files
from napari_unet.models.store import add
from napari_unet.plugin.result.previous_result import PreviousResult
from napari_unet.plugin.retrain.painted_inputs import gather_request
from napari_unet.plugin.retrain.preview import Previewing
from napari_unet.plugin.retrain.retrain_form import RETRAIN, RetrainForm, told
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.segmentation_runs import segment_again
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.background import BackgroundTask, in_background, sentence
from napari_unet.plugin.widgets.setting_widgets import offer
from napari_unet.training.events import TrainingStep

NO_IMAGE = (
    "There is nothing to learn from. Open an image and correct some of its cells, or add a folder "
    "of images and masks."
)
BACK = "{!r} is in use again."
DISCARDED = "The new model is discarded; the old one stays."
QUIET = 1.5  # seconds without a step after which it must be judging


class RetrainSection:
    """Retrains the model in use, and lets the person decide about the new one.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    asking = Signal(bool)  # whether the person is asked to keep or discard a new model

    def __init__(self, session: Session) -> None:
        self._session = session
        self.form = form = RetrainForm()
        self._task: BackgroundTask | None = None
        self._finished: FinetuneResult | None = None  # what the retraining has brought
        self._candidate: FinetuneResult | None = None  # that a person has to decide about
        self._remark = ""
        self._used_before: list[str] = []  # models that were in use before the present one
        self._left_out = ""  # what of the paint could not be used
        self._last_step = 0.0
        self._made_here: set[str] = set()
        self._previous = PreviousResult(session.viewer)
        self._previewing = Previewing(session)
        self._stopping = False
        self.problem: str | None = None  # what went wrong in the last retraining
        form.retrain.clicked.connect(self._press)
        form.cancel.clicked.connect(self.cancel)
        form.keep.clicked.connect(self._keep_preview)
        form.discard.clicked.connect(self._discard_preview)
        form.back.clicked.connect(self._go_back)
        form.compare.changed.connect(self._previous.show)
        form.look.changed.connect(self._previewing.show)
        form.folder.said.connect(session.say)
        session.intent_changed.connect(self._on_intent)
        form.folder.changed.connect(self._offer)
        session.closing.connect(self._close)
        self._offer()
        self._offer_earlier()

    @property
    def running(self) -> bool:
        """Whether a retraining runs."""
        return self._task is not None and self._task.running

    def _offer(self) -> None:
        """Let Retrain be pressed where there is an image, or a folder, to learn from."""
        folder = self.form.folder
        there = self._session.intent.layer is not None or folder.pairs or folder.looking
        if not self.running:  # then it is the button Stop
            offer(self.form.retrain, RETRAIN[1], "" if there else NO_IMAGE)

    # ---- start, stop, cancel ---------------------------------------------------------------

    def _press(self) -> None:
        if self.running:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        """Retrain the model in use with what is painted on the open images, and the folder."""
        session, form = self._session, self.form
        reason = session.runs.reason_to_wait("press Retrain") or self._hindrance()
        if reason:
            session.say(reason)
            return
        request, self._left_out = gather_request(
            session, form.settings(), form.folder.pairs, frozenset(self._made_here)
        )
        self._finished = None  # a preview stays until there is something new
        self.problem, self._remark, self._last_step, self._stopping = None, "", 0.0, False
        form.retrain.native.setFocus()  # not left to the platform: the person is here now
        form.show_running(running=True)
        session.reveal.emit(form.progress_part)
        session.say(f"{request.remark} Gathering what was painted…".strip())
        self._task = BackgroundTask(retrain(request, session.engine), self._on_event, self._on_end)
        self._task.start()
        session.runs.begin(Activity.RETRAINING)

    def _hindrance(self) -> str:
        """Return what is missing to retrain; empty if nothing is."""
        if not self._session.intent.model:
            return "There is no model to retrain. Import one in the panel Models."
        if self.form.folder.looking:
            return "The folder is still being looked at. Press Retrain in a moment."
        return ""

    def stop(self) -> None:
        """End the training now; the best so far is judged."""
        try:
            self._session.engine.stop()
        except UNetError as error:  # it has just died, which the task tells, too
            self._session.say(sentence(error))
            return
        self._stopping, self.form.retrain.enabled = True, False
        self._session.say("Stopping, and judging the best so far…")

    def cancel(self) -> None:
        """End without a new model."""
        if self._task is not None and self._task.running:
            self._task.cancel()
            try:
                self._session.engine.cancel()
            except UNetError as error:
                self._session.say(sentence(error))

    def _close(self) -> None:
        """Stop everything this section started."""
        self.form.folder.close_down()
        self.cancel()
        if self._candidate is None:
            self._candidate = _preview_of(self._finished)  # it came just now
        self._drop_preview()

    # ---- while it runs ---------------------------------------------------------------------

    def _on_event(self, event: RetrainEvent) -> None:
        match event:
            case Prepared(remark=remark):
                self._remark = remark
                self._session.say(remark or "Looking at what the model finds now…")
            case TrainingStep():
                self._on_step(event)
            case Waiting():
                if self._last_step and time.monotonic() - self._last_step > QUIET:
                    self._last_step = 0.0
                    self._session.say("Judging by your held-out objects…")
            case FinetuneResult():
                self._finished = event

    def _on_step(self, event: TrainingStep) -> None:
        hidden = self.form.curve.isHidden()
        self.form.show_step(event)
        if hidden and not self.form.curve.isHidden():
            self._session.reveal.emit(self.form.progress_part)
        if self._stopping or not event.steps:
            return
        self.form.retrain.enabled = True  # from now on there is something to keep
        self._last_step = time.monotonic()
        left = max(0.0, event.limit - event.seconds)
        said = f"{self._remark} {event.note}".strip()
        self._session.say(f"{said} Learning, about {left:.0f} s left.".strip())

    def _on_end(self, problem: str | None) -> None:
        self._session.runs.end(Activity.RETRAINING)
        if self._session.closed:
            return  # the widgets are gone
        cancelled = self._task is not None and self._task.cancelled
        self.form.show_running(running=False)
        self._offer()
        self.problem = problem
        if self._finished is not None:
            self._drop_preview()
            self._conclude(self._finished)
            return
        if self._candidate is not None:
            self.form.show_preview_again()
            self._session.reveal.emit(self.form.outcome_part)
        if problem or cancelled:
            said = problem or "Cancelled. The model stays as it was."
            self._session.say(f"{said} {self._left_out}".strip())

    # ---- afterwards ------------------------------------------------------------------------

    def _conclude(self, kept: FinetuneResult) -> None:
        report = kept.model.report
        assert report is not None, "a retraining ends with a report"
        self.form.show_outcome(report, self._left_out)
        self._session.say(f"{told(report)} {self._left_out}".strip())
        if report.outcome == "accepted":
            self._adopt(kept.name, kept.model.sha)
        elif report.outcome == "preview":
            self._candidate = kept
            self.asking.emit(True)
            self.form.offer_preview(there=True)
            self._previewing.begin(kept.model)
        self._session.reveal.emit(self.form.outcome_part)

    def _adopt(self, name: str, sha: str) -> None:
        """Use the new model, keep what the old one found, and segment anew."""
        self._made_here.add(sha)
        self._used_before.append(self._session.intent.model)
        self._session.results.work_on(classes=load_card(name).kind == "classes")
        result = self._session.results.current
        if result is not None:
            self._previous.keep(result)
        self._use(name)
        self.form.offer_comparison(there=True)

    def _use(self, name: str) -> None:
        session, result = self._session, self._session.results.current
        if name not in model_files():
            session.say(f"There is no model {name!r} any more. Look for it in the panel Models.")
            return
        session.intend(model=name)
        if result is not None:
            segment_again(session, result)

    def _on_intent(self, now: Intent, before: Intent) -> None:
        self._offer()
        if now.model != before.model:
            self._offer_earlier()

    def _offer_earlier(self) -> None:
        """Offer to go back to what was in use before, and to what the model was made from."""
        now, used = self._session.intent.model, [*reversed(self._used_before)]
        self.form.offer_earlier(earlier_models(now, used, ()))

        def found(ancestors: list[str] | None, _problem: str | None) -> None:
            if not self._session.closed and now == self._session.intent.model:
                names = earlier_models(now, used, ancestors or ())
                self.form.offer_earlier(names, self.form.earlier.value)

        if now:  # it may take a moment: files are told by their sha256
            in_background(lambda: [model.path.stem for model in lineage(now)[1:]], found)

    def _go_back(self) -> None:
        name = self.form.earlier.value
        if not name:
            return
        self._previous.remove()
        self.form.offer_comparison(there=False)
        if name in self._used_before:
            del self._used_before[self._used_before.index(name) :]
        if name in model_files():
            self.form.say_outcome(BACK.format(name))
        self._use(name)

    def _keep_preview(self) -> None:
        kept = self._candidate
        if kept is None:
            return
        try:
            path = add(kept.model.path, kept.name)
        except UNetError as error:
            self._session.say(sentence(error))
            return
        self._drop_preview()
        self.form.say_outcome(f"The new model is kept as {path.stem!r}.")
        self._adopt(path.stem, sha256_of(path))

    def _discard_preview(self) -> None:
        self._drop_preview()
        self.form.say_outcome(DISCARDED)
        self._session.say(DISCARDED)

    def _drop_preview(self) -> None:
        kept, self._candidate = self._candidate, None
        if kept is None:
            return
        self._previewing.remove()
        shutil.rmtree(kept.model.path.parent, ignore_errors=True)
        if not self._session.closed:
            self.form.offer_preview(there=False)
            self.asking.emit(False)


def _preview_of(kept: FinetuneResult | None) -> FinetuneResult | None:
    """Return what a retraining has brought if it is a preview, which has a folder of its own."""
    report = kept.model.report if kept is not None else None
    return kept if report is not None and report.outcome == "preview" else None


def earlier_models(now: str, used: Sequence[str], ancestors: Sequence[str]) -> list[str]:
    """Return those of the models used before, then of the ancestors, that are in the library."""
    there = model_files()
    return [name for name in dict.fromkeys([*used, *ancestors]) if name in there and name != now]
