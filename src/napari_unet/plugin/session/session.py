"""What the person works on: one object for all sections of the panel, without widgets."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from napari import Viewer
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.engine.client import Engine
from napari_unet.engine.logs import VIEWER, keep_log
from napari_unet.errors import InputError, UNetError
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.image import Image
from napari_unet.io.scratch import Scratch
from napari_unet.models.library import find_model, load_card
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.result.handover import handed_over, leave, without
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.result.slide_result import slide_result
from napari_unet.plugin.session.class_names import ClassNames
from napari_unet.plugin.session.journals import Journals
from napari_unet.plugin.session.result_registry import NO_IMAGE, ResultRegistry
from napari_unet.plugin.session.run_controller import RunController
from napari_unet.plugin.widgets.background import sentence
from napari_unet.settings import APPLICATION, DecodeSettings, SegmentSettings

Given = tuple[str, int | None, int | None]
WHOLE, PLANE, VIEW, RECTANGLE = "Whole image", "This plane", "Current view", "Selected rectangle"


@dataclass(frozen=True, slots=True)
class Intent:
    """What the person has chosen.

    Attributes
    ----------
    layer : Image layer or None
        The image.
    model : str
        Name of the model in use; empty if there is none.
    axes : str
        Of the image, as they were given or guessed; not checked.
    channel : int or None
        The channel to use; None = the average.
    nuclei : int or None
        The channel of stained nuclei, for models that take them as well; None = none.
    diameter : float or None
        Of the objects, image pixels; None = automatic.
    region : str
        What of the image is wanted: `WHOLE`, `PLANE`, `VIEW` or `RECTANGLE`.
    decode : DecodeSettings or None
        Thresholds of objects; None = those that the model recommends for the image.
    """

    layer: ImageLayer | None = None
    model: str = ""
    axes: str = ""
    channel: int | None = None
    nuclei: int | None = None
    diameter: float | None = None
    region: str = WHOLE
    decode: DecodeSettings | None = None


class Session:
    """The viewer, the engine, the intent, the results and the runs of one panel.

    Sections call it, and listen to its signals; they know neither the panel nor each other.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are worked on.
    """

    intent_changed = Signal(Intent, Intent)  # now and before
    said = Signal(str)  # a sentence for the person
    reveal = Signal(object)  # a Qt widget that the person should see now
    closing = Signal()  # sections stop what they have started

    def __init__(self, viewer: Viewer) -> None:
        keep_log(VIEWER)
        self.viewer = viewer
        self.engine, self.cache = Engine(), ProbabilityMapCache()
        self.scratch = Scratch(platformdirs.user_cache_path(APPLICATION) / "slides")
        self.intent = Intent()
        self.closed, self._last_said = False, ""
        self.journals = Journals(self.say)
        self.results = ResultRegistry(viewer, self._keep_safe)
        self.class_names = ClassNames(self.results)
        self.runs = RunController(viewer, self.engine, self.say)
        self._looks = layers.Looks()
        self._shape: tuple[int, ...] = ()  # of the chosen layer's array when it was looked at
        # axes, channel and channel of nuclei that a person gave
        self._given: weakref.WeakKeyDictionary[ImageLayer, Given]
        self._given = weakref.WeakKeyDictionary()
        self.journals.kept.connect(self.class_names.note)
        self.runs.ended.connect(self.refresh)

    def say(self, text: str) -> None:
        """Show the person a sentence, if there is still somewhere to show it."""
        if not self.closed:
            self._last_said = text
            self.said.emit(text)

    def take_back(self, text: str) -> None:
        """Show a sentence no longer that is not true any more, if it is still the one shown."""
        if text and text == self._last_said:
            self.say("")

    def says(self, text: str) -> bool:
        """Whether a sentence is the one shown."""
        return not self.closed and text == self._last_said

    # ---- the intent ------------------------------------------------------------------------

    def intend(self, **changes: Any) -> None:
        """Change some of the intent; listeners are told if that makes a difference."""
        before, now = self.intent, replace(self.intent, **changes)
        if now != before:
            self.intent, self.results.chosen = now, now.layer
            self.intent_changed.emit(now, before)

    def choose(self, layer: ImageLayer | None) -> None:
        """Work on another image, with the axes and the channels that were given for it."""
        if layer is None:
            self.intend(layer=None)
        else:
            self._shape = tuple(layers.finest(layer).shape)
            channel, nuclei = self.channels_of(layer)
            self.intend(layer=layer, axes=self.axes_of(layer), channel=channel, nuclei=nuclei)

    def give(self, axes: str, channel: int | None, nuclei: int | None = None) -> None:
        """Take axes and channels that a person gives for the chosen image.

        The channel to use is none of the nuclei, which are given up for it.
        """
        if self.intent.layer is not None:
            other = nuclei if nuclei != channel else None
            self._given[self.intent.layer] = axes, channel, other
            self.intend(axes=axes, channel=channel, nuclei=other)

    def refresh(self) -> None:
        """Look at the chosen image again, and let everybody show anew what there is of it."""
        if not self.closed:
            self.choose(self.intent.layer)
            self.results.changed.emit()

    def axes_of(self, layer: ImageLayer) -> str:
        """Return the axes that a large image was segmented with, those given, or a guess."""
        slide = slide_result(self.viewer, layer)
        if slide is not None:
            return slide.image.axes
        guess = layers.guess_layer_axes(layer)
        axes = self._given.get(layer, (guess, None, None))[0]
        return axes if len(axes) == len(guess) else guess

    def channels_of(self, layer: ImageLayer) -> tuple[int | None, int | None]:
        """Return the channels given, to use and of nuclei; of a part of an image the whole's."""
        part = region_of(layer)
        whole = part.source() if part is not None and layer not in self._given else None
        _, *given = self._given.get(layer if whole is None else whole, ("", None, None))
        there = len(layers.channel_names(layer, self.axes_of(layer)))
        channel, nuclei = (one if one is not None and one < there else None for one in given)
        return channel, nuclei

    def was_given(self, layer: ImageLayer) -> bool:
        """Whether a person gave axes and channels for an image."""
        return layer in self._given

    @property
    def takes_nuclei(self) -> bool:
        """Whether the model in use takes a channel of nuclei as well."""
        try:
            return load_card(self.intent.model).spec.nuclei
        except UNetError:  # it is told when the model is used
            return False

    def settings(self) -> SegmentSettings:
        """Return the settings of a run."""
        intent = self.intent
        return SegmentSettings(model=intent.model, diameter=intent.diameter, decode=intent.decode)

    # ---- images ----------------------------------------------------------------------------

    def opened(self, layer: ImageLayer, *, nuclei: bool | None = None) -> Image:
        """Describe a layer with its axes and channels; raises `UNetError` if they do not fit.

        Parameters
        ----------
        layer : Image layer
            The image.
        nuclei : bool, optional
            Whether to name the channel of nuclei, if one is chosen; by default if the model in use
            takes them.
        """
        chosen = layer == self.intent.layer
        if chosen and tuple(layers.finest(layer).shape) != self._shape:
            self.refresh()  # the layer's array was replaced
        axes = self.intent.axes if chosen else self.axes_of(layer)
        given = (self.intent.channel, self.intent.nuclei) if chosen else self.channels_of(layer)
        channel, stained = given
        if stained is not None and not (self.takes_nuclei if nuclei is None else nuclei):
            stained = None
        return layers.image_of(layer, axes.upper(), channel, stained, self._looks)

    def describe(self, layer: ImageLayer, *, quietly: bool = False) -> Image | None:
        """Describe a layer as `opened` does; None, and a sentence, if that is not possible."""
        try:
            return self.opened(layer)
        except UNetError as error:
            if not quietly:
                self.say(str(error))
            return None

    # ---- results ---------------------------------------------------------------------------

    def class_result(self) -> Result:
        """Return the chosen image's classes, a layer added now if there is none."""
        layer = self.intent.layer
        if layer is None:
            raise InputError(NO_IMAGE)
        return self.results.make(layer, self.opened(layer), classes=True)

    def take_corrections(
        self, layer: ImageLayer, painted: NDArray[np.uint32], *, classes: bool | None = None
    ) -> None:
        """Take over a painted array ``(..., Y, X)`` of an image; a result is made if needed.

        Raises
        ------
        UNetError
            If the image cannot be used.
        """
        kind = self.results.classes if classes is None else classes
        result = self.results.make(layer, self.opened(layer), classes=kind)
        result.correcting.adopt(painted)
        self.results.show(result)

    def _keep_safe(self, layer: ImageLayer, result: Result, instead_of: Sequence[Path]) -> None:
        self.journals.keep_safe(layer, result, self.intent.model, instead_of)

    # ---- beginning and end -----------------------------------------------------------------

    def warm_up(self) -> None:
        """Let the engine load the model in use before it is needed."""
        if self.intent.model:
            try:
                self.engine.warm_up(find_model(self.intent.model), "auto")
            except (UNetError, OSError) as error:
                self.say(sentence(error))

    def let_go(self, result: Result) -> None:
        """Look after a result no longer; its layer stays, for another panel to go on with."""
        self.results.remove(result)
        leave(result, self.class_names.names)

    def take_over(self) -> None:
        """Go on with the results of a panel that was closed while their layers stayed."""
        for labels in [*self.viewer.layers]:
            left = handed_over(labels)
            source = left.result.source() if left is not None else None
            if left is None or source is None or source not in self.viewer.layers:
                continue
            old, labels.metadata = left.result, without(labels.metadata)
            same = layers.finest(source) is old.image.data
            if same and old.fits(old.image) and not self.results.of(source, classes=old.classes):
                if old.classes:
                    self.class_names.adopt(left.names)
                seen = old.image
                self._given.setdefault(source, (seen.axes, seen.channel, seen.nuclei))
                self._go_on_with(old, source, labels)
        self.refresh()

    def _go_on_with(self, old: Result, source: ImageLayer, labels: Labels) -> None:
        journal = old.correcting.journal
        if journal is not None:
            self.journals.taken_over.emit(journal.header.token)
        layers.remove_beside(self.viewer, labels)
        paths = journal.paths if journal is not None else ()
        result = self.results.take_in(source, old.image, labels, old.live, instead_of=paths)
        result.go_on_from(old)

    def close(self) -> None:
        """Stop everything that was started; what is on the layers stays."""
        if self.closed:
            return
        self.closed = True
        self.runs.making_way.emit()
        self.closing.emit()
        self.runs.close()
        for result in self.results.followed:
            self.let_go(result)
        self.engine.close()
        self.cache.close()
