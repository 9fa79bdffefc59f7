"""Use case: train a model on what a person painted, and keep it only if it is better.

Yields events as a segmentation does. The engine runs it for the panel; the command line and
library calls run it in their own process.
"""

import time
from collections.abc import Callable, Generator, Sequence

from napari_unet.models.card import ModelCard
from napari_unet.models.report import Report
from napari_unet.models.weights import save_model
from napari_unet.training.competition.choice import Choice, choose
from napari_unet.training.competition.evaluation import Candidate
from napari_unet.training.competition.evidence import Evidence
from napari_unet.training.competition.verdict import Compared, verdict
from napari_unet.training.events import (
    Control,
    FinetunePlan,
    Finished,
    PlannedTraining,
    TrainingEvent,
)
from napari_unet.training.judge import decide, look_at_it
from napari_unet.training.windows import TrainingWindow

NO_GAIN = "What {name!r} learned made it no better."
AS_IT_IS = NO_GAIN + " The new model is {name!r} as it is, in the size of what you painted."


def finetune_events(
    plan: FinetunePlan,
    windows: Sequence[TrainingWindow],
    *,
    others: Sequence[PlannedTraining] = (),
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
    others : sequence of PlannedTraining, optional
        The same for other parents, which compete with this one in the first seconds.
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
    choice = yield from choose([(plan, windows), *others], Control(stop, check, clock))
    work = choice.attempt
    work.note = choice.sentence
    unchanged, in_use = work.unchanged(), work.in_use()
    before = in_use or unchanged
    known = work.evidence(before)
    yield work.state(before.score.value if work.evaluation.held else None)
    refit = work.refitted(unchanged)
    yield from work.learn()
    best = trained = work.trained()
    if refit is not None and refit.score.value > trained.score.value:
        best = work.better_of(trained, refit)
    # where another model is in use, a new one may beat that and still be worse than its parent
    plain = None if in_use is None else work.as_it_is()
    best = work.better_of(best, plain)
    report = _report(choice, (before, best), known, trained=best is trained)
    if best is plain:
        said = NO_GAIN if report.outcome == "refused" else AS_IT_IS
        report = report.saying(said.format(name=work.parent.name))
    save_model(work.plan.target, best.network, _new_card(work.card, best, report))
    yield Finished(report, work.plan.target)


def _report(
    choice: Choice,
    candidates: tuple[Candidate, Candidate],
    known: Evidence | None,
    *,
    trained: bool,
) -> Report:
    """Say what came of it: whether the best there is now replaces the old one."""
    (old, best), work, compared = candidates, choice.attempt, None
    if known is not None and (now := work.evidence(best)) is not None:
        # a model in use may have learned from this paint before
        untaught = not trained and (old.own is None or not old.own.images)
        compared = Compared.of(old, best, (known, now), untaught=untaught)
        outcome, sentence = verdict(compared)
    elif work.judged:
        outcome, sentence = decide(old.score, best.score)
    else:
        outcome, sentence = look_at_it()
    report = Report(
        outcome=outcome,
        sentence=sentence,
        objects=work.card.painted_objects,
        held=len(old.score.overlaps),
        old=old.score.value,
        new=best.score.value,
        base_old=old.base,
        base_new=best.base,
        certainty=compared.certainty if compared else None,
        learned=compared.learned if compared else None,
        steady=compared.steady if compared else None,
        trained=trained,
        steps=work.learner.steps,
        seconds=work.seconds,
        parent=work.parent.name,
        tried=choice.tried,
    )
    return report.saying(choice.conclusion)


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
