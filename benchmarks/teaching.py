"""One retraining as the command line does it, with the new model at hand also if it is refused."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.annotator import Sheet
from benchmarks.scenes import Scene
from napari_unet.finetuning import gather, painting_of
from napari_unet.models.library import Model, load_model
from napari_unet.models.report import Report
from napari_unet.segmentation import segment
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import FinetuneInputs, Finished
from napari_unet.training.finetune import finetune_events


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
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


def teach(teaching: FinetuneInputs, target: Path) -> Taught:
    """Retrain, and load what was written to `target`.

    With one thread the limit counts seconds of the processor, so that other programs take nothing
    from the training; a person's machine has more cores, and learns more in a minute.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    clock = time.process_time if torch.get_num_threads() == 1 else time.monotonic
    for event in finetune_events(teaching.plan(target), teaching.windows, clock=clock):
        if isinstance(event, Finished):
            return Taught(load_model(event.path), event.report)
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
