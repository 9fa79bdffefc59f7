"""Which image has which results: objects, classes, or both."""

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.errors import InputError
from napari_unet.image import Image
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.plugin.layers import layers
from napari_unet.plugin.result.correcting import Correcting
from napari_unet.plugin.result.incremental import is_large
from napari_unet.plugin.result.result import Result

NO_IMAGE = "There is no image. Open one, or take one from File → Open Sample."
IN_PARTS = (
    "This image is too large to be painted on as a whole. Choose Current view or Selected "
    "rectangle and press Segment; what opens can be painted on."
)
KeepSafe = Callable[[ImageLayer, Result, Sequence[Path]], None]


class ResultRegistry:
    """Results of the images that are open.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    keep_safe : callable
        Gives a new result its journal; takes the image, the result, and the files of the journal
        that the new one replaces. Called last, when all who listen to `added` know the result.

    Attributes
    ----------
    chosen : Image layer or None
        The image that the person works on.
    classes : bool
        Whether the person works on its classes rather than its objects.
    """

    added = Signal(Result)
    removed = Signal(Result)  # nobody looks after it any more, but its layer stays
    lost = Signal(Result)  # its layer was removed
    filtered = Signal(Result)  # others of its objects are to be left out
    linked = Signal(Result)  # its planes were linked anew, or are not linked any more
    kind_changed = Signal(bool)  # whether classes are worked on, also where it stays as it was
    changed = Signal()  # what there is of the chosen image is to be shown anew

    def __init__(self, viewer: Viewer, keep_safe: KeepSafe) -> None:
        self._viewer, self._keep_safe = viewer, keep_safe
        self.chosen: ImageLayer | None = None
        self.classes = False
        self._results: dict[bool, weakref.WeakKeyDictionary[ImageLayer, Result]]  # classes or not
        self._results = {classes: weakref.WeakKeyDictionary() for classes in (False, True)}
        self._open: list[Result] = []  # whose corrections are looked after
        viewer.layers.events.removed.connect(self._on_removed)

    # ---- what there is ---------------------------------------------------------------------

    @property
    def current(self) -> Result | None:
        """The result of the chosen image that is worked on: its objects or its classes."""
        return self.of(self.chosen)

    def of(self, layer: ImageLayer | None, *, classes: bool | None = None) -> Result | None:
        """Return the result of an image, None if there is none any more.

        Parameters
        ----------
        layer : Image layer or None
            The image.
        classes : bool, optional
            Whether its classes or its objects; by default what is worked on.
        """
        kind = self.classes if classes is None else classes
        result = self._results[kind].get(layer) if layer is not None else None
        return result if result is not None and result.layer in self._viewer.layers else None

    def has(self, layer: ImageLayer | None) -> bool:
        """Whether an image was given a result of the kind that is worked on."""
        return layer is not None and layer in self._results[self.classes]

    def all(self, *, classes: bool | None = None) -> list[Result]:
        """Return the results of all open images: objects, classes, or by default both."""
        return [result for result in self._there(classes) if result.correcting.fits]

    def replaced(self, *, classes: bool) -> list[str]:
        """Return the names of results that are none any more: their array was replaced."""
        return [r.layer.name for r in self._there(classes) if not r.correcting.fits]

    def _there(self, classes: bool | None) -> list[Result]:
        kinds = (False, True) if classes is None else (classes,)
        images = layers.image_layers(self._viewer)
        found = (self.of(image, classes=kind) for image in images for kind in kinds)
        return [result for result in found if result is not None]

    def looks_after(self, result: Result) -> bool:
        """Whether a result's corrections are followed, and its layer is there."""
        return result in self._open and result.layer in self._viewer.layers

    # ---- new results -----------------------------------------------------------------------

    def make(self, layer: ImageLayer, image: Image, *, classes: bool) -> Result:
        """Return the image's result if its layer is still there and fits, else a new one."""
        result = self.of(layer, classes=classes)
        if result is not None and result.fits(image):
            return result
        if is_large(image):
            raise InputError(IN_PARTS)
        live = LiveLabels.empty(image.labels_shape, classes=classes)
        name = f"{layer.name} classes" if classes else f"{layer.name} objects"
        labels = layers.add_result(self._viewer, layer, image, name)
        return self.take_in(layer, image, labels, live)

    def take_in(
        self,
        layer: ImageLayer,
        image: Image,
        labels: Labels,
        live: LiveLabels,
        *,
        instead_of: Sequence[Path] = (),
    ) -> Result:
        """Look after a labels layer as the result of an image.

        Parameters
        ----------
        layer, image
            The image, in the viewer and for the core.
        labels : Labels
            Holds a uint32 array of the image's shape.
        live : LiveLabels
            What the model said so far.
        instead_of : sequence of Path
            Files of the journal that was kept of it until now.
        """
        classes = live.assembly.classes
        beside = labels.name if classes else layer.name
        correcting = Correcting(self._viewer, labels, live, name=beside)
        result = Result(labels, live, weakref.ref(layer), image, correcting=correcting)
        self._results[classes][layer] = result
        self._open.append(result)
        self.added.emit(result)
        self._keep_safe(layer, result, instead_of)
        return result

    # ---- what is worked on -----------------------------------------------------------------

    def work_on(self, *, classes: bool) -> None:
        """Work on classes, or on objects, of whatever image is chosen."""
        self.classes = classes
        self.kind_changed.emit(classes)

    def show(self, result: Result) -> None:
        """Make a result the one that is worked on."""
        self.work_on(classes=result.classes)
        self._viewer.layers.selection.active = result.layer
        self.changed.emit()

    # ---- the end of a result ---------------------------------------------------------------

    def remove(self, result: Result) -> None:
        """Look after a result no longer; its layer stays."""
        self.removed.emit(result)
        result.correcting.close()
        source = result.source()
        if source is not None and self._results[result.classes].get(source) is result:
            del self._results[result.classes][source]
        self._open.remove(result)

    @property
    def followed(self) -> list[Result]:
        """All results whose corrections are looked after."""
        return [*self._open]

    def _on_removed(self, *_: Any) -> None:
        """Let go of results whose layer was removed; their journal can be restored."""
        lost = [r for r in self._open if r.layer not in self._viewer.layers]
        for result in lost:
            self._open.remove(result)
            result.correcting.close()
            self.lost.emit(result)
        if lost:  # later: napari may just be removing several layers, these among them
            QTimer.singleShot(0, lambda: self._remove_beside(lost))

    def _remove_beside(self, lost: Sequence[Result]) -> None:
        """Take away the layers beside results that are gone; nothing painted there would count."""
        for result in lost:
            result.correcting.overlay.remove()
            for layer in [*self._viewer.layers]:
                if result.correcting.marks.is_layer(layer):
                    self._viewer.layers.remove(layer)
