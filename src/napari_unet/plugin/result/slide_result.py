"""The labels of a large image in the viewer: a layer that shows what is in a folder, and grows."""

import weakref
from dataclasses import dataclass
from typing import Any

from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_unet.execution.events import ObjectsFound, Started, TileWritten, objects_found
from napari_unet.image import Image
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import Redraw
from napari_unet.plugin.layers.labels_files import METADATA_KEY
from napari_unet.plugin.result.incremental import IncrementalSegmentation
from napari_unet.segmentation import record

TO_CORRECT = "To correct some, zoom in and press Edit this view."
TRY = (
    " Set the object diameter to that of your cells, raise Sensitivity, or choose another model{}. "
    "If that does not help, paint ten cells and press Retrain."
)
SLIDE = "napari_unet_slide"  # in the metadata of such a layer


@dataclass(eq=False)
class SlideResult:
    """What the panel fills and shows; nobody paints on it, but on parts of it.

    Attributes
    ----------
    viewer : napari.Viewer
        Where it is shown.
    source : weakref to napari Image layer
        The large image.
    incremental : IncrementalSegmentation
        The labels.
    layer : Labels or None
        Shows them, once there is something to show.
    note : str
        What to say of them in the end.
    """

    viewer: Viewer
    source: "weakref.ref[ImageLayer]"
    incremental: IncrementalSegmentation
    layer: Labels | None = None
    note: str = ""

    def __deepcopy__(self, _memo: Any) -> "SlideResult":
        return self  # a copy of the layer shows the same folder

    @property
    def image(self) -> Image:
        """What is segmented."""
        return self.incremental.image

    @property
    def classes(self) -> bool:
        """Whether it holds classes rather than objects."""
        return not self.incremental.model.card.finds_objects

    def started(self, event: Started) -> None:
        """Show the folder, which is there now."""
        source = self.source()
        if self.layer is not None or source is None:
            return
        name = f"{source.name} {'classes' if self.classes else 'objects'}"
        levels = LabelPyramid(self.incremental.output).levels
        self.layer = layers.add_result(self.viewer, source, self.image, name, levels)
        self.layer.metadata = {
            **self.layer.metadata,
            SLIDE: self,
            METADATA_KEY: record(event.plan, self.incremental.settings, self.image),
        }
        self._redraw = Redraw(self.layer)

    def place(self, event: TileWritten | ObjectsFound) -> None:
        """Draw anew what was written."""
        if isinstance(event, TileWritten):
            self._redraw.soon()

    def finish(self) -> None:
        """Draw everything."""
        if self.layer is not None:
            self.layer.refresh()

    def conclusion(self, *, cancelled: bool) -> str:
        """Return what was found so far."""
        if cancelled:
            return "Cancelled. What is finished stays; press Segment to go on."
        if self.classes:
            return f"Done. {self.note}".strip()
        count = self.incremental.objects
        how = TO_CORRECT if count else what_to_try(self.image).strip()
        return f"{objects_found(count)} {self.note or how}"


def slide_results(viewer: Viewer, source: Layer | None) -> list[SlideResult]:
    """Return all labels of a large image that are shown, the topmost first."""
    there = ((layer, layer.metadata.get(SLIDE)) for layer in reversed(viewer.layers))
    return [
        found
        for layer, found in there
        if isinstance(found, SlideResult) and layer == found.layer and found.source() is source
    ]


def slide_result(viewer: Viewer, source: Layer | None) -> SlideResult | None:
    """Return the topmost labels of a large image; None if there are none."""
    return next(iter(slide_results(viewer, source)), None)


def what_to_try(image: Image) -> str:
    """Return what a person can do where a model finds nothing in an image."""
    return TRY.format(", or another channel" if image.channels > 1 else "")
