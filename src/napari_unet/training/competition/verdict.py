"""Whether a new model takes the place of the old one, and why, in a sentence.

What a person wants to know is whether the rest of the image got better, which nobody painted. The
change of its AP@.5 is estimated from what can be seen, by a line that is fitted to retrainings
whose true change is known: ``python -m benchmarks.never_worse --fit`` prints the numbers below.
"""

from dataclasses import dataclass

from napari_unet.models.report import Outcome
from napari_unet.training.competition.evaluation import Candidate
from napari_unet.training.competition.evidence import Evidence
from napari_unet.training.judge import FEWEST_PAINTED, FEWEST_TO_DECIDE, GIVEN_UP

# of one more in each gain, in AP@.5
HELD, LEARNED, STEADY, ALWAYS = 0.2, 0.5, 0.3, 0.0
SURE = 0.05  # estimated change from which on a new model is accepted
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
    learned : tuple of float
        Mean overlap with the objects learned from.
    steady : tuple of float
        Share of what is found that is found again where the image is enlarged.
    base : tuple of float
        Score on the first training's images, 0 where it is unknown.
    """

    objects: int
    held: tuple[float, float]
    learned: tuple[float, float]
    steady: tuple[float, float]
    base: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, old: Candidate, new: Candidate, evidence: tuple[Evidence, Evidence]) -> "Compared":
        """Compare two candidates; evidence is of both, too."""
        before, after = evidence
        return cls(
            len(new.score.overlaps),
            (old.score.value, new.score.value),
            (before.learned, after.learned),
            (before.steady, after.steady),
            (old.base, new.base),
        )

    @property
    def expected(self) -> float:
        """Estimated change of AP@.5 of what nobody painted."""
        gains = (after - before for before, after in (self.held, self.learned, self.steady))
        shares = (HELD, LEARNED, STEADY)
        return ALWAYS + sum(w * g for w, g in zip(shares, gains, strict=True))

    @property
    def figures(self) -> str:
        """What is compared, in words."""
        parts = (
            (f"{self.objects} painted objects set aside to judge", self.held),
            ("those learned from", self.learned),
            ("what is found, in an enlarged image", self.steady),
        )
        told = [f"{what} {old:.2f} → {new:.2f}" for what, (old, new) in parts]
        return f"overlaps, 1 = perfect: {', '.join(told)}"


def verdict(compared: Compared) -> tuple[Outcome, str]:
    """Say whether the new model replaces the old one, and why, in a sentence."""
    forgotten = ""
    old, new = compared.base
    if new < old - GIVEN_UP:
        forgotten = (
            f" On other images of nuclei it is worse now ({old:.2f} before, {new:.2f} after): keep "
            "the old model for those."
        )
    few = compared.objects < FEWEST_TO_DECIDE
    if compared.expected < (-SURE if few else PROBABLE):
        return "refused", (
            f"The new model is not better, so the old one stays ({compared.figures}). Paint more "
            "of what it gets wrong."
        )
    if few:  # nearly always fewer were painted
        return "preview", (
            f"Only {compared.objects} painted objects could be set aside to judge, too few to "
            f"tell ({compared.figures}). The old model stays; look at the new one and keep it if "
            f"it is better, or paint a few more objects ({FEWEST_PAINTED} in all are enough)."
            + forgotten
        )
    if compared.expected < SURE:
        return "preview", (
            f"The new model is probably better: look at it ({compared.figures}). The old one "
            "stays until you keep the new one, or paint a few more objects." + forgotten
        )
    return "accepted", f"The new model is surely better ({compared.figures})." + forgotten
