"""How large the objects of an image are, where the network itself tells how large they look.

A look tells a size within some factor of the one that the network is used to. So the image is
looked at enlarged and reduced, the looks vote, and the size that they agree on is looked with.
"""

import itertools
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
OTHER = 0.5  # magnification that a first look is compared with
FURTHER = (0.5, 0.25, 2.0)  # magnifications that are looked with where two looks do not agree
APART = 1.3  # factor from which on two magnifications are different ones
SAME = 1.2  # factor within which two looks tell the same
RISING = 0.3  # octaves told for each octave of magnification; less says nothing
TRUSTED = 0.7  # octaves from the usual size within which what is told is mostly right
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
    def believed(self) -> float:
        """The same, or the nearest diameter that objects may have."""
        return believable(self.diameter)

    @property
    def weight(self) -> float:
        """How far it is trusted: much where objects look as large as the network is used to."""
        return (self.share + SHARE) * math.exp(-((self.octaves / TRUSTED) ** 2))

    @property
    def confirmed(self) -> bool:
        """Whether it tells the size that was looked with."""
        plan = self.probe.plan
        possible = within(self.diameter / self.believed, RIGHT)
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
    usual = card.object_diameter
    first = yield from look(usual)
    # What is told is told again in another size, or it says nothing of this image.
    looks = [first, (yield from look(usual / OTHER if first.confirmed else first.diameter))]
    if not alike(*looks):
        for zoom in FURTHER:
            further = yield from look(usual / zoom)
            looks.append(further)
    best = yield from _refined(looks, look)
    if not (best.confirmed and rising(looks)):
        yield Notice(UNSURE.format(best.believed))
    return replace(best.probe, told=best.believed)


def _refined(looks: list[Told], look: Callable[[float], Telling]) -> Telling:
    """Come nearer to the size in which objects look as large as the network is used to."""
    for _ in range(REFINED):
        best = min(looks, key=lambda told: abs(told.octaves))
        if best.confirmed:
            return best
        again = yield from look(crossing(looks))
        if again in looks:
            return best
        looks.append(again)
    return min(looks, key=lambda told: abs(told.octaves))


def alike(one: Told, other: Told) -> bool:
    """Whether two looks in quite different sizes tell the same."""
    apart = within(one.probe.plan.zoom / other.probe.plan.zoom, APART)
    return not apart and within(one.diameter / other.diameter, SAME)


def rising(looks: Sequence[Told]) -> bool:
    """Whether objects look larger where they are enlarged: else nothing is told."""
    zooms = np.log2([look.probe.plan.zoom for look in looks])
    octaves = np.array([look.octaves for look in looks])
    zooms -= zooms.mean()
    return float(zooms @ octaves) > RISING * float(zooms @ zooms)


def crossing(looks: Sequence[Told]) -> float:
    """Return the diameter, image pixels, that would look as large as the network is used to.

    A network tells sizes nearer to its own than they are, the more the further they are from it.
    Between a look that tells too small and one that tells too large this does not matter.
    """
    ordered = sorted(looks, key=lambda look: look.probe.plan.zoom)
    usual = ordered[0].probe.plan.card.object_diameter
    found = []
    for small, large in itertools.pairwise(ordered):
        if small.octaves <= 0 <= large.octaves and small.octaves < large.octaves:
            share = small.octaves / (small.octaves - large.octaves)
            low, high = (math.log2(look.probe.plan.zoom) for look in (small, large))
            found.append((small.weight + large.weight, usual / 2 ** (low + share * (high - low))))
    if found:
        return believable(max(found)[1])
    return min(looks, key=lambda look: abs(look.octaves)).believed


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
