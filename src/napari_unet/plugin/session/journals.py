"""Journals of the results: every correction is on the disk, under the identity of its image."""

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Image as ImageLayer
from psygnal import Signal

from napari_unet.errors import InputError
from napari_unet.image import Image
from napari_unet.journal.identity import class_identity, identity_of, region_identity
from napari_unet.journal.journal import Journal, JournalHeader, journal_folder
from napari_unet.journal.recovery import supersede
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.widgets.background import in_background


class Journals:
    """Gives results their journals, and knows which images they belong to.

    Parameters
    ----------
    say : callable
        Shows a sentence.
    """

    kept = Signal(Result)  # a result has its journal now
    taken_over = Signal(str)  # token of a journal that a result goes on from

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._identities: weakref.WeakKeyDictionary[ImageLayer, tuple[Any, str, str]]
        self._identities = weakref.WeakKeyDictionary()

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
            self.know(layer, image.data, image.axes, found)
            then(found)

        part = region_of(layer)

        def who() -> str:
            whole = identity_of(image.whole or image)
            return whole if part is None else region_identity(whole, part.number, part.box.start)

        in_background(who, identified)

    def know(self, layer: ImageLayer, array: Any, axes: str, identity: str) -> None:
        """Remember who an image is while its array and axes stay."""
        self._identities[layer] = array, axes, identity

    def identity_of(self, layer: ImageLayer) -> str:
        """Return who an image is that was identified before."""
        return self._identities[layer][-1]

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
            self.kept.emit(result)

        self.identify(layer, image, keep)


def hand_over(journal: Journal, old: Sequence[Path]) -> bool:
    """Set an old journal's files aside once a new one holds everything; False if it does not."""
    if not journal.flush(60.0):
        return False
    supersede(old)
    return True
