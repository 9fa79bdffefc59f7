"""How well a network does on painted objects: one number, and the thresholds that suit them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.painted import BACKGROUND, CLASSES, painted_ids
from napari_unet.labels.watershed import decode
from napari_unet.models.report import Outcome
from napari_unet.network.outputs import OBJECT_MAP, Channels
from napari_unet.settings import DecodeSettings

SHIFTS = tuple(product((-0.15, 0.0, 0.15), (-0.15, 0.0, 0.15)))  # of sensitivity and separation
# Of sensitivity alone; upwards, too, as what is learned in a minute has narrower outlines than a
# long training gives, whose thresholds the parent has.
OUTLINES: tuple[tuple[float, float], ...] = tuple(
    (shift, 0.0) for shift in (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
)
FEWEST_TO_DECIDE = 2  # held-out objects
FEWEST_PAINTED = 12  # objects, of which about a quarter is held out
FEWEST_STROKES = 8  # of each class, of which a quarter is held out
LEAST_GAIN = 0.02  # of the score
GAIN_OF_ONE = 0.2  # divided by the number of held-out strokes: few of them must gain more
ERRORS = 0.5  # standard errors that a gain must exceed
GIVEN_UP = 0.05  # of the score on the first training's images: worth a sentence
# Painted objects say little about objects found wrongly where nothing is painted, so thresholds
# move little, and only for a clear gain.
GAIN = 0.03


@dataclass(frozen=True, slots=True)
class Score:
    """How painted objects were found.

    Attributes
    ----------
    overlaps : tuple of float
        Of every painted object, the intersection over union (IoU) with the object found there.
    wrong : int
        Objects found that lie mostly on painted background.
    """

    overlaps: tuple[float, ...] = ()
    wrong: int = 0

    @property
    def value(self) -> float:
        """Sum of the overlaps over objects painted and objects found wrongly; 0…1."""
        return sum(self.overlaps) / max(1, len(self.overlaps) + self.wrong)

    def __add__(self, other: "Score") -> "Score":
        """Pool two windows."""
        return Score(self.overlaps + other.overlaps, self.wrong + other.wrong)


def judge(
    labels: NDArray[np.int32], painted: NDArray[np.uint32], ids: Sequence[int] | None = None
) -> Score:
    """Compare found with painted objects.

    Parameters
    ----------
    labels : ndarray of int
        ``(Y, X)``, what was found.
    painted : ndarray of uint32
        ``(Y, X)``; unlabelled pixels say nothing.
    ids : sequence of int, optional
        Painted objects that count; default all.
    """
    areas = np.bincount(labels.ravel())
    overlaps = []
    for number in painted_ids(painted) if ids is None else ids:
        inside = painted == number
        shared = np.bincount(labels[inside], minlength=len(areas))
        shared[0] = 0
        union = areas + inside.sum() - shared
        overlaps.append(float((shared / np.maximum(union, 1)).max(initial=0)))
    on_background = np.bincount(labels[painted == BACKGROUND], minlength=len(areas))
    on_background[0] = 0
    return Score(tuple(overlaps), int((2 * on_background > areas).sum()))


def judge_classes(
    found: NDArray[np.uint8], painted: NDArray[np.uint32], ids: Sequence[int]
) -> Score:
    """Compare found with painted classes.

    Parameters
    ----------
    found : ndarray of uint8
        ``(Y, X)``, the class of every pixel.
    painted : ndarray of uint32
        ``(Y, X)``, as `labels.painted.number_strokes` returns it.
    ids : sequence of int
        Strokes that count.

    Returns
    -------
    Score
        For every stroke the part of its pixels that has its class.
    """
    return Score(tuple(float((found[painted == i] == i % CLASSES).mean()) for i in ids))


def best_single_class(strokes: Sequence[int]) -> Score:
    """Score of one class everywhere, the best one: what a new model of classes must beat.

    Parameters
    ----------
    strokes : sequence of int
        Strokes that count, as for `judge_classes`.
    """
    scores = [Score(tuple(float(i % CLASSES == c) for i in strokes)) for c in range(CLASSES)]
    return max(scores, key=lambda score: score.value)


def look_at_it() -> tuple[Outcome, str]:
    """Say that too few strokes are painted to judge a model of classes, and what to do."""
    return "preview", (
        "Too few strokes are painted to judge the new model. Look at it: keep it if it is right, "
        "or paint what is wrong and retrain. "
        f"With {FEWEST_STROKES} strokes of each class it is judged."
    )


def enough_strokes(strokes: Sequence[int], classes: int) -> bool:
    """Whether strokes that were held out can judge a model: some of every class but background.

    Parameters
    ----------
    strokes : sequence of int
        Strokes that count, as for `judge_classes`.
    classes : int
        K, background among them.
    """
    counts = Counter(i % CLASSES for i in strokes)
    return all(counts[number] >= FEWEST_TO_DECIDE for number in range(1, classes))


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A window of an image: what a network predicts there, and what is painted.

    Attributes
    ----------
    maps : ndarray of uint8
        ``(M, Y, X)``, probability map.
    painted : ndarray of uint32
        ``(Y, X)``.
    ids : sequence of int or None
        Painted objects that count; None = all.
    zoom : float
        Pixels of the window for one of the image.
    channels : Channels
        Names of the map's channels.
    """

    maps: NDArray[np.uint8]
    painted: NDArray[np.uint32]
    ids: Sequence[int] | None = None
    zoom: float = 1.0
    channels: Channels = OBJECT_MAP

    def score(self, settings: DecodeSettings) -> Score:
        """Decode with settings that are meant for the image, and compare."""
        labels = decode(self.maps, at_zoom(settings, self.zoom), self.channels)
        return judge(labels, self.painted, self.ids)


def at_zoom(settings: DecodeSettings, zoom: float) -> DecodeSettings:
    """Return the decoding for a window whose pixels are `zoom` times as many as the image's."""
    return settings.with_smallest(settings.minimum_diameter * zoom)


def best_thresholds(
    windows: Sequence[Window],
    now: DecodeSettings,
    check: Callable[[], object] = lambda: None,
    *,
    shifts: Sequence[tuple[float, float]] = SHIFTS,
) -> DecodeSettings:
    """Return the thresholds that suit painted objects best, `now` unless others are better.

    Parameters
    ----------
    windows : sequence of Window
        What to fit them on.
    now : DecodeSettings
        The model's own thresholds; the smallest diameter is kept.
    check : callable, optional
        Called before each attempt; it may raise to give up.
    shifts : sequence of (float, float)
        What is tried: changes of sensitivity and separation.
    """

    def score(settings: DecodeSettings) -> float:
        check()
        return sum((window.score(settings) for window in windows), Score()).value

    best, most = now, score(now) + GAIN
    for up, apart in shifts:
        sensitivity = min(0.95, max(0.05, now.sensitivity + up))
        separation = min(0.95, max(0.05, now.separation + apart))
        tried = now.model_copy(update={"sensitivity": sensitivity, "separation": separation})
        found = score(tried)
        if found > most:
            best, most = tried, found
    return best


def decide(old: Score, new: Score) -> tuple[Outcome, str]:
    """Say whether a new model of classes replaces the old one, and why, in a sentence.

    Parameters
    ----------
    old, new : Score
        Of the same held-out strokes, in the same order.
    """
    held = len(new.overlaps)
    gains = np.array(new.overlaps) - np.array(old.overlaps)
    gain, error = new.value - old.value, float(gains.std(ddof=1)) / held**0.5
    scores = f"{old.value:.2f} before, {new.value:.2f} after, 1 = perfect"
    judged = f"on {held} of your strokes, held out to judge ({scores})"
    clear = max(LEAST_GAIN, ERRORS * error)
    if gain < clear:
        clearly = "clearly " if gain > 0 else ""
        return "refused", (
            f"The new model is not {clearly}better {judged}, so the old one stays. "
            "Paint more of what it gets wrong."
        )
    if gain < GAIN_OF_ONE / held:
        return "preview", (
            f"The new model is a little better {judged}, too few to be sure of the rest. The old "
            "one stays; look at the new one and keep it if it is better, or paint a few more "
            "strokes of each class."
        )
    return "accepted", f"The new model is better {judged}."
