"""Go on with a labels layer: labels saved last week, or a result that lost its panel."""

from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.errors import UNetError
from napari_unet.image import Image
from napari_unet.journal.journal import class_identity, journal_folder
from napari_unet.journal.recovery import Recovery, recoverable, replay
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.reopen import as_labels, belongs
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.labels_files import METADATA_KEY
from napari_unet.plugin.session.part import Part
from napari_unet.plugin.widgets.jobs import in_background

Found = tuple[Recovery, NDArray[np.uint32]]

CHOOSE = "Choose a labels layer first; it must have the image's shape."
LOOKING = "Looking for what was painted on these labels…"
TAKEN = "{name} is the result now: what you paint on it counts as corrections."
LOCKED = "{name} is the result now, with what was painted on it before; no run changes that."
NO_JOURNAL = (
    " No record of earlier corrections was found, so all of it counts as what the model found."
)
GONE = "The image or the labels layer was removed."


class ReopenLabels(Part):
    """Makes a labels layer the result of the chosen image."""

    def begin(self, source: ImageLayer, labels: Labels) -> None:
        """Take a labels layer over, and what was painted on it; raises `UNetError`."""
        host = self._host
        image = host.opened(source)
        record = labels.metadata.get(METADATA_KEY) or {}
        names = tuple(record.get("class_names") or ())
        classes = bool(names) or host.classes.on
        copy, path = as_labels(np.asarray(labels.data)), str(labels.source.path or "")
        old = host.result_of(source, classes=classes)
        if old is not None:
            host.let_go(old)  # also to let its journal be found: it may be that of these labels

        def identified(identity: str) -> None:
            own = class_identity(identity) if classes else identity
            in_background(lambda: find(own, copy, path), found)

        def found(kept: Found | None, problem: str | None) -> None:
            if host.closed:
                return
            try:
                if problem is None:
                    self._take(source, image, labels, kept, names=names, classes=classes)
            except UNetError as error:
                problem = str(error)
            if problem:
                host.say(problem)

        host.say(LOOKING)
        host.restoring.identify(source, image, identified)

    def _take(
        self,
        source: ImageLayer,
        image: Image,
        labels: Labels,
        kept: Found | None,
        *,
        names: tuple[str, ...],
        classes: bool,
    ) -> None:
        host, there = self._host, self._viewer.layers
        if source not in there or labels not in there:
            host.say(GONE)
            return
        if any(result.layer == labels for result in host.results()):
            return  # the button was pressed twice
        array = as_labels(np.asarray(labels.data))  # of now, and wide enough for any id
        labels.data = array.copy()
        layers.put_on_grid(labels, source, image)
        if classes and names:
            host.classes.adopt_names(names)
        live = LiveLabels.empty(image.labels_shape, classes=classes)
        if kept:
            host.restoring.pass_over(kept[0].header.token)
        old = kept[0].paths if kept else ()
        result = host.take_in(source, image, labels, live, instead_of=old)
        result.take_up(array, kept[1] if kept else None)
        host.show_result(result)
        said = LOCKED if kept else TAKEN + ("" if result.correcting.any else NO_JOURNAL)
        host.say(said.format(name=labels.name))


def find(identity: str, labels: NDArray[np.uint32], path: str) -> Found | None:
    """Find what was painted on labels: in the journal that they agree with, or were saved from.

    Parameters
    ----------
    identity : str
        Fingerprint of the image.
    labels : ndarray of uint32
        ``(..., Y, X)``.
    path : str
        File of the labels; empty if there is none.
    """
    saved_from: Found | None = None
    for recovery in recoverable(journal_folder(), identity):
        if recovery.header.shape != labels.shape:
            continue
        painted: Any = replay(recovery.paths)[0]
        if belongs(painted, labels):
            return recovery, painted
        if path and path in recovery.files and saved_from is None:
            saved_from = recovery, painted
    return saved_from
