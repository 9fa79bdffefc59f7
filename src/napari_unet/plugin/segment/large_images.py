"""The two buttons of large images: edit a part, and put what was changed back into the whole."""

from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import Container, PushButton
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.labels.painted import UNLABELLED
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import Region, RegionSource, region_of
from napari_unet.plugin.result.result import REPLACED, Result
from napari_unet.plugin.result.slide_result import SlideResult, slide_result
from napari_unet.plugin.session.open_region import Wanted, open_view
from napari_unet.plugin.session.run_controller import Activity
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background

KEPT = 7  # days that the unsaved labels of a session stay
LEFT = (
    "Labels of a large image are there from an earlier session. Unless you saved them: {} days "
    "after their last change they are deleted; copy the folder (napari opens it as an image): {}"
)
FIRST = "There are no labels of this image to edit yet. Choose Whole image and press Segment."
NOTHING_NEW = "Nothing was changed in this part since it was put back."
PUT = "{} pixels were put back into the labels of {}; no run changes them."
NOT_A_REGION = frozenset(Activity) - {Activity.REGION}


class LargeImages(Container):  # type: ignore[type-arg]
    """Buttons that the chosen image shows if it is a large one, or a part of one.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(layout="horizontal", labels=False, visible=False)
        self._session = session
        self.edit = PushButton(text="Edit this view")
        self.edit.tooltip = "Open what is shown as a layer of its own, to paint and to retrain"
        self.put_back = PushButton(text="Put back")
        self.put_back.tooltip = "Write what was changed in this part into the large image's labels"
        self.extend([self.edit, self.put_back])
        self.margins = (0, 0, 0, 0)
        self.edit.clicked.connect(self._press_edit)
        self.put_back.clicked.connect(self._press_put_back)
        session.intent_changed.connect(self.refresh)
        session.results.changed.connect(self.refresh)
        # what earlier sessions left may be tens of thousands of files
        in_background(lambda: session.scratch.sweep(KEPT), self._tell_of_left)

    def _tell_of_left(self, left: list[Path] | None, problem: str | None) -> None:
        if left and not problem:
            self._session.say(LEFT.format(KEPT, left[-1]))

    def refresh(self) -> None:
        """Show the buttons that the chosen image needs."""
        layer = self._session.intent.layer
        part = region_of(layer)
        of_slide = self._slide(layer) is not None
        of_part = part is not None and self._slide(part.source()) is not None
        self.visible = of_slide or of_part
        self.edit.visible, self.put_back.visible = of_slide, of_part

    def _slide(self, layer: ImageLayer | None) -> SlideResult | None:
        return slide_result(self._session.viewer, layer) if layer is not None else None

    # ---- edit ------------------------------------------------------------------------------

    def _press_edit(self) -> None:
        session, layer = self._session, self._session.intent.layer
        result = self._slide(layer)
        reason = session.runs.reason_to_wait(beside=NOT_A_REGION)
        if layer is None or result is None or reason:
            session.say(reason or FIRST)
            return
        try:
            image = session.opened(layer)
            plane = layers.current_plane(session.viewer, layer, image)
            view = layers.visible_box(session.viewer, layer, image)
            open_view(session, Wanted(layer, image, plane, view, result), self._ready)
        except InputError as error:
            session.say(str(error))

    def _ready(self, _part: ImageLayer) -> None:
        self._session.say("Paint corrections here, then press Put back.")

    # ---- put back --------------------------------------------------------------------------

    def _press_put_back(self) -> None:
        session, layer = self._session, self._session.intent.layer
        part = region_of(layer)
        whole = self._slide(part.source()) if part is not None else None
        if part is None or whole is None or layer is None:
            return
        result = session.results.of(layer, classes=whole.classes)
        reason = session.runs.reason_to_wait("press Put back")
        if reason or result is None or not result.correcting.fits:
            session.say(reason or (NOTHING_NEW if result is None else REPLACED))
            return
        if part.taken.labels is not whole.incremental:  # other labels than it was taken from
            part.taken = RegionSource(whole.incremental, part.box.shape)
        shown, changed = changes(part, result)
        if not changed.any():
            session.say(NOTHING_NEW)
            return
        self._put_back(part, whole, shown, changed)

    def _put_back(
        self,
        part: Region,
        whole: SlideResult,
        shown: NDArray[np.uint32],
        changed: NDArray[np.bool_],
    ) -> None:
        """Write what was changed in a part into the labels of the whole, in the background."""
        session, taken = self._session, part.taken

        def put() -> None:
            whole.incremental.put_back(part.plane, part.box, shown, changed, taken.numbers)

        def done(_nothing: Any, problem: str | None) -> None:
            session.runs.end(Activity.REGION)
            if not problem:
                taken.note(shown, changed)
            if whole.layer is not None:
                whole.layer.refresh()
            count = np.count_nonzero(changed)
            session.say(problem or PUT.format(count, whole.image.name))

        session.runs.begin(Activity.REGION)
        in_background(put, done)


def changes(part: Region, result: Result) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the labels ``(Y, X)`` of a part, and where a person changed them."""
    painted = result.painted().reshape(part.box.shape) != UNLABELLED
    shown = np.asarray(result.shown).reshape(part.box.shape).astype(np.uint32)
    return shown, part.taken.changes(shown, painted, own=result.plan is not None)
