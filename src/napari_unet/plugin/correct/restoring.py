"""Corrections left behind by a crash, or by a window that was closed: found, offered, restored."""

from typing import Any

import numpy as np
from magicgui.widgets import Container, PushButton
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_unet.errors import UNetError
from napari_unet.image import Box, Image
from napari_unet.journal.identity import class_identity, place_in, region_identity
from napari_unet.journal.journal import JournalHeader, journal_folder
from napari_unet.journal.recovery import (
    Recovery,
    clean,
    recoverable,
    recoverable_regions,
    replay,
)
from napari_unet.labels.painted import painted_ids
from napari_unet.models.class_names import DEFAULT
from napari_unet.plugin.layers import layers
from napari_unet.plugin.session.journals import hand_over
from napari_unet.plugin.session.open_region import Wanted, open_region
from napari_unet.plugin.session.session import Intent, Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.setting_widgets import side_by_side
from napari_unet.plugin.widgets.wrapping_text import Wrapped
from napari_unet.wording import counted

OFFER_DELAY = 300  # milliseconds from the loss of a result to the offer to restore it
RESTORED = "Your corrections are restored; no run changes them."
REST = "Nothing else is: press Segment, which finds the other objects."


class Restoring(Container):  # type: ignore[type-arg]
    """Offers to restore what was painted on the chosen image before.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(labels=False, visible=False)
        self._session = session
        self._offered: tuple[ImageLayer, Recovery, NDArray[np.uint32]] | None = None
        self._next: list[Recovery] = []  # of the same image, offered afterwards
        self._declined: set[str] = set()  # tokens
        self.offer_text = Wrapped(most=3)
        self.restore, self.not_now = (
            PushButton(
                text="Restore your corrections", tooltip="Show what you corrected here before"
            ),
            PushButton(text="Not now", tooltip="They are kept, and offered again another time"),
        )
        self.margins = (0, 0, 0, 0)
        layout = self.native.layout()
        layout.addWidget(self.offer_text)
        layout.addLayout(side_by_side(self.restore, self.not_now))
        self.restore.clicked.connect(self._restore)
        self.not_now.clicked.connect(self._decline)
        self._timer = QTimer(self.native)  # ends with the panel
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        session.intent_changed.connect(self._on_intent)
        session.results.lost.connect(self._on_lost)
        session.journals.taken_over.connect(self._pass_over)
        in_background(lambda: clean(journal_folder()), lambda _removed, _problem: None)

    # ---- when to search ---------------------------------------------------------------------

    def _on_intent(self, now: Intent, before: Intent) -> None:
        if now.layer is not before.layer or now.axes != before.axes:  # or it fits these axes only
            self.refresh()

    def _on_lost(self) -> None:
        self._timer.start(OFFER_DELAY)

    def _pass_over(self, token: str) -> None:
        """Do not offer a journal that a result goes on from."""
        self._declined.add(token)
        if self._offered is not None and self._offered[1].header.token == token:
            self._decline()

    # ---- the offer -------------------------------------------------------------------------

    def refresh(self) -> None:
        """Offer what is left of the chosen image, if there is anything."""
        session, layer = self._session, self._session.intent.layer
        if session.closed:
            return
        self._offered = None
        self.visible = False
        image = session.describe(layer, quietly=True) if layer is not None else None
        if layer is not None and image is not None:
            session.journals.identify(
                layer, image, lambda identity: self._search(layer, image, identity)
            )

    def _is_over(self, layer: ImageLayer) -> bool:
        """Whether nothing of a layer can be offered any more."""
        return self._session.closed or self._session.intent.layer is not layer

    def _search(self, layer: ImageLayer, image: Image, identity: str) -> None:
        def search() -> list[list[Recovery]]:
            folder, own = journal_folder(), (identity, class_identity(identity))
            kinds = [recoverable(folder, i) for i in own]
            if place_in(identity) is None:
                kinds += [[part] for i in own for part in recoverable_regions(folder, i)]
            return kinds

        def found(kinds: list[list[Recovery]] | None, problem: str | None) -> None:
            if self._is_over(layer):
                return
            if problem:
                self._session.say(problem)
            fitting = (
                [
                    r
                    for r in kind
                    if r.header.token not in self._declined
                    and (r.header.shape == image.labels_shape or self._place(layer, r) is not None)
                ]
                for kind in kinds or ()
            )
            self._next = [kind[0] for kind in fitting if kind]
            self._offer_next(layer)

        in_background(search, found)

    def _offer_next(self, layer: ImageLayer) -> None:
        """Paint the next one again, in the background, and offer it."""
        if not self._next or self._is_over(layer):
            return
        recovery = self._next.pop(0)

        def replayed(found: tuple[Any, JournalHeader] | None, problem: str | None) -> None:
            if self._is_over(layer) or recovery.header.token in self._declined:
                return
            if found is None:
                self._session.say(problem or "")
                self._offer_next(layer)
            else:
                self._offer(layer, recovery, found[0])

        in_background(lambda: replay(recovery.paths), replayed)

    def _is_of_classes(self, layer: ImageLayer, recovery: Recovery) -> bool:
        return not recovery.header.identity.startswith(self._session.journals.identity_of(layer))

    def _place(self, layer: ImageLayer, recovery: Recovery) -> tuple[int, Box] | None:
        """Return plane and pixels of what was painted on a part of a layer's image."""
        found = place_in(recovery.header.identity)
        if found is None or place_in(self._session.journals.identity_of(layer)) is not None:
            return None
        plane, (y, x) = found
        height, width = recovery.header.shape[-2:]
        return plane, Box((y, x), (y + height, x + width))

    def _offer(self, layer: ImageLayer, recovery: Recovery, painted: NDArray[np.uint32]) -> None:
        when = f"{recovery.changed.astimezone():%d %b %Y, %H:%M}"
        classes, number = self._is_of_classes(layer, recovery), len(painted_ids(painted))
        what = "Classes painted on" if classes else "Corrections of"
        things = ("class", "classes") if classes else ("object", "objects")
        held = counted(number, *things) if number else "background strokes"
        place = self._place(layer, recovery)
        whose = "this image" if place is None else f"a part of this image (at {place[1].start})"
        text = f"{what} {whose} from {when} were found ({held})."
        if recovery.saved:
            text += f" The labels were saved to {recovery.saved}."
        if recovery.damaged:
            text += " A part of them is damaged and cannot be restored."
        self.offer_text.say(text)
        self._offered = layer, recovery, painted
        self.visible = True

    def _decline(self) -> None:
        offered, self._offered, self.visible = self._offered, None, False
        if offered is not None:
            self._declined.add(offered[1].header.token)
            self._offer_next(offered[0])

    def _restore(self) -> None:
        if self._offered is None:
            return
        layer, recovery, painted = self._offered
        self._offered, self.visible = None, False
        image = self._session.describe(layer)
        if image is None:
            return
        classes = self._is_of_classes(layer, recovery)
        self._session.say("Restoring your corrections…")
        place = self._place(layer, recovery)
        if place is None:
            self._take(layer, recovery, painted, classes=classes)
            return
        number, box = place

        def take(part: ImageLayer) -> None:
            whole = self._session.journals.identity_of(layer)  # so the journal is there at once
            own = region_identity(whole, number, box.start)
            axes = self._session.axes_of(part)
            self._session.journals.know(part, layers.finest(part), axes, own)
            self._take(part, recovery, painted, classes=classes)

        plane = list(image.planes())[number]
        open_region(self._session, Wanted(layer, image, plane, box), take)

    def _take(self, layer: ImageLayer, recovery: Recovery, painted: Any, *, classes: bool) -> None:
        """Put what was painted onto a layer's result."""
        try:
            if classes:
                self._session.class_names.adopt(recovery.class_names or DEFAULT)
            self._session.take_corrections(layer, painted, classes=classes)
        except UNetError as error:
            self._session.say(str(error))
        else:
            self._supersede(layer, recovery, classes=classes)

    def _supersede(self, layer: ImageLayer, recovery: Recovery, *, classes: bool) -> None:
        """Set the old journal aside once the new one has everything."""
        result = self._session.results.of(layer, classes=classes)
        journal = result.correcting.journal if result is not None else None
        if journal is None:
            return  # the old one stays, and is offered again
        journal.note("restored", path=str(recovery.paths[0]))
        rest = REST if result is not None and result.only_painted and not classes else ""

        def done(complete: bool | None, problem: str | None) -> None:
            if not self._session.closed:
                restored = f"{RESTORED} {rest}".strip()
                self._session.say(
                    problem or (restored if complete else journal.problem or restored)
                )
                self._offer_next(layer)

        in_background(lambda: hand_over(journal, recovery.paths), done)
