"""Windows of an image with what was painted there, on the network's grid: what a model learns from.

Only the neighbourhood of paint is read, so a few strokes on a whole slide cost as little as on a
small image. No torch: the viewer's process reads, the engine learns.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Box, Image
from napari_unet.intensity import normalise
from napari_unet.labels.painted import (
    BACKGROUND,
    UNLABELLED,
    PaintedObject,
    hold_out,
    painted_objects,
)
from napari_unet.labels.watershed import typical_diameter
from napari_unet.models.card import ModelCard
from napari_unet.tiling.resample import resized

SIDE = 320  # network pixels of a window: a crop of the training and room to shift it
LARGEST = 1024  # network pixels of an object that a window is enlarged for; some 20 MB of planes
MOST_LARGE = 32  # such windows of a plane; further large objects are cut, and so left out
BLOCK = 64  # network pixels; background strokes are visited block by block
INNER = 0.2  # of a window's side: paint nearer to its edge asks for another window
DEBRIS = 0.4  # of the typical painted diameter: what is smaller is debris
WELL_BELOW = 0.75  # of the diameter that nine in ten painted objects exceed
Limits = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingWindow:
    """One window.

    Attributes
    ----------
    image : ndarray of float32
        ``(C, Y, X)``, normalised as for inference.
    painted : ndarray of uint32
        ``(Y, X)``: unlabelled, background, or an object's id; objects that the window cuts are
        left out.
    held : tuple of int
        Ids that are never learned from.
    judged : tuple of int
        Those of them that judge the result here; windows overlap, and each judges once.
    zoom : float
        Network pixels for each image pixel.
    dark : bool
        Whether the image has dark objects on a bright ground, as far as it is known: models that
        ask for bright objects see it inverted.
    seen : float or None
        Diameter that the model in use took the image's objects for, image pixels; None where it
        has not segmented the image.
    """

    image: NDArray[np.float32]
    painted: NDArray[np.uint32]
    held: tuple[int, ...] = ()
    judged: tuple[int, ...] = ()
    zoom: float = 1.0
    dark: bool = False
    seen: float | None = None

    @property
    def training_paint(self) -> NDArray[np.uint32]:
        """What is learned from: `painted` without the objects that are held out."""
        hidden = np.isin(self.painted, self.held)
        return np.where(hidden, np.uint32(UNLABELLED), self.painted)


@dataclass(frozen=True, eq=False)
class Painting:
    """An image and what a person painted on it.

    Attributes
    ----------
    image : Image
        The image.
    painted : ndarray of uint32
        ``(..., Y, X)``, on the image's own grid; see `labels.painted`.
    limits : tuple of (low, high)
        Grey values that become 0 and 1, for each channel of the image.
    dark : bool
        See `TrainingWindow`.
    seen : float or None
        See `TrainingWindow`.
    """

    image: Image
    painted: NDArray[np.uint32]
    limits: Limits
    dark: bool = False
    seen: float | None = None

    @cached_property
    def objects(self) -> list[PaintedObject]:
        """The painted objects; they are looked for once, which takes a while on a slide."""
        return painted_objects(self.painted)


def painted_diameter(paintings: Sequence[Painting]) -> float | None:
    """Return the typical diameter of the painted objects, image pixels; None without any.

    The middle, as a factor, of the diameters that half of the objects lie between: the network must
    see the small ones as well as the large ones, and a giant or two specks among ten do not count.
    """
    diameters = _diameters(paintings)
    if not diameters.size:
        return None
    low, high = np.percentile(diameters, (25, 75)).tolist()
    return round(math.sqrt(low * high), 1)


def taught_diameters(paintings: Sequence[Painting]) -> tuple[float, float] | None:
    """Return the diameters that most painted objects lie between, image pixels; None without any.

    One in ten is smaller, one in ten larger.
    """
    diameters = _diameters(paintings)
    if not diameters.size:
        return None
    low, high = np.percentile(diameters, (10, 90)).tolist()
    return round(low, 1), round(high, 1)


def _diameters(paintings: Sequence[Painting]) -> NDArray[np.float64]:
    """Diameters of circles as large as the painted objects, image pixels."""
    areas = np.array([o.area for p in paintings for o in p.objects], float)
    return 2 * np.sqrt(areas / np.pi)


def shown_diameter(shown: Sequence[TrainingWindow]) -> float | None:
    """Return the typical diameter of what is painted in windows, image pixels; None without any.

    By area, as segmenting finds it in an image, so that a model is judged with the thresholds that
    it would segment with.
    """
    diameters = []
    for window in shown:
        objects = (window.painted != UNLABELLED) & (window.painted != BACKGROUND)
        _, areas = np.unique(window.painted[objects], return_counts=True)
        diameters.append(2 * np.sqrt(areas / np.pi) / window.zoom)
    found = np.concatenate([np.zeros(0), *diameters])
    return typical_diameter(found) if found.size else None


def diameters_by_zoom(shown: Sequence[TrainingWindow]) -> dict[float, float | None]:
    """Return `shown_diameter` of the windows of each zoom."""
    zooms = {window.zoom for window in shown}
    return {zoom: shown_diameter([w for w in shown if w.zoom == zoom]) for zoom in zooms}


def smallest_diameter(typical: float, small: float) -> float:
    """Return the diameter below which nothing is an object like the painted ones, image pixels.

    Parameters
    ----------
    typical : float
        Of the painted objects, image pixels.
    small : float
        What nine in ten painted objects exceed, image pixels.
    """
    return round(min(DEBRIS * typical, WELL_BELOW * small), 1)


def training_windows(paintings: Sequence[Painting], card: ModelCard) -> list[TrainingWindow]:
    """Cut the windows that show everything painted, at the size of objects the model is used to.

    About a quarter of all objects is held out, of all images together.

    Parameters
    ----------
    paintings : sequence of Painting
        Images and paint.
    card : ModelCard
        The model that will learn.
    """
    found = [
        replace(o, plane=(number, *o.plane))
        for number, painting in enumerate(paintings)
        for o in painting.objects
    ]
    _, held = hold_out(found, classes=not card.finds_objects)
    cut: list[TrainingWindow] = []
    for number, painting in enumerate(paintings):
        zoom = 1.0
        if card.finds_objects:
            zoom = card.zoom(card.diameter_for(painted_diameter([painting])))  # as when segmenting
        hidden: dict[tuple[int, ...], set[int]] = {}
        for one in held:
            if one.plane[0] == number:
                hidden.setdefault(one.plane[1:], set()).add(one.id)
        cut += _of_one(painting, card, zoom, hidden)
    return cut


def _of_one(
    painting: Painting, card: ModelCard, zoom: float, held: dict[tuple[int, ...], set[int]]
) -> Iterator[TrainingWindow]:
    image, spec = painting.image, card.spec
    channels = image.used_channels(spec.in_channels, nuclei=spec.nuclei)
    for plane in image.planes():
        paint, done = painting.painted[plane], set[int]()
        # a class has no outline that a window could cut
        whole = round(LARGEST / zoom) if card.finds_objects else None
        for box in windows(paint, round(SIDE / zoom), max(1, round(BLOCK / zoom)), whole=whole):
            pixels = image.read(plane, box, channels, nuclei=spec.nuclei)
            values = np.stack(
                [normalise(c, k) for c, k in zip(pixels, painting.limits, strict=True)]
            )
            seen = _without_cut(paint, box) if card.finds_objects else paint[box.slices]
            window = _resized(values, seen, zoom, held.get(plane, set()))
            judged = tuple(i for i in window.held if i not in done)
            yield replace(window, judged=judged, dark=painting.dark, seen=painting.seen)
            done.update(window.held)


def windows(
    paint: NDArray[np.uint32], side: int, block: int, *, whole: int | None = 0
) -> list[Box]:
    """Choose windows of `side` image pixels, so that every painted pixel is well inside of one.

    Parameters
    ----------
    paint : ndarray of uint32
        ``(Y, X)``.
    side, block : int
        Image pixels.
    whole : int or None
        Objects up to this length are whole in some window, which is larger where it has to be;
        image pixels. None: strokes of classes, which may be cut as background may.
    """
    area = Box((0, 0), (paint.shape[0], paint.shape[1]))
    chosen: list[Box] = []
    large = 0
    for place, box in _places(paint, block, strokes=whole is None):
        around = box.grow(1)  # where an object goes on is seen beside its box
        most = max(side, whole or 0) if large < MOST_LARGE else side
        needed = around.intersect(area) if max(around.shape) <= most else Box(place, place)
        if not any(
            _well_inside(w, place, side, area) and w.intersect(needed) == needed for w in chosen
        ):
            height, width = needed.shape
            chosen.append(_around(place, (max(side, height), max(side, width)), area))
            large += max(height, width) > side
    return chosen


def _places(
    paint: NDArray[np.uint32], block: int, *, strokes: bool
) -> list[tuple[tuple[int, int], Box]]:
    """Centres and boxes of the painted objects, then of the blocks with painted background.

    With `strokes` of the blocks in which anything is painted.
    """
    objects = [] if strokes else painted_objects(paint)
    places = [((int(o.box.centre[0]), int(o.box.centre[1])), o.box) for o in objects]
    for row, column in np.argwhere(_blocks_with(paint, block, strokes=strokes)).tolist():
        place = row * block + block // 2, column * block + block // 2
        places.append((place, Box(place, place)))
    return places


def _blocks_with(paint: NDArray[np.uint32], block: int, *, strokes: bool) -> NDArray[np.bool_]:
    height, width = paint.shape
    columns = range(0, width, block)
    found = []
    for y in range(0, height, block):
        strip = paint[y : y + block]
        if strip.any():  # rare on a large image
            there = strip != UNLABELLED if strokes else strip == BACKGROUND
            found.append([bool(there[:, x : x + block].any()) for x in columns])
        else:
            found.append([False] * len(columns))
    return np.array(found, bool).reshape(len(found), len(columns))


def _around(place: tuple[int, int], sides: tuple[int, int], area: Box) -> Box:
    """Centre a window on a place, moved so that it stays in the image if it fits."""
    start = [
        min(max(0, p - side // 2), max(0, n - side))
        for p, side, n in zip(place, sides, area.stop, strict=True)
    ]
    box = Box((start[0], start[1]), (start[0] + sides[0], start[1] + sides[1]))
    return box.intersect(area)


def _well_inside(window: Box, place: tuple[int, int], side: int, area: Box) -> bool:
    """Whether a place is away from those of the window's edges that are not the image's."""
    margin = INNER * side
    for axis in (0, 1):
        low, high = window.start[axis], window.stop[axis]
        inner_low = low + margin if low > 0 else low
        inner_high = high - margin if high < area.stop[axis] else high
        if not inner_low <= place[axis] < inner_high:
            return False
    return True


def _without_cut(paint: NDArray[np.uint32], box: Box) -> NDArray[np.uint32]:
    """Return the paint in the box without objects that go on outside of it."""
    around = box.grow(1).intersect(Box((0, 0), (paint.shape[0], paint.shape[1])))
    wide = paint[around.slices]
    rim = np.ones(wide.shape, bool)
    rim[box.shift(around.start).slices] = False
    cut = np.unique(wide[rim])
    inner = paint[box.slices]
    cut = cut[(cut != UNLABELLED) & (cut != BACKGROUND)]
    return np.where(np.isin(inner, cut), np.uint32(UNLABELLED), inner)


def _resized(
    values: NDArray[np.float32], paint: NDArray[np.uint32], zoom: float, held: set[int]
) -> TrainingWindow:
    here = tuple(int(i) for i in np.intersect1d(np.array(sorted(held), np.uint32), paint))
    if zoom == 1.0:
        return TrainingWindow(values, paint, here)
    height, width = (max(1, round(n * zoom)) for n in paint.shape)
    image = resized(values, (height, width))
    y = np.minimum((np.arange(height) + 0.5) / height * paint.shape[0], paint.shape[0] - 1)
    x = np.minimum((np.arange(width) + 0.5) / width * paint.shape[1], paint.shape[1] - 1)
    return TrainingWindow(image, paint[np.ix_(y.astype(int), x.astype(int))], here, zoom=zoom)
