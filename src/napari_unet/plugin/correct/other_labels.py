"""Labels of a file or another layer: taken as corrections, or gone on with as the result."""

import weakref
from typing import Any

import numpy as np
from magicgui.widgets import Container, PushButton
from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.errors import UNetError
from napari_unet.image import Image
from napari_unet.journal.identity import class_identity
from napari_unet.journal.journal import journal_folder
from napari_unet.journal.recovery import Found, find_painted
from napari_unet.labels.linking import LinkedCopy, separated
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.painted import take_whole
from napari_unet.labels.reopen import as_labels
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.label_grid import grid_of
from napari_unet.plugin.layers.labels_files import METADATA_KEY, TIFF, saved_here
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.plugin.widgets.background import in_background
from napari_unet.plugin.widgets.setting_widgets import LayerBox, keep_narrow
from napari_unet.segmentation import links_recorded

CHOOSE = "Choose a labels layer first; it must have the image's shape."
LOOKING = "Looking for what was painted on these labels…"
TAKEN = "{name} is the result now: what you paint on it counts as corrections."
LOCKED = "{name} is the result now, with what was painted on it before; no run changes that."
NO_JOURNAL = (
    " No record of earlier corrections was found, so all of it counts as what the model found."
)
AS_IMAGE = (
    "{name} holds labels that were saved here, and was opened as an image. Right-click it in the "
    "list of layers, choose Convert to Labels, choose your image again, and press Continue editing "
    "these labels."
)
PLACED = "{name} was put onto the planes of {image}."
GONE = "The image or the labels layer was removed."


class OtherLabels(Container):  # type: ignore[type-arg]
    """Choice of a labels layer that fits the chosen image, and what can be done with it.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(labels=False)
        self._session = session
        self._offered: weakref.WeakSet[Labels] = weakref.WeakSet()  # saved labels to go on with
        self._reopen = ReopenLabels(session)
        self.layer = LayerBox(
            choices=self._fitting,
            nullable=True,
            tooltip="A labels layer of the image's shape, such as one that was saved earlier",
        )
        self.take = PushButton(
            text="These labels are all correct",
            tooltip="They are right everywhere, also where they are empty",
        )
        self.go_on = PushButton(
            text="Continue editing these labels",
            tooltip="Work on in this layer: it counts as what the model found, what is painted on "
            "it from now on as corrections; earlier corrections are found again",
        )
        keep_narrow(self.layer)
        self.extend([self.layer, self.take, self.go_on])
        self.take.clicked.connect(self._press_take)
        self.go_on.clicked.connect(self._press_go_on)
        session.viewer.layers.events.inserted.connect(self._on_inserted)

    def refresh(self, *, offer: bool) -> None:
        """Show the layers there are; with `offer`, choose one that was saved from here."""
        self.layer.reset_choices()
        self.take.enabled = self.go_on.enabled = bool(self.layer.choices)
        if offer:
            self._offer_saved()

    def _on_inserted(self, event: Any) -> None:
        """Say what to do with saved labels whose name lets napari take them for an image."""
        layer, session = event.value, self._session
        path = str(layer.source.path or "")
        if isinstance(layer, ImageLayer) and path.lower().endswith(TIFF) and saved_here(path):
            session.say(AS_IMAGE.format(name=layer.name))

    def _fitting(self, _widget: Any = None) -> list[Labels]:
        """Return the labels layers of the image's shape that are none of ours."""
        session, image = self._session, self._session.intent.layer
        described = session.describe(image, quietly=True) if image is not None else None
        ours = {id(result.layer) for result in session.results.all()}
        return [
            layer
            for layer in session.viewer.layers
            if isinstance(layer, Labels)
            and described is not None
            and id(layer) not in ours
            and not layers.is_beside(layer)
            and not layer.multiscale
            and grid_of(layer).of_layer(layer.data.shape) == described.labels_shape
        ]

    def _offer_saved(self) -> None:
        """Choose and show labels that were saved from here, when they have just been opened."""
        for layer in self.layer.choices:
            if layer is not None and METADATA_KEY in layer.metadata and layer not in self._offered:
                self._offered.add(layer)
                self._place(layer)
                self.layer.value = layer
                self._session.reveal.emit(self.native)

    def _place(self, labels: Labels) -> None:
        """Put saved labels onto the planes of the chosen image, if napari puts them elsewhere."""
        session, source = self._session, self._session.intent.layer
        image = session.describe(source, quietly=True) if source is not None else None
        if (
            source is not None
            and image is not None
            and layers.lies_elsewhere(labels, source, image)
        ):
            put_on_grid(session.viewer, labels, labels.data, (source, image))
            session.say(PLACED.format(name=labels.name, image=source.name))

    def _press_take(self) -> None:
        session, chosen, image = self._session, self.layer.value, self._session.intent.layer
        if chosen is None or image is None:
            session.say(CHOOSE)
            return
        try:
            session.take_corrections(image, take_whole(grid_of(chosen).labels(chosen.data)))
        except UNetError as error:
            session.say(str(error))
        else:
            session.say(f"All of {chosen.name} counts as corrected now.")

    def _press_go_on(self) -> None:
        session, chosen, image = self._session, self.layer.value, self._session.intent.layer
        reason = session.runs.reason_to_wait("press the button again")
        if chosen is None or image is None or reason:
            session.say(CHOOSE if chosen is None or image is None else reason or "")
            return
        try:
            self._reopen.begin(image, chosen)
        except UNetError as error:
            session.say(str(error))


class ReopenLabels:
    """Makes a labels layer the result of an image: saved last week, or a result without a panel.

    Parameters
    ----------
    session : Session
        What is worked on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, source: ImageLayer, labels: Labels) -> None:
        """Take a labels layer over, and what was painted on it; raises `UNetError`.

        The result that there is stays until the layer takes its place.
        """
        session = self._session
        image = session.opened(source)
        record = labels.metadata.get(METADATA_KEY) or {}
        names = tuple(record.get("class_names") or ())
        classes = bool(names) or session.results.classes
        copy, path = _labels_of(labels), str(labels.source.path or "")
        search = _Search(session.results.of(source, classes=classes))

        def identified(identity: str) -> None:
            own = class_identity(identity) if classes else identity
            in_background(lambda: search.find(own, copy, path), found)

        def found(_found: None, problem: str | None) -> None:
            if session.closed:
                return
            try:
                if problem is None and self._may_take(source, labels):
                    if classes and names:
                        session.class_names.adopt(names)
                    self._take(image, source, labels, search, classes=classes)
            except UNetError as error:
                problem = str(error)
            if problem:
                session.say(problem)

        session.say(LOOKING)
        session.journals.identify(source, image, identified)

    def _may_take(self, source: ImageLayer, labels: Labels) -> bool:
        """Whether both layers are there still, the labels no result yet, and nothing else runs."""
        session, there = self._session, self._session.viewer.layers
        reason = session.runs.reason_to_wait("press the button again")
        if source not in there or labels not in there:
            reason = GONE
        if reason:
            session.say(reason)
            return False
        # else the button was pressed twice
        return all(result.layer != labels for result in session.results.all())

    def _take(
        self,
        image: Image,
        source: ImageLayer,
        labels: Labels,
        search: "_Search",
        *,
        classes: bool,
    ) -> None:
        session = self._session
        shown, own = _taken_apart(labels)  # of now, and wide enough for any id
        array = shown if own is None else own
        linked = _linked_before(_record_of(labels), shown, own, image)
        live = LiveLabels.empty(image.labels_shape, classes=classes)
        before = session.results.of(source, classes=classes)
        if before is not None:
            session.let_go(before)
        put_on_grid(session.viewer, labels, array.copy(), (source, image))
        painted = search.painted
        if painted:
            session.journals.taken_over.emit(painted[0].header.token)
        old = painted[0].paths if painted and not search.grown else ()
        result = session.results.take_in(source, image, labels, live, instead_of=old)
        result.linked_before = linked
        result.take_up(array, painted[1] if painted else None)
        session.results.show(result)
        text = LOCKED if painted else TAKEN + ("" if result.correcting.any else NO_JOURNAL)
        session.say(text.format(name=labels.name))


def put_on_grid(
    viewer: Viewer, labels: Labels, array: NDArray[Any], of: tuple[ImageLayer, Image]
) -> None:
    """Put labels ``(..., Y, X)`` onto an image's pixel grid, and look where one looked before.

    napari's sliders count steps, and move where the steps change for a moment.
    """
    point = viewer.dims.point
    layers.put_on_grid(labels, array, *of)
    viewer.dims.point = point


def _labels_of(layer: Labels) -> NDArray[np.uint32]:
    """Return the labels ``(..., Y, X)`` of a layer; where planes are linked, as they were before.

    Raises `InputError` as `as_labels` does.
    """
    labels, own = _taken_apart(layer)
    return labels if own is None else own


def _taken_apart(layer: Labels) -> tuple[NDArray[np.uint32], NDArray[np.uint32] | None]:
    """Return a layer's labels, and those of planes that they were made of, if that is told."""
    labels = as_labels(np.asarray(grid_of(layer).labels(layer.data)))
    ids = _record_of(layer).get("link_ids")
    return labels, separated(labels, ids) if isinstance(ids, str) else None


def _record_of(layer: Labels) -> dict[str, Any]:
    return layer.metadata.get(METADATA_KEY) or {}


def _linked_before(
    record: dict[str, Any], labels: NDArray[np.uint32], own: NDArray[np.uint32] | None, image: Image
) -> LinkedCopy | None:
    """Return how the planes of labels were linked, so that their objects keep their ids."""
    links = links_recorded(record, labels, image)
    if own is None or links is None or labels.shape != image.labels_shape:
        return None
    return LinkedCopy.of_file(labels, own, links)


class _Search:
    """What was painted on some labels: by an earlier result, or by the one that is there still.

    Parameters
    ----------
    result : Result or None
        The result that is there; its journal is read while it is written.
    """

    def __init__(self, result: Result | None) -> None:
        self.painted: Found | None = None
        self._result, self._complete = result, True
        if result is not None:
            result.correcting.look_everywhere()
            self._edits = result.correcting.edits

    def find(self, identity: str, labels: NDArray[np.uint32], path: str) -> None:
        """Look through the journals; not on the main thread."""
        journal = self._result.correcting.journal if self._result is not None else None
        if journal is not None:
            self._complete = journal.flush(60.0)
        own = journal.paths if journal is not None else ()
        self.painted = find_painted(journal_folder(), identity, labels, path, own)

    @property
    def grown(self) -> bool:
        """Whether the result's journal holds more by now than was read of it."""
        result = self._result
        return result is not None and (not self._complete or result.correcting.edits != self._edits)
