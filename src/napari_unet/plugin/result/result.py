"""A result in the viewer: its labels layer, what the model said, and how to say it anew."""

import weakref
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.execution.events import Events, ObjectsFound, Started
from napari_unet.execution.executors import Executor, Job
from napari_unet.execution.probability_map_cache import ProbabilityMapCache
from napari_unet.execution.run import live_run
from napari_unet.image import Box, Image, Plane
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.painted import painted_ids
from napari_unet.labels.reopen import put_on_top
from napari_unet.labels.watershed import Patch
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers.layers import Redraw
from napari_unet.plugin.result.correcting import Correcting
from napari_unet.plugin.result.wording import objects_found
from napari_unet.segmentation import decoding, record
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import Key, SegmentPlan

REPLACED = (
    "The result's array was replaced by one of another shape, or of numbers too small for ids. "
    "Press Segment to make a new result; the layer stays as it is."
)


@dataclass(eq=False)
class Result:
    """One labels layer that the model fills and the person paints on.

    Attributes
    ----------
    layer : Labels
        Where the person sees and paints.
    live : LiveLabels
        What the model said, and which pixels the person corrected.
    correcting : Correcting
        What the person said.
    source : weakref to napari Image layer
        The layer it was made from.
    image : Image
        The image as it was when the last run began.
    plan, folder, budget, cached_tiles
        Of the last run: to decode again without the network.
    region, planes
        What all runs so far have segmented: a box, and planes.
    """

    layer: Labels
    live: LiveLabels
    source: "weakref.ref[ImageLayer]"
    image: Image
    plan: SegmentPlan | None = None
    folder: Path | None = None
    budget: int = 0
    cached_tiles: set[Key] = field(default_factory=set)
    region: Box | None = None
    planes: set[Plane] = field(default_factory=set)
    correcting: Correcting = field(kw_only=True)

    def __post_init__(self) -> None:
        self._redraw = Redraw(self.layer)
        self._begun = False

    def painted(self) -> NDArray[np.uint32]:
        """Return the painted array ``(..., Y, X)`` of now; objects painted in part as a whole."""
        return self.correcting.painted()

    @property
    def classes(self) -> bool:
        """Whether it holds classes rather than objects."""
        return self.live.assembly.classes

    @property
    def count(self) -> int:
        """Objects that the layer holds, found or painted."""
        return len(painted_ids(self.layer.data))

    @property
    def all_maps_kept(self) -> bool:
        """Whether all probability maps of the last run are kept."""
        plan, kept = self.plan, len(self.cached_tiles)
        return plan is not None and kept == len(plan.planes) * len(plan.tiles.tiles)

    def fits(self, image: Image) -> bool:
        """Whether the layer still has the shape of the image, and room for ids."""
        return image.labels_shape == self.live.corrected.shape and self.correcting.fits

    def take_up(self, labels: NDArray[np.uint32], painted: NDArray[np.uint32] | None) -> None:
        """Take what the layer shows as what the model said, with corrections on top.

        Parameters
        ----------
        labels : ndarray of uint32
            ``(..., Y, X)``, what the layer shows.
        painted : ndarray of uint32 or None
            ``(..., Y, X)``, what a person painted on just these labels.
        """
        self._begun = True
        self.live.assembly.take_up(labels)
        if painted is not None:
            put_on_top(self.correcting.tracker, self.layer.data, painted)
            self.correcting.marks_layer().refresh()
        self.correcting.look_everywhere()
        self.layer.refresh()

    def go_on_from(self, previous: "Result") -> None:
        """Go on where another result of the same layer was left; `live` is that one's."""
        self._begun = True
        self.region, self.planes = previous.region, previous.planes
        if self.live.marks.any():
            self.correcting.marks_layer()
        self.correcting.look_everywhere()

    def begin(self) -> None:
        """Prepare for a run: what is painted is locked, and ids the person uses are left alone."""
        correcting = self.correcting
        # In a new result there is nothing to find, and looking would cost its memory.
        worth = correcting.fits and (self._begun or correcting.any)
        painted = self.painted() if worth else None
        self._begun = True
        self.live.begin(
            self.layer.data,
            above=int(self.layer.selected_label),
            painted=painted if correcting.any else None,
        )

    def started(self, event: Started) -> None:
        """Note the plan of a run."""
        plan = self.plan = event.plan
        self.folder, self.budget = event.folder, event.budget
        self.cached_tiles = event.cached_tiles
        self.region = plan.region if self.region is None else self.region.union(plan.region)
        self.planes.update(plan.planes)

    def everywhere(self, centre: tuple[float, float] | None, cache: ProbabilityMapCache) -> Where:
        """Return all that was segmented so far, the whole image if nothing was.

        Parameters
        ----------
        centre : tuple of float or None
            Image pixel to begin at.
        cache : ProbabilityMapCache
            Where to keep the probability maps.
        """
        return Where(self.region, tuple(sorted(self.planes)) or None, centre, cache)

    def place(self, event: ObjectsFound) -> None:
        """Show one block's objects, except where the person painted."""
        if not self.correcting.fits:
            raise InputError(REPLACED)
        self.live.update(self.layer.data, event.plane, event.owned, event.patch, event.block)
        self._redraw.soon()

    def finish(self, settings: SegmentSettings) -> None:
        """Draw everything, and keep the record of how it was made with the layer."""
        self.layer.refresh()
        if self.plan is not None:
            self.layer.metadata = {
                **self.layer.metadata,
                "napari_unet": record(self.plan, settings),
            }

    def forget(self) -> None:
        """Take away what the model said; what is painted stays."""
        self.begin()
        for plane, box in self.correcting.tracker.blocks():
            nothing = Patch(box, np.zeros(box.shape, np.int32), 0)
            self.live.update(self.layer.data, plane, box, nothing, 0)
        self.plan = self.folder = None
        self.cached_tiles = set()
        self.layer.refresh()

    def in_view(self, key: Key, view: Box) -> bool:
        """Whether a block of the last run is shown."""
        assert self.plan is not None, "asked only after a run"
        return self.plan.owned(self.plan.tiles.tiles[key[1]]).intersect(view).size > 0

    def decode_again(
        self,
        settings: SegmentSettings,
        executor: Executor,
        view: tuple[float, float],
        near: list[Key],
    ) -> Events:
        """Decode with other thresholds, without the network where the probability map is kept.

        Parameters
        ----------
        settings : SegmentSettings
            With the thresholds wanted.
        executor : Executor
            Computes.
        view : tuple of float
            Image pixel in the middle of what is shown; blocks near it come first.
        near : list of Key
            Blocks in view: the only ones decoded where not every probability map is kept.
        """
        plan, folder = self.plan, self.folder
        if plan is None or folder is None:
            return
        if not folder.exists():  # a later run needed the room: the network must look again
            self.cached_tiles.clear()
        blocks = plan.blocks(view) if self.all_maps_kept else near
        job = Job(plan, decoding(plan, settings), self.image, folder)
        run = live_run(job, blocks, self.cached_tiles, self.budget)
        with closing(run.events(executor)) as events:
            yield from (event for event in events if not isinstance(event, Started))

    def conclusion(self, *, cancelled: bool) -> str:
        """Return what a run has found, or that it was cancelled."""
        if cancelled:
            return "Cancelled. What is finished stays."
        if self.plan is None:
            return ""
        if self.classes:
            return "Done."
        text = objects_found(self.count, self.plan)
        if not self.all_maps_kept:
            text += (
                " The image is larger than what is kept for the sliders: they act on the current "
                "view; press Segment to apply them everywhere."
            )
        return text
