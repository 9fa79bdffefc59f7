"""Large images: all of one into a folder, or a part of one as an image of its own."""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from magicgui.widgets import Container, PushButton
from napari import Viewer
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from napari_unet.errors import InputError, UNetError
from napari_unet.execution.class_map_cache import Scratch
from napari_unet.execution.label_edits import GRID, RegionSource
from napari_unet.image import Box, Image, read_region
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.labels.painted import UNLABELLED
from napari_unet.models.library import load_model
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import Region, region_layer, region_of
from napari_unet.plugin.result.incremental import IncrementalSegmentation
from napari_unet.plugin.result.result import REPLACED, Result
from napari_unet.plugin.result.slide_result import SlideResult, slide_result, slide_results
from napari_unet.plugin.widgets.jobs import in_background
from napari_unet.settings import APPLICATION

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel

LARGE = 10**8  # pixels of a plane from which on its labels are kept in a folder
TOTAL = 10**9  # pixels of all planes from which on the same is done: 4 GB of labels
MOST = 4096  # pixels; side of the largest part of it that is opened at once: a large screen's
KEPT = 7  # days that the unsaved labels of a session stay
LEFT = (
    "Labels of a large image are there from an earlier session. Unless you saved them: {} days "
    "after their last change they are deleted; copy the folder (napari opens it as an image): {}"
)
TOO_LARGE = (
    "The part is {} × {} px; at most {} × {} px of a large image are opened at once. Zoom in, "
    "draw a smaller rectangle, or choose Whole image."
)
FIRST = "There are no labels of this image to edit yet. Choose Whole image and press Segment."
WAIT = "The image is being segmented. Wait for it or cancel it first."
NOTHING_NEW = "Nothing was changed in this part since it was put back."
BUSY = "Another part is being read or put back. Wait a moment."
OTHERS = (
    "These are labels of another model or other settings, beside the earlier ones. What was put "
    "back into those is not in these: choose the part and press Put back again."
)
PUT = "{} pixels were put back into the labels of {}; no run changes them."
EMPTY = "Nothing of this image is in view. Move it into the view, or press the house in the corner."
Then = Callable[[ImageLayer], None]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A part of a large image that is to become an image of its own.

    Attributes
    ----------
    layer : napari Image layer
        The large image in the viewer.
    image : Image
        The same for the core.
    plane : tuple of int
        Indices along its iterated axes.
    box : Box
        Its pixels there.
    labels : SlideResult or None
        Labels of the whole to begin with.
    """

    layer: ImageLayer
    image: Image
    plane: tuple[int, ...]
    box: Box
    labels: SlideResult | None = None

    @property
    def growing(self) -> IncrementalSegmentation | None:
        """What the labels are kept in."""
        return None if self.labels is None else self.labels.growing


class Slides(Container):  # type: ignore[type-arg]
    """What is special about large images, with its two buttons.

    Parameters
    ----------
    host : SegmentPanel
        The panel it is part of.
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, host: "SegmentPanel", viewer: Viewer) -> None:
        super().__init__(layout="horizontal", labels=False, visible=False)
        self._host, self._viewer = host, viewer
        self._scratch = Scratch(platformdirs.user_cache_path(APPLICATION) / "slides")
        # what earlier sessions left may be tens of thousands of files
        in_background(lambda: self._scratch.sweep(KEPT), self._tell_of_left)
        self.running = False
        self.edit = PushButton(text="Edit this view")
        self.edit.tooltip = "Open what is shown as a layer of its own, to paint and to retrain"
        self.put_back = PushButton(text="Put back")
        self.put_back.tooltip = "Write what was changed in this part into the large image's labels"
        self.extend([self.edit, self.put_back])
        self.margins = (0, 0, 0, 0)
        self.edit.clicked.connect(self._press_edit)
        self.put_back.clicked.connect(self._press_put_back)

    def _tell_of_left(self, left: list[Path] | None, problem: str | None) -> None:
        if left and not problem and not self._host.closed:
            self._host.say(LEFT.format(KEPT, left[-1]))

    def takes(self, image: Image) -> bool:
        """Whether an image is so large that its labels are kept in a folder."""
        return math.prod(image.shape) > LARGE or math.prod(image.labels_shape) > TOTAL

    def describe(self, layer: ImageLayer | None) -> None:
        """Show the buttons that the chosen image needs."""
        part = region_of(layer)
        of_slide = self.result_of(layer) is not None
        of_part = part is not None and self.result_of(part.source()) is not None
        self.visible = of_slide or of_part
        self.edit.visible, self.put_back.visible = of_slide, of_part

    @property
    def hindrance(self) -> str:
        """Why no run can begin now; empty if one can."""
        return BUSY if self.running else ""

    def result_of(self, layer: Any) -> SlideResult | None:
        """Return the labels of a large image; None if there are none."""
        return slide_result(self._viewer, layer) if layer is not None else None

    # ---- segment -----------------------------------------------------------------------------

    def start(self, layer: ImageLayer, image: Image, *, whole: bool, only: bool) -> None:
        """Segment all of a large image, or what was chosen of it as an image of its own.

        Parameters
        ----------
        layer, image
            The image, in the viewer and for the core.
        whole : bool
            Whether all of it is wanted, rather than a part.
        only : bool
            Whether other planes than the one that is shown are not wanted.
        """
        host = self._host
        where = host.part(layer, image, None)
        plane = layers.current_plane(self._viewer, layer, image)
        if not whole:
            part = where.region or Box((0, 0), (0, 0))  # nothing of it is shown
            self._open(Wanted(layer, image, plane, part), lambda _part: host.start())
            return
        result = self._result(layer, image)
        host.say("Looking at the image…")
        events = result.growing.events(host.engine, plane, where.centre, only=only)
        host.run(events, result, result.growing.settings)

    def _result(self, layer: ImageLayer, image: Image) -> SlideResult:
        """Return labels that go on, or new ones for another model or other settings."""
        settings = self._host.settings()
        model = load_model(settings.model)
        there = slide_results(self._viewer, layer)
        for result in there:
            if result.growing.goes_on(image, model, settings):
                return result
        note = OTHERS if any(result.growing.edited for result in there) else ""
        growing = IncrementalSegmentation(
            self._scratch.reserve().with_suffix(".zarr"), image, model, settings
        )
        return SlideResult(self._viewer, weakref.ref(layer), growing, note=note)

    # ---- parts -------------------------------------------------------------------------------

    def _press_edit(self) -> None:
        host, layer = self._host, self._host.image.value
        result = self.result_of(layer)
        if result is None or self.running:
            host.say(BUSY if self.running else FIRST)
            return
        try:
            image = host.opened(layer)
            plane = layers.current_plane(self._viewer, layer, image)
            view = layers.visible_box(self._viewer, layer, image)
            self._open(Wanted(layer, image, plane, view, result), self._ready)
        except InputError as error:
            host.say(str(error))

    def _ready(self, _part: ImageLayer) -> None:
        self._host.say("Paint corrections here, then press Put back.")

    def _open(self, wanted: Wanted, then: Then) -> None:
        """Show a part as an image of its own; with the whole's labels if they are given."""
        there = self._shown(wanted)
        if there is not None:
            self._host.image.value = there
            then(there)
            return
        whole = Box((0, 0), wanted.image.shape)
        if not wanted.box.intersect(whole).size:
            raise InputError(EMPTY)
        box = wanted.box.on_grid(GRID).intersect(whole)  # so that it can be put back
        if max(box.shape) > MOST:
            raise InputError(TOO_LARGE.format(*box.shape, MOST, MOST))
        self.open_region(replace(wanted, box=box), then)

    def _shown(self, wanted: Wanted) -> ImageLayer | None:
        """Return a part that is open already and holds all of what is wanted of the same labels.

        Labels that grew since are read anew, unless something is painted.
        """
        for other in self._viewer.layers:
            part = region_of(other)
            if part is None or part.source() is not wanted.layer or part.plane != wanted.plane:
                continue
            box = wanted.box
            if not isinstance(other, ImageLayer) or not box.size or part.box.intersect(box) != box:
                continue
            result = self._host.result_of(other)
            painted = result is not None and result.correcting.any
            if wanted.labels is None or (part.taken.labels is wanted.growing and painted):
                return other
        return None

    def open_region(self, wanted: Wanted, then: Then) -> None:
        """Read a part of a large image in the background, add it as a layer, and go on.

        Parameters
        ----------
        wanted : Wanted
            The part.
        then : callable
            Called with the part's layer.
        """

        def read() -> tuple[NDArray[Any], RegionSource]:
            growing, box, before = wanted.growing, wanted.box, None
            if growing is not None:
                before = labels_in(growing.output, wanted.plane, box)
            return read_region(wanted.image, wanted.plane, box), RegionSource(
                growing, box.shape, before
            )

        def done(found: Any, problem: str | None) -> None:
            self.running = False
            if self._host.closed or wanted.layer not in self._viewer.layers:
                return
            try:
                if problem is None:
                    pixels, taken = found
                    self._add(wanted, pixels, taken, then)
            except UNetError as error:
                problem = str(error)
            if problem:
                self._host.say(problem)

        self.running = True
        self._host.say("Reading this part…")
        in_background(read, done)

    def _add(self, wanted: Wanted, pixels: NDArray[Any], taken: RegionSource, then: Then) -> None:
        """Show a part right above its image, with its labels, and go on."""
        host, layer = self._host, wanted.layer
        number = list(wanted.image.planes()).index(wanted.plane)
        region = Region(weakref.ref(layer), wanted.plane, number, wanted.box, taken)
        part = region_layer(layer, wanted.image, region, pixels)
        self._viewer.layers.insert(self._viewer.layers.index(layer) + 1, part)
        host.image.value = part
        if wanted.labels is not None and taken.before is not None:
            host.show_labels(part, taken.before, classes=wanted.labels.classes)
        then(part)

    # ---- back into the whole ------------------------------------------------------------------

    def _press_put_back(self) -> None:
        host, part = self._host, region_of(self._host.image.value)
        whole = self.result_of(part.source()) if part is not None else None
        if part is None or whole is None or host.image.value is None:
            return
        result = host.result_of(host.image.value, classes=whole.classes)
        if host.busy or result is None or not result.correcting.fits:
            host.say(WAIT if host.busy else NOTHING_NEW if result is None else REPLACED)
            return
        if part.taken.labels is not whole.growing:  # other labels than it was taken from
            part.taken = RegionSource(whole.growing, part.box.shape)
        shown, changed = changes(part, result)
        if not changed.any():
            host.say(NOTHING_NEW)
            return
        taken = part.taken

        def put() -> None:
            whole.growing.put_back(part.plane, part.box, shown, changed, taken.numbers)

        def done(_nothing: None, problem: str | None) -> None:
            self.running = False
            if not problem:
                taken.note(shown, changed)
            if whole.layer is not None:
                whole.layer.refresh()
            if not host.closed:
                count = np.count_nonzero(changed)
                host.say(problem or PUT.format(count, whole.image.name))

        self.running = True
        in_background(put, done)


def labels_in(output: Path, plane: tuple[int, ...], box: Box) -> NDArray[np.uint32]:
    """Read a part ``(Y, X)`` of the labels in a folder."""
    return np.array(LabelPyramid(output).levels[0][(*plane, *box.slices)], np.uint32)


def changes(part: Region, result: Result) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the labels ``(Y, X)`` of a part, and where a person changed them."""
    painted = result.painted().reshape(part.box.shape) != UNLABELLED
    shown = np.asarray(result.layer.data).reshape(part.box.shape).astype(np.uint32)
    return shown, part.taken.changes(shown, painted, own=result.plan is not None)
