"""One retraining as the command line does it, and its scores on what nobody painted.

The new model is returned also if it is refused.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.annotator import Sheet
from benchmarks.common.domains import Pair
from benchmarks.common.image_sets import Scene
from benchmarks.common.matching import Counts, count, match
from benchmarks.common.rows import Row
from napari_unet.finetuning import at_once, gather_all
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.models.library import Model, load_model
from napari_unet.models.report import Report
from napari_unet.segmentation import segment
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import FinetuneInputs, Finished
from napari_unet.training.finetune import finetune_events

THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
COVERED = 0.5  # of an object's area that lies in paint: then it is no part of the rest

Labels = NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """What came of a retraining.

    Attributes
    ----------
    model : Model
        The new model.
    report : Report
        Whether it is accepted, and why.
    """

    model: Model
    report: Report


def gathered(
    parents: Sequence[Model],
    sheets: Sequence[Sheet],
    settings: FinetuneSettings,
    seen: Sequence[float | None] = (),
) -> FinetuneInputs:
    """Collect the paint of all sheets that have some; the first parent is the model in use.

    Each sheet may have a diameter that the model in use took the objects for, image pixels.
    """
    some = [i for i, sheet in enumerate(sheets) if sheet.painted.any()]
    pairs = [(sheets[i].scene.image, sheets[i].painted) for i in some]
    sizes = [seen[i] for i in some] if seen else []
    steps = gather_all(pairs, parents, lambda _: "painted", settings, seen=sizes)
    return replace(at_once(steps), in_use=parents[0])


def retrain(inputs: FinetuneInputs, target: Path) -> Retrained:
    """Retrain, and load what was written to `target`.

    With one thread the limit counts seconds of the processor, so that other programs take nothing
    from the training; a person's machine has more cores, and learns more in a minute.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    clock = time.process_time if torch.get_num_threads() == 1 else time.monotonic
    (plan, windows), *others = inputs.trainings(target)
    for event in finetune_events(plan, windows, others=others, clock=clock):
        if isinstance(event, Finished):
            return Retrained(load_model(event.path), event.report)
    raise AssertionError("the events end with Finished")


class Found:
    """What one model finds on scenes; each is segmented when it is first asked for.

    Parameters
    ----------
    model : Model
        The model.
    scenes : sequence of Scene
        The images.
    """

    def __init__(self, model: Model, scenes: Sequence[Scene]) -> None:
        self.model = model
        self._scenes = scenes
        self._found: dict[int, tuple[NDArray[np.integer], float]] = {}

    def __call__(self, number: int) -> NDArray[np.integer]:
        """Return the labels of one scene, ``(Y, X)``, with default settings."""
        return self._segmented(number)[0]

    def diameter(self, number: int) -> float:
        """Return the diameter that the objects of a scene were taken for, image pixels."""
        return self._segmented(number)[1]

    def _segmented(self, number: int) -> tuple[NDArray[np.integer], float]:
        if number not in self._found:
            found = segment(self._scenes[number].image, self.model)
            self._found[number] = found.labels.astype(np.int32), found.plan.diameter
        return self._found[number]


def rest(sheet: Sheet, found: Labels) -> tuple[Labels, Labels]:
    """Leave out the cells that were painted, and what was found in their place.

    Parameters
    ----------
    sheet : Sheet
        Truth and paint.
    found : ndarray of int
        ``(Y, X)``.

    Returns
    -------
    truth, found : ndarray of int
        ``(Y, X)``, without the cells painted and those mostly under painted objects; without
        found objects that lie mostly on painted cells or in paint.
    """
    truth, paint = sheet.scene.truth, sheet.painted
    objects = (paint != UNLABELLED) & (paint != BACKGROUND)
    painted_cells = np.isin(truth, list(sheet.done))
    return (
        _without(truth, painted_cells | objects),
        _without(found, painted_cells | (paint != UNLABELLED)),
    )


def _without(labels: Labels, paint: NDArray[np.bool_]) -> Labels:
    areas = np.bincount(labels.ravel())
    gone = np.bincount(labels[paint], minlength=len(areas)) > COVERED * areas
    gone[0] = False
    left: Labels = np.where(gone[labels], 0, labels)
    return left


def figures(counts: Counts) -> dict[str, float]:
    """Pooled AP by threshold."""
    pairs = zip(THRESHOLDS, counts.pooled, strict=True)
    return {str(threshold): round(float(value), 4) for threshold, value in pairs}


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A pair of images, the first of which is painted on, before and after a retraining.

    Attributes
    ----------
    sheets : list of Sheet
        Of the painted image and of the next one, which stays blank.
    first : Found
        What the model in use finds on both.
    """

    sheets: list[Sheet]
    first: Found

    @classmethod
    def of(cls, pair: Pair, model: Model) -> "Trial":
        """Begin with blank sheets."""
        following = replace(pair.following, painted_on=False)
        scenes = [replace(pair.painted, painted_on=True), following]
        return cls([Sheet.blank(scene) for scene in scenes], Found(model, scenes))

    def scores(self, found: Found, name: str) -> Row:
        """AP on what was not painted, on the next image, and on both, as fields of a row."""
        own, following = (match(*rest(s, found(i))) for i, s in enumerate(self.sheets))
        parts = {name: [own], f"next_{name}": [following], f"all_{name}": [own, following]}
        return {key: figures(count(found_, THRESHOLDS)) for key, found_ in parts.items()}

    def run(self, settings: FinetuneSettings, target: Path, *rivals: Model) -> Row:
        """Retrain, and return scores before and after, and what the report says.

        The model in use begins, unless one of its rivals learns what is painted better.
        """
        seen = [self.first.diameter(number) for number in range(len(self.sheets))]
        inputs = gathered([self.first.model, *rivals], self.sheets, settings, seen)
        retrained = retrain(inputs, target)
        found = Found(retrained.model, [sheet.scene for sheet in self.sheets])
        row = self.scores(self.first, "before") | self.scores(found, "after")
        return row | retrained.report.model_dump()
