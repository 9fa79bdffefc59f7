"""How large the objects of an image are: a small part of it is looked at in several sizes."""

import shutil
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_unet.image import Box, Image
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
FIT = 1.6  # factor within which an object has the diameter that the network is used to
NEAR, SURE = 1.35, 0.85  # factor and certainty from which on no other size is tried
FEWEST = 3  # objects that say how large objects are


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
        areas = diameters**2 * np.array(self.certainties)
        return float(areas[fitting].sum() / max(1, self.plan.region.size))

    @property
    def sure(self) -> bool:
        """Whether what is found is certain, and as large as the network is used to."""
        if self.diameter is None or np.mean(self.certainties) < SURE:
            return False
        ratio = self.diameter * self.plan.zoom / self.plan.card.object_diameter
        return 1 / NEAR < ratio < NEAR

    @property
    def diameter(self) -> float | None:
        """Typical diameter, image pixels; None if too little was found."""
        if len(self.diameters) < FEWEST:
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
        What is wanted, with the diameter that is expected; the middle of it is looked at.
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
    probe = replace(plan, planes=plan.planes[len(plan.planes) // 2 :][:1])
    looks: list[Look] = []
    sizes = [1.0]
    while sizes:
        look = _look(probe, sizes.pop(0), folder.with_name(f"{folder.name}-{len(looks)}"))
        if any(look.plan.zoom == other.plan.zoom for other in looks):
            continue  # limits of the zoom, or a model that takes many sizes as they are
        yield from _fill(look, image, backend)
        looks.append(look)
        if look.sure or probe.card.usual_diameter is not None:
            return look
        if len(looks) == 1:
            hint = [probe.diameter / look.diameter] if look.diameter else []
            sizes = [*hint, *SIZES]
    return max(looks, key=lambda look: look.fit)


def _look(probe: SegmentPlan, size: float, folder: Path) -> Look:
    """Prepare to look with objects `size` times as large as the probe expects them."""
    plan = replace(probe, diameter=min(max(probe.diameter / size, SMALLEST), LARGEST))
    return Look(replace(plan, region=middle(probe.region, PROBE / plan.zoom)), folder)


def _fill(look: Look, image: Image, backend: Backend) -> Generator[Event, None, None]:
    plan = look.plan
    backend.open(plan, look.folder)
    schedule = Schedule(plan, plan.blocks(), look.have, KEEP_ALL)
    for event in run(plan, image, _decoding(plan), backend, schedule):
        if isinstance(event, TileDone):
            found = object_diameters(event.patch).tolist()
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


def middle(region: Box, side: float) -> Box:
    """Return the square in the middle of a region, or the region where it is smaller."""
    half = round(side / 2)
    y, x = (int(c) for c in region.centre)
    return Box((y - half, x - half), (y + half, x + half)).intersect(region)
