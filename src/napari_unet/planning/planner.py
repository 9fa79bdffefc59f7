"""Looking at an image and deciding: grey values, object size, and the frozen plan."""

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.execution.events import Event, Notice, Waiting
from napari_unet.execution.executors import Executor
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.image import SPARSE, Box, Image, Plane
from napari_unet.inference.memory import SHARE, free_memory
from napari_unet.intensity import has_contrast
from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model
from napari_unet.planning.object_size import keep, probe_folders, window
from napari_unet.planning.told_size import find_size
from napari_unet.sampling import sample_boxes
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import Key, SegmentPlan

FAR = 3.0  # times the range of grey values of a large image: what is looked at shows something else
Limits = tuple[tuple[float, float], ...]
"""Grey values that become 0 and 1, for each channel."""
AROUND = 2048  # pixels; side of what counts as looked at
SIDE = 1024  # pixels; of the tiles: large for speed, small for memory and to see something soon
LEAST = 256  # pixels; the same where there is little memory
APART = 2048  # pixels; the same where blocks compute their surroundings anew, each for itself


@dataclass(frozen=True, slots=True)
class Where:
    """Which part of an image, in which order, and where its probability maps are kept.

    Attributes
    ----------
    region : Box or None
        Image pixels; None = whole planes.
    planes : tuple of tuple of int, or None
        Indices along the iterated axes; None = all planes.
    centre : tuple of float or None
        Image pixel to begin at.
    cache : ProbabilityMapCache or None
        Where to keep the probability maps; None = a temporary folder, deleted at the end.
    apart : bool
        Whether blocks share nothing, as on a cluster; then tiles are larger, as more is wasted.
    anchored : bool
        Whether tiles lie as the chunks of a file; see `plan_tiles`.
    first : tuple of int, or None
        Indices along the iterated axes of the plane to begin at.
    """

    region: Box | None = None
    planes: tuple[tuple[int, ...], ...] | None = None
    centre: tuple[float, float] | None = None
    cache: ProbabilityMapCache | None = None
    apart: bool = False
    anchored: bool = False
    first: Plane | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what was computed of it while its object size was looked for.

    Attributes
    ----------
    plan : SegmentPlan
        Every decision.
    cached_tiles : set of Key
        Tiles whose probability maps are there already: a small image is not computed twice.
    """

    plan: SegmentPlan
    cached_tiles: set[Key] = field(default_factory=set)


def make_plan(
    image: Image,
    model: Model,
    settings: SegmentSettings,
    executor: Executor,
    where: Where,
    folder: Path,
) -> Generator[Event, None, Planned]:
    """Look at the image and decide; yields while looking, returns the plan.

    Parameters
    ----------
    image, model, settings
        What to segment, with what, and how.
    executor : Executor
        Computes what is looked at.
    where : Where
        Which part.
    folder : Path
        Probability maps that the plan can use are left there.
    """
    plan = yield from begin_plan(image, model, settings, where)
    fixed = settings.tile is not None or where.apart  # a choice, or other computers' memory
    if settings.diameter is not None or not plan.card.finds_objects:
        return Planned(plan if fixed else with_room(plan))
    with probe_folders(folder) as folders:
        probe = yield from find_size(plan, image, executor, folders, where.centre)
        found = probe.diameter
        decided = replace(plan, diameter=plan.card.diameter_for(found), found=found)
        decided = decided if fixed else with_room(decided)
        same_grid = decided.tiles == probe.plan.tiles  # of the network too, not only of the image
        if same_grid and decided.planes == probe.plan.planes:
            decided = replace(decided, further=probe.plan.further)  # as the maps that are there
            return Planned(decided, keep(probe, folder))
    return Planned(decided)


def begin_plan(
    image: Image, model: Model, settings: SegmentSettings, where: Where
) -> Generator[Event, None, SegmentPlan]:
    """Look at the grey values; returns a plan with the diameter that is set or expected."""
    card = model.card
    if image.nuclei is not None and not card.spec.nuclei:
        raise InputError(
            f"A channel of nuclei was chosen, and the model {card.name!r} takes none. Choose a "
            "model that does, such as 'cells', or no channel of nuclei."
        )
    channels = _channels(image, card)
    whole = Box((0, 0), image.shape)
    near = where.region
    if near is None and where.centre is not None:
        near = window(whole, where.centre, AROUND)
    limits = yield from grey_values(image, card, near)
    planes = where.planes or tuple(image.planes())
    region = (where.region or whole).intersect(whole)
    if not region.size:
        raise InputError(
            f"The part to segment lies outside the image of {image.shape[0]} × {image.shape[1]} "
            "px. Move the view or the rectangle onto the image."
        )
    return SegmentPlan(
        shape=image.shape,
        planes=planes,
        region=region,
        card=card,
        model_path=str(model.path),
        model_sha=model.sha,
        channels=channels,
        nuclei=card.spec.nuclei,
        limits=limits,
        diameter=settings.diameter or card.usual_diameter or card.object_diameter,
        tile=settings.tile or (APART if where.apart else SIDE),
        anchored=where.anchored,
        device=settings.device,
        precision=settings.precision,
    )


def with_room(plan: SegmentPlan, memory: int | None = None) -> SegmentPlan:
    """Return the plan with smaller tiles where memory is short.

    Parameters
    ----------
    plan : SegmentPlan
        The plan with the usual tiles.
    memory : int, optional
        Bytes that are free; default: what this process may take now.
    """
    free = free_memory() if memory is None else memory
    while plan.tile > LEAST and plan.working_bytes > SHARE * free:
        plan = replace(plan, tile=plan.tile // 2)
    return plan


def grey_values(
    image: Image, card: ModelCard, near: Box | None = None
) -> Generator[Event, None, Limits]:
    """Return the grey values that become 0 and 1 for each channel, from windows over the image.

    A large image with little on it may show nothing in any of them, or only noise; then what is
    looked at tells.

    Parameters
    ----------
    image : Image
        The image, or a part of it; then the whole decides.
    card : ModelCard
        Whose model is given them.
    near : Box, optional
        Image pixels that are looked at.
    """
    everywhere = image.whole or image
    limits = yield from _limits_everywhere(everywhere, card)
    if near is not None or image.whole:
        empty = not any(map(has_contrast, limits))
        if empty or math.prod(everywhere.shape) > SPARSE:
            here = yield from _limits(image, near or Box((0, 0), image.shape), card)
            if empty or any(map(stands_out, here, limits)):
                limits = here
    if not any(map(has_contrast, limits)):
        yield Notice("The image has no contrast, so there is nothing to find.")
    return limits


def stands_out(here: tuple[float, float], everywhere: tuple[float, float]) -> bool:
    """Whether grey values of a place go far beyond what was seen of the whole image."""
    return abs(here[1] - here[0]) > FAR * abs(everywhere[1] - everywhere[0])


def _limits_everywhere(image: Image, card: ModelCard) -> Generator[Event, None, Limits]:
    """Look at windows over all of an image; once only where it is large and read from a file.

    An array in memory may be changed by its owner, so it is looked at each time.
    """
    whole = Box((0, 0), image.shape)
    if isinstance(image.data, np.ndarray) or math.prod(image.shape) <= SPARSE:
        return (yield from _limits(image, whole, card))
    channels, view = _channels(image, card), (card.polarity, card.spec.scaling)
    question = image.axes, image.channel, image.nuclei, channels, view
    if question not in image.looks:
        image.looks[question] = yield from _limits(image, whole, card)
    found: Limits = image.looks[question]
    return found


def _limits(image: Image, where: Box, card: ModelCard) -> Generator[Event, None, Limits]:
    """Read windows spread over some pixels of all planes."""
    channels, nuclei = _channels(image, card), card.spec.nuclei
    bright = card.polarity == "bright"
    planes = list(image.planes())
    (y, x), whole = where.start, Box((0, 0), image.shape)
    samples: list[NDArray[Any]] = []
    for plane, box in sample_boxes(where.shape, len(planes)):
        placed = box.shift((-y, -x)).intersect(whole)
        pixels = image.read(planes[plane], placed, channels, nuclei=nuclei)
        samples.append(pixels.reshape(channels, -1))
        yield Waiting()
    values = np.concatenate(samples, axis=1)
    return card.spec.scaling.limits(values, bright_objects=bright)


def _channels(image: Image, card: ModelCard) -> int:
    """Channels of an image that a model is given."""
    return image.used_channels(card.spec.in_channels, nuclei=card.spec.nuclei)
