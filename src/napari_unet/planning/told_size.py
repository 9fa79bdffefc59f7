"""How large the objects of an image are, where the network itself tells how large they look.

A probe tells a size within some factor of the one that the network is used to. So the image is
probed enlarged and reduced, the probes vote, and the size that they agree on is probed with.
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
from napari_unet.image import Image
from napari_unet.models.card import ModelCard
from napari_unet.network.spec import OCTAVES
from napari_unet.planning.object_size import (
    REFINED,
    RIGHT,
    Prober,
    Probing,
    ScaleProbe,
    best_probe,
    busiest,
    everywhere,
    find_object_size,
    within,
)
from napari_unet.tiling.plan import SegmentPlan

DIAMETER = "diameter"  # the output that tells
SMALLEST, LARGEST = 6.0, 200.0  # pixels; diameters that are believed
FOREGROUND = 230  # of 255; a pixel is surely object: what only looks like one may have any size
SHARE = 0.005  # of the pixels at least count as objects: those that look most like it
OTHER = 0.5  # magnification that a first probe is compared with
FURTHER = (0.5, 0.25, 2.0)  # magnifications that are probed where two probes do not agree
APART = 1.3  # factor from which on two magnifications are different ones
SAME = 1.2  # factor within which two probes tell the same
ALIKE = 1.4  # factor within which what is told and what is found are taken together
UNCLEAR = 0.6  # octaves between the quartiles of the pixels, from which on they tell too little
RISING = 0.2  # octaves told for each octave of magnification; less says nothing
TRUSTED = 0.7  # octaves from the usual size within which what is told is mostly right
UNSURE = (
    "It is not certain how large the objects are; {:.0f} px is the best guess. If they are not "
    "outlined well, set the object diameter."
)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the network tells in one probe.

    Attributes
    ----------
    probe : ScaleProbe
        The probe.
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
        return round(believable(self.diameter), 1)

    @property
    def zoom(self) -> float:
        """Network pixels for each image pixel."""
        return self.probe.plan.zoom

    @property
    def agreed(self) -> float:
        """The same, or the mean of it and of the objects that are found, where they are alike."""
        found = self.probe.diameter
        if found is None or not within(found / self.believed, ALIKE):
            return self.believed
        return believable(round(math.sqrt(found * self.believed), 1))

    @property
    def weight(self) -> float:
        """How far it is trusted: much where objects look as large as the network is used to."""
        return (self.share + SHARE) * math.exp(-((self.octaves / TRUSTED) ** 2))

    @property
    def confirmed(self) -> bool:
        """Whether it tells the size that was probed with."""
        plan = self.probe.plan
        possible = within(self.diameter / self.believed, RIGHT)
        return possible and within(plan.card.zoom(self.diameter) / plan.zoom, RIGHT)


Telling = Generator[Event, None, Told]
"""Probes, and says what was told."""


def find_size(
    plan: SegmentPlan,
    image: Image,
    executor: Executor,
    folders: Iterator[Path],
    near: tuple[float, float] | None = None,
) -> Probing:
    """Find how large the objects are; see `object_size.find_object_size` for what is given.

    The whole image is probed, whatever part of it is wanted: the size is the same for every plane
    and every part. Only what the person looks at counts in a large plane that is empty elsewhere.
    """
    if not tells_size(plan.card):
        return (yield from find_object_size(plan, image, executor, folders, near))
    wide, shown = everywhere(replace(plan, further=(DIAMETER,)), image)
    expected, centre = yield from busiest(wide, shown, near or plan.region.centre)
    prober = Prober(expected, shown, executor, folders)

    def tell(diameter: float) -> Telling:
        return told((yield from prober.at(centre, diameter)))

    best = yield from best_told(expected.card, tell)
    if best is not None and best.confirmed:
        found = replace(best.probe, told=best.agreed)
        if best.spread < UNCLEAR:
            return found
    elif best is None:
        found = yield from best_probe(expected, lambda diameter: prober.at(centre, diameter))
        if found.diameter is None:
            return found
        found = replace(found, told=believable(found.diameter))
    else:
        found = replace(best.probe, told=best.believed)
    yield Notice(UNSURE.format(found.diameter))
    return found


def tells_size(card: ModelCard) -> bool:
    """Whether a model tells sizes; a retraining learns none, so a retrained one is not believed."""
    return card.spec.diameter and card.finds_objects and card.usual_diameter is None


def best_told(
    card: ModelCard, tell: Callable[[float], Telling]
) -> Generator[Event, None, Told | None]:
    """Decide which diameters to probe with, and which probe to believe; knows nothing of images.

    Parameters
    ----------
    card : ModelCard
        The model.
    tell : callable
        Probes with a diameter, image pixels.

    Returns
    -------
    Told or None
        A probe whose objects are as large as the network is used to, or the nearest one; None if
        what is told says nothing.
    """
    usual = card.object_diameter
    first = yield from tell(usual)
    # What is told must be told again in another size.
    again = yield from tell(usual / OTHER if first.confirmed else first.believed)
    probes = _with(again, [first])
    if not alike(first, again):
        for zoom in FURTHER:
            probes = _with((yield from tell(usual / zoom)), probes)
    elif first.confirmed or again.confirmed:
        return min(probes, key=lambda told: abs(told.octaves))
    return (yield from _refined(probes, tell))


def _refined(
    probes: list[Told], tell: Callable[[float], Telling]
) -> Generator[Event, None, Told | None]:
    """Come nearer to the size in which objects look as large as the network is used to."""
    nearest: Told | None = None
    for _ in range(REFINED):
        diameter = crossing(probes)
        if diameter is None:
            break
        nearest = yield from tell(diameter)
        if nearest.confirmed or any(nearest.zoom == one.zoom for one in probes):
            break
        probes = _with(nearest, probes)
    return nearest


def _with(latest: Told, probes: Sequence[Told]) -> list[Told]:
    """Add a probe, in place of those in about the same size: between two, chance has its say."""
    return [*(one for one in probes if not within(one.zoom / latest.zoom, APART)), latest]


def alike(one: Told, other: Told) -> bool:
    """Whether two probes in quite different sizes tell the same."""
    apart = within(one.probe.plan.zoom / other.probe.plan.zoom, APART)
    return not apart and within(one.diameter / other.diameter, SAME)


def crossing(probes: Sequence[Told]) -> float | None:
    """Return the diameter, image pixels, that would look as large as the network is used to.

    A network tells sizes nearer to its own than they are, the more the further they are from it.
    Between a probe that tells too small and one that tells too large this does not matter. None
    where objects do not look larger in larger images.
    """
    ordered = sorted(probes, key=lambda one: one.zoom)
    usual = ordered[0].probe.plan.card.object_diameter
    pairs = [pair for pair in itertools.pairwise(ordered) if slope(*pair) > RISING]
    met = [pair for pair in pairs if pair[0].octaves <= 0 <= pair[1].octaves]
    if met:
        # clumps look like objects in small images, but tell another size in each
        small, large = max(met, key=lambda pair: (alike(*pair), pair[0].weight + pair[1].weight))
        return believable(usual / (small.zoom * 2 ** (-small.octaves / slope(small, large))))
    # Beyond the probes; clumps may look like objects, but they do not look larger when enlarged.
    if pairs and pairs[-1][1] is ordered[-1] and ordered[-1].octaves < 0:
        return ordered[-1].believed
    if pairs and pairs[0][0] is ordered[0] and ordered[0].octaves > 0:
        return ordered[0].believed
    return None


def slope(one: Told, other: Told) -> float:
    """Octaves that are told more for each octave of magnification."""
    return (one.octaves - other.octaves) / math.log2(one.zoom / other.zoom)


def believable(diameter: float) -> float:
    """Return the nearest diameter that objects may have."""
    return min(max(diameter, SMALLEST), LARGEST)


def told(probe: ScaleProbe) -> Told:
    """Read what the network tells in a probe that is done."""
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
