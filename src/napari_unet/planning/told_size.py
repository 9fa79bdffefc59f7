"""How large the objects of an image are, where the network itself tells how large they look.

A look tells a size within some factor of the one that the network is used to. So the image is
looked at enlarged and reduced, the looks vote, and the size that they agree on is looked with.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.execution.events import Event, Notice
from napari_unet.execution.executors import Executor
from napari_unet.execution.probability_maps import ProbabilityMapStore
from napari_unet.image import SPARSE, Box, Image
from napari_unet.models.card import ModelCard
from napari_unet.network.spec import OCTAVES
from napari_unet.planning.object_size import (
    Looks,
    Probing,
    ScaleProbe,
    busiest,
    find_object_size,
    of_one_plane,
    within,
)
from napari_unet.tiling.plan import SegmentPlan

DIAMETER = "diameter"  # the output that tells
SMALLEST, LARGEST = 6.0, 200.0  # pixels; diameters that are believed
FOREGROUND = 128  # of 255; from there on a pixel is rather object than background
SHARE = 0.05  # of the pixels at least count as objects: those that look most like it
FIRST = (1.0, 0.5, 0.25, 2.0)  # magnifications that are looked with whatever is told
TRUSTED = 0.7  # octaves from the usual size within which what is told is mostly right
ALIKE = 0.4  # octaves within which two looks tell the same
RIGHT = 1.1  # factor within which what is told confirms the size that was looked with
REFINED = 3  # looks at most that come nearer to that
UNSURE = (
    "It is not certain how large the objects are; {:.0f} px is the best guess. If they are not "
    "outlined well, set the object diameter."
)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the network tells in one look.

    Attributes
    ----------
    probe : ScaleProbe
        The look.
    octaves : float
        Logarithm to base 2 of the told diameter over the one that the network is used to.
    spread : float
        Between the quartiles of the pixels, octaves.
    share : float
        Of the pixels that are objects, 0…1.
    """

    probe: ScaleProbe
    octaves: float
    spread: float
    share: float

    @property
    def diameter(self) -> float:
        """Told, image pixels."""
        plan = self.probe.plan
        return plan.card.object_diameter * 2**self.octaves / plan.zoom

    @property
    def weight(self) -> float:
        """How far it is trusted: much where objects look as large as the network is used to."""
        return (self.share + SHARE) * math.exp(-((self.octaves / TRUSTED) ** 2))

    @property
    def confirmed(self) -> bool:
        """Whether it tells the size that was looked with."""
        plan = self.probe.plan
        possible = within(self.diameter / believable(self.diameter), RIGHT)
        return possible and within(plan.card.zoom(self.diameter) / plan.zoom, RIGHT)


Telling = Generator[Event, None, Told]
"""Looks, and says what was told."""


def find_size(
    plan: SegmentPlan,
    image: Image,
    executor: Executor,
    folders: Iterator[Path],
    near: tuple[float, float] | None = None,
) -> Probing:
    """Find how large the objects are; see `object_size.find_object_size` for what is given.

    Where the model tells sizes the whole plane is looked at, whatever part of it is wanted: the
    size is the same for every part. Only what is looked at counts in a large plane that is empty
    elsewhere.
    """
    if not tells_size(plan.card):
        return (yield from find_object_size(plan, image, executor, folders, near))
    expected, shown = everywhere(plan, image)
    centre = yield from busiest(expected, shown, near or plan.region.centre)
    looks = Looks(expected, shown, executor, folders)

    def look(diameter: float) -> Telling:
        return told((yield from looks.at(centre, diameter)))

    return (yield from best_told(expected.card, look))


def tells_size(card: ModelCard) -> bool:
    """Whether a model tells sizes; paint teaches none, so a retrained one is not believed."""
    return card.spec.diameter and card.finds_objects and card.usual_diameter is None


def everywhere(plan: SegmentPlan, image: Image) -> tuple[SegmentPlan, Image]:
    """Return a plan to look at the whole image with, and that image."""
    whole = image.whole
    if whole is not None and math.prod(whole.shape) <= SPARSE:
        image = whole
    planes, region = tuple(image.planes()), Box((0, 0), image.shape)
    wide = replace(plan, shape=image.shape, planes=planes, region=region, further=(DIAMETER,))
    return of_one_plane(wide), image


def best_told(card: ModelCard, look: Callable[[float], Telling]) -> Probing:
    """Decide which diameters to look with, and which one to believe; knows nothing of images.

    Parameters
    ----------
    card : ModelCard
        The model.
    look : callable
        Looks with a diameter, image pixels.
    """
    looks = list[Told]()
    for zoom in FIRST:
        looks.append((yield from look(card.object_diameter / zoom)))
    for _ in range(REFINED):
        latest = yield from look(agreed(looks))
        if latest in looks:
            break
        looks.append(latest)
    diameter = agreed(looks)
    best = yield from look(diameter)
    if not best.confirmed:
        yield Notice(UNSURE.format(diameter))
    return replace(best.probe, told=diameter)


def agreed(looks: Sequence[Told]) -> float:
    """Return the diameter that most looks tell, image pixels, by how far each is trusted."""
    sizes = np.log2([believable(look.diameter) for look in looks])
    weights = np.array([look.weight for look in looks])
    near = np.exp(-(((sizes[:, None] - sizes) / ALIKE) ** 2)) * weights
    votes = near[near.sum(axis=1).argmax()]
    return believable(float(2 ** np.average(sizes, weights=votes)))


def believable(diameter: float) -> float:
    """Return the nearest diameter that objects may have."""
    return min(max(diameter, SMALLEST), LARGEST)


def told(probe: ScaleProbe) -> Told:
    """Read what the network tells in a look that is done."""
    plan = probe.plan
    area, step = plan.tiles.area, max(1, round(1 / plan.zoom))
    maps = ProbabilityMapStore(probe.folder, plan).read(0, area)[:, ::step, ::step]
    return Told(probe, *told_octaves(maps, plan))


def told_octaves(maps: NDArray[np.uint8], plan: SegmentPlan) -> tuple[float, float, float]:
    """Return median and spread over the objects of a probability map, and their share of it."""
    channels = plan.card.channels_with(plan.further)
    cell, border, size = (maps[channels.index(n)] for n in ("cell", "border", DIAMETER))
    object_like = cell.astype(np.int32) + border
    sure = object_like >= FOREGROUND
    counted = object_like >= min(FOREGROUND, float(np.quantile(object_like, 1 - SHARE)))
    low, middle, high = np.percentile(size[counted], (25, 50, 75)) / 255
    first, last = OCTAVES
    return first + middle * (last - first), (high - low) * (last - first), float(sure.mean())
