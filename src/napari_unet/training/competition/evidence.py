"""What tells whether the rest of an image got better, beside the objects held out.

Three held-out objects cannot tell. But a network that knows objects of a kind finds the painted
ones that it learns from, and finds the same ones where the image is enlarged. Both are compared for
the old and the new model; `verdict` says what such gains are worth.
"""

from dataclasses import dataclass

from napari_unet.labels.agreement import Labels, agreement
from napari_unet.labels.painted import painted_ids
from napari_unet.labels.watershed import decode
from napari_unet.training.competition.evaluation import Candidate, Evaluation, some
from napari_unet.training.judge import Score, at_zoom, judge

LOOKED_AT = 6  # windows at most
ENLARGED = 1.25  # times


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a network does on windows with paint, and beside the paint.

    Attributes
    ----------
    overlaps : tuple of float
        Overlap (IoU) with each painted object that is learned from, 0…1.
    steady : float
        Agreement with what is found where the windows are enlarged, 0…1.
    """

    overlaps: tuple[float, ...]
    steady: float

    @property
    def learned(self) -> float:
        """Mean overlap with the painted objects that are learned from, 0…1."""
        return Score(self.overlaps).value


def evidence_of(evaluation: Evaluation, candidate: Candidate) -> Evidence:
    """Look at some windows, as they are and enlarged, as a candidate would segment them."""
    windows = some(evaluation.windows, LOOKED_AT)
    plain, larger = (_found(evaluation, candidate, ratio) for ratio in (1.0, ENLARGED))
    learned = Score()
    for labels, window in zip(plain, windows, strict=True):
        ids = [i for i in painted_ids(window.painted).tolist() if i not in window.held]
        learned += Score(judge(labels, window.painted, ids).overlaps)
    return Evidence(learned.overlaps, agreement(plain, larger))


def _found(evaluation: Evaluation, candidate: Candidate, ratio: float) -> list[Labels]:
    """Objects that a candidate finds in the windows that are looked at."""
    windows = some(evaluation.windows, LOOKED_AT)
    maps = evaluation.maps(
        candidate.network, windows, candidate.own, in_use=candidate.in_use, ratio=ratio
    )
    channels = evaluation.card.map_channels
    pairs = zip(maps, windows, strict=True)
    return [decode(m, at_zoom(candidate.decode, w.zoom), channels) for m, w in pairs]
