"""Opens a part of a large image as an image of its own, to be painted on and put back."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from napari_unet.errors import InputError, UNetError
from napari_unet.execution.label_edits import GRID
from napari_unet.image import Box, Image, read_region
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.plugin.layers.region import Region, RegionSource, region_layer, region_of
from napari_unet.plugin.result.incremental import IncrementalSegmentation
from napari_unet.plugin.result.slide_result import SlideResult
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background

MOST = 4096  # pixels; side of the largest part that is opened at once: a large screen's
TOO_LARGE = (
    "The part is {} × {} px; at most {} × {} px of a large image are opened at once. Zoom in, "
    "draw a smaller rectangle, or choose Whole image."
)
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
    def incremental(self) -> IncrementalSegmentation | None:
        """What the labels are kept in."""
        return None if self.labels is None else self.labels.incremental


def open_view(session: Session, wanted: Wanted, then: Then) -> None:
    """Show a part that the person chose, read now unless it is open already.

    Parameters
    ----------
    session : Session
        Where it is shown.
    wanted : Wanted
        The part, with the whole's labels if they are wanted.
    then : callable
        Called with the part's layer.

    Raises
    ------
    InputError
        If nothing of the image is wanted, or too much at once.
    """
    there = _shown(session, wanted)
    if there is not None:
        session.choose(there)
        then(there)
        return
    whole = Box((0, 0), wanted.image.shape)
    if not wanted.box.intersect(whole).size:
        raise InputError(EMPTY)
    box = wanted.box.on_grid(GRID).intersect(whole)  # so that it can be put back
    if max(box.shape) > MOST:
        raise InputError(TOO_LARGE.format(*box.shape, MOST, MOST))
    open_region(session, replace(wanted, box=box), then)


def _shown(session: Session, wanted: Wanted) -> ImageLayer | None:
    """Return a part that is open already and holds all of what is wanted of the same labels.

    Labels that grew since are read anew, unless something is painted.
    """
    for other in session.viewer.layers:
        part = region_of(other)
        if part is None or part.source() is not wanted.layer or part.plane != wanted.plane:
            continue
        box = wanted.box
        if not isinstance(other, ImageLayer) or not box.size or part.box.intersect(box) != box:
            continue
        result = session.results.of(other)
        painted = result is not None and result.correcting.any
        if wanted.labels is None or (part.taken.labels is wanted.incremental and painted):
            return other
    return None


def open_region(session: Session, wanted: Wanted, then: Then) -> None:
    """Read a part of a large image in the background, add it as a layer, and go on.

    Parameters
    ----------
    session : Session
        Where it is shown.
    wanted : Wanted
        The part.
    then : callable
        Called with the part's layer.
    """

    def read() -> tuple[NDArray[Any], RegionSource]:
        labels, box, before = wanted.incremental, wanted.box, None
        if labels is not None:
            before = _labels_in(labels.output, wanted.plane, box)
        pixels = read_region(wanted.image, wanted.plane, box)
        return pixels, RegionSource(labels, box.shape, before)

    def done(found: Any, problem: str | None) -> None:
        session.runs.end(Activity.REGION)
        if session.closed or wanted.layer not in session.viewer.layers:
            return
        try:
            if problem is None:
                then(_add(session, wanted, *found))
        except UNetError as error:
            problem = str(error)
        if problem:
            session.say(problem)

    session.runs.begin(Activity.REGION)
    session.say("Reading this part…")
    in_background(read, done)


def _add(session: Session, wanted: Wanted, pixels: NDArray[Any], taken: RegionSource) -> ImageLayer:
    """Show a part right above its image, with its labels."""
    layer, there = wanted.layer, session.viewer.layers
    number = list(wanted.image.planes()).index(wanted.plane)
    region = Region(weakref.ref(layer), wanted.plane, number, wanted.box, taken)
    part = region_layer(layer, wanted.image, region, pixels)
    there.insert(there.index(layer) + 1, part)
    session.choose(part)
    if wanted.labels is not None and taken.before is not None:
        _show_labels(session, part, taken.before, classes=wanted.labels.classes)
    return part


def _show_labels(
    session: Session, layer: ImageLayer, labels: NDArray[np.uint32], *, classes: bool
) -> None:
    """Make labels ``(Y, X)`` of a part of a large image what the model said of it."""
    result = session.results.make(layer, session.opened(layer), classes=classes)
    result.shown[...] = labels
    result.take_up(result.shown, None)
    session.results.show(result)


def _labels_in(output: Path, plane: tuple[int, ...], box: Box) -> NDArray[np.uint32]:
    """Read a part ``(Y, X)`` of the labels in a folder."""
    return np.array(LabelPyramid(output).levels[0][(*plane, *box.slices)], np.uint32)
