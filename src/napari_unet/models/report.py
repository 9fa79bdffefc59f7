"""What came of a retraining, as the new model's card keeps it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["accepted", "refused", "preview"]


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
    certainty : float or None
        How certain the gain on the held-out objects is, −1…1. None for classes.
    learned, steady : (float, float) or None
        Before and after: mean overlap of the painted objects that were learned from, and agreement
        of what is found with what is found in an enlarged image. None for classes.
    trained : bool
        Whether the weights changed, or only the thresholds.
    steps : int
        Steps taken.
    seconds : float
        Time it took.
    parent : str
        Name of the model it began with.
    tried : dict
        Name of each model that competed to begin with, to the mean overlap with what is painted,
        before and after its first seconds alike; empty if there was no choice.
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
    certainty: float | None = None
    learned: tuple[float, float] | None = None
    steady: tuple[float, float] | None = None
    trained: bool
    steps: int
    seconds: float
    parent: str = ""
    tried: dict[str, float] = {}

    def saying(self, more: str) -> "Report":
        """Return the same with another sentence, if there is one."""
        return self.model_copy(update={"sentence": f"{self.sentence} {more}".strip()})
