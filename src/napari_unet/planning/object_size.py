"""How large the objects of an image are: a small part of it is probed in several sizes."""

import itertools
import math
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_unet.execution.events import Event, ObjectsFound, Waiting
from napari_unet.execution.executors import Executor
from napari_unet.execution.orders import Job
from napari_unet.execution.run import live_run
from napari_unet.image import SPARSE, Box, Image, Plane
from napari_unet.intensity import normalise
from napari_unet.io.scratch import temporary_folder
from napari_unet.labels.watershed import Patch, object_diameters, typical_diameter
from napari_unet.settings import MOST_DIAMETER, DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan

SPECK = 0.25  # of the diameter a model is used to: what is smaller is no object
PROBE = 256  # network pixels; side of what is probed in each size
SIZES = (2.0, 0.5, 3.5, 0.25)  # magnifications that are tried where the first probe is not sure
SMALLEST, LARGEST = 1.0, float(MOST_DIAMETER)  # pixels; diameters that can be planned with
FIT = 1.4  # factor within which an object has the diameter that the network is used to
NEAR, SURE = 1.6, 0.88  # factor and certainty from which on no very different size is tried
# A model sees objects nearer to its own size than they are: it finds 1.2 times for 1.3 times.
LEANING = 0.7
RIGHT = 1.1  # factor within which what is found confirms the size that was probed with
REFINED = 3  # probes at most that come nearer to that
DOUBT = 4  # power of the certainty that an object counts by: a wrong size is found, but unsurely
UNUSUAL = 2.0  # how fast a probe counts less the more it enlarges or reduces
FEWEST = 3  # objects that settle how large objects are
PLANES, UNLIKE = 5, 2.0  # planes that are looked at; factor of contrast from which one is unlike
WINDOWS = 4  # along each side; the one that shows most is probed
CHUNKED = 4096**2  # pixels from which windows lie as the chunks of a file mostly do: fewer are read


@dataclass(frozen=True, slots=True, eq=False)
class ScaleProbe:
    """What was found in one size.

    Attributes
    ----------
    plan : SegmentPlan
        What was probed, and in what size.
    folder : Path
        Where its probability maps are.
    cached_tiles : set of Key
        Its tiles that are there.
    patches : list of Patch
        The objects.
    diameters, certainties : list of float
        Of each object: image pixels, and 0…1.
    leaning : float
        Power of the true ratio of sizes that is found; 1 = it is believed as it is.
    told : float or None
        Diameter that the network itself tells, image pixels, where that is believed.
    """

    plan: SegmentPlan
    folder: Path = Path()
    cached_tiles: set[Key] = field(default_factory=set)
    patches: list[Patch] = field(default_factory=list)
    diameters: list[float] = field(default_factory=list)
    certainties: list[float] = field(default_factory=list)
    leaning: float = 1.0
    told: float | None = None

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
        if self.told is not None or not self.diameters:
            return self.told
        found = typical_diameter(np.array(self.diameters))
        if self.ratio and within(self.ratio, NEAR):
            found *= self.ratio ** (1 / self.leaning - 1)
        return round(found, 1)


Probing = Generator[Event, None, ScaleProbe]
"""Probes, and tells that it does."""


def within(ratio: float | None, factor: float) -> bool:
    """Whether a ratio is known and differs from 1 by less than a factor."""
    return ratio is not None and 1 / factor < ratio < factor


def off(probe: ScaleProbe) -> float:
    """How far what a probe found is from what the network is used to; infinite for nothing."""
    return math.inf if probe.ratio is None else abs(math.log(probe.ratio))


def find_object_size(
    plan: SegmentPlan,
    image: Image,
    executor: Executor,
    folders: Iterator[Path],
    near: tuple[float, float] | None = None,
) -> Generator[Event, None, ScaleProbe]:
    """Find the size in which most is found that looks like what the model knows.

    A model that was trained on certain objects probes once, at their size; twice, if it
    finds objects of quite another one.

    Parameters
    ----------
    plan : SegmentPlan
        What is wanted, with the diameter that is expected. Whatever part that is, the place of the
        whole image that shows most is probed.
    image : Image
        What to read.
    executor : Executor
        Computes.
    folders : iterator of Path
        Of `probe_folders`: where the probability maps of each size lie.
    near : tuple of float, optional
        Image pixel that is probed; what is around it counts where no other place shows anything.

    Returns
    -------
    ScaleProbe
        The best one.
    """
    wide, shown = everywhere(plan, image)
    expected, centre = yield from busiest(wide, shown, near)
    prober = Prober(expected, shown, executor, folders)
    return (yield from best_probe(expected, lambda diameter: prober.at(centre, diameter)))


def everywhere(plan: SegmentPlan, image: Image) -> tuple[SegmentPlan, Image]:
    """Return a plan to probe the whole image with, in small tiles, and that image.

    So the size is one for all planes of a stack and all parts of a plane.
    """
    whole = image.whole
    if whole is not None and math.prod(whole.shape) <= SPARSE:
        image = whole
    planes, region = tuple(image.planes()), Box((0, 0), image.shape)
    wide = replace(plan, shape=image.shape, planes=planes, region=region, anchored=False)
    return replace(wide, tile=min(plan.tile, 2 * PROBE)), image


@dataclass(frozen=True, slots=True, eq=False)
class Prober:
    """Probes an image, and remembers what it found.

    Attributes
    ----------
    expected : SegmentPlan
        What is wanted, of one plane.
    image : Image
        What to read.
    executor : Executor
        Computes.
    folders : iterator of Path
        Where the probability maps of each probe lie.
    probes : list of ScaleProbe
        What was found.
    """

    expected: SegmentPlan
    image: Image
    executor: Executor
    folders: Iterator[Path]
    probes: list[ScaleProbe] = field(default_factory=list)

    def at(self, centre: tuple[float, float], diameter: float) -> Probing:
        """Probe a place for objects of a diameter, image pixels."""
        probe = _prepared(self.expected, diameter, centre)
        same = (probe.plan.zoom, probe.plan.region)
        # The same again at the limits of the zoom, or of a model that takes many sizes as they are.
        for known in self.probes:
            if (known.plan.zoom, known.plan.region) == same:
                return known
        probe = replace(probe, folder=next(self.folders))
        yield from _fill(probe, self.image, self.executor)
        self.probes.append(probe)
        return probe


def best_probe(expected: SegmentPlan, probe_with: Callable[[float], Probing]) -> Probing:
    """Decide which diameters to probe with; knows nothing of images.

    Parameters
    ----------
    expected : SegmentPlan
        What is wanted, with the diameter that is expected.
    probe_with : callable
        Probes with a diameter, image pixels.

    Returns
    -------
    ScaleProbe
        The best one.
    """
    best = yield from probe_with(expected.diameter)
    if expected.card.usual_diameter is not None:
        return (yield from _confirmed(best, probe_with))
    if not best.sure:
        best = yield from _very_different(best, expected, probe_with)
    for _ in range(REFINED):
        if best.diameter is None or not within(best.ratio, NEAR) or within(best.ratio, RIGHT):
            break
        again = yield from probe_with(best.diameter)
        if again is best:
            break
        if off(again) >= off(best) or again.certainty < min(SURE, best.certainty):
            return replace(best, leaning=1.0)  # the size that it hints at is not right either
        best = again
    return best


def _confirmed(first: ScaleProbe, probe_with: Callable[[float], Probing]) -> Probing:
    """Believe that an image shows other sizes than usual only if a probe there shows more.

    A model that has just met its cells finds pieces and clumps of them, and their size is not that
    of the cells.
    """
    card = first.plan.card
    if first.diameter is None or card.diameter_for(first.diameter) == card.usual_diameter:
        return first
    again = yield from probe_with(first.diameter)
    return again if again.fit > first.fit else replace(first, diameters=[], certainties=[])


def _very_different(
    first: ScaleProbe, expected: SegmentPlan, probe_with: Callable[[float], Probing]
) -> Probing:
    """Try what the first probe hints at, then sizes that are far larger and far smaller.

    Made small enough, clumps look like objects: the later probes are compared by what they find.
    """
    probes = [first]
    if first.diameter is not None:
        probes.append((yield from probe_with(first.diameter)))
        if probes[-1].sure:
            return probes[-1]
    for size in SIZES:
        probe = yield from probe_with(expected.diameter / size)
        probes.append(probe)
    return max(probes, key=lambda probe: probe.fit)


def _prepared(expected: SegmentPlan, diameter: float, centre: tuple[float, float]) -> ScaleProbe:
    """Prepare to probe for objects of a diameter."""
    plan = replace(expected, diameter=min(max(diameter, SMALLEST), LARGEST))
    region = window(expected.region, centre, PROBE / plan.zoom)
    # A model of one kind of cells says what it finds.
    leaning = LEANING if plan.card.usual_diameter is None else 1.0
    return ScaleProbe(replace(plan, region=region), leaning=leaning)


def busiest(
    wide: SegmentPlan, image: Image, near: tuple[float, float] | None
) -> Generator[Event, None, tuple[SegmentPlan, tuple[float, float]]]:
    """Return a plan of one plane, and the centre of the window in which grey values differ most.

    The middle of an image may be empty; where there is most contrast there are objects. The middle
    plane is taken unless it shows far less or far more than others: it may be empty, or damaged.
    """
    places = []
    for plane in _some(wide.planes):
        one = replace(wide, planes=(plane,))
        most, centre = yield from _busiest_window(one, image)
        places.append((most, one, centre))
    usual = sorted(most for most, *_ in places)[-2 if len(places) > 2 else -1]  # one may be wrong
    ordinary = (place for place in places if usual / UNLIKE <= place[0] <= usual * UNLIKE)
    most, expected, centre = next(ordinary)
    if near is not None and math.prod(expected.region.shape) > SPARSE:
        here = yield from _spread(expected, image, window(expected.region, near, PROBE))
        return expected, near if here > most else centre
    return expected, near if near is not None and most <= 0 else centre


def _some(planes: tuple[Plane, ...]) -> list[Plane]:
    """Return a few planes spread over all, the middle one first."""
    count = min(PLANES, len(planes))
    spread = [planes[(2 * i + 1) * len(planes) // (2 * count)] for i in range(count)]
    middle = planes[len(planes) // 2]
    return [middle, *(plane for plane in spread if plane != middle)]


def _busiest_window(
    expected: SegmentPlan, image: Image
) -> Generator[Event, None, tuple[float, tuple[float, float]]]:
    """Return how far grey values differ in the window where they differ most, and its centre."""
    best, most = expected.region.centre, -1.0
    for box in _windows(expected.region):
        spread = yield from _spread(expected, image, box)
        if spread > most:
            best, most = box.centre, spread
    return most, best


def _spread(expected: SegmentPlan, image: Image, box: Box) -> Generator[Event, None, float]:
    """Standard deviation of the normalised grey values of a window."""
    pixels = image.read(expected.planes[0], box, expected.channels, nuclei=expected.nuclei)
    grey = [normalise(c, k) for c, k in zip(pixels, expected.limits, strict=True)]
    yield Waiting()
    return float(np.clip(grey, 0, 1).std())


def _windows(region: Box) -> Iterator[Box]:
    """Spread windows over a region, the middle one first; none overlap."""
    counts = [min(WINDOWS, max(1, n // PROBE)) for n in region.shape]
    rows, columns = (
        [start + (2 * i + 1) * n / (2 * count) for i in range(count)]
        for start, n, count in zip(region.start, region.shape, counts, strict=True)
    )
    if math.prod(region.shape) >= CHUNKED:
        rows, columns = ([(n // PROBE + 0.5) * PROBE for n in axis] for axis in (rows, columns))
    places = [(y, x) for y in rows for x in columns]
    for place in sorted(places, key=lambda place: math.dist(place, region.centre)):
        yield window(region, place, PROBE)


def _fill(probe: ScaleProbe, image: Image, executor: Executor) -> Generator[Event, None, None]:
    plan = probe.plan
    job = Job(plan, _decoding(plan), image, probe.folder)
    for event in live_run(job, plan.blocks(), probe.cached_tiles).events(executor):
        if isinstance(event, ObjectsFound):
            found = object_diameters(event.patch.labels).tolist()
            probe.patches.append(event.patch)
            probe.diameters.extend(found)
            probe.certainties.extend([event.patch.certainty] * len(found))
        yield Waiting()


def _decoding(plan: SegmentPlan) -> DecodeSettings:
    """A model of large cells leaves out what is small; here small objects are what may be found."""
    speck = SPECK * plan.card.object_diameter / plan.zoom
    return plan.card.decode.with_smallest(min(plan.card.decode.minimum_diameter, speck))


@contextmanager
def probe_folders(folder: Path) -> Iterator[Iterator[Path]]:
    """Give folders for probability maps, beside another one; all are removed in the end."""
    with temporary_folder(f"{folder.name}-", folder.parent) as temporary:
        yield (temporary / str(number) for number in itertools.count())


def keep(probe: ScaleProbe, folder: Path) -> set[Key]:
    """Move a probe's probability maps to `folder` and return their tiles."""
    shutil.move(probe.folder, folder)
    return probe.cached_tiles


def window(region: Box, centre: tuple[float, float], side: float) -> Box:
    """Return the square around a point, moved into the region, or as much as there is of it."""
    length = round(side)
    start = [
        min(max(round(c - length / 2), low), max(low, high - length))
        for c, low, high in zip(centre, region.start, region.stop, strict=True)
    ]
    y, x = start
    return Box((y, x), (y + length, x + length)).intersect(region)
