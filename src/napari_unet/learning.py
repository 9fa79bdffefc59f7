"""What a retraining tells while it runs and when it ends; known to the panel and to the engine."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from napari_unet.settings import FinetuneSettings

Outcome = Literal["accepted", "refused", "preview"]


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


@dataclass(frozen=True, slots=True)
class Learning:
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
        Mean overlap of the held-out objects, where it was looked at just now.
    """

    steps: int
    seconds: float
    limit: float
    loss: float
    score: float | None = None


class Report(BaseModel):
    """What came of a retraining.

    Attributes
    ----------
    outcome : {"accepted", "refused", "preview"}
        "preview": too little was held out to judge; a person decides.
    sentence : str
        Which, and why, for a person.
    objects, held : int
        Painted objects, and how many of them judged and were not learned from.
    old, new : float
        Mean overlap (IoU) of the held-out objects with what the model in use (the parent, where
        nothing else was in use) and the new model find.
    base_old, base_new : float
        The same on crops of nuclei, which the first model was trained on; 0 where it does not
        know them.
    trained : bool
        Whether the weights changed, or only the thresholds.
    steps : int
        Steps taken.
    seconds : float
        Time it took.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    sentence: str
    objects: int
    held: int
    old: float
    new: float
    base_old: float
    base_new: float
    trained: bool
    steps: int
    seconds: float


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


LearnEvent = Learning | Finished
