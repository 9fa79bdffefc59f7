"""Where to paint next, in the viewer: the jump to a region, its outline, and the heat map."""

import weakref
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Shapes
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.active_learning.suggest import UncertainRegion, outline
from napari_unet.active_learning.uncertainty import HEAT_STEP
from napari_unet.errors import InputError
from napari_unet.execution.events import Waiting
from napari_unet.execution.orders import Ranked
from napari_unet.image import Box
from napari_unet.labels.live_labels import index_of
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import BackgroundTask, in_background
from napari_unet.segmentation.uncertainty_events import (
    NOTHING_KEPT,
    Heat,
    KeptRun,
    heat_of,
    uncertainty_events,
)
from napari_unet.tiling.plan import SegmentPlan

COUNT = 5  # regions ranked at once
READABLE = 120  # screen pixels; a region's window is not shown smaller
OUTLINE, HEAT = "where to paint next", "where the model is unsure"
COLOUR = "#ffd21f"

NO_RESULT = "There is no segmentation of this image yet. Press Segment first."
FLAT = "Uncertain regions are shown in planes. Switch to the 2-D view and try again."
SURE = (
    "The model is sure of everything it has segmented, except near what is painted. Open table, "
    "under Measure, measures the objects."
)
LAST = " This is the last one. Where all is right, press Open table, under Measure."
LOOKING = "Looking for the regions where the model is least sure…"


class UncertainRegions:
    """Leads to the regions where the model is least sure, one press after the other.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    looked = Signal(Result)  # at all regions, or there are none to tell of

    def __init__(self, session: Session) -> None:
        self._session, self._viewer = session, session.viewer
        self._task: BackgroundTask | None = None
        self._regions: tuple[UncertainRegion, ...] = ()
        self._next = 0
        self._found_for: tuple[SegmentPlan, int] | None = None  # the run, and edits so far
        self._outline: Shapes | None = None
        self._outlined: weakref.ref[Labels] | None = None  # the result it lies on
        self._heat: ImageLayer | None = None
        self._heat_wanted = False
        session.runs.making_way.connect(self.stop)
        session.runs.ended.connect(self.renew)

    @property
    def running(self) -> bool:
        """Whether regions are being looked for."""
        return self._task is not None and self._task.running

    def stop(self) -> None:
        """Stop searching, because the engine has something else to do."""
        if self._task is not None and self._task.running:
            self._task.cancel()  # the engine skips what is left as soon as its next job begins

    def renew(self) -> None:
        """Forget the regions, and make a heat map that is shown anew: there was another run."""
        self._found_for = None
        if self._outline is not None and self._outline in self._viewer.layers:
            self._outline.visible = False
        if self._heat_wanted:
            self.show_heat(on=True)

    # ---- jumping ---------------------------------------------------------------------------

    def jump(self) -> None:
        """Go to the best region; to the next one if nothing was painted or segmented meanwhile."""
        if self.running:
            return
        try:
            result, run = self._result()
        except InputError as error:
            self._session.say(str(error))
            there = self._session.results.current
            if there is not None and str(error) == NOTHING_KEPT:
                self.looked.emit(there)
            return
        last = self._found_for
        same = last is not None and last[0] is run.plan and last[1] == result.correcting.edits
        if same and self._next < len(self._regions):
            self._show(result)
        else:
            self._search(result, run)

    def _result(self) -> tuple[Result, KeptRun]:
        """Return the chosen image's result and its run; `InputError` if nothing can be told."""
        result = self._session.results.current
        if result is None or not result.correcting.fits:
            raise InputError(NO_RESULT)
        if result.plan is None or result.folder is None:
            raise InputError(NOTHING_KEPT)
        if self._viewer.dims.ndisplay != 2:
            raise InputError(FLAT)
        reason = self._session.runs.reason_to_wait("try again")
        if reason is not None:
            raise InputError(reason)
        run = KeptRun(result.plan, result.folder, frozenset(result.cached_tiles))
        run.check()
        return result, run

    def _search(self, result: Result, run: KeptRun) -> None:
        tracker = result.correcting.tracker

        def painted(plane: tuple[int, ...], box: Box) -> NDArray[np.uint32]:
            window: NDArray[np.uint32] = tracker.recorded[index_of(plane, box)]
            return window.copy()

        plane, view = layers.shown_window(self._viewer, result.layer)
        self._found_for = run.plan, result.correcting.edits
        self._regions, self._next = (), 0
        events = uncertainty_events(run, self._session.engine, painted, (plane, view.centre), COUNT)
        self._session.say(LOOKING)
        self._task = task = BackgroundTask(
            events, lambda event: self._found(event, result), lambda text: self._end(text, task)
        )
        task.start()

    def _found(self, event: Waiting | Ranked, result: Result) -> None:
        if not isinstance(event, Ranked) or result.layer not in self._viewer.layers:
            return
        self._regions = event.regions
        if event.regions:
            self._show(result)
            return
        if self._outline is not None and self._outline in self._viewer.layers:
            self._outline.visible = False
        self._session.say(SURE)
        self.looked.emit(result)

    def _end(self, problem: str | None, task: BackgroundTask) -> None:
        if self._session.closed or task.cancelled:
            return
        if problem:
            self._found_for = None
            if not self._session.runs.busy:  # else a run has taken over, and says so itself
                self._session.say(problem)

    def _show(self, result: Result) -> None:
        region, number = self._regions[self._next], self._next + 1
        self._next = number
        layer = result.layer
        camera = self._viewer.scene.camera
        middle = (c - 0.5 for c in region.centre)
        layers.look_at(self._viewer, layer, (*region.plane, *middle))
        size = float(np.abs(layer.scale[grid_of(layer).order[-2]]))
        height = max(region.box.shape) * size
        camera.zoom = max(camera.zoom, READABLE / height)
        self._draw(region, layer)
        most = "least sure" if number == 1 else "unsure"
        last = number == len(self._regions)
        where = f"Region {number} of {len(self._regions)}: the model is {most} here."
        self._session.say(where + LAST * last)
        if last:
            self.looked.emit(result)

    def _draw(self, region: UncertainRegion, result: Labels) -> None:
        line = outline(region) - 0.5  # napari's pixels have their middle at whole numbers
        grid = grid_of(result)
        points = np.array([grid.to_layer((*region.plane, y, x)) for y, x in line])
        shapes = self._outline_on(result)
        shapes.visible = True
        width = max(1.0, max(region.box.shape) / 40)
        shapes.data = []
        shapes.add_polygons(points, edge_width=width, edge_color=COLOUR, face_color="transparent")

    def _outline_on(self, result: Labels) -> Shapes:
        """Return the layer of the outline on a result's grid; what is active stays so."""
        shapes, on = self._outline, self._outlined() if self._outlined is not None else None
        if shapes is not None and shapes in self._viewer.layers:
            if on is result:
                return shapes
            self._viewer.layers.remove(shapes)
        selection = self._viewer.layers.selection
        active = selection.active
        self._outline = shapes = layers.add_rectangles(self._viewer, result, OUTLINE)
        shapes.metadata = {layers.BESIDE: True}
        shapes.opacity = 0.6
        selection.active = active
        self._outlined = weakref.ref(result)
        return shapes

    # ---- the heat map ----------------------------------------------------------------------

    def show_heat(self, on: bool) -> None:
        """Show how unsure the model is of what is in view now, or hide that again."""
        self._heat_wanted = on
        if not on:
            if self._heat is not None and self._heat in self._viewer.layers:
                self._viewer.layers.remove(self._heat)
            self._heat = None
            return
        try:
            result, run = self._result()
        except InputError as error:
            self._session.say(str(error))
            return
        plane, view = layers.shown_window(self._viewer, result.layer)

        def done(heat: Heat | None, problem: str | None) -> None:
            if self._session.closed or not self._heat_wanted:
                return
            if heat is None:
                self._session.say(problem or "")
            elif result.layer in self._viewer.layers:
                self._show_heat(heat, result.layer)

        in_background(lambda: heat_of(run, plane, view), done)

    def _show_heat(self, heat: Heat, result: Labels) -> None:
        if self._heat is not None and self._heat in self._viewer.layers:
            self._viewer.layers.remove(self._heat)
        selection = self._viewer.layers.selection
        active = selection.active
        self._heat = ImageLayer(
            grid_of(result).on_layer(heat.values[(None,) * len(heat.plane)]),
            name=HEAT,
            affine=_grid(heat, result),
            units=result.units,
            axis_labels=result.axis_labels,
            contrast_limits=(0, 255),
            colormap="inferno",
            blending="additive",
            opacity=0.5,
            interpolation2d="linear",
            metadata={layers.BESIDE: True},
        )
        self._viewer.layers.insert(self._viewer.layers.index(result), self._heat)
        selection.active = active


def _grid(heat: Heat, result: Labels) -> NDArray[np.float64]:
    """Transform from the heat map's array to the world, whatever the result's transforms are."""
    grid = grid_of(result)
    first = np.array(grid.to_layer((*heat.plane, *heat.origin)), float)
    along = [1.0] * len(heat.plane) + [HEAT_STEP] * 2
    steps = np.diag(grid.to_layer(along, 1.0))
    origin = _world(result, first)
    matrix = np.eye(len(first) + 1)
    matrix[:-1, -1] = origin
    for axis, step in enumerate(steps):
        matrix[:-1, axis] = _world(result, first + step) - origin
    return matrix


def _world(result: Labels, point: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(result.data_to_world(point), float)
