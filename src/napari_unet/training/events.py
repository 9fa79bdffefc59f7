"""What a retraining tells while it runs and when it ends; known to the panel and to the engine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_unet.models.library import Model
from napari_unet.models.report import Report
from napari_unet.settings import FinetuneSettings
from napari_unet.training.windows import TrainingWindow


@dataclass(frozen=True, slots=True)
class FinetunePlan:
    """Everything decided about a retraining.

    Attributes
    ----------
    parent : Path
        Model file to begin with.
    target : Path
        Model file to write, also where the result is refused: it can be looked at.
    settings : FinetuneSettings
        Time and seed.
    card : dict
        What else the new model's card says: name, parent, number of images, date.
    in_use : Path or None
        Model file that the new one must beat; None = the parent.
    """

    parent: Path
    target: Path
    settings: FinetuneSettings
    card: dict[str, Any] = field(default_factory=dict)
    in_use: Path | None = None


# a parent's plan, and windows of all that was painted, cut for it
PlannedTraining = tuple[FinetunePlan, Sequence[TrainingWindow]]


@dataclass(frozen=True, slots=True, eq=False)
class FinetuneInputs:
    """Everything one retraining needs.

    Attributes
    ----------
    parent : Model
        The model it begins with.
    windows : list of TrainingWindow
        Windows of all that was painted.
    card : dict
        What the new model's card says besides its scores.
    settings : FinetuneSettings
        Time and seed.
    in_use : Model or None
        The model in use, which the new one must beat; None = the parent.
    others : tuple of FinetuneInputs
        The same for other parents, which compete with this one.
    """

    parent: Model
    windows: list[TrainingWindow]
    card: dict[str, Any]
    settings: FinetuneSettings
    in_use: Model | None = None
    others: tuple["FinetuneInputs", ...] = ()

    def named(self, parent: str) -> Model:
        """Return the parent of a name; the first if there is none."""
        parents = [self.parent, *(other.parent for other in self.others)]
        return next((one for one in parents if one.card.name == parent), self.parent)

    def plan(self, target: Path) -> FinetunePlan:
        """Return all that is decided but the windows, with the file to write."""
        in_use = self.in_use.path if self.in_use else None
        return FinetunePlan(self.parent.path, target, self.settings, self.card, in_use)

    def trainings(self, target: Path) -> list[PlannedTraining]:
        """Return plan and windows of each parent; whichever is chosen writes the file."""
        all_of_them = [self, *(replace(other, in_use=self.in_use) for other in self.others)]
        return [(one.plan(target), one.windows) for one in all_of_them]


@dataclass(frozen=True, slots=True)
class Control:
    """How a retraining is ended from outside, and what counts its time.

    Attributes
    ----------
    stop : callable
        Asked before every step; True ends the training, and the best so far is judged.
    check : callable
        Called before every window that a network runs on. It raises if the result is not wanted
        any more; then nothing is written.
    clock : callable
        Seconds that count against the time limit.
    """

    stop: Callable[[], bool] = lambda: False
    check: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step was taken.

    Attributes
    ----------
    steps : int
        Steps so far.
    seconds, limit : float
        Time passed, and time there is.
    loss : float
        Moving average of the loss.
    score : float or None
        Mean overlap of the held-out objects, where it was scored just now.
    note : str
        What a person should know meanwhile: which parents are tried out, or which was chosen.
    """

    steps: int
    seconds: float
    limit: float
    loss: float
    score: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The retraining is over.

    Attributes
    ----------
    report : Report
        What came of it.
    path : Path
        The new model's file, not yet in the library.
    """

    report: Report
    path: Path


TrainingEvent = TrainingStep | Finished
