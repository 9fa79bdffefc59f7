"""Use case: train a model on what a person painted, and keep it only if it is better.

Yields events as a segmentation does. The engine runs it for the panel; the command line and
library calls run it in their own process.
"""

import copy
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import TrainingError
from napari_unet.models.card import ModelCard
from napari_unet.models.report import Report
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.training.events import Control, FinetunePlan, Finished, TrainingEvent, TrainingStep
from napari_unet.training.judge import (
    GIVEN_UP,
    OUTLINES,
    Score,
    Window,
    best_single_class,
    best_thresholds,
    decide,
    judge_classes,
)
from napari_unet.training.learner import (
    Learner,
    Samples,
    adapted,
    probability_map,
    probability_map_at,
    trust_in,
)
from napari_unet.training.replay import replay_windows
from napari_unet.training.targets import agreement
from napari_unet.training.windows import (
    TrainingWindow,
    diameters_by_zoom,
    shown_diameter,
)

JUDGE_EVERY = 8.0  # seconds between scores of the held-out objects, at least
JUDGING_SHARE = 0.1  # part of the time that those may take
RESERVE = 1.5  # times what scoring the parent took is kept for judging at the end
JUDGED = 24  # windows at most with objects that judge; a folder may have hundreds
FITTED = 8  # windows at most that the parent is believed by and thresholds are fitted on
ENOUGH = 8  # held-out objects to fit the width of the outlines on
REPLAY_JUDGED = 8  # crops of the replay that show what is forgotten
KNOWS_REPLAY = 0.6  # agreement with the replay; `nuclei` has 0.95, `cells-phase` 0.32


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A network, the thresholds that suit it, and how it does."""

    network: UNet
    decode: DecodeSettings
    score: Score
    base: float


class Finetune:
    """One retraining; `load` makes one that is ready to learn.

    Parameters
    ----------
    plan : FinetunePlan
        Target, time, and what the new card says.
    parent : tuple of UNet and ModelCard
        The model it begins with.
    windows : sequence of TrainingWindow
        Windows of all that was painted.
    control : Control
        Ends it from outside.
    begun : float
        Time on the control's clock that the retraining began at.
    """

    learner: Learner  # from `prepare` on

    def __init__(
        self,
        plan: FinetunePlan,
        parent: tuple[UNet, ModelCard],
        windows: Sequence[TrainingWindow],
        control: Control,
        begun: float,
    ) -> None:
        self.plan, self.settings, self.control, self.begun = plan, plan.settings, control, begun
        network, self.parent = parent
        self.card = self.parent.child(str(plan.card.get("parent_sha", "")), **plan.card)
        self.fresh = self.card.spec != self.parent.spec
        self.network = adapted(network, self.card.spec) if self.fresh else network
        self.windows = list(windows)
        self.classes = not self.card.finds_objects
        # of windows of one zoom; images whose objects differ in size are cut at different ones
        self.shown_at = {} if self.classes else diameters_by_zoom(self.windows)
        self.shows = None if self.classes else shown_diameter(self.windows)
        self.held = _some([w for w in self.windows if w.judged], JUDGED)
        self.shown = _some([w for w in self.windows if w.training_paint.any()], FITTED)
        # what the parent predicts; `prepare` asks it
        self.replay_judged: list[TrainingWindow] = []
        self.replay_maps: list[NDArray[np.uint8]] = []
        self.opinions: list[NDArray[np.uint8]] = []
        self.loss, self.judging = float("nan"), 0.0
        self.best: tuple[float, UNet] | None = None  # seen so far, and kept if it is stopped

    @classmethod
    def load(
        cls, plan: FinetunePlan, windows: Sequence[TrainingWindow], control: Control | None = None
    ) -> "Finetune":
        """Load the parent and get everything ready to learn; this takes seconds."""
        control = control or Control()
        begun = control.clock()
        work = cls(plan, load_model(plan.parent), windows, control, begun)
        work.prepare()
        return work

    def prepare(self) -> None:
        """Run the parent on the replay and on what is painted, and make its learner."""
        replay = [] if self.classes else replay_windows(self.card.spec.in_channels)
        self.replay_judged, self.replay_maps = self._judged_replay(replay)
        if not self.classes:
            self.opinions = [self._opinion(window) for window in self.shown]
        trust = trust_in(self.shown, self.opinions) if self.opinions else 0.0
        samples = Samples(self.windows, self.card, self._opinion, trust)
        if not len(samples):
            raise TrainingError(
                "Nothing painted lies whole inside the image, so there is nothing to learn. Paint "
                "a cell that is not cut by the image's border."
            )
        seed, replayed = self.settings.seed, Samples(replay, self.card)
        self.learner = Learner(self.network, samples, replayed, seed=seed, new_head=self.fresh)

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return self.control.clock() - self.begun

    def _judged_replay(
        self, replay: list[TrainingWindow]
    ) -> tuple[list[TrainingWindow], list[NDArray[np.uint8]]]:
        """Crops of the replay that show what is forgotten, and what the parent predicts of them.

        None if the parent never learned them.
        """
        shown = _some(replay, REPLAY_JUDGED)
        maps = [self._opinion(window) for window in shown]
        knows = agreement([w.painted for w in shown], maps) >= KNOWS_REPLAY
        return (shown, maps) if knows else ([], [])

    def _opinion(self, window: TrainingWindow) -> NDArray[np.uint8]:
        """What the parent predicts of a window."""
        self.control.check()
        return probability_map(self.network, self.card, window.image)

    def _maps(
        self, network: UNet, windows: Sequence[TrainingWindow], own: ModelCard | None = None
    ) -> list[NDArray[np.uint8]]:
        """Run a network on windows as they are, or in the size that a model's own card asks for."""
        maps = []
        for window in windows:
            self.control.check()
            ratio = 1.0 if own is None or self.classes else self._zoom(own, window) / window.zoom
            maps.append(probability_map_at(network, self.card, window.image, ratio))
        return maps

    def _zoom(self, own: ModelCard, window: TrainingWindow) -> float:
        """Zoom that a model would segment the image of a window with."""
        return own.zoom(own.diameter_for(self.shown_at[window.zoom] or self.shows))

    def judged(self, maps: Sequence[NDArray[np.uint8]], settings: DecodeSettings) -> Score:
        """Compare probability maps of the windows that judge with the objects held out there."""
        pairs = zip(maps, self.held, strict=True)
        return sum((self._score(m, settings, w, w.judged) for m, w in pairs), Score())

    def _score(
        self,
        maps: NDArray[np.uint8],
        settings: DecodeSettings,
        window: TrainingWindow,
        ids: Sequence[int] | None,
    ) -> Score:
        if self.classes:
            found = maps[self.card.map_channels.index("class")]
            return judge_classes(found, window.painted, ids or ())
        return self._judge(maps, window, ids).score(settings)

    def _judge(
        self, maps: NDArray[np.uint8], window: TrainingWindow, ids: Sequence[int] | None
    ) -> Window:
        return Window(maps, window.painted, ids, window.zoom, self.card.map_channels)

    def candidate(
        self,
        network: UNet,
        settings: DecodeSettings,
        maps: Sequence[NDArray[np.uint8]] | None = None,
    ) -> Candidate:
        """Score a network on what was held out, of which maps may be there, and on the replay."""
        seen = self._maps(network, self.held) if maps is None else maps
        score = self.judged(seen, settings)
        return Candidate(network, settings, score, self._base(network, settings))

    def as_it_segments(self, network: UNet, card: ModelCard) -> Candidate:
        """Score a model with the thresholds and in the size it would segment these images with.

        The windows are cut in the size that suits the new model, which would not be fair.
        """
        maps = self._maps(network, self.held, card)
        return self.candidate(network, card.decode_for(self.shows), maps)

    def trained(self) -> Candidate:
        """Score what was learned, with the parent's thresholds.

        A network that has just learned the painted objects finds them with any thresholds; fitted
        on those, they cost up to a quarter of the AP elsewhere. Objects that it has not seen say
        how wide its outlines should be, if they are many.
        """
        network, settings = self.learner.average, self.card.decode
        maps = self._maps(network, self.held)
        if self.best is not None and self.best[0] > self.judged(maps, settings).value:
            network = self.best[1]
            maps = self._maps(network, self.held)
        if not self.classes and sum(len(w.judged) for w in self.held) >= ENOUGH:
            pairs = zip(maps, self.held, strict=True)
            windows = [self._judge(m, w, w.judged) for m, w in pairs]
            settings = best_thresholds(windows, settings, self.control.check, shifts=OUTLINES)
        return self.candidate(network, settings, maps)

    def refitted(self, old: Candidate) -> Candidate | None:
        """Return the parent with the thresholds and the size that suit what was painted.

        None if those are its own, or if it would give up too much of what it could.
        """
        settings = self.card.decode
        if not self.classes:
            pairs = zip(self.opinions, self.shown, strict=True)
            windows = [self._judge(m, replace(w, painted=w.training_paint), None) for m, w in pairs]
            settings = best_thresholds(windows, settings, self.control.check)
        if settings == old.decode and not self.fresh:
            return None
        fitted = self.candidate(old.network, settings)
        return fitted if fitted.base >= old.base - GIVEN_UP or self.fresh else None

    def _base(self, network: UNet, settings: DecodeSettings) -> float:
        # size fits itself to an image
        settings = settings.with_smallest(self.parent.decode.minimum_diameter)
        parents = network is self.network
        maps = self.replay_maps if parents else self._maps(network, self.replay_judged)
        pairs = zip(maps, self.replay_judged, strict=True)
        return sum((self._score(m, settings, w, None) for m, w in pairs), Score()).value

    def learn(self) -> Generator[TrainingEvent, None, None]:
        """Take steps until the time is up or the person has seen enough."""
        begun = last = self.seconds
        pause = JUDGE_EVERY
        end = max(begun + 1.0, self.settings.time_limit - RESERVE * self.judging)
        while self.seconds < end and not self.control.stop():
            loss = self.learner.step((self.seconds - begun) / (end - begun))
            if math.isnan(loss):
                raise TrainingError(
                    "The training lost its way (its error is not a number). The model stays as it "
                    "was; look whether the image holds extreme values, and try again."
                )
            self.loss = loss if self.learner.steps == 1 else 0.9 * self.loss + 0.1 * loss
            score = None
            if self.held and self.seconds - last > pause:
                start = self.seconds
                score = self._score_so_far()
                last = self.seconds
                pause = max(JUDGE_EVERY, (last - start) / JUDGING_SHARE)
            yield self.state(score)
        if self.seconds >= end:
            self.best = None  # the rate has fallen to the end: the last is the best

    def _score_so_far(self) -> float:
        """Score what is learned so far, and remember the best of it."""
        network = self.learner.average
        score = self.judged(self._maps(network, self.held), self.card.decode).value
        if self.best is None or score > self.best[0]:
            self.best = score, copy.deepcopy(network)
        return score

    def state(self, score: float | None) -> TrainingStep:
        """Say how far it is."""
        limit = self.settings.time_limit
        return TrainingStep(self.learner.steps, self.seconds, limit, self.loss, score)

    def unchanged(self) -> Candidate:
        """Score the parent as it is."""
        begun = self.seconds
        old = self.as_it_segments(self.network, self.parent)
        self.judging = self.seconds - begun
        if self.fresh:  # what the parent predicts of other classes means nothing
            strokes = [i for w in self.held for i in w.judged]
            return replace(old, score=best_single_class(strokes))
        return old

    def rival(self, old: Candidate) -> Candidate:
        """Score the model in use, which the new one must beat; `old` if that is the parent.

        What is held out is so by its id, so no model made of this paint ever learned from it.
        """
        if self.plan.in_use in (None, self.plan.parent):
            return old
        network, card = load_model(self.plan.in_use)
        if (card.kind, card.spec) != (self.card.kind, self.card.spec):
            return old
        return self.as_it_segments(network, card)


def _some(windows: list[TrainingWindow], most: int) -> list[TrainingWindow]:
    """Return at most so many of them, from all over."""
    return windows[:: max(1, -(-len(windows) // most))]


def finetune_events(
    plan: FinetunePlan,
    windows: Sequence[TrainingWindow],
    *,
    stop: Callable[[], bool] = lambda: False,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[TrainingEvent, None, None]:
    """Retrain, step by step.

    Parameters
    ----------
    plan : FinetunePlan
        Parent, target, time.
    windows : sequence of TrainingWindow
        Windows of all that was painted.
    stop, check : callable, optional
        See `Control`.
    clock : callable, optional
        Seconds that count against the time limit; another than the wall's makes a measurement
        independent of what else the machine does.

    Yields
    ------
    TrainingEvent
        `TrainingStep` after every step, `Finished` at the end.
    """
    work = Finetune.load(plan, windows, Control(stop, check, clock))
    unchanged = work.unchanged()
    old = work.rival(unchanged)
    yield work.state(old.score.value if work.held else None)
    refit = work.refitted(unchanged)
    yield from work.learn()
    trained = work.trained()
    best = trained
    if refit is not None and refit.score.value > trained.score.value:
        best = refit
    outcome, sentence = decide(
        old.score,
        best.score,
        old.base,
        best.base,
        what="strokes" if work.classes else "objects",
    )
    report = Report(
        outcome=outcome,
        sentence=sentence,
        objects=work.card.painted_objects,
        held=len(old.score.overlaps),
        old=old.score.value,
        new=best.score.value,
        base_old=old.base,
        base_new=best.base,
        trained=best is trained,
        steps=work.learner.steps,
        seconds=work.seconds,
    )
    save_model(plan.target, best.network, _new_card(work.card, best, report))
    yield Finished(report, plan.target)


def _new_card(card: ModelCard, best: Candidate, report: Report) -> ModelCard:
    scores = {
        "held-out overlap": report.new,
        "held-out overlap of the parent": report.old,
        "replay overlap": report.base_new,
        "replay overlap of the parent": report.base_old,
    }
    return card.model_copy(
        update={
            "decode": best.decode,
            "scores": {name: round(score, 4) for name, score in scores.items()},
            "report": report.model_dump(),
        }
    )
