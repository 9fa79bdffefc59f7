"""The panel's results: which image has which, what becomes of them, and who goes on with them."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_unet.errors import InputError
from napari_unet.image import Image
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.plugin.correct.classes_section import ClassesSection
from napari_unet.plugin.layers import layers
from napari_unet.plugin.result.correcting import Correcting
from napari_unet.plugin.result.handover import leave, left_on, without
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.segment.segment_form import SegmentForm

if TYPE_CHECKING:
    from napari_unet.plugin.correct.correct_section import CorrectSection
    from napari_unet.plugin.correct.restoring import Restoring
    from napari_unet.plugin.session.slides import Slides

NO_IMAGE = "There is no image. Open one, or take one from File → Open Sample."
IN_PARTS = (
    "This image is too large to be painted on as a whole. Choose Current view or Selected "
    "rectangle and press Segment; what opens can be painted on."
)
OFFER_DELAY = 300  # milliseconds from the loss of a result to the offer to restore it


class ResultPanel(SegmentForm):
    """A form that looks after results; starts no run.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose layers are offered.
    """

    classes: ClassesSection
    correct: "CorrectSection"
    restoring: "Restoring"
    slides: "Slides"

    def __init__(self, viewer: Viewer) -> None:
        self._results: dict[bool, weakref.WeakKeyDictionary[ImageLayer, Result]]  # classes or not
        self._results = {classes: weakref.WeakKeyDictionary() for classes in (False, True)}
        self._open: list[Result] = []  # whose corrections are looked after
        super().__init__(viewer)
        self._offer_timer = QTimer(self.native)  # ends with the panel
        self._offer_timer.setSingleShot(True)
        self._offer_timer.timeout.connect(self._look_around)
        viewer.layers.events.removed.connect(self._on_removed)

    def has_result(self, layer: ImageLayer) -> bool:
        """Whether there is a result of the layer that sliders and Save act on."""
        return layer in self._results[self.classes.on]

    # ---- results ---------------------------------------------------------------------------

    def result_of(self, layer: ImageLayer | None, *, classes: bool | None = None) -> Result | None:
        """Return the result of an image, None if there is none any more.

        Parameters
        ----------
        layer : Image layer or None
            The image.
        classes : bool, optional
            Whether its classes or its objects; by default what is worked on.
        """
        kind = self.classes.on if classes is None else classes
        result = self._results[kind].get(layer) if layer is not None else None
        return result if result is not None and result.layer in self._viewer.layers else None

    def current_result(self) -> Result | None:
        """Return the result of the chosen image that is worked on: its objects or its classes."""
        return self.result_of(self.image.value)

    def results(self, *, classes: bool | None = None) -> list[Result]:
        """Return the results of all images that are open: objects, classes, or by default both."""
        return [result for result in self._there(classes) if result.correcting.fits]

    def replaced(self, *, classes: bool) -> list[str]:
        """Return the names of results that are none any more: their array was replaced."""
        return [r.layer.name for r in self._there(classes) if not r.correcting.fits]

    def _there(self, classes: bool | None) -> list[Result]:
        kinds = (False, True) if classes is None else (classes,)
        found = (self.result_of(i, classes=kind) for i in self._image_layers() for kind in kinds)
        return [result for result in found if result is not None]

    def class_result(self) -> Result:
        """Return the chosen image's classes, a layer added now if there is none."""
        layer = self.image.value
        if layer is None:
            raise InputError(NO_IMAGE)
        return self._result(layer, self.opened(layer), classes=True)

    def kind_changed(self) -> None:
        """Show what can be done with classes, or with objects again."""
        self._describe()
        self.correct.refresh()

    def take_corrections(
        self, layer: ImageLayer, painted: NDArray[np.uint32], *, classes: bool | None = None
    ) -> None:
        """Take over a painted array ``(..., Y, X)`` of an image; a result is made if needed.

        Raises
        ------
        UNetError
            If the image cannot be used.
        """
        kind = self.classes.on if classes is None else classes
        result = self._result(layer, self.opened(layer), classes=kind)
        result.correcting.adopt(painted)
        self.show_result(result)

    def _result(self, layer: ImageLayer, image: Image, *, classes: bool) -> Result:
        """Return the image's result if its layer is still there and fits, else a new one."""
        result = self.result_of(layer, classes=classes)
        if result is not None and result.fits(image):
            return result
        if self.slides.takes(image):
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
        if classes:
            self.classes.dress(result)
        self.correct.watch(result)
        self.restoring.keep_safe(layer, result, self.model.value or "", instead_of)
        return result

    def show_labels(self, layer: ImageLayer, labels: NDArray[np.uint32], *, classes: bool) -> None:
        """Make labels ``(Y, X)`` of a part of a large image what the model said of it."""
        result = self._result(layer, self.opened(layer), classes=classes)
        result.layer.data[...] = labels
        result.take_up(result.layer.data, None)
        self.show_result(result)

    def show_result(self, result: Result) -> None:
        """Make a result the one that is worked on."""
        self.classes.show_on(on=result.classes)
        self._viewer.layers.selection.active = result.layer
        self._describe()
        self.correct.refresh()

    # ---- the end of a result, and its next panel ----------------------------------------------

    def let_go(self, result: Result) -> None:
        """Look after a result no longer; its layer stays, for another panel to go on with."""
        self.correct.unbind(result.layer)
        result.correcting.close()
        source = result.source()
        if source is not None and self._results[result.classes].get(source) is result:
            del self._results[result.classes][source]
        self._open.remove(result)
        leave(result, self.classes.names)

    def let_go_of_all(self) -> None:
        """Look after no result any longer."""
        for result in [*self._open]:
            self.let_go(result)

    def take_over_what_was_left(self) -> None:
        """Go on with the results of a panel that was closed while their layers stayed."""
        found = [(labels, left_on(labels)) for labels in self._viewer.layers]
        for labels, left in found:
            source = left.result.source() if left is not None else None
            if left is None or source is None or source not in self._viewer.layers:
                continue
            old, labels.metadata = left.result, without(labels.metadata)
            same = layers.finest(source) is old.image.data
            if not same or not old.fits(old.image) or self.result_of(source, classes=old.classes):
                continue
            if old.classes:
                self.classes.adopt_names(left.names)
            journal = old.correcting.journal
            if journal is not None:
                self.restoring.pass_over(journal.header.token)
            layers.remove_beside(self._viewer, labels)
            paths = journal.paths if journal is not None else ()
            result = self.take_in(source, old.image, labels, old.live, instead_of=paths)
            result.go_on_from(old)
        self._describe()
        self.correct.refresh()

    def _on_removed(self, *_: Any) -> None:
        """Let go of results whose layer was removed; their journal can be restored."""
        for result in [r for r in self._open if r.layer not in self._viewer.layers]:
            self._open.remove(result)
            result.correcting.close()
            self._offer_timer.start(OFFER_DELAY)

    def _look_around(self, *_: Any) -> None:
        """See what there is to be done; more in the panel."""
