"""How steady a model is in an image: whether it finds the same objects where it is enlarged.

A network that knows such objects does not mind a quarter more. One that does not finds pieces and
clumps, and others in each size.
"""

import math
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unet.execution.events import Event
from napari_unet.execution.executors import Executor
from napari_unet.image import Box, Image
from napari_unet.labels.agreement import Labels, agreement
from napari_unet.planning.object_size import FEWEST, Prober, ScaleProbe, everywhere

ENLARGED = 1.25  # times
UNUSUAL = 0.2  # taken off for each octave between what is found and what the model is used to
MOST_UNUSUAL = 2.0  # octaves that count
TOO_FEW = 0.3  # taken off where hardly anything is found


def steadiness(
    probe: ScaleProbe, image: Image, executor: Executor, folders: Iterator[Path]
) -> Generator[Event, None, float]:
    """Say how far a model finds the same objects in an image and in a larger one.

    Parameters
    ----------
    probe : ScaleProbe
        What it finds in the size that `told_size.find_size` found.
    image : Image
        What to read.
    executor : Executor
        Computes.
    folders : iterator of Path
        Of `object_size.probe_folders`.

    Returns
    -------
    float
        At most 1: panoptic quality, less where too few objects or objects of another size than the
        model's are found. 0 or less says that it knows nothing of the image.
    """
    if probe.ratio is None:
        return 0.0
    card = probe.plan.card
    shown = everywhere(probe.plan, image)[1]
    # Sizes within its range a model takes as they are; here each is another one.
    exact = card.model_copy(update={"diameter_range": (card.object_diameter,) * 2})
    prober = Prober(replace(probe.plan, card=exact), shown, executor, folders)
    diameter = card.object_diameter / (ENLARGED * probe.plan.zoom)
    larger = yield from prober.at(probe.plan.region.centre, diameter)
    both = probe.plan.region.intersect(larger.plan.region)
    same = agreement([labels_of(probe, both)], [labels_of(larger, both)])
    few = TOO_FEW * (len(probe.diameters) < FEWEST)
    return same - UNUSUAL * min(abs(math.log2(probe.ratio)), MOST_UNUSUAL) - few


def labels_of(probe: ScaleProbe, area: Box) -> Labels:
    """Put the objects of a probe together in an area of the image."""
    labels, first = np.zeros(area.shape, np.int32), 0
    for patch in probe.patches:
        both = patch.box.intersect(area)
        if not both.size:
            continue
        found = patch.labels[both.shift(patch.box.start).slices]
        np.copyto(labels[both.shift(area.start).slices], found + first, where=found > 0)
        first += patch.count
    return labels
