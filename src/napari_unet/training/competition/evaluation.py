"""What a network is evaluated on: the objects held out, and crops that show what is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.intensity import CLIP
from napari_unet.models.card import ModelCard
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.training.events import Control
from napari_unet.training.judge import Score, Window, judge_classes
from napari_unet.training.learner import probability_map_at
from napari_unet.training.replay import replay_windows
from napari_unet.training.targets import agreement
from napari_unet.training.windows import (
    TrainingWindow,
    diameters_by_zoom,
    shown_diameter,
)

JUDGED = 24  # windows at most with objects that judge; a folder may have hundreds
REPLAY_JUDGED = 8  # crops of the replay that show what is forgotten
KNOWS_REPLAY = 0.6  # agreement with the replay, from which on a model knows nuclei
Maps = list[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A network, the thresholds that suit it, and how it does.

    Attributes
    ----------
    network : UNet
        The network.
    decode : DecodeSettings
        Thresholds.
    score : Score
        Of what was held out.
    base : float
        Score on the replay, 0 where it is unknown.
    own : ModelCard or None
        Card of a model that sees images in a size of its own; None = as the windows are cut.
    in_use : bool
        Whether it is the model in use, which has found a size already.
    """

    network: UNet
    decode: DecodeSettings
    score: Score
    base: float
    own: ModelCard | None = None
    in_use: bool = False


class Evaluation:
    """Evaluates networks on the windows of one retraining.

    Parameters
    ----------
    card : ModelCard
        Of the model that learns; the windows are cut for it.
    smallest : float
        Diameter of the smallest object that the parent finds, px.
    windows : sequence of TrainingWindow
        Windows of all that was painted.
    control : Control
        Ends it from outside.
    """

    def __init__(
        self, card: ModelCard, smallest: float, windows: Sequence[TrainingWindow], control: Control
    ) -> None:
        self.card, self.control, self._smallest = card, control, smallest
        self.classes, self.windows = not card.finds_objects, list(windows)
        # of windows of one zoom; images whose objects differ in size are cut at different ones
        self._shown_at = {} if self.classes else diameters_by_zoom(windows)
        self.shows = None if self.classes else shown_diameter(windows)
        self.held = some([w for w in windows if w.judged], JUDGED)
        self.replay_judged: list[
            TrainingWindow
        ] = []  # crops of the replay; none if no model knew them
        self._replay_maps: dict[UNet, Maps] = {}  # of models that stay as they are

    def remember(self, network: UNet, card: ModelCard) -> None:
        """Note what a model knows of the replay: the new one should not forget it."""
        if self.classes:
            return
        crops = some(replay_windows(card.spec.in_channels), REPLAY_JUDGED)
        maps = [self._map(network, card, window) for window in crops]
        self._replay_maps[network] = maps
        if agreement([w.painted for w in crops], maps) >= KNOWS_REPLAY:
            self.replay_judged = crops

    def maps(
        self,
        network: UNet,
        windows: Sequence[TrainingWindow],
        own: ModelCard | None = None,
        *,
        in_use: bool = False,
        ratio: float = 1.0,
    ) -> Maps:
        """Run a network on windows as they are, or as the model of a card would see the images.

        Either may be enlarged by a ratio; the maps keep the windows' size.
        """
        if own is None or self.classes:
            return [self._map(network, self.card, window, ratio) for window in windows]
        zooms = [self._zoom(own, window, in_use=in_use) for window in windows]
        pairs = zip(windows, zooms, strict=True)
        return [self._map(network, own, w, ratio * zoom / w.zoom) for w, zoom in pairs]

    def _map(
        self, network: UNet, card: ModelCard, window: TrainingWindow, ratio: float = 1.0
    ) -> NDArray[np.uint8]:
        self.control.check()
        image = window.image
        if window.dark and card.polarity != self.card.polarity:
            image = np.clip(1 - image, *CLIP)
        return probability_map_at(network, card, image, ratio)

    def _zoom(self, own: ModelCard, window: TrainingWindow, *, in_use: bool) -> float:
        """Zoom that a model would segment the image of a window with, or has, if it is in use."""
        if in_use and window.seen is not None:
            return own.zoom(window.seen)
        return own.zoom(own.diameter_for(self._shown_at[window.zoom] or self.shows))

    def judged(self, maps: Sequence[NDArray[np.uint8]], settings: DecodeSettings) -> Score:
        """Compare probability maps of the windows that judge with the objects held out there."""
        pairs = zip(maps, self.held, strict=True)
        return sum((self.score(m, settings, w, w.judged) for m, w in pairs), Score())

    def score(
        self,
        maps: NDArray[np.uint8],
        settings: DecodeSettings,
        window: TrainingWindow,
        ids: Sequence[int] | None,
    ) -> Score:
        """Compare a probability map with painted objects of a window; no ids = with all."""
        if self.classes:
            found = maps[self.card.map_channels.index("class")]
            return judge_classes(found, window.painted, ids or ())
        return self.shown(maps, window, ids).score(settings)

    def shown(
        self, maps: NDArray[np.uint8], window: TrainingWindow, ids: Sequence[int] | None
    ) -> Window:
        """Return a window with what a network predicts there."""
        return Window(maps, window.painted, ids, window.zoom, self.card.map_channels)

    def candidate(
        self, network: UNet, settings: DecodeSettings, maps: Maps | None = None
    ) -> Candidate:
        """Score what was held out, of which maps may be there, and at the replay."""
        seen = self.maps(network, self.held) if maps is None else maps
        score = self.judged(seen, settings)
        return Candidate(network, settings, score, self._base(network, settings))

    def as_it_segments(self, network: UNet, card: ModelCard, *, in_use: bool = False) -> Candidate:
        """Score a model with the thresholds and in the size it would segment these images with.

        The windows are cut in the size that suits the new model, which would not be fair. The model
        in use has found a size in each image, right or wrong: what the person sees is of that size.
        """
        maps = self.maps(network, self.held, card, in_use=in_use)
        found = self.candidate(network, card.decode_for(self.shows), maps)
        return replace(found, own=card, in_use=in_use)

    def _base(self, network: UNet, settings: DecodeSettings) -> float:
        if not self.replay_judged:
            return 0.0
        settings = settings.with_smallest(self._smallest)  # size fits itself to an image
        maps = self._replay_maps.get(network) or self.maps(network, self.replay_judged)
        pairs = zip(maps, self.replay_judged, strict=True)
        return sum((self.score(m, settings, w, None) for m, w in pairs), Score()).value


def some(windows: list[TrainingWindow], most: int) -> list[TrainingWindow]:
    """Return at most so many of them, from all over."""
    return windows[:: max(1, -(-len(windows) // most))]
