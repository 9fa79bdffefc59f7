"""How large the objects of an image are: a small part of it is looked at in several sizes."""

import math
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_unet.image import Box, Image, normalise
from napari_unet.inference.plan import Key, SegmentPlan
from napari_unet.inference.run import KEEP_ALL, Event, TileDone, Waiting, run
from napari_unet.inference.schedule import Schedule
from napari_unet.inference.tasks import Backend
from napari_unet.instances import object_diameters, typical_diameter
from napari_unet.settings import DecodeSettings

SPECK = 0.25  # of the diameter a model is used to: what is smaller is no object
PROBE = 256  # network pixels; side of what is looked at in each size
SIZES = (2.0, 0.5, 3.5, 0.25)  # magnifications that are tried where the first look is not sure
SMALLEST, LARGEST = 1.0, 4000.0  # pixels; diameters that can be planned with
FIT = 1.4  # factor within which an object has the diameter that the network is used to
NEAR, SURE = 1.35, 0.88  # factor and certainty from which on no other size is tried
DOUBT = 4  # power of the certainty that an object counts by: a wrong size is found, but unsurely
UNUSUAL = 1.2  # how fast a look counts less the more it enlarges or reduces
FEWEST = 3  # objects that settle how large objects are
WINDOWS = 4  # along each side; the one that shows most is looked at


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was found in one size.

    Attributes
    ----------
    plan : SegmentPlan
        Where was looked, and in what size.
    folder : Path
        Where its class maps are.
    have : set of Key
        Its tiles that are there.
    diameters, certainties : list of float
        Of each object: image pixels, and 0…1.
    """

    plan: SegmentPlan
    folder: Path
    have: set[Key] = field(default_factory=set)
    diameters: list[float] = field(default_factory=list)
    certainties: list[float] = field(default_factory=list)

    @property
    def fit(self) -> float:
        """Share of the area covered by objects of the size the network is used to, surely."""
        card, zoom = self.plan.card, self.plan.zoom
        diameters = np.array(self.diameters)
        ratio = diameters * zoom / card.object_diameter
        fitting = (ratio > 1 / FIT) & (ratio < FIT)
        areas = diameters**2 * np.array(self.certainties) ** DOUBT
        share = float(areas[fitting].sum() / max(1, self.plan.region.size))
        return share * math.exp(-UNUSUAL * abs(math.log(zoom)))

    @property
    def sure(self) -> bool:
        """Whether what is found is certain, and as large as the network is used to."""
        if self.diameter is None or len(self.diameters) < FEWEST:
            return False
        if np.mean(self.certainties) < SURE:
            return False
        ratio = self.diameter * self.plan.zoom / self.plan.card.object_diameter
        return 1 / NEAR < ratio < NEAR

    @property
    def diameter(self) -> float | None:
        """Typical diameter, image pixels; None if nothing was found."""
        if not self.diameters:
            return None
        return round(typical_diameter(np.array(self.diameters)), 1)


def look_for_size(
    plan: SegmentPlan, image: Image, backend: Backend, folder: Path
) -> Generator[Event, None, Look]:
    """Find the size in which most is found that looks like what the model knows.

    A model that was taught on certain objects is looked with once, at their size.

    Parameters
    ----------
    plan : SegmentPlan
        What is wanted, with the diameter that is expected; the part of it that shows most is
        looked at.
    image : Image
        What to read.
    backend : Backend
        Who computes.
    folder : Path
        Beside it class maps are kept for each size; whoever calls must remove them (`forget`).

    Returns
    -------
    Look
        The best one.
    """
    middle = plan.planes[len(plan.planes) // 2 :][:1]
    probe = replace(plan, planes=middle, tile=min(plan.tile, 2 * PROBE), anchored=False)
    centre = yield from _busiest(probe, image)
    looks: list[Look] = []
    sizes = [1.0]
    while sizes:
        target = folder.with_name(f"{folder.name}-{len(looks)}")
        look = _look(probe, sizes.pop(0), centre, target)
        if any(look.plan.zoom == other.plan.zoom for other in looks):
            continue  # limits of the zoom, or a model that takes many sizes as they are
        yield from _fill(look, image, backend)
        looks.append(look)
        # A third look and later ones are compared: made small enough, clumps look like objects.
        if (look.sure and len(looks) <= 2) or probe.card.usual_diameter is not None:
            return look
        if len(looks) == 1:
            hint = [probe.diameter / look.diameter] if look.diameter else []
            sizes = [*hint, *SIZES]
    return max(looks, key=lambda look: look.fit)


def _look(probe: SegmentPlan, size: float, centre: tuple[float, float], folder: Path) -> Look:
    """Prepare to look with objects `size` times as large as the probe expects them."""
    plan = replace(probe, diameter=min(max(probe.diameter / size, SMALLEST), LARGEST))
    return Look(replace(plan, region=window(probe.region, centre, PROBE / plan.zoom)), folder)


def _busiest(probe: SegmentPlan, image: Image) -> Generator[Event, None, tuple[float, float]]:
    """Return the centre of the window in which grey values differ most.

    The middle of an image may be empty; where there is most contrast there are objects.
    """
    best, most = probe.region.centre, -1.0
    for box in _windows(probe.region):
        pixels = image.read(probe.planes[0], box, probe.channels)
        grey = [normalise(c, k) for c, k in zip(pixels, probe.limits, strict=True)]
        spread = float(np.clip(grey, 0, 1).std())
        if spread > most:
            best, most = box.centre, spread
        yield Waiting()
    return best


def _windows(region: Box) -> Iterator[Box]:
    """Spread windows over a region, the middle one first; none overlap."""
    counts = [min(WINDOWS, max(1, n // PROBE)) for n in region.shape]
    rows, columns = (
        [start + (2 * i + 1) * n / (2 * count) for i in range(count)]
        for start, n, count in zip(region.start, region.shape, counts, strict=True)
    )
    places = [(y, x) for y in rows for x in columns]
    for place in sorted(places, key=lambda place: math.dist(place, region.centre)):
        yield window(region, place, PROBE)


def _fill(look: Look, image: Image, backend: Backend) -> Generator[Event, None, None]:
    plan = look.plan
    backend.open(plan, look.folder)
    schedule = Schedule(plan, plan.blocks(), look.have, KEEP_ALL)
    for event in run(plan, image, _decoding(plan), backend, schedule):
        if isinstance(event, TileDone):
            found = object_diameters(event.patch.labels).tolist()
            look.diameters.extend(found)
            look.certainties.extend([event.patch.certainty] * len(found))
        yield Waiting()


def _decoding(plan: SegmentPlan) -> DecodeSettings:
    """A model of large cells leaves out what is small; here small objects are what may be found."""
    speck = SPECK * plan.card.object_diameter / plan.zoom
    return plan.card.decode.with_smallest(min(plan.card.decode.minimum_diameter, speck))


def keep(look: Look, folder: Path) -> set[Key]:
    """Move a look's class maps to `folder` and return their tiles."""
    shutil.move(look.folder, folder)
    return look.have


def forget(folder: Path) -> None:
    """Remove the class maps of all looks beside `folder`."""
    for number in range(len(SIZES) + 2):  # the first look, its hint, and those
        shutil.rmtree(folder.with_name(f"{folder.name}-{number}"), ignore_errors=True)


def window(region: Box, centre: tuple[float, float], side: float) -> Box:
    """Return the square around a point, moved into the region, or as much as there is of it."""
    length = round(side)
    start = [
        min(max(round(c - length / 2), low), max(low, high - length))
        for c, low, high in zip(centre, region.start, region.stop, strict=True)
    ]
    y, x = start
    return Box((y, x), (y + length, x + length)).intersect(region)
