"""Whether a new model takes the place of the old one, and why, in a sentence.

What a person wants to know is whether the rest of the image got better, which nobody painted, and
the next image of the kind. The change of their AP@.5 is estimated from what can be seen, by a line
that is fitted to retrainings whose true change is known: ``python -m benchmarks.never_worse --fit``
prints the numbers below.
"""

from dataclasses import dataclass

import numpy as np

from napari_unet.models.report import Outcome
from napari_unet.training.competition.evaluation import Candidate
from napari_unet.training.competition.evidence import Evidence
from napari_unet.training.judge import FEWEST_PAINTED, FEWEST_TO_DECIDE, GIVEN_UP, Score

MOST = 0.3  # of a gain that counts; more tells no more
CERTAIN = 3.0  # standard errors of a gain that count; more tells no more
LEAST_ERROR = 0.02  # of the overlap; a few objects may gain alike by chance
WEIGHTS = (0.17, 0.27, 0.68)  # AP@.5 for each of the gains
ALWAYS = -0.06  # AP@.5 without any gain: a model that learned nothing new is worse elsewhere
SURE = 0.06  # estimated change from which on a new model is accepted
PROBABLE = 0.0  # and from which on a person should look at it


@dataclass(frozen=True, slots=True)
class Compared:
    """What is seen of an old and a new model; each is old and new, 0…1.

    Attributes
    ----------
    objects : int
        Held out.
    held : tuple of float
        Score of the objects held out.
    certainty : float
        Gain of that score in standard errors, as a share of `CERTAIN`, −1…1.
    learned : tuple of float
        Mean overlap with the objects learned from.
    steady : tuple of float
        Share of what is found that is found again where the image is enlarged.
    base : tuple of float
        Score on the first training's images, 0 where it is unknown.
    """

    objects: int
    held: tuple[float, float]
    certainty: float
    learned: tuple[float, float]
    steady: tuple[float, float]
    base: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(
        cls,
        old: Candidate,
        new: Candidate,
        evidence: tuple[Evidence, Evidence],
        *,
        untaught: bool = False,
    ) -> "Compared":
        """Compare two candidates; evidence is of both, too.

        Where both are `untaught`, neither learned from the paint: then all that is painted judges
        as what is held out does.
        """
        before, after = evidence
        scores = old.score, new.score
        if untaught:
            scores = old.score + Score(before.overlaps), new.score + Score(after.overlaps)
        return cls(
            len(new.score.overlaps),
            (old.score.value, new.score.value),
            certainty(*scores),
            (before.learned, after.learned),
            (before.steady, after.steady),
            (old.base, new.base),
        )

    @property
    def gains(self) -> tuple[float, ...]:
        """What the new model does better, in the order of `WEIGHTS`."""
        pairs = (self.learned, self.steady)
        return self.certainty, *(min(max(new - old, -MOST), MOST) for old, new in pairs)

    @property
    def expected(self) -> float:
        """Estimated change of AP@.5 of what nobody painted."""
        return ALWAYS + sum(w * gain for w, gain in zip(WEIGHTS, self.gains, strict=True))

    @property
    def figures(self) -> str:
        """How the objects held out are found, in words."""
        if not self.objects:
            return "you painted too few objects to hold any out to judge"
        old, new = self.held
        objects = f"{self.objects} of your objects, held out to judge"
        return f"agreement with {objects}: {old:.2f} before, {new:.2f} after, 1 = perfect"


def certainty(old: Score, new: Score) -> float:
    """Return the gain of a score in standard errors, as a share of `CERTAIN`, −1…1.

    Parameters
    ----------
    old, new : Score
        Of the same held-out objects, in the same order; fewer than two tell nothing.
    """
    gains = np.array(new.overlaps) - np.array(old.overlaps)
    if len(gains) < FEWEST_TO_DECIDE:
        return 0.0
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5 + LEAST_ERROR
    return float(np.clip((new.value - old.value) / error / CERTAIN, -1, 1))


def verdict(compared: Compared, expected: float | None = None) -> tuple[Outcome, str]:
    """Say whether the new model replaces the old one, and why, in a sentence.

    Parameters
    ----------
    compared : Compared
        What is seen of both.
    expected : float, optional
        Change of AP@.5, where another estimate than `Compared.expected` is to decide.
    """
    expected = compared.expected if expected is None else expected
    forgotten = ""
    old, new = compared.base
    if new < old - GIVEN_UP:
        forgotten = (
            f" On other images of nuclei it is worse now ({old:.2f} before, {new:.2f} after): keep "
            "the old model for those."
        )
    few = compared.objects < FEWEST_TO_DECIDE
    if expected < (ALWAYS - SURE if few else PROBABLE):  # so few refuse only what has lost
        return "refused", (
            f"The new model is not better, so the old one stays ({compared.figures}). Paint more "
            "of what it gets wrong."
        )
    if few:  # nearly always fewer were painted
        held = "You painted too few objects to hold any out to judge."
        if compared.objects:
            one = f"Only {compared.objects} of your objects could be held out to judge"
            held = f"{one}, too few to tell."
        return "preview", (
            f"{held} The old model stays; look at the new one and keep it if it is better, or "
            f"paint a few more objects ({FEWEST_PAINTED} in all are enough)." + forgotten
        )
    # not sure, whatever else is seen, where those that were held out are found worse
    if expected < SURE or compared.held[1] < compared.held[0]:
        return "preview", (
            f"The new model is probably better: look at it ({compared.figures}). The old one "
            "stays until you keep the new one, or paint a few more objects." + forgotten
        )
    return "accepted", f"The new model is surely better ({compared.figures})." + forgotten
