"""Use case: labels of a large image that grow in a folder while a person watches.

All that is ever computed of an image with one model belongs to one plan, so a part that is wanted
later fits to what is there, and what was stopped goes on.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.client import Engine
from napari_unet.errors import SaveError
from napari_unet.execution.events import Event, Events
from napari_unet.execution.label_edits import EditedPyramid
from napari_unet.execution.ledger import Ledger
from napari_unet.execution.orders import Job
from napari_unet.execution.patches import patches_of
from napari_unet.execution.run import written_run
from napari_unet.image import Box, Image, Plane
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.scratch import temporary_folder
from napari_unet.models.library import Model
from napari_unet.planning.planner import Where, make_plan
from napari_unet.plugin.layers.region import IdMap
from napari_unet.segmentation import record
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

LARGE = 10**8  # pixels of a plane from which on its labels are kept in a folder
TOTAL = 10**9  # pixels of all planes from which on the same is done: 4 GB of labels
NO_ROOM = (
    "The labels could not be written to {folder}: {error}. Make room on that disk and try again; "
    "what is painted is in its own file and is not lost."
)


def is_large(image: Image) -> bool:
    """Whether an image is so large that its labels are kept in a folder."""
    return math.prod(image.shape) > LARGE or math.prod(image.labels_shape) > TOTAL


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise SaveError(NO_ROOM.format(folder=folder, error=error)) from error


@dataclass(eq=False)
class IncrementalSegmentation:
    """Labels that grow.

    Attributes
    ----------
    output : Path
        OME-Zarr folder; made by the first run.
    image : Image
        What is segmented.
    model : Model
        With what.
    settings : SegmentSettings
        How.
    plan : SegmentPlan or None
        Of the whole image, once the first run has begun.
    edits : int
        How often a person put something back.
    """

    output: Path
    image: Image
    model: Model
    settings: SegmentSettings
    plan: SegmentPlan | None = None
    edits: int = field(default=0, init=False)
    _ledger: Ledger | None = field(default=None, init=False)

    def goes_on(self, image: Image, model: Model, settings: SegmentSettings) -> bool:
        """Whether a run of an image, model and settings goes on with these labels."""
        same = image.data is self.image.data and image.axes == self.image.axes
        same = same and image.channel == self.image.channel and image.nuclei == self.image.nuclei
        return same and model.sha == self.model.sha and settings == self.settings

    @property
    def objects(self) -> int:
        """Objects found so far."""
        return self._ledger.objects if self._ledger is not None else 0

    def events(
        self, engine: Engine, plane: Plane, centre: tuple[float, float] | None, *, only: bool
    ) -> Events:
        """Compute what is missing, beginning where the person looks.

        Parameters
        ----------
        engine : Engine
            Computes the blocks.
        plane : tuple of int
            Indices along the iterated axes of the plane that is shown.
        centre : tuple of float or None
            Image pixel to begin at.
        only : bool
            Whether the other planes are not wanted.

        Yields
        ------
        Event
            `Started` first, then `ObjectsFound` and `TileWritten`.
        """
        if self.plan is None:
            plan = yield from self._planned(engine, centre)
            self._make(plan)
            self.plan = plan
        plan = self.plan
        blocks = list(plan.blocks(centre, plane))
        here = [key for key in blocks if plan.planes[key[0]] == plane]
        there = [] if only else [key for key in blocks if plan.planes[key[0]] != plane]
        if self._ledger is None:
            self._ledger = Ledger(plan, [], eager=True)
        self._ledger.want([*here, *there])
        job = Job(plan, plan.decoding(self.settings), self.image, labels=self.output)
        yield from written_run(job, self._ledger).events(engine)

    def _planned(
        self, engine: Engine, centre: tuple[float, float] | None
    ) -> Generator[Event, None, SegmentPlan]:
        where = Where(centre=centre, anchored=True)
        with temporary_folder("napari-unet-") as temporary:
            probes = temporary / "probability-maps"
            planning = make_plan(self.image, self.model, self.settings, engine, where, probes)
            return (yield from planning).plan

    def _make(self, plan: SegmentPlan) -> None:
        with on_disk(self.output):
            patches_of(self.output).mkdir(parents=True, exist_ok=True)
            pyramid = LabelPyramid.create_for(self.image, self.output, plan.tiles.step)
            pyramid.note(record(plan, self.settings, self.image))

    def put_back(
        self,
        plane: Plane,
        box: Box,
        labels: NDArray[np.uint32],
        changed: NDArray[np.bool_],
        numbers: IdMap,
    ) -> None:
        """Take over what a person changed in a part; no later run changes it.

        Parameters
        ----------
        plane, box : tuple of int, Box
            The part; the box begins on `put_back.GRID`.
        labels : ndarray of uint32
            ``(Y, X)``, the part as it is.
        changed : ndarray of bool
            ``(Y, X)``, which of its pixels to take.
        numbers : IdMap
            Of this part.
        """
        assert self._ledger is not None, "parts are of labels that are there"
        taken = np.where(changed, labels, 0).astype(np.uint32)
        if self.model.card.finds_objects:  # a class is its number
            new = numbers.new_in(taken)
            if new:
                numbers.know(new, self._ledger.reserve(len(new)))
            taken = numbers.whole_ids(taken)
        with on_disk(self.output):
            EditedPyramid(self.output).put(plane, box, taken, changed)
        self.edits += 1
