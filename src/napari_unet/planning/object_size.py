"""How large the objects of an image are: a small part of it is looked at in several sizes."""

import math
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_unet.execution.events import KEEP_ALL, Event, TileDone, Waiting, run
from napari_unet.execution.tasks import Backend
from napari_unet.image import SPARSE, Box, Image
from napari_unet.intensity import normalise
from napari_unet.labels.watershed import object_diameters, typical_diameter
from napari_unet.settings import MOST_DIAMETER, DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.tiling.schedule import Schedule

SPECK = 0.25  # of the diameter a model is used to: what is smaller is no object
PROBE = 256  # network pixels; side of what is looked at in each size
SIZES = (2.0, 0.5, 3.5, 0.25)  # magnifications that are tried where the first look is not sure
SMALLEST, LARGEST = 1.0, float(MOST_DIAMETER)  # pixels; diameters that can be planned with
FIT = 1.4  # factor within which an object has the diameter that the network is used to
NEAR, SURE = 1.6, 0.88  # factor and certainty from which on no very different size is tried
# A model sees objects nearer to its own size than they are: it finds 1.2 times for 1.3 times.
# (The power, by hand on 148 images of nuclei in 13 sizes: 0.77 in fluorescence, 0.56 in tissue.)
LEANING = 0.7
RIGHT = 1.1  # factor within which what is found confirms the size that was looked with
REFINED = 3  # looks at most that come nearer to that
DOUBT = 4  # power of the certainty that an object counts by: a wrong size is found, but unsurely
UNUSUAL = 2.0  # how fast a look counts less the more it enlarges or reduces
FEWEST = 3  # objects that settle how large objects are
WINDOWS = 4  # along each side; the one that shows most is looked at


@dataclass(frozen=True, slots=True, eq=False)
class ScaleProbe:
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
    leaning : float
        Power of the true ratio of sizes that is found; 1 = it is believed as it is.
    """

    plan: SegmentPlan
    folder: Path
    have: set[Key] = field(default_factory=set)
    diameters: list[float] = field(default_factory=list)
    certainties: list[float] = field(default_factory=list)
    leaning: float = 1.0

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
    def ratio(self) -> float | None:
        """What is found, divided by what the network is used to; None if too little is found."""
        if len(self.diameters) < FEWEST:
            return None
        found = typical_diameter(np.array(self.diameters))
        return found * self.plan.zoom / self.plan.card.object_diameter

    @property
    def certainty(self) -> float:
        """Of what is found, 0…1."""
        return float(np.mean(self.certainties or [0.0]))

    @property
    def sure(self) -> bool:
        """Whether what is found is certain, and about as large as the network is used to."""
        return self.certainty >= SURE and within(self.ratio, NEAR)

    @property
    def diameter(self) -> float | None:
        """Typical diameter of the objects, image pixels; None if nothing was found."""
        if not self.diameters:
            return None
        found = typical_diameter(np.array(self.diameters))
        if self.ratio and within(self.ratio, NEAR):
            found *= self.ratio ** (1 / self.leaning - 1)
        return round(found, 1)


def within(ratio: float | None, factor: float) -> bool:
    """Whether a ratio is known and differs from 1 by less than a factor."""
    return ratio is not None and 1 / factor < ratio < factor


def off(look: ScaleProbe) -> float:
    """How far what a look found is from what the network is used to; infinite for nothing."""
    return math.inf if look.ratio is None else abs(math.log(look.ratio))


def find_object_size(
    plan: SegmentPlan,
    image: Image,
    backend: Backend,
    folder: Path,
    near: tuple[float, float] | None = None,
) -> Generator[Event, None, ScaleProbe]:
    """Find the size in which most is found that looks like what the model knows.

    A model that was taught on certain objects is looked with once, at their size; twice, if it
    finds objects of quite another one.

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
    near : tuple of float, optional
        Image pixel that is looked at; what is around it counts where no other place shows anything.

    Returns
    -------
    Look
        The best one.
    """
    middle = plan.planes[len(plan.planes) // 2 :][:1]
    probe = replace(plan, planes=middle, tile=min(plan.tile, 2 * PROBE), anchored=False)
    centre = yield from _busiest(probe, image, near)
    search, looks = diameters(probe), list[ScaleProbe]()
    wanted = next(search)
    while True:
        look = _look(probe, wanted, centre, folder.with_name(f"{folder.name}-{len(looks)}"))
        # The same again at the limits of the zoom, or of a model that takes many sizes as they are.
        known = next((known for known in looks if known.plan.zoom == look.plan.zoom), None)
        if known is None:
            yield from _fill(look, image, backend)
            looks.append(look)
        try:
            wanted = search.send(known or look)
        except StopIteration as end:
            best: ScaleProbe = end.value
            return best


def diameters(probe: SegmentPlan) -> Generator[float, ScaleProbe, ScaleProbe]:
    """Decide which diameters to look with; knows nothing of images.

    Parameters
    ----------
    probe : SegmentPlan
        What is wanted, with the diameter that is expected.

    Yields
    ------
    float
        Image pixels to look with; the look at it must be sent.

    Returns
    -------
    Look
        The best one.
    """
    best = yield probe.diameter
    if probe.card.usual_diameter is not None:
        return (yield from _confirmed(best))
    if not best.sure:
        best = yield from _very_different(best, probe)
    for _ in range(REFINED):
        if best.diameter is None or not within(best.ratio, NEAR) or within(best.ratio, RIGHT):
            break
        look = yield best.diameter
        if look is best:
            break
        if off(look) >= off(best) or look.certainty < min(SURE, best.certainty):
            return replace(best, leaning=1.0)  # the size that it hints at is not right either
        best = look
    return best


def _confirmed(first: ScaleProbe) -> Generator[float, ScaleProbe, ScaleProbe]:
    """Believe that an image shows other sizes than the taught ones only if a look there shows more.

    A model that has just met its cells finds pieces and clumps of them, and their size is not that
    of the cells.
    """
    card = first.plan.card
    if first.diameter is None or card.diameter_for(first.diameter) == card.usual_diameter:
        return first
    again = yield first.diameter
    return again if again.fit > first.fit else replace(first, diameters=[], certainties=[])


def _very_different(
    first: ScaleProbe, probe: SegmentPlan
) -> Generator[float, ScaleProbe, ScaleProbe]:
    """Try what the first look hints at, then sizes that are far larger and far smaller.

    Made small enough, clumps look like objects: the later looks are compared by what they find.
    """
    looks = [first]
    if first.diameter is not None:
        looks.append((yield first.diameter))
        if looks[-1].sure:
            return looks[-1]
    for size in SIZES:
        look = yield probe.diameter / size
        looks.append(look)
    return max(looks, key=lambda look: look.fit)


def _look(
    probe: SegmentPlan, diameter: float, centre: tuple[float, float], folder: Path
) -> ScaleProbe:
    """Prepare to look for objects of a diameter."""
    plan = replace(probe, diameter=min(max(diameter, SMALLEST), LARGEST))
    region = window(probe.region, centre, PROBE / plan.zoom)
    # A model of one kind of cells says what it finds.
    leaning = LEANING if plan.card.usual_diameter is None else 1.0
    return ScaleProbe(replace(plan, region=region), folder, leaning=leaning)


def _busiest(
    probe: SegmentPlan, image: Image, near: tuple[float, float] | None
) -> Generator[Event, None, tuple[float, float]]:
    """Return the centre of the window in which grey values differ most.

    The middle of an image may be empty; where there is most contrast there are objects.
    """
    best, most = probe.region.centre, -1.0
    for box in _windows(probe.region):
        spread = yield from _spread(probe, image, box)
        if spread > most:
            best, most = box.centre, spread
    if near is not None and math.prod(probe.region.shape) > SPARSE:
        here = yield from _spread(probe, image, window(probe.region, near, PROBE))
        return near if here > most else best
    return near if near is not None and most <= 0 else best


def _spread(probe: SegmentPlan, image: Image, box: Box) -> Generator[Event, None, float]:
    """Standard deviation of the normalised grey values of a window."""
    pixels = image.read(probe.planes[0], box, probe.channels)
    grey = [normalise(c, k) for c, k in zip(pixels, probe.limits, strict=True)]
    yield Waiting()
    return float(np.clip(grey, 0, 1).std())


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


def _fill(look: ScaleProbe, image: Image, backend: Backend) -> Generator[Event, None, None]:
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


def keep(look: ScaleProbe, folder: Path) -> set[Key]:
    """Move a look's class maps to `folder` and return their tiles."""
    shutil.move(look.folder, folder)
    return look.have


def forget(folder: Path) -> None:
    """Remove the class maps of all looks beside `folder`."""
    for number in range(len(SIZES) + REFINED + 2):  # the first look, its hint, and those
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
