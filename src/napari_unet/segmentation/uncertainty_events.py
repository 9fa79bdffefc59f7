"""Where to paint next, from what the last run left behind; nothing here touches the screen."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.uncertainty import HEAT_STEP, heat_map
from napari_unet.errors import InputError
from napari_unet.execution.events import HEARTBEAT, Waiting
from napari_unet.execution.executors import Executor
from napari_unet.execution.orders import Job, Rank, Ranked, Suggest
from napari_unet.execution.probability_maps import ProbabilityMapStore
from napari_unet.image import Box, Plane
from napari_unet.tiling.plan import Key, SegmentPlan

MOST_BLOCKS = 64  # looked at for one ranking, so that a long stack takes seconds, not minutes
MOST_PIXELS = 2**22  # of a probability map that one heat map is made of

CLASSES = (
    "This model tells classes apart and does not say how unsure it is. Paint where its classes "
    "look wrong."
)
NOTHING_KEPT = (
    "Nothing is kept of the last segmentation of this image. Press Segment; then it can be told "
    "where the model is unsure."
)
NOT_SEGMENTED = (
    "What is in view was not segmented. Move to a part that was, or press Segment for this one."
)

Painted = Callable[[Plane, Box], NDArray[Any]]
"""Gives the painted array ``(Y, X)`` of a box of a plane."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """What a run left behind.

    Attributes
    ----------
    plan : SegmentPlan
        What was computed.
    folder : Path
        Where its probability maps are.
    cached_tiles : frozenset of Key
        Tiles whose probability maps are there.
    """

    plan: SegmentPlan
    folder: Path
    cached_tiles: frozenset[Key]

    def check(self) -> None:
        """Raise `InputError`, with what to do, if it cannot tell where the model is unsure."""
        if not self.plan.card.finds_objects:
            raise InputError(CLASSES)
        # a later run may have needed the room
        if not self.cached_tiles or not self.folder.exists():
            raise InputError(NOTHING_KEPT)

    def blocks(self, plane: Plane, centre: tuple[float, float]) -> list[Key]:
        """Blocks that have all probability maps, nearest first; other planes after `plane`."""
        planes = self.plan.planes

        def distance(key: Key) -> float:
            return math.dist(planes[key[0]], plane)

        near = sorted(self.plan.blocks(centre), key=distance)  # keeps the order within a plane
        return [
            key
            for key in near
            if all((key[0], t) in self.cached_tiles for t in self.plan.needs(key[1]))
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """How unsure the model is of a part of a plane.

    Attributes
    ----------
    plane : tuple of int
        Indices along the leading axes.
    box : Box
        The part, image pixels.
    values : ndarray of uint8
        ``(Y, X)``, one value for `HEAT_STEP` × `HEAT_STEP` image pixels, 255 = most unsure.
    """

    plane: Plane
    box: Box
    values: NDArray[np.uint8]

    @property
    def origin(self) -> tuple[float, float]:
        """Middle of the first value, where the middle of the first image pixel is (0, 0)."""
        shift = (HEAT_STEP - 1) / 2
        return self.box.start[0] + shift, self.box.start[1] + shift


def uncertainty_events(
    run: KeptRun,
    executor: Executor,
    painted: Painted,
    view: tuple[Plane, tuple[float, float]],
    count: int = 5,
) -> Generator[Waiting | Ranked, None, None]:
    """Rank the regions where the model is least sure; no network runs.

    Parameters
    ----------
    run : KeptRun
        Whose probability maps to look at; those of at most `MOST_BLOCKS` blocks.
    executor : Executor
        Looks.
    painted : callable
        Gives what is painted; called for one block after the other.
    view : tuple
        Plane and image pixel ``(y, x)`` to begin at.
    count : int, default 5
        Most regions to rank.

    Yields
    ------
    Waiting or Ranked
        `Waiting` at least every `HEARTBEAT` seconds where the executor works elsewhere; `Ranked`
        comes last.

    Raises
    ------
    InputError
        If the run left nothing that tells.
    """
    run.check()
    blocks = run.blocks(*view)[:MOST_BLOCKS]
    if not blocks:
        raise InputError(NOTHING_KEPT)
    plan = run.plan
    executor.open(Job(plan, maps=run.folder))
    for plane, tile in blocks:
        window = plan.window(plan.tiles.tiles[tile])
        touched = painted(plan.planes[plane], window) != 0
        executor.submit(Suggest((plane, tile), touched.astype(np.uint8)))
        yield Waiting()
    executor.submit(Rank(count))
    while True:
        for done in executor.collect(HEARTBEAT):
            if isinstance(done, Ranked):
                yield done
                return
        yield Waiting()


def heat_of(run: KeptRun, plane: Plane, view: Box) -> Heat:
    """Make the heat map of what is in view, or of its middle if that is large.

    Parameters
    ----------
    run : KeptRun
        Whose probability maps to read.
    plane : tuple of int
        Indices along the leading axes.
    view : Box
        Image pixels; at most `MOST_PIXELS` in its middle are read.

    Raises
    ------
    InputError
        If the run left nothing that tells, or nothing in view.
    """
    run.check()
    plan = run.plan
    box = view.intersect(plan.region).middle(MOST_PIXELS)
    if plane not in plan.planes or not box.size:
        raise InputError(NOT_SEGMENTED)
    maps = ProbabilityMapStore(run.folder, plan).read(plan.planes.index(plane), box)
    return Heat(plane, box, heat_map(maps, plan.diameter))
