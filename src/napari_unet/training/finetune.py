"""Use case: teach a model what a person painted, and keep it only if it is better.

Yields events as a segmentation does. The engine runs it for the panel; the command line and
library calls run it in their own process.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.errors import TrainingError
from napari_unet.examples import Example
from napari_unet.instances import decode
from napari_unet.learning import Finished, LearnEvent, Learning, Report
from napari_unet.models.card import ModelCard
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings, FinetuneSettings
from napari_unet.training.judge import Verdict, best_thresholds, decide, judge
from napari_unet.training.learner import Learner, class_map, lessons
from napari_unet.training.replay import replay_examples

LOOK = 8.0  # seconds between looks at the held-out objects
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

    def __init__(self, parent: Path, examples: Sequence[Example], settings: FinetuneSettings):
        self.begun = time.monotonic()
        self.settings = settings
        self.network, self.card = load_model(parent)
        self.examples = list(examples)
        self.held = [e for e in self.examples if e.held]
        self.replay = replay_examples(self.card.spec.in_channels)
        self.learner = Learner(
            self.network, lessons(self.examples), lessons(self.replay), settings.seed
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

    def judged(self, network: UNet, settings: DecodeSettings) -> Verdict:
        """Look at the held-out objects."""
        return sum((self._verdict(network, settings, e, e.held) for e in self.held), Verdict())

    def _verdict(
        self, network: UNet, settings: DecodeSettings, example: Example, ids: Sequence[int] | None
    ) -> Verdict:
        labels = decode(class_map(network, self.card, example.image), settings)
        return judge(labels, example.painted, ids)

    def candidate(self, network: UNet) -> Candidate:
        """Fit thresholds on what was taught, then look at what was held out and at the replay."""
        taught = self.examples[:JUDGED]
        maps = [class_map(network, self.card, e.image) for e in taught]
        settings = best_thresholds(maps, [e.taught for e in taught], self.card.decode)
        return Candidate(network, settings, self.judged(network, settings), self._base(network))

    def _base(self, network: UNet) -> float:
        shown = self.replay[:: max(1, len(self.replay) // REPLAY_JUDGED)]
        verdicts = (self._verdict(network, self.card.decode, e, None) for e in shown)
        return sum(verdicts, Verdict()).score

    def learn(self, stop: Callable[[], bool]) -> Generator[LearnEvent, None, None]:
        """Take steps until the time is up or the person has seen enough."""
        begun, looked = self.seconds, self.seconds
        end = max(begun + 1.0, self.settings.time_limit * (1 - RESERVE) - (begun if begun < 10 else 0))
        while self.seconds < end and not stop():
            loss = self.learner.step((self.seconds - begun) / (end - begun))
            if not loss == loss:  # noqa: PLR0124  not a number
                raise TrainingError(
                    "The training lost its way (its loss is not a number). The model stays as it "
                    "was; look whether the image holds extreme values, and try again."
                )
            self.loss = loss if self.learner.steps == 1 else 0.9 * self.loss + 0.1 * loss
            score = None
            if self.held and self.seconds - looked > LOOK:
                score, looked = self.judged(self.learner.average, self.card.decode).score, self.seconds
            yield Learning(self.learner.steps, self.seconds, self.settings.time_limit, self.loss, score)


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
        Asked before every step; True ends the training, and the best so far is judged.
    card : dict, optional
        What else the new model's card says: name, parent, number of images, date.

    Yields
    ------
    LearnEvent
        `Learning` after every step, `Finished` at the end.
    """
    work = Finetune(parent, examples, settings)
    old = Candidate(
        work.network,
        work.card.decode,
        work.judged(work.network, work.card.decode),
        work._base(work.network),
    )
    yield Learning(0, work.seconds, settings.time_limit, work.loss, old.verdict.score if work.held else None)
    refit = work.candidate(work.network)
    yield from work.learn(stop)
    trained = work.candidate(work.learner.average)
    best = max((trained, refit), key=lambda c: (c.verdict.score, c is trained))
    outcome, sentence = decide(old.verdict, best.verdict, old.base, best.base)
    report = Report(
        outcome=outcome,
        sentence=sentence,
        objects=int((card or {}).get("painted_objects", 0)),
        held=len(old.verdict.overlaps),
        old=old.verdict.score,
        new=best.verdict.score,
        base_old=old.base,
        base_new=best.base,
        trained=best is trained,
        steps=work.learner.steps,
        seconds=work.seconds,
    )
    save_model(target, best.network, _new_card(work.card, best, report, card or {}))
    yield Finished(report, target)


def _new_card(
    parent: ModelCard, best: Candidate, report: Report, more: dict[str, Any]
) -> ModelCard:
    return parent.model_copy(
        update={
            "decode": best.decode,
            "scores": {
                "held-out overlap": round(report.new, 4),
                "held-out overlap of the parent": round(report.old, 4),
                "replay overlap": round(report.base_new, 4),
                "replay overlap of the parent": round(report.base_old, 4),
            },
            "report": report.model_dump(),
            **more,
        }
    )
