"""Use case: teach a model what a person painted, and keep it only if it is better.

Yields events as a segmentation does. The engine runs it for the panel; the command line and
library calls run it in their own process.
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import TrainingError
from napari_unet.examples import Example
from napari_unet.instances import decode
from napari_unet.learning import Finished, LearnEvent, Learning, Report
from napari_unet.models.card import ModelCard
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings, FinetuneSettings
from napari_unet.training.judge import (
    Verdict,
    best_single_class,
    best_thresholds,
    decide,
    judge,
    judge_classes,
)
from napari_unet.training.learner import Learner, class_map, lessons
from napari_unet.training.replay import replay_examples
from napari_unet.training.transfer import adapted

LOOK = 8.0  # seconds between looks at the held-out objects, at least
LOOKING = 0.1  # part of the time that looks may take
RESERVE = 0.12  # of the time, kept for judging at the end
JUDGED = 16  # windows at most that thresholds are fitted on
REPLAY_JUDGED = 8  # crops of the replay that show what is forgotten


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A network, the thresholds that suit it, and how it does."""

    network: UNet
    decode: DecodeSettings
    verdict: Verdict
    base: float


class Finetune:
    """One retraining.

    Parameters
    ----------
    parent : Path
        Model file that it begins with.
    examples : sequence of Example
        Windows of all that was painted.
    settings : FinetuneSettings
        Time and seed.
    """

    def __init__(
        self,
        parent: Path,
        examples: Sequence[Example],
        settings: FinetuneSettings,
        more: dict[str, Any],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.begun, self.stop = time.monotonic(), stop
        self.settings = settings
        network, card = load_model(parent)
        self.card = card.child(str(more.get("parent_sha", "")), **more)
        self.fresh = self.card.spec != card.spec
        self.network = adapted(network, self.card.spec) if self.fresh else network
        self.examples = list(examples)
        self.held = [e for e in self.examples if e.judged]
        self.classes = self.card.kind == "classes"
        self.replay = [] if self.classes else replay_examples(self.card.spec.in_channels)
        self.opinions = [] if self.classes else self._maps(self.examples)
        self.learner = Learner(
            self.network,
            lessons(self.examples, self.card, self.opinions),
            lessons(self.replay, self.card),
            seed=settings.seed,
            new_head=self.fresh,
        )
        self.loss = float("nan")
        if not self.learner.painted:
            raise TrainingError(
                "Nothing painted lies whole inside the image, so there is nothing to learn. Paint "
                "a cell that is not cut by the image's border."
            )

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self.begun

    def _maps(self, examples: Sequence[Example]) -> list[NDArray[np.uint8]]:
        """What the parent says of windows; it may be cancelled between them."""
        maps = []
        for example in examples:
            self.stop()  # see _verdict
            maps.append(class_map(self.network, self.card, example.image))
        return maps

    def judged(self, network: UNet, settings: DecodeSettings) -> Verdict:
        """Look at the held-out objects."""
        return sum((self._verdict(network, settings, e, e.judged) for e in self.held), Verdict())

    def _verdict(
        self, network: UNet, settings: DecodeSettings, example: Example, ids: Sequence[int] | None
    ) -> Verdict:
        self.stop()  # its answer does not matter here, but it may raise
        maps = class_map(network, self.card, example.image)
        if self.classes:
            return judge_classes(maps[0], example.painted, ids or ())
        return judge(decode(maps, at_zoom(settings, example.zoom)), example.painted, ids)

    def look(self, network: UNet) -> Candidate:
        """Look at what was held out and at the replay, with the parent's thresholds.

        A network that has just learned the painted objects finds them with any thresholds, so
        there is nothing to fit then; measured, it cost up to a quarter of the AP elsewhere.
        """
        settings = self.card.decode
        return Candidate(network, settings, self.judged(network, settings), self._base(network))

    def refitted(self, old: Candidate) -> Candidate:
        """Return the parent with the thresholds that suit what was taught."""
        settings, taught = old.decode, self.examples[:JUDGED]
        if not self.classes:
            maps, paint = self.opinions[:JUDGED], [e.taught for e in taught]
            settings = best_thresholds(maps, paint, settings, self.stop)
        if settings == old.decode and not self.fresh:
            return old
        return replace(old, decode=settings, verdict=self.judged(old.network, settings))

    def _base(self, network: UNet) -> float:
        shown = self.replay[:: max(1, len(self.replay) // REPLAY_JUDGED)]
        verdicts = (self._verdict(network, self.card.decode, e, None) for e in shown)
        return sum(verdicts, Verdict()).score

    def learn(self) -> Generator[LearnEvent, None, None]:
        """Take steps until the time is up or the person has seen enough."""
        begun = looked = self.seconds
        pause = LOOK
        # Judging at the end takes about as long as looking at the parent did in the beginning.
        end = max(begun + 1.0, self.settings.time_limit * (1 - RESERVE) - begun)
        while self.seconds < end and not self.stop():
            loss = self.learner.step((self.seconds - begun) / (end - begun))
            if math.isnan(loss):
                raise TrainingError(
                    "The training lost its way (its loss is not a number). The model stays as it "
                    "was; look whether the image holds extreme values, and try again."
                )
            self.loss = loss if self.learner.steps == 1 else 0.9 * self.loss + 0.1 * loss
            score = None
            if self.held and self.seconds - looked > pause:
                start = self.seconds
                score = self.judged(self.learner.average, self.card.decode).score
                looked = self.seconds
                pause = max(LOOK, (looked - start) / LOOKING)
            yield self.state(score)

    def state(self, score: float | None) -> Learning:
        """Say how far it is."""
        limit = self.settings.time_limit
        return Learning(self.learner.steps, self.seconds, limit, self.loss, score)

    def unchanged(self) -> Candidate:
        """Look at the parent as it is."""
        old = self.look(self.network)
        if self.fresh:  # what the parent would say of other classes means nothing
            strokes = [i for e in self.held for i in e.judged]
            return replace(old, verdict=best_single_class(strokes))
        return old


def at_zoom(settings: DecodeSettings, zoom: float) -> DecodeSettings:
    """Return the decoding for a window whose pixels are `zoom` times as many as the image's."""
    smallest = min(200.0, settings.minimum_diameter * zoom)
    return settings.model_copy(update={"minimum_diameter": smallest})


def finetune_events(
    parent: Path,
    examples: Sequence[Example],
    settings: FinetuneSettings,
    target: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    card: dict[str, Any] | None = None,
) -> Generator[LearnEvent, None, None]:
    """Retrain, step by step.

    Parameters
    ----------
    parent : Path
        Model file to begin with.
    examples : sequence of Example
        Windows of all that was painted.
    settings : FinetuneSettings
        Time and seed.
    target : Path
        Model file to write, also where the result is refused: it can be looked at.
    stop : callable, optional
        Asked before every step; True ends the training, and the best so far is judged. Also
        called between the windows that are judged, where it may raise: then nothing is written.
    card : dict, optional
        What else the new model's card says: name, parent, number of images, date.

    Yields
    ------
    LearnEvent
        `Learning` after every step, `Finished` at the end.
    """
    work = Finetune(parent, examples, settings, card or {}, stop)
    old = work.unchanged()
    yield work.state(old.verdict.score if work.held else None)
    refit = work.refitted(old)
    yield from work.learn()
    trained = work.look(work.learner.average)
    best = max((trained, refit), key=lambda c: (c.verdict.score, c is trained))
    outcome, sentence = decide(old.verdict, best.verdict, old.base, best.base)
    report = Report(
        outcome=outcome,
        sentence=sentence,
        objects=work.card.painted_objects,
        held=len(old.verdict.overlaps),
        old=old.verdict.score,
        new=best.verdict.score,
        base_old=old.base,
        base_new=best.base,
        trained=best is trained,
        steps=work.learner.steps,
        seconds=work.seconds,
    )
    save_model(target, best.network, _new_card(work.card, best, report))
    yield Finished(report, target)


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
