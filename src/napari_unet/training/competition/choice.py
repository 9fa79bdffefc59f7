"""Parents compete: each learns what is painted for some seconds, the best of them goes on.

Which model one begins with decides what ten painted cells bring in a minute, and no look at the
models as they are tells it: a model that finds nothing of a new kind of cell may learn it fastest.
"""

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ModelError, TrainingError
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.network.outputs import OBJECT_MAP
from napari_unet.training.competition.attempt import Attempt
from napari_unet.training.events import Control, PlannedTraining, TrainingStep
from napari_unet.training.judge import Score

log = logging.getLogger(__name__)
SHARE = 0.12  # of the time limit that each parent learns before one is chosen
PREPARING = 0.25  # of the time limit, after which no further parent is made ready
LONGEST = 0.5  # of the time limit, which all of them may take together
ALIKE = 2  # digits of an overlap that count; where they are equal, the lower error decides
LEAST = 1 / 255  # probability; a map has no smaller steps


@dataclass(frozen=True, slots=True)
class Choice:
    """The parent that goes on.

    Attributes
    ----------
    attempt : Attempt
        What it has learned so far.
    tried : dict
        Name of each parent that competed to its `standing`, as overlap; empty if none did.
    """

    attempt: Attempt
    tried: dict[str, float]

    @property
    def sentence(self) -> str:
        """Say which was chosen, while it learns; empty where there was no choice."""
        name = self.attempt.parent.name
        return f"{name!r} learned it best, so it begins with that." if self.tried else ""

    @property
    def conclusion(self) -> str:
        """Say which was chosen, at the end."""
        name, count = self.attempt.parent.name, len(self.tried)
        return f"It began with {name!r}, which learned it best of {count}." if count else ""


def choose(
    trainings: Sequence[PlannedTraining], control: Control
) -> Generator[TrainingStep, None, Choice]:
    """Have parents learn in turns until each had its seconds, and choose one.

    Equal seconds and not equal steps, as the minute is one of seconds: a slow network takes fewer
    steps in the rest of it, too. In turns, so that a load on the machine meets all of them.

    Parameters
    ----------
    trainings : sequence of PlannedTraining
        Plan and windows for each parent; of equal ones the first is chosen.
    control : Control
        Ends it from outside; a *Stop* chooses at once.

    Yields
    ------
    TrainingStep
        After every step of any of them.
    """
    attempts = _prepared(trainings, control)
    if len(attempts) == 1:
        return Choice(attempts[0], {})
    yield from _heats(attempts, control)
    standings = [standing(attempt) for attempt in attempts]
    best = max(range(len(attempts)), key=standings.__getitem__)
    names = [attempt.parent.name for attempt in attempts]
    overlaps = [overlap for overlap, _ in standings]
    return Choice(attempts[best], dict(zip(names, overlaps, strict=True)))


def _prepared(trainings: Sequence[PlannedTraining], control: Control) -> list[Attempt]:
    """Make the first ready, and as many others as there is time for and as can be used."""
    begun = control.clock()
    plan, windows = trainings[0]
    attempts = [Attempt.load(plan, windows, control, begun)]
    for plan, windows in trainings[1:]:
        if attempts[0].seconds < PREPARING * plan.settings.time_limit and not control.stop():
            try:
                attempts.append(Attempt.load(plan, windows, control, begun))
            except (ModelError, TrainingError) as problem:
                log.warning("%s does not compete: %s", plan.parent, problem)
    return attempts


def _heats(attempts: list[Attempt], control: Control) -> Generator[TrainingStep, None, None]:
    """Take steps, always of the one that had the least time; one that loses its way is out."""
    limit, begun = attempts[0].settings.time_limit, attempts[0].seconds
    heat = min(SHARE, LONGEST / len(attempts)) * limit
    whole = max(heat, limit - begun - (len(attempts) - 1) * heat)  # of the one that will go on
    while not control.stop():
        behind = min(attempts, key=lambda attempt: attempt.spent)
        if behind.spent >= heat:
            return
        try:
            behind.step(behind.spent / whole)
        except TrainingError as problem:
            if len(attempts) == 1:
                raise
            log.warning("%s competes no longer: %s", behind.parent.name, problem)
            attempts.remove(behind)
        steps = min(attempt.learner.steps for attempt in attempts)
        yield TrainingStep(steps, behind.seconds, limit, float("nan"), note=_note(attempts))


def _note(attempts: Sequence[Attempt]) -> str:
    names = " or ".join(repr(attempt.parent.name) for attempt in attempts)
    return f"Trying out whether {names} learns it best."


def standing(attempt: Attempt) -> tuple[float, float]:
    """How well a parent finds what is painted: mean overlap, then how little it errs.

    All painted objects count, also those it learns from: the few held out are too few to tell.
    Overlaps do not depend on the size that a parent sees the objects in. As it was and as it is
    now count alike: what it knew holds for the rest of the image, what it learned may be a memory
    of ten cells. The first fast steps may unsettle a network that knows such objects already; then
    only what it knew counts.
    """
    now = attempt.evaluation.maps(attempt.learner.average, attempt.shown)
    before, after = (_marks(attempt, maps) for maps in (attempt.opinions, now))
    best = max(before, after)
    return round((before[0] + best[0]) / 2, ALIKE), best[1]


def _marks(attempt: Attempt, maps: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Overlap, and less than nothing by the error, of maps of the windows that are shown."""
    pairs = list(zip(maps, attempt.shown, strict=True))
    scores = [attempt.evaluation.score(m, attempt.card.decode, w, None) for m, w in pairs]
    wrong = float(np.mean([error(m, w.painted) for m, w in pairs]))
    return round(sum(scores, Score()).value, ALIKE), -wrong


def error(maps: NDArray[np.uint8], painted: NDArray[np.uint32]) -> float:
    """Mean negative logarithm of the probability of what is painted; objects and background alike.

    Parameters
    ----------
    maps : ndarray of uint8
        ``(M, Y, X)``, probability map of objects.
    painted : ndarray of uint32
        ``(Y, X)``.
    """
    cell, border = (maps[OBJECT_MAP.index(name)].astype(np.float32) for name in ("cell", "border"))
    object_ = np.clip((cell + border) / 255, LEAST, 1 - LEAST)
    background = painted == BACKGROUND
    inside = (painted != UNLABELLED) & ~background
    parts = [-np.log(object_[inside]), -np.log(1 - object_[background])]
    return float(np.mean([part.mean() for part in parts if part.size] or [0.0]))
