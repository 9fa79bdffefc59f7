"""Corrections left behind by a crash, or by a window that was closed: found, offered, restored."""

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, PushButton
from napari.layers import Image as ImageLayer

from napari_unet.errors import InputError, UNetError
from napari_unet.image import Box, Image
from napari_unet.journal.identity import identity_of, place_in, region_identity
from napari_unet.journal.journal import Journal, JournalHeader, class_identity, journal_folder
from napari_unet.journal.recovery import (
    Recovery,
    clean,
    recoverable,
    recoverable_regions,
    replay,
    supersede,
)
from napari_unet.models.class_names import DEFAULT
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.slides import Wanted
from napari_unet.plugin.widgets.jobs import in_background
from napari_unet.plugin.widgets.setting_widgets import side_by_side
from napari_unet.plugin.widgets.wrapping_text import Wrapped

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel


class Restoring(Container):  # type: ignore[type-arg]
    """Offers to restore what was painted on the chosen image before.

    Parameters
    ----------
    host : SegmentPanel
        The panel it is part of.
    """

    def __init__(self, host: "SegmentPanel") -> None:
        super().__init__(labels=False, visible=False)
        self._host = host
        self._identities: weakref.WeakKeyDictionary[ImageLayer, tuple[Any, str, str]]
        self._identities = weakref.WeakKeyDictionary()
        self._offered: tuple[ImageLayer, Recovery] | None = None
        self._next: list[Recovery] = []  # of the same image, offered afterwards
        self._declined: set[str] = set()  # tokens
        self._closed = False
        self.said = Wrapped(most=3)
        self.restore, self.not_now = PushButton(text="Restore"), PushButton(text="Not now")
        self.margins = (0, 0, 0, 0)
        layout = self.native.layout()
        layout.addWidget(self.said)
        layout.addLayout(side_by_side(self.restore, self.not_now))
        self.restore.clicked.connect(self._restore)
        self.not_now.clicked.connect(self._decline)
        in_background(lambda: clean(journal_folder()), lambda _removed, _problem: None)

    def close_down(self) -> None:
        """Offer nothing any more."""
        self._closed = True

    # ---- identity --------------------------------------------------------------------------

    def identify(self, layer: ImageLayer, image: Image, then: Callable[[str], None]) -> None:
        """Find out who an image is, in the background, and tell `then` on the main thread."""
        array, axes, identity = self._identities.get(layer, (None, "", ""))
        if array is image.data and axes == image.axes:
            then(identity)
            return

        def identified(found: str | None, problem: str | None) -> None:
            if found is None:
                self._say(f"Your corrections of this image cannot be kept safe. {problem}")
                return
            self._identities[layer] = (image.data, image.axes, found)
            then(found)

        part = region_of(layer)

        def who() -> str:
            whole = identity_of(image.whole or image)
            return whole if part is None else region_identity(whole, part.number, part.box.start)

        in_background(who, identified)

    def pass_over(self, token: str) -> None:
        """Do not offer a journal that somebody has taken over already."""
        self._declined.add(token)
        if self._offered is not None and self._offered[1].header.token == token:
            self._decline()

    def keep_safe(
        self, layer: ImageLayer, result: Result, model: str, instead_of: Sequence[Path] = ()
    ) -> None:
        """Give a result its journal, as soon as the image is identified.

        Parameters
        ----------
        layer, result, model
            The image, its result and the model in use.
        instead_of : sequence of Path
            Files of the journal that the new one holds everything of; they are set aside.
        """
        image, name, path = result.image, result.layer.name, layer.source.path

        def keep(identity: str) -> None:
            axes = f"{image.leading_axes}YX"
            try:
                header = JournalHeader(
                    class_identity(identity) if result.classes else identity,
                    image.labels_shape,
                    axes,
                    image.name,
                    path,
                    model,
                    name,
                )
            except InputError as error:
                self._say(str(error))
                return
            journal = Journal(journal_folder(), header)
            result.correcting.keep_in(journal)
            if instead_of:
                in_background(lambda: hand_over(journal, instead_of), lambda *_: None)
            if result.classes:
                self._host.classes.note_names(result)

        self.identify(layer, image, keep)

    def _say(self, text: str) -> None:
        if not self._closed:
            self._host.say(text)

    # ---- the offer -------------------------------------------------------------------------

    def look_for(self, layer: ImageLayer | None) -> None:
        """Offer what is left of an image, if there is anything."""
        self._offered = None
        self.visible = False
        if layer is None:
            return
        image = self._host.describe(layer, quietly=True)
        if image is not None:
            self.identify(layer, image, lambda identity: self._search(layer, image, identity))

    def _search(self, layer: ImageLayer, image: Image, identity: str) -> None:
        def search() -> list[list[Recovery]]:
            folder, own = journal_folder(), (identity, class_identity(identity))
            kinds = [recoverable(folder, i) for i in own]
            if place_in(identity) is None:
                kinds += [[part] for i in own for part in recoverable_regions(folder, i)]
            return kinds

        def found(kinds: list[list[Recovery]] | None, problem: str | None) -> None:
            if self._closed or self._host.image.value is not layer:
                return
            if problem:
                self._host.say(problem)
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
        if self._next and not self._closed and self._host.image.value is layer:
            self._offer(layer, self._next.pop(0))

    def _is_of_classes(self, layer: ImageLayer, recovery: Recovery) -> bool:
        return not recovery.header.identity.startswith(self._identities[layer][-1])

    def _place(self, layer: ImageLayer, recovery: Recovery) -> tuple[int, Box] | None:
        """Return plane and pixels of what was painted on a part of a layer's image."""
        found = place_in(recovery.header.identity)
        if found is None or place_in(self._identities[layer][-1]) is not None:
            return None
        plane, (y, x) = found
        height, width = recovery.header.shape[-2:]
        return plane, Box((y, x), (y + height, x + width))

    def _offer(self, layer: ImageLayer, recovery: Recovery) -> None:
        when = f"{recovery.changed.astimezone():%d %b %Y, %H:%M}"
        what = "Classes painted on" if self._is_of_classes(layer, recovery) else "Corrections of"
        place = self._place(layer, recovery)
        whose = "this image" if place is None else f"a part of this image (at {place[1].start})"
        text = f"{what} {whose} from {when} were found."
        if recovery.saved:
            text += f" The labels were saved to {recovery.saved}."
        if recovery.damaged:
            text += " A part of them is damaged and cannot be restored."
        self.said.say(text)
        count = recovery.strokes
        self.restore.text = f"Restore {count} stroke{'' if count == 1 else 's'}"
        self._offered = layer, recovery
        self.visible = True

    def _decline(self) -> None:
        offered, self._offered, self.visible = self._offered, None, False
        if offered is not None:
            self._declined.add(offered[1].header.token)
            self._offer_next(offered[0])

    def _restore(self) -> None:
        if self._offered is None:
            return
        layer, recovery = self._offered
        self._offered, self.visible = None, False
        image = self._host.describe(layer)
        if image is None:
            return
        classes = self._is_of_classes(layer, recovery)

        def replayed(found: tuple[Any, JournalHeader] | None, problem: str | None) -> None:
            if self._closed or found is None:
                self._say(problem or "")
                return
            place = self._place(layer, recovery)
            if place is None:
                self._take(layer, recovery, found[0], classes=classes)
                return
            number, box = place

            def take(part: ImageLayer) -> None:
                whole = self._identities[layer][-1]  # so the journal is there at once
                own = region_identity(whole, number, box.start)
                axes = self._host.axes_of(part)
                self._identities[part] = (layers.finest(part), axes, own)
                self._take(part, recovery, found[0], classes=classes)

            plane = list(image.planes())[number]
            self._host.slides.open_region(Wanted(layer, image, plane, box), take)

        self._host.say("Restoring your corrections…")
        in_background(lambda: replay(recovery.paths), replayed)

    def _take(self, layer: ImageLayer, recovery: Recovery, painted: Any, *, classes: bool) -> None:
        """Put what was painted onto a layer's result."""
        try:
            if classes:
                self._host.classes.adopt_names(recovery.class_names or DEFAULT)
            self._host.take_corrections(layer, painted, classes=classes)
        except UNetError as error:
            self._host.say(str(error))
        else:
            self._supersede(layer, recovery, classes=classes)

    def _supersede(self, layer: ImageLayer, recovery: Recovery, *, classes: bool) -> None:
        """Set the old journal aside once the new one has everything."""
        result = self._host.result_of(layer, classes=classes)
        journal = result.correcting.journal if result is not None else None
        if journal is None:
            return  # the old one stays, and is offered again
        journal.note("restored", path=str(recovery.paths[0]))

        def done(complete: bool | None, problem: str | None) -> None:
            if not self._closed:
                said = "Your corrections are restored; no run changes them."
                self._host.say(problem or (said if complete else journal.problem or said))
                self._offer_next(layer)

        in_background(lambda: hand_over(journal, recovery.paths), done)


def hand_over(journal: Journal, old: Sequence[Path]) -> bool:
    """Set an old journal's files aside once a new one holds everything; False if it does not."""
    if not journal.flush(60.0):
        return False
    supersede(old)
    return True
