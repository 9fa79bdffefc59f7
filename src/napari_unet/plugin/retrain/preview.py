"""What a model that nobody has agreed to yet would find, beside the result it leaves alone."""

import weakref

from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.errors import UNetError
from napari_unet.execution.events import ObjectsFound, Started, objects_found
from napari_unet.image import Image
from napari_unet.labels.live_labels import Assembly
from napari_unet.models.library import Model
from napari_unet.planning.planner import Where
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import Redraw, grid_of
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.retrain.retrain_form import SHOW_NEW
from napari_unet.plugin.session.class_names import colour_dict
from napari_unet.plugin.session.session import Session
from napari_unet.segmentation import segment_events
from napari_unet.settings import SegmentSettings

LARGE = 2**22  # pixels of all planes; of a larger image only the view is looked at
NO_IMAGE = f"Open an image and tick {SHOW_NEW!r}, to see what the new model finds on it."
FLAT = f"Previews are made of planes. Switch to the 2-D view and tick {SHOW_NEW!r}."
THEN = f"tick {SHOW_NEW!r} to see the new model's work"
TOO_LARGE = (
    "This image is too large to preview the new model on. Open a part of it (Current view, "
    f"Segment), and tick {SHOW_NEW!r} there."
)
READY = (
    f"This is only a preview: tick {SHOW_NEW!r} to compare it, then keep or discard the new model."
)
PARTLY = f"The preview is not complete. Untick and tick {SHOW_NEW!r} to make it again."


class Preview:
    """A layer that a run fills as it fills a `Result`; nobody paints on it, nothing is kept.

    Parameters
    ----------
    layer : Labels
        Empty; its array is filled.
    source : Image layer
        What is looked at.
    image : Image
        The same, for the core.
    classes : bool
        Whether the model tells classes apart rather than objects.
    """

    def __init__(self, layer: Labels, source: ImageLayer, image: Image, *, classes: bool) -> None:
        self.layer, self.image, self.classes = layer, image, classes
        self.source = weakref.ref(source)
        self.complete = False
        self._found = Assembly(grid_of(layer).labels(layer.data), classes=classes)
        self._redraw = Redraw(layer)

    def started(self, event: Started) -> None:
        """Nothing of the plan is needed afterwards."""

    def place(self, event: ObjectsFound) -> None:
        """Show one block's objects."""
        self._found.place(event.plane, event.owned, event.patch, event.block)
        self.complete = event.done == event.total
        self._redraw.soon()

    def finish(self) -> None:
        """Draw everything."""
        self.layer.refresh()

    def conclusion(self, *, cancelled: bool) -> str:
        """Return what is said when the run has ended."""
        if cancelled or not self.complete:
            return PARTLY
        return READY if self.classes else f"{objects_found(self._found.count)} {READY}"


class Previewing:
    """Makes the preview of a candidate, shows it, and takes it away.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._viewer = session, session.viewer
        self._model: Model | None = None
        self._preview: Preview | None = None

    def begin(self, model: Model) -> None:
        """Look at the chosen image, or what is in view of a large one, with a candidate."""
        self.remove()
        self._model = model
        reason = self._session.runs.reason_to_wait(THEN)
        if reason is not None:
            self._session.say(reason)
            return
        try:
            self._start(model)
        except UNetError as error:
            self._session.say(str(error))
        except MemoryError:
            self._session.say(TOO_LARGE)

    def _start(self, model: Model) -> None:
        session, source = self._session, self._session.intent.layer
        if source is None or self._viewer.dims.ndisplay == 3:
            session.say(NO_IMAGE if source is None else FLAT)
            return
        image = session.opened(source, nuclei=model.card.spec.nuclei)
        classes = not model.card.finds_objects
        # the candidate's own thresholds: those of the sliders were chosen for another model
        settings = SegmentSettings(model=str(model.path), diameter=session.intent.diameter)
        layer = layers.add_result(self._viewer, source, image, f"{source.name} preview")
        layer.metadata = {**layer.metadata, layers.BESIDE: True}
        layer.visible = layer.editable = False
        if classes:
            layer.colormap = DirectLabelColormap(color_dict=colour_dict())
        session.results.changed.emit()  # it is none of the layers that can be chosen
        self._preview = Preview(layer, source, image, classes=classes)
        where = self._part(source, image)
        session.say("Looking at the image with the new model…")
        events = segment_events(image, model, settings, session.engine, where=where)
        session.runs.start(events, self._preview)

    def _part(self, source: ImageLayer, image: Image) -> Where:
        view, pixels = layers.visible_box(self._viewer, source, image), 1
        for length in image.labels_shape:
            pixels *= length
        plane = layers.current_plane(self._viewer, source, image)
        if pixels <= LARGE:
            return Where(centre=view.centre if view.size else None, first=plane)
        return Where(view.middle(LARGE) if view.size else None, (plane,))

    def show(self, on: bool) -> None:
        """Show the preview in place of the result, or the result again; made now if it is not."""
        preview, source = self._preview, self._session.intent.layer
        if on and self._model is not None and not self._session.runs.busy:
            there = preview is not None and preview.layer in self._viewer.layers
            if preview is None or not there or not preview.complete or preview.source() != source:
                self.begin(self._model)
        preview = self._preview
        if preview is None or preview.layer not in self._viewer.layers:
            return
        preview.layer.visible = on
        result = self._result(preview)
        if result is not None:
            result.layer.visible = not on

    def _result(self, preview: Preview) -> Result | None:
        return self._session.results.of(preview.source(), classes=preview.classes)

    def remove(self) -> None:
        """Take the preview away, and show the result again."""
        preview, self._preview, self._model = self._preview, None, None
        if preview is None or self._session.closed:
            return
        self._session.runs.cancel(only=preview)
        result = self._result(preview)
        if preview.layer.visible and result is not None:
            result.layer.visible = True
        if preview.layer in self._viewer.layers:
            self._viewer.layers.remove(preview.layer)
