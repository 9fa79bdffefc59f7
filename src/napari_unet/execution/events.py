"""Running a plan: feeds a backend with windows and tells what is finished, event by event."""

import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.execution.tasks import (
    Alone,
    Backend,
    Decode,
    Decoded,
    Drop,
    Predict,
    Predicted,
    Remark,
)
from napari_unet.image import Box, Image
from napari_unet.labels.watershed import Patch
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.schedule import Schedule

MOST_AHEAD = 9  # windows that are sent before their results are back
BYTES_AHEAD = 2**28  # of them all, as 32-bit numbers
HEARTBEAT = 0.05  # seconds; how long a consumer that wants to cancel waits at most for an event
KEEP_ALL = 2**63
NOT_NUMBERS = "Some pixels are not numbers (NaN or infinite); they count as background."


@dataclass(frozen=True, slots=True)
class Started:
    """The plan is made; nothing is computed yet.

    Attributes
    ----------
    plan : SegmentPlan
        What will be computed.
    folder : Path
        Where the class maps are kept.
    budget : int
        Bytes of them that may stay there.
    """

    plan: SegmentPlan
    folder: Path
    budget: int


@dataclass(frozen=True, slots=True, eq=False)
class TileDone:
    """The objects of one tile's block.

    Attributes
    ----------
    plane : tuple of int
        Indices along the iterated axes.
    owned : Box
        The block, image pixels.
    patch : Patch
        Its objects; they may reach beyond the block.
    block : int
        Number of the block, unique in the run.
    done, total : int
        Blocks finished so far, and in all.
    """

    plane: tuple[int, ...]
    owned: Box
    patch: Patch
    block: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing new; gives the consumer the chance to stop."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know, in one sentence."""

    text: str


Event = Started | TileDone | Waiting | Notice
Events = Generator[Event, None, None]


def run(
    plan: SegmentPlan,
    image: Image,
    decode: DecodeSettings,
    backend: Backend,
    schedule: Schedule,
) -> Events:
    """Feed the backend until every block of the schedule is decoded.

    The backend must have been opened for `plan`. Tiles in ``schedule.have`` are not predicted
    again, so a run with other thresholds costs no network.
    """
    if (first := schedule.alone()) is not None:
        window = plan.read(image, first[0], plan.covering(first[1]))
        backend.submit(Alone(*first, window, decode))
    yield from _rest(plan, image, decode, backend, schedule)


def _rest(
    plan: SegmentPlan,
    image: Image,
    decode: DecodeSettings,
    backend: Backend,
    schedule: Schedule,
) -> Events:
    """Feed the backend tile by tile, and with each block that has all it needs."""
    in_flight, told, ahead = 0, False, ahead_for(plan)
    while not schedule.finished:
        while schedule.ready:
            backend.submit(Decode(*schedule.ready.popleft(), decode))
        more = bool(schedule.to_predict) and in_flight < ahead
        if more:
            plane, tile = schedule.to_predict.popleft()
            window = plan.read(image, plane, plan.tiles.tiles[tile])
            if not told and has_holes(window):
                told = True
                yield Notice(NOT_NUMBERS)
            backend.submit(Predict(plane, tile, window))
            in_flight += 1
        for done in backend.collect(0 if more else HEARTBEAT):
            match done:
                case Predicted(plane, tile):
                    in_flight -= 1
                    schedule.predicted((plane, tile))
                case Decoded():
                    for key in schedule.decoded((done.plane, done.tile)):
                        backend.submit(Drop(*key))
                    yield _tile_done(plan, done, schedule)
                case Remark(text):
                    yield Notice(text)
        yield Waiting()


def ahead_for(plan: SegmentPlan) -> int:
    """How many windows of a plan to send before results are back, so that no core waits for one."""
    fitting = BYTES_AHEAD // (4 * plan.channels * plan.tile**2)
    return max(2, min(1 + (os.cpu_count() or 1), fitting, MOST_AHEAD))


def _tile_done(plan: SegmentPlan, done: Decoded, schedule: Schedule) -> TileDone:
    count = len(plan.tiles.tiles)
    return TileDone(
        plane=plan.planes[done.plane],
        owned=plan.owned(plan.tiles.tiles[done.tile]),
        patch=done.patch,
        block=done.plane * count + done.tile,
        done=schedule.done,
        total=schedule.total,
    )


def has_holes(window: NDArray[Any]) -> bool:
    """Whether pixels are not numbers, or infinite."""
    return window.dtype.kind == "f" and not bool(np.isfinite(window).all())
