"""One parent that learns what a person painted, and how it does before and afterwards."""

import copy
import math
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import TrainingError
from napari_unet.models.card import ModelCard
from napari_unet.models.weights import load_model
from napari_unet.network.transfer import adapted, mean_of
from napari_unet.network.unet import UNet
from napari_unet.training.competition.evaluation import Candidate, Evaluation, some
from napari_unet.training.competition.evidence import Evidence, evidence_of
from napari_unet.training.competition.first_answer import answer_at_once
from napari_unet.training.competition.verdict import PROBABLE, Compared
from napari_unet.training.events import Control, FinetunePlan, TrainingStep
from napari_unet.training.judge import (
    GIVEN_UP,
    OUTLINES,
    best_single_class,
    best_thresholds,
    enough_strokes,
)
from napari_unet.training.learner import (
    Learner,
    Samples,
    probability_map,
    trust_in,
)
from napari_unet.training.replay import replay_windows
from napari_unet.training.windows import TrainingWindow

JUDGE_EVERY = 8.0  # seconds between looks at the held-out objects, at least
JUDGING_SHARE = 0.1  # part of the time that looks may take
RESERVE = 1.5  # times what judging at the parent took is kept for judging at the end
FITTED = 8  # windows at most that parents are believed and compared by, and thresholds fitted on
KEPT = 0.5  # of the weights is that of a parent whose opinion is trusted wholly
ENOUGH = 8  # held-out objects to fit the width of the outlines on


class Attempt:
    """The retraining of one parent; `load` makes one that is ready to learn.

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
        self.evaluation = Evaluation(
            self.card, self.parent.decode.minimum_diameter, self.windows, control
        )
        self.shown = some([w for w in self.windows if w.training_paint.any()], FITTED)
        self.opinions: list[NDArray[np.uint8]] = []  # what the parent predicts of those
        self.trust = 0.0  # in those opinions, as they agree with what is painted
        self.loss = float("nan")
        self.judging = self.looking = 0.0  # seconds that the parent took
        self.spent = 0.0  # seconds that it has learned
        self._evidence: dict[Candidate, Evidence] = {}
        self.note = ""  # what a person should know meanwhile
        self.best: tuple[float, UNet] | None = None  # seen so far, and kept if it is stopped

    @classmethod
    def load(
        cls,
        plan: FinetunePlan,
        windows: Sequence[TrainingWindow],
        control: Control | None = None,
        begun: float | None = None,
    ) -> "Attempt":
        """Load the parent and get everything ready to learn; this takes seconds."""
        control = control or Control()
        begun = control.clock() if begun is None else begun
        work = cls(plan, load_model(plan.parent), windows, control, begun)
        work.prepare()
        return work

    def prepare(self) -> None:
        """Run the parent on what is painted, and make its learner."""
        replay = [] if self.evaluation.classes else replay_windows(self.card.spec.in_channels)
        if not self.evaluation.classes:
            self.opinions = [self._opinion(window) for window in self.shown]
        self.trust = trust_in(self.shown, self.opinions) if self.opinions else 0.0
        samples = Samples(self.windows, self.card, self._opinion, self.trust)
        if not len(samples):
            raise TrainingError(
                "Nothing painted lies whole inside the image, so there is nothing to learn. Paint "
                "a cell that is not cut by the image's border."
            )
        seed, replayed = self.settings.seed, Samples(replay, self.card)
        begins, anew = self.network, self.fresh
        if self.answers:
            begins, anew = copy.deepcopy(begins), False
            answer_at_once(begins, self.windows)
        self.learner = Learner(begins, samples, replayed, seed=seed, new_head=anew)

    @property
    def answers(self) -> bool:
        """Whether a new model of classes is fitted to the strokes before the first step."""
        return self.evaluation.classes and self.fresh and self.card.spec.direct

    @property
    def begins_with_model_in_use(self) -> bool:
        """Whether the parent is the model in use."""
        return self.plan.in_use in (None, self.plan.parent)

    @property
    def judged(self) -> bool:
        """Whether what is held out can judge the result."""
        if not self.evaluation.classes:
            return bool(self.evaluation.held)
        strokes = [i for w in self.evaluation.held for i in w.judged]
        return enough_strokes(strokes, self.card.spec.classes)

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return self.control.clock() - self.begun

    def _opinion(self, window: TrainingWindow) -> NDArray[np.uint8]:
        """What the parent predicts of a window."""
        self.control.check()
        return probability_map(self.network, self.card, window.image)

    # ---- learn -----------------------------------------------------------------------------

    def step(self, progress: float) -> None:
        """Take one step; `progress`, 0…1, decides the learning rate."""
        begun = self.seconds
        loss = self.learner.step(progress)
        self.spent += self.seconds - begun
        if math.isnan(loss):
            raise TrainingError(
                "The training lost its way (its error is not a number). The model stays as it "
                "was; look whether the image holds extreme values, and try again."
            )
        self.loss = loss if self.learner.steps == 1 else 0.9 * self.loss + 0.1 * loss

    def learn(self) -> Generator[TrainingStep, None, None]:
        """Take steps until the time is up or the person has seen enough.

        A first answer is kept unless steps are better for the strokes held out; where those are
        too few to tell, it is final.
        """
        if self.answers and not self.judged:
            return
        if self.answers:
            yield self.state(self._score_so_far())
        begun = last = self.seconds
        pause, before = JUDGE_EVERY, self.spent
        looking = self.looking * (1 if self.begins_with_model_in_use else 2)
        end = max(begun + 1.0, self.settings.time_limit - RESERVE * self.judging - looking)
        while self.seconds < end and not self.control.stop():
            self.step((before + self.seconds - begun) / (before + end - begun))
            score = None
            if self.evaluation.held and self.seconds - last > pause:
                start = self.seconds
                score = self._score_so_far()
                last = self.seconds
                pause = max(JUDGE_EVERY, (last - start) / JUDGING_SHARE)
            yield self.state(score)
        if self.seconds >= end and not self.answers:
            self.best = None  # the rate has fallen to the end: the last is the best

    def _score_so_far(self) -> float:
        """Score what is learned so far, and remember the best of it."""
        network = self.learner.average
        maps = self.evaluation.maps(network, self.evaluation.held)
        score = self.evaluation.judged(maps, self.card.decode).value
        if self.best is None or score > self.best[0]:
            self.best = score, copy.deepcopy(network)
        return score

    def state(self, score: float | None) -> TrainingStep:
        """Say how far it is."""
        limit = self.settings.time_limit
        return TrainingStep(self.learner.steps, self.seconds, limit, self.loss, score, self.note)

    # ---- score what there was, and what came of it --------------------------------------

    def unchanged(self) -> Candidate:
        """Score the parent as it is."""
        self.evaluation.remember(self.network, self.card)
        if self.evaluation.classes and self.fresh:  # what the parent predicts means nothing
            strokes = [i for w in self.evaluation.held for i in w.judged]
            return Candidate(self.network, self.card.decode, best_single_class(strokes), 0.0)
        begun = self.seconds
        old = self.evaluation.as_it_segments(
            self.network, self.parent, in_use=self.begins_with_model_in_use
        )
        self.judging = self.seconds - begun
        return old

    def in_use(self) -> Candidate | None:
        """Score the model in use; None if that is the parent, or finds something else.

        What is held out is so by its id, so no model made of this paint ever learned from it.
        """
        path = self.plan.in_use
        if path is None or self.begins_with_model_in_use:
            return None
        network, card = load_model(path)
        if card.kind != self.card.kind or card.spec.in_channels != self.card.spec.in_channels:
            return None
        if self.evaluation.classes and card.spec != self.card.spec:
            return None
        if not self.evaluation.replay_judged:
            self.evaluation.remember(network, card)
        return self.evaluation.as_it_segments(network, card, in_use=True)

    def evidence(self, candidate: Candidate) -> Evidence | None:
        """Look once how a candidate does beside what is held out; None for classes.

        It takes as long again for each candidate at the end, and that much of the time is kept.
        """
        if self.evaluation.classes:
            return None
        if candidate not in self._evidence:
            begun = self.seconds
            self._evidence[candidate] = evidence_of(self.evaluation, candidate)
            self.looking = self.seconds - begun
        return self._evidence[candidate]

    def as_it_is(self) -> Candidate | None:
        """Score the parent in the painted size; None for classes."""
        if self.evaluation.classes:
            return None
        return self.evaluation.candidate(self.network, self.card.decode)

    def better_of(self, best: Candidate, simpler: Candidate | None) -> Candidate:
        """Return the best, or a simpler one that it hardly beats beside what is held out."""
        if simpler is None:
            return best
        plain, more = self.evidence(simpler), self.evidence(best)
        if plain is None or more is None:
            return best
        hardly = Compared.of(simpler, best, (plain, more)).expected < PROBABLE
        return simpler if hardly else best

    def trained(self) -> Candidate:
        """Score what was learned, with the parent's thresholds.

        A network that has just learned the painted objects finds them with any thresholds; fitted
        on those, they cost up to a quarter of the AP elsewhere. Objects that it has not seen say
        how wide its outlines should be, if they are many.

        A parent that knows these cells keeps a share in the weights: the mean of both finds more
        of the cells that nobody painted (Wortsman et al., 2022, arXiv:2109.01903).
        """
        evaluation, network, settings = self.evaluation, self.learner.average, self.card.decode
        if self.best is not None:
            maps = evaluation.maps(network, evaluation.held)
            if self.best[0] > evaluation.judged(maps, settings).value:
                network = self.best[1]
        network = mean_of(network, self.network, KEPT * self.trust)
        maps = evaluation.maps(network, evaluation.held)
        if not evaluation.classes and sum(len(w.judged) for w in evaluation.held) >= ENOUGH:
            pairs = zip(maps, evaluation.held, strict=True)
            windows = [evaluation.shown(m, w, w.judged) for m, w in pairs]
            settings = best_thresholds(windows, settings, self.control.check, shifts=OUTLINES)
        return evaluation.candidate(network, settings, maps)

    def refitted(self, old: Candidate) -> Candidate | None:
        """Return the parent with the thresholds and the size that suit what was painted.

        None if those are its own, or if it would give up too much of what it could. Classes have
        no thresholds.
        """
        if self.evaluation.classes:
            return None
        pairs = zip(self.opinions, self.shown, strict=True)
        windows = [
            self.evaluation.shown(m, replace(w, painted=w.training_paint), None) for m, w in pairs
        ]
        settings = best_thresholds(windows, self.card.decode, self.control.check)
        if settings == old.decode and not self.fresh:
            return None
        fitted = self.evaluation.candidate(old.network, settings)
        return fitted if fitted.base >= old.base - GIVEN_UP or self.fresh else None
