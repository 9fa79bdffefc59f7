"""A result in the viewer: its labels layer, what the model said, and how to say it anew."""

import weakref
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.execution.events import Events, ObjectsFound, Started, objects_found
from napari_unet.execution.executors import Executor
from napari_unet.execution.orders import Job
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.execution.run import Run, live_run
from napari_unet.image import Box, Image, Plane
from napari_unet.intensity import has_contrast
from napari_unet.labels.linking import LinkedCopy
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.painted import painted_ids
from napari_unet.labels.reopen import put_on_top
from napari_unet.labels.watershed import Patch
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers.label_grid import Redraw, grid_of
from napari_unet.plugin.layers.labels_files import METADATA_KEY
from napari_unet.plugin.result.correcting import Correcting
from napari_unet.plugin.result.slide_result import what_to_try
from napari_unet.segmentation import record
from napari_unet.settings import FilterSettings, SegmentSettings
from napari_unet.tiling.plan import Key, SegmentPlan

REPLACED = (
    "The result's array was replaced by one of another shape, or of numbers too small for ids. "
    "Press Segment to make a new result; the layer stays as it is."
)
IN_VIEW = (
    " The image is larger than what is kept for the sliders: they act on the current view; press "
    "Segment to apply them everywhere."
)
IN_PART = " The last run was cancelled: this is what it finished. Press Segment to do all of it."


@dataclass(frozen=True, eq=False)
class LinkedShown:
    """A layer that shows a result whose planes are linked.

    Attributes
    ----------
    layer : Labels
        The layer.
    known : dict of int to int
        Id there of each id of the result.
    parents : dict of int to int
        Id there of the parent of each track that comes of a division.
    """

    layer: Labels
    known: dict[int, int]
    parents: dict[int, int]

    @property
    def labels(self) -> Any:
        """What the layer shows, ``(..., Y, X)``."""
        return grid_of(self.layer).labels(self.layer.data)

    def ids_of(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Return the ids ``(N,)`` in the layer of those of the result; 0 for new ones."""
        names, places = self._sorted
        at = np.searchsorted(names, ids).clip(0, max(0, len(names) - 1))
        return np.where(names[at] == ids, places[at], 0) if len(names) else np.zeros(len(ids), int)

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        pairs = np.array(sorted(self.known.items()), np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


@dataclass(eq=False)
class Result:
    """One labels layer that the model fills and the person paints on.

    Attributes
    ----------
    layer : Labels
        Where the person sees and paints.
    live : LiveLabels
        What the model predicted, and which pixels the person corrected.
    correcting : Correcting
        What the person painted.
    source : weakref to napari Image layer
        The layer it was made from.
    image : Image
        The image as it was when the last run began.
    plan, settings, folder, budget, cached_tiles
        Of the last run that found something: to decode again without the network.
    region, planes
        What all runs so far have segmented: a box, and planes.
    drawn : int
        How often a run or a file, rather than a person, has changed what is shown.
    linked_before : LinkedCopy or None
        How its planes were linked in the file that it was opened from.
    filters : FilterSettings
        What leaves objects out of files, and hides them.
    linked : LinkedShown or None
        Where its linked planes are shown, if they are linked.
    """

    layer: Labels
    live: LiveLabels
    source: "weakref.ref[ImageLayer]"
    image: Image
    plan: SegmentPlan | None = None
    settings: SegmentSettings = field(default_factory=SegmentSettings)
    folder: Path | None = None
    budget: int = 0
    cached_tiles: set[Key] = field(default_factory=set)
    region: Box | None = None
    planes: set[Plane] = field(default_factory=set)
    drawn: int = 0
    linked_before: LinkedCopy | None = None
    filters: FilterSettings = field(default_factory=FilterSettings)
    linked: LinkedShown | None = None
    correcting: Correcting = field(kw_only=True)

    def __post_init__(self) -> None:
        self._redraw = Redraw(self.layer)
        self._begun = False
        self._wanted = self.settings  # of the run that goes on
        self._coming: Started | None = None  # of a run that has found nothing yet
        self._planned = self.image  # what the plan was made for, whatever is chosen since
        self._found: set[Key] = set()  # blocks of the plan that were made so far
        self._lost_maps = False  # of the plan, to a later run
        self._filled = False  # by a run or a file, beside what is painted
        self._found_any = False  # objects, or classes, of a run or a file

    def painted(self) -> NDArray[np.uint32]:
        """Return the painted array ``(..., Y, X)`` of now; objects painted in part as a whole."""
        return self.correcting.painted()

    @property
    def shown(self) -> Any:
        """What the layer shows, ``(..., Y, X)``; see `Correcting.shown`."""
        return self.correcting.shown

    @property
    def hidden(self) -> frozenset[int]:
        """Ids of objects that the filter hides, as far as is measured."""
        return self.correcting.hidden

    @hidden.setter
    def hidden(self, ids: frozenset[int]) -> None:
        self.correcting.hidden = ids

    @property
    def classes(self) -> bool:
        """Whether it holds classes rather than objects."""
        return self.live.assembly.classes

    @property
    def only_painted(self) -> bool:
        """Whether all that it shows was painted: no run and no file has said anything yet."""
        return not self._filled

    @property
    def holds_any(self) -> bool:
        """Whether anything was found or painted; asked after each stroke, so nothing is scanned.

        Objects that a person has taken away count: that, too, would be lost.
        """
        return self._found_any or self.correcting.count[0] > 0

    @property
    def count(self) -> int:
        """Objects that the layer holds, found or painted."""
        return len(painted_ids(self.shown))

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
        self._begun = self._filled = True
        self._found_any = bool(labels.any())
        self.drawn += 1
        self.live.assembly.take_up(labels)
        if painted is not None:
            put_on_top(self.correcting.tracker, self.shown, painted)
            self.correcting.marks.layer().refresh()
        self.correcting.look_everywhere()
        self.layer.refresh()

    def go_on_from(self, previous: "Result") -> None:
        """Go on where another result of the same layer was left; `live` is that one's."""
        self._begun = True
        self.region, self.planes = previous.region, previous.planes
        self.filters = previous.filters
        self._filled, self._found_any = previous._filled, previous._found_any
        if self.live.marks.any():
            self.correcting.marks.layer()
        self.correcting.look_everywhere()

    def begin(self, settings: SegmentSettings) -> None:
        """Prepare for a run: what is painted is locked, and ids the person uses are left alone."""
        self._wanted, self._coming = settings, None
        correcting = self.correcting
        # In a new result there is nothing to find, and looking would cost its memory.
        worth = correcting.fits and (self._begun or correcting.any)
        painted = self.painted() if worth else None
        self._begun = True
        self.live.begin(
            self.shown,
            above=int(self.layer.selected_label),
            painted=painted if correcting.any else None,
        )

    def started(self, event: Started) -> None:
        """Note the plan of a run; before it finds something the labels are those of another."""
        self._coming = event

    def _take_plan(self, event: Started) -> None:
        plan = event.plan
        if plan is not self.plan:
            self.plan, self._found, self._lost_maps = plan, set(), False
            self._planned = self.image
        self.settings, self._coming = self._wanted, None
        self.folder, self.budget = event.folder, event.budget
        self.cached_tiles = event.cached_tiles
        self.region = plan.region if self.region is None else self.region.union(plan.region)
        self.planes.update(plan.planes)

    def everywhere(
        self, centre: tuple[float, float] | None, first: Plane, cache: ProbabilityMapCache
    ) -> Where:
        """Return all that was segmented so far, the whole image if nothing was.

        Parameters
        ----------
        centre : tuple of float or None
            Image pixel to begin at.
        first : tuple of int
            Plane to begin at.
        cache : ProbabilityMapCache
            Where to keep the probability maps.
        """
        planes = tuple(sorted(self.planes)) or None
        return Where(self.region, planes, centre, cache, first=first)

    def place(self, event: ObjectsFound) -> None:
        """Show one block's objects, except where the person painted."""
        if not self.correcting.fits:
            raise InputError(REPLACED)
        if self._coming is not None:
            self._take_plan(self._coming)
        self._found.add(event.key)
        self._filled = True
        self._found_any = self._found_any or bool(event.patch.labels.any())
        self.drawn += 1
        area = self.live.update(self.shown, event.plane, event.owned, event.patch, event.block)
        with self.correcting.not_painted():
            self._redraw.part(event.plane, area)

    def finish(self) -> None:
        """Draw everything, and keep the record of how it was made with the layer."""
        self._redraw.finish()
        if self._was_whole and not self.classes:
            self._found_any = self.live.assembly.count > 0  # nothing of an earlier run is left
        if self.plan is not None:
            made = {METADATA_KEY: record(self.plan, self.settings, self._planned)}
            self.layer.metadata = {**self.layer.metadata, **made}

    @property
    def _was_whole(self) -> bool:
        """Whether the last run did all of the image, and was not cancelled."""
        plan, image = self.plan, self._planned
        if plan is None or plan.region.shape != image.shape:
            return False
        planes = sum(1 for _ in image.planes())
        return len(plan.planes) == planes and self._found.issuperset(plan.blocks())

    @property
    def record(self) -> dict[str, Any]:
        """How the labels were made, and the ids of the objects that a person has corrected.

        To know all of them ask `Correcting.look_everywhere` first. Empty without a run.
        """
        made = dict(self.layer.metadata.get(METADATA_KEY) or {})
        if made and not self.classes:
            made["corrected"] = sorted(self.correcting.tracker.ids)
        return made

    def forget(self) -> None:
        """Take away what the model said; what is painted stays."""
        self.begin(self.settings)
        self.drawn += 1
        for plane, box in self.correcting.tracker.blocks():
            nothing = Patch(box, np.zeros(box.shape, np.int32), 0)
            self.live.update(self.shown, plane, box, nothing, 0)
        self.plan = self.folder = None
        self._filled = self._found_any = False
        self.cached_tiles = set()
        self.layer.refresh()

    def to_decode(self, view: Box, plane: Plane) -> list[Key]:
        """Return the blocks that thresholds act on, those in view of a plane first.

        They are those of the last run whose maps are all kept: the network does not run. Where
        there was no room for all maps, they are those in view, and the network looks again.
        """
        plan = self.plan
        if plan is None or self.folder is None:
            return []
        if not self.folder.exists():  # a later run needed the room
            self.cached_tiles.clear()
            self._lost_maps = True
        chosen = self._maps_kept if self._room_for_maps else lambda key: self._in_view(key, view)
        blocks = plan.blocks(view.centre, plane)
        return [key for key in blocks if key in self._found and chosen(key)]

    @property
    def _room_for_maps(self) -> bool:
        """Whether all probability maps of the plan could be kept, of a finished run."""
        plan = self.plan
        assert plan is not None, "asked only after a run"
        size = len(plan.planes) * sum(plan.tile_bytes(tile.index) for tile in plan.tiles.tiles)
        return size <= self.budget and not self._lost_maps

    def _maps_kept(self, key: Key) -> bool:
        plan = self.plan
        assert plan is not None, "asked only after a run"
        return all((key[0], tile) in self.cached_tiles for tile in plan.needs(key[1]))

    def _in_view(self, key: Key, view: Box) -> bool:
        plan = self.plan
        assert plan is not None, "asked only after a run"
        return plan.owned(plan.tiles.tiles[key[1]]).intersect(view).size > 0

    def decode_again(self, executor: Executor, blocks: list[Key]) -> Events:
        """Decode some blocks of the last run with the thresholds that were given to `begin`.

        Parameters
        ----------
        executor : Executor
            Computes.
        blocks : list of Key
            As `to_decode` gives them.
        """
        plan, folder = self.plan, self.folder
        assert plan is not None, "asked only after a run"
        assert folder is not None, "a plan that is kept comes with its folder"
        self.started(Started(plan, folder, self.budget, self.cached_tiles))
        job = Job(plan, plan.decoding(self._wanted), self._planned, folder)
        return _unannounced(live_run(job, blocks, self.cached_tiles, self.budget), executor)

    def conclusion(self, *, cancelled: bool) -> str:
        """Return what a run has found, or that it was cancelled."""
        if cancelled:
            return "Cancelled. What is finished stays."
        if self.plan is None:
            return ""
        if self.classes:
            return "Done."
        count = self.count
        text = objects_found(count, self.plan, self._planned)
        if not count and any(map(has_contrast, self.plan.limits)):
            text += what_to_try(self._planned)
        if not self._room_for_maps:
            return text + IN_VIEW
        return text if self._found.issuperset(self.plan.blocks()) else text + IN_PART


def _unannounced(run: Run, executor: Executor) -> Events:
    """Yield what a run tells, but not that it has started: its plan is known."""
    with closing(run.events(executor)) as events:
        yield from (event for event in events if not isinstance(event, Started))
