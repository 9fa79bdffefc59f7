"""Looking at an image and deciding: grey values, object size, and the frozen plan."""

import shutil
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import Box, Image, percentiles, sample_boxes
from napari_unet.inference.cache import ClassMapCache
from napari_unet.inference.plan import Key, SegmentPlan
from napari_unet.inference.run import KEEP_ALL, Event, Notice, TileDone, Waiting, run
from napari_unet.inference.schedule import Schedule
from napari_unet.inference.tasks import Backend
from napari_unet.instances import object_diameters, typical_diameter
from napari_unet.models.library import Model
from napari_unet.settings import SegmentSettings

SPECK = 0.25  # of the diameter a model is used to: what is smaller is no object
PROBE = 512  # pixels; side of the window that the object size is estimated from


@dataclass(frozen=True, slots=True)
class Where:
    """Which part of an image, in which order, and where its class maps are kept.

    Attributes
    ----------
    region : Box or None
        Image pixels; None = whole planes.
    planes : tuple of tuple of int, or None
        Indices along the iterated axes; None = all planes.
    centre : tuple of float or None
        Image pixel to begin at.
    cache : ClassMapCache or None
        Where to keep the class maps; None = a temporary folder, deleted at the end.
    have : set of Key
        Filled with the tiles whose class maps are kept.
    """

    region: Box | None = None
    planes: tuple[tuple[int, ...], ...] | None = None
    centre: tuple[float, float] | None = None
    cache: ClassMapCache | None = None
    have: set[Key] = field(default_factory=set)


def make_plan(
    image: Image,
    model: Model,
    settings: SegmentSettings,
    backend: Backend,
    where: Where,
    folder: Path,
) -> Generator[Event, None, SegmentPlan]:
    """Look at the image and decide; yields while looking, returns the plan.

    Class maps that the look has brought and the plan can use are left in `folder` and noted in
    ``where.have``: a small image is not computed twice.
    """
    channels = image.used_channels(model.card.spec.in_channels)
    limits = yield from grey_values(image, channels)
    planes = where.planes or tuple(image.planes())
    whole = Box((0, 0), image.shape)
    region = (where.region or whole).intersect(whole)
    if not region.size:
        raise InputError(
            f"The part to segment lies outside the image of {image.shape[0]} × {image.shape[1]} "
            "px. Move the view or the rectangle onto the image."
        )

    def plan(region: Box, diameter: float, planes: tuple[tuple[int, ...], ...]) -> SegmentPlan:
        return SegmentPlan(
            shape=image.shape,
            planes=planes,
            region=region,
            card=model.card,
            model_path=str(model.path),
            model_sha=model.sha,
            channels=channels,
            limits=limits,
            diameter=diameter,
            tile=settings.tile,
            device=settings.device,
        )

    diameter = settings.diameter
    if diameter is None and model.card.kind == "instances":
        expected = model.card.usual_diameter or model.card.object_diameter
        probe = plan(_middle(region), expected, planes[len(planes) // 2 :][:1])
        have: set[Key] = set()
        found = yield from estimate_diameter(probe, image, backend, folder, have)
        decided = replace(plan(region, model.card.diameter_for(found), planes), found=found)
        if decided.tiles == probe.tiles and decided.planes == probe.planes:
            where.have.update(have)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        return decided
    return plan(region, diameter or model.card.object_diameter, planes)


def estimate_diameter(
    probe: SegmentPlan, image: Image, backend: Backend, folder: Path, have: set[Key]
) -> Generator[Event, None, float | None]:
    """Segment the probe's region and return the typical diameter of what is found there.

    Parameters
    ----------
    probe : SegmentPlan
        A small region at the model's own scale.
    image : Image
        What to read.
    backend : Backend
        Who computes.
    folder : Path
        Where to keep the class maps.
    have : set of Key
        Filled with the tiles computed.

    Returns
    -------
    float or None
        Image pixels; None if there are fewer than three objects.
    """
    found: list[float] = []
    backend.open(probe, folder)
    schedule = Schedule(probe, probe.blocks(), have, KEEP_ALL)
    decode = probe.card.decode
    # A model of large cells leaves out what is small; here small objects are what may be found.
    least = min(decode.minimum_diameter, SPECK * probe.card.object_diameter / probe.zoom)
    decode = decode.with_smallest(least)
    for event in run(probe, image, decode, backend, schedule):
        if isinstance(event, TileDone):
            found.extend(object_diameters(event.patch))
        yield Waiting()
    return round(typical_diameter(np.array(found)), 1) if len(found) >= 3 else None


def grey_values(
    image: Image, channels: int
) -> Generator[Event, None, tuple[tuple[float, float], ...]]:
    """Return the grey values that become 0 and 1 for each channel, from windows over the image."""
    planes = list(image.planes())
    samples: list[NDArray[Any]] = []
    for plane, box in sample_boxes(image.shape, len(planes)):
        samples.append(image.read(planes[plane], box, channels).reshape(channels, -1))
        yield Waiting()
    values = np.concatenate(samples, axis=1)
    limits = tuple(percentiles(channel) for channel in values)
    if not any(high > low for low, high in limits):
        yield Notice("The image has no contrast, so there is nothing to find.")
    return limits


def _middle(region: Box) -> Box:
    y, x = (int(c) - PROBE // 2 for c in region.centre)
    return Box((y, x), (y + PROBE, x + PROBE)).intersect(region)
