"""One retraining as the command line does it, and its scores on what nobody painted.

The new model is returned also if it is refused.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.annotator import Sheet
from benchmarks.common.image_sets import Scene
from benchmarks.common.matching import Counts, Estimate, bootstrap, count, match
from napari_unet.finetuning import gather, painting_of
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.models.library import Model, load_model
from napari_unet.models.report import Report
from napari_unet.segmentation import segment
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import FinetuneInputs, Finished
from napari_unet.training.finetune import finetune_events

THRESHOLDS = (0.5, 0.7, 0.8)
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


def gathered(parent: Model, sheets: Sequence[Sheet], settings: FinetuneSettings) -> FinetuneInputs:
    """Collect the paint of all sheets that have some."""
    paintings = [
        painting_of(sheet.scene.image, sheet.painted, parent.card)
        for sheet in sheets
        if sheet.painted.any()
    ]
    return gather(paintings, parent, "painted", settings)


def retrain(inputs: FinetuneInputs, target: Path) -> Retrained:
    """Retrain, and load what was written to `target`.

    With one thread the limit counts seconds of the processor, so that other programs take nothing
    from the training; a person's machine has more cores, and learns more in a minute.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    clock = time.process_time if torch.get_num_threads() == 1 else time.monotonic
    for event in finetune_events(inputs.plan(target), inputs.windows, clock=clock):
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
        self._labels: dict[int, NDArray[np.integer]] = {}

    def __call__(self, number: int) -> NDArray[np.integer]:
        """Return the labels of one scene, ``(Y, X)``, with default settings."""
        if number not in self._labels:
            labels = segment(self._scenes[number].image, self.model).labels
            self._labels[number] = labels.astype(np.int32)
        return self._labels[number]


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


def compare(sheets: Sequence[Sheet], labels: Callable[[int], Labels]) -> Counts:
    """Count matches on the rest of every scored image; `labels` gives what was found, by number."""
    matchings = [
        match(*rest(sheet, labels(number)))
        for number, sheet in enumerate(sheets)
        if sheet.scene.scored
    ]
    return count(matchings, THRESHOLDS)


def figures(counts: Counts) -> dict[str, float]:
    """Pooled AP by threshold."""
    pairs = zip(THRESHOLDS, counts.pooled, strict=True)
    return {str(threshold): round(float(value), 4) for threshold, value in pairs}


def interval(counts: Counts) -> tuple[float, float]:
    """95 % interval of the pooled AP@.5 over images."""
    estimate: Estimate = bootstrap(counts, pooled=True)
    return round(float(estimate.low[0]), 4), round(float(estimate.high[0]), 4)
