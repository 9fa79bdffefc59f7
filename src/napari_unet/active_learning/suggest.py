"""Where to paint next: regions where the model is unsure, that look unlike what is painted.

Everything comes from probability maps that a segmentation left behind, so no network runs. It goes
block by block, so that memory does not grow with the image.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.active_learning.uncertainty import (
    heat_map,
    odd,
    shrink,
    step_of,
    tells,
    uncertainty,
    uncertainty_of,
)
from napari_unet.image import Box, Plane

WINDOW = 2.5  # diameters; side of what is pooled and shown
APART = 1.5  # diameters; closest that two regions lie
NEAR_PAINT = 0.25  # what is left of a score where the window holds or touches painted pixels
SIMILAR = 0.1  # distance of the features of two windows that still are much alike
REPEATED = 0.8  # part of the score that a look-alike of a painted or better region loses
LEAST = 0.05  # uncertainty worth showing, in objects
PER_BLOCK, KEPT, FEATURES_KEPT = 32, 256, 1024  # so that memory stays flat

__all__ = [
    "UncertainRegion",
    "UncertainRegionFinder",
    "heat_map",
    "outline",
    "uncertainty",
]


@dataclass(frozen=True, slots=True)
class UncertainRegion:
    """A place worth painting.

    Attributes
    ----------
    box : Box
        Window to look at, image pixels.
    centre : tuple of float
        ``(y, x)`` of the unsure thing, image pixels.
    score : float
        Uncertainty in the window, in objects: about 1 where one object is wholly unsure; less if it
        looks like something painted or a better region. For ranking, not a probability.
    plane : tuple of int
        Indices along the leading axes.
    spread : tuple of float
        Variance along y and x, and covariance, of the unsure pixels; square image pixels.
    """

    box: Box
    centre: tuple[float, float]
    score: float
    plane: Plane = ()
    spread: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A block made smaller; `uncertainty`, `painted` and `features` share their ``(Y, X)``.

    `origin` and `step` lead back: a pixel begins at image pixel ``origin + step · (i, j)``.
    """

    origin: tuple[int, int]
    step: int
    size: float  # diameter in pixels of this scene
    uncertainty: NDArray[np.float32]
    painted: NDArray[np.bool_]
    features: NDArray[np.float32]  # (M, Y, X), the probability map


def outline(region: UncertainRegion, *, points: int = 48) -> NDArray[np.float64]:
    """Draw a soft line around the unsure thing: an ellipse inside the region's window.

    Parameters
    ----------
    region : UncertainRegion
        From `UncertainRegionFinder.best`.
    points : int, default 48
        Corners of the polygon.

    Returns
    -------
    ndarray of float64
        ``(points, 2)``, ``(y, x)`` in image pixels.
    """
    yy, xx, yx = region.spread
    values, vectors = np.linalg.eigh(np.array([[yy, yx], [yx, xx]]))
    # A filled ellipse reaches to two standard deviations; a third leaves air around the thing.
    shortest, longest = max(2.0, max(region.box.shape) / 6), max(2.0, max(region.box.shape) / 2)
    lengths = np.clip(3 * np.sqrt(np.maximum(values, 0)), shortest, longest)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ellipse: NDArray[np.float64] = circle * lengths @ vectors.T + region.centre
    return ellipse


class UncertainRegionFinder:
    """Collects the most uncertain windows, block after block, and ranks them.

    Parameters
    ----------
    diameter : float
        Typical diameter of the objects, image pixels.
    """

    def __init__(self, diameter: float) -> None:
        self.diameter = max(2.0, float(diameter))
        self._found: list[tuple[UncertainRegion, NDArray[np.float32]]] = []
        self._painted: set[tuple[int, ...]] = set()  # features of windows, in steps of SIMILAR / 4

    def add(
        self,
        plane: Plane,
        box: Box,
        maps: NDArray[np.uint8],
        painted: NDArray[Any] | None = None,
        *,
        owned: Box | None = None,
    ) -> None:
        """Look through one block.

        Parameters
        ----------
        plane : tuple of int
            Indices along the leading axes.
        box : Box
            Image pixels that `maps` covers, best with `overlap_of` pixels around the block.
        maps : ndarray of uint8
            ``(M, Y, X)``, a probability map. One of a class model is passed over.
        painted : ndarray of uint32, optional
            ``(Y, X)``, a painted array of the same pixels.
        owned : Box, optional
            Image pixels of the block, in which regions may lie; default `box`.
        """
        if not tells(maps):
            return
        scene = _scene(box, maps, painted, self.diameter)
        if not scene.uncertainty.size:
            return
        mine = owned or box
        self._remember_painted(scene, mine)
        for region in _regions(scene, mine, box):
            self._found.append((replace(region, plane=plane), _features(scene, region.centre)))
        if len(self._found) > 2 * KEPT:
            self._found = sorted(self._found, key=_order)[:KEPT]

    def best(self, count: int = 5) -> list[UncertainRegion]:
        """Return at most `count` regions, best first; the same ones in whatever order blocks came.

        The uncertainty of a region counts less the more it looks like something painted or a better
        region.
        """
        found = sorted(self._found, key=_order)
        if not found:
            return []
        features = np.stack([one for _, one in found])
        painted = np.array(sorted(self._painted), np.float32).reshape(-1, features.shape[1])
        painted *= SIMILAR / 4
        scores = np.array([region.score for region, _ in found])
        alike = np.zeros(len(found))
        for one in painted:
            alike = np.maximum(alike, _similarity(features, one))
        chosen: list[UncertainRegion] = []
        while len(chosen) < count:
            worth = scores * (1 - REPEATED * alike)
            i = int(np.argmax(worth))
            if worth[i] <= 0:
                break
            region = replace(found[i][0], score=float(worth[i]))
            chosen.append(region)
            alike = np.maximum(alike, _similarity(features, features[i]))
            scores *= [not self._close(region, other) for other, _ in found]
        return chosen

    def _close(self, one: UncertainRegion, other: UncertainRegion) -> bool:
        distance = math.dist(one.centre, other.centre)
        return one.plane == other.plane and distance < APART * self.diameter

    def _remember_painted(self, scene: _Scene, owned: Box) -> None:
        """Note the features around painted pixels, once for each square of a window's side."""
        points = np.argwhere(scene.painted)
        if not len(points) or len(self._painted) >= FEATURES_KEPT:
            return
        places = points * scene.step + np.array(scene.origin)
        (y0, x0), (y1, x1) = owned.start, owned.stop
        inside = (places >= (y0, x0)).all(axis=1) & (places < (y1, x1)).all(axis=1)
        squares = places // math.ceil(WINDOW * self.diameter)
        _, first = np.unique(squares[inside], axis=0, return_index=True)
        for y, x in places[inside][first].tolist():
            steps = np.rint(_features(scene, (y, x)) / (SIMILAR / 4))
            self._painted.add(tuple(int(value) for value in steps))


def _order(
    item: tuple[UncertainRegion, NDArray[np.float32]],
) -> tuple[float, Plane, tuple[float, float]]:
    """Key that sorts best first, the same way whatever the order of blocks."""
    return -round(item[0].score, 4), item[0].plane, item[0].centre


def _similarity(features: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float64]:
    """How alike each of ``(n, F)`` is to one window's features, 0 to 1."""
    squares = ((features - one).astype(np.float64) ** 2).sum(axis=1)
    alike: NDArray[np.float64] = np.exp(-squares / SIMILAR**2)
    return alike


def _scene(
    box: Box,
    maps: NDArray[np.uint8],
    painted: NDArray[Any] | None,
    diameter: float,
) -> _Scene:
    step = step_of(diameter)
    features = shrink(maps, box.start, step) / np.float32(255)
    origin = box.start[0] + -box.start[0] % step, box.start[1] + -box.start[1] % step
    touched = np.zeros(features.shape[1:], bool)
    if painted is not None and painted.any():
        touched = shrink((painted != 0)[None], box.start, step)[0] > 0
    size = diameter / step
    unsure = uncertainty_of(features, size) if features.size else features[0]
    unsure[touched] = 0
    return _Scene(origin, step, size, unsure, touched, features)


def _regions(scene: _Scene, owned: Box, seen: Box) -> list[UncertainRegion]:
    """Find the most uncertain windows of a block."""
    from scipy import ndimage  # noqa: PLC0415  see uncertainty.uncertainty_of

    side = odd(WINDOW * scene.size / 2)
    pooled = ndimage.uniform_filter(scene.uncertainty, side, mode="constant")
    # Twice, so that the weight falls towards the window's edge and the top is one pixel.
    pooled = ndimage.uniform_filter(pooled, side, mode="constant")
    pooled *= side**2 / (np.pi / 4 * scene.size**2)
    barred = scene.painted
    if scene.painted.any():
        barred = ndimage.maximum_filter(scene.painted, 2 * math.ceil(scene.size) + 1)
        touched = ndimage.maximum_filter(scene.painted, 2 * math.ceil(scene.size * 2.25) + 1)
        pooled[touched] *= NEAR_PAINT
        pooled[barred] = 0
    tops = (ndimage.maximum_filter(pooled, side) == pooled) & (pooled > LEAST)
    found = []
    for y, x in np.argwhere(tops).tolist():
        region = _region_at(scene, (y, x), float(pooled[y, x]), barred)
        if region is not None and _holds(owned, region.centre):
            found.append(replace(region, box=region.box.intersect(seen)))
    return sorted(found, key=lambda s: (-round(s.score, 4), s.centre))[:PER_BLOCK]


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return all(a <= p < b for a, p, b in zip(box.start, point, box.stop, strict=True))


def _around(shape: tuple[int, ...], middle: tuple[int, int], reach: int) -> tuple[slice, slice]:
    y, x = (
        slice(max(0, m - reach), min(n, m + reach + 1))
        for m, n in zip(middle, shape[-2:], strict=True)
    )
    return y, x


def _region_at(
    scene: _Scene, top: tuple[int, int], score: float, barred: NDArray[np.bool_]
) -> UncertainRegion | None:
    """Move from the middle of an uncertain window to the unsure thing in it, and measure that."""
    from scipy import ndimage  # noqa: PLC0415  see uncertainty.uncertainty_of

    window = _around(scene.uncertainty.shape, top, round(scene.size * WINDOW / 4))
    thing = ndimage.uniform_filter(scene.uncertainty[window], odd(scene.size / 2), mode="constant")
    thing[barred[window]] = 0
    y, x = np.unravel_index(int(np.argmax(thing)), thing.shape)
    middle = int(y) + window[0].start, int(x) + window[1].start
    part = _around(scene.uncertainty.shape, middle, round(scene.size * 0.75))
    weights = scene.uncertainty[part].astype(np.float64)
    weights[barred[part]] = 0
    total = weights.sum()
    if total <= 0:
        return None
    rows, columns = np.mgrid[part]
    cy, cx = (weights * rows).sum() / total, (weights * columns).sum() / total
    dy, dx = rows - cy, columns - cx
    moments = [float((weights * m).sum() / total) for m in (dy * dy, dx * dx, dy * dx)]
    step, (oy, ox) = scene.step, scene.origin
    centre = float(oy + (cy + 0.5) * step), float(ox + (cx + 0.5) * step)
    half = math.ceil(WINDOW / 2 * scene.size * step)
    box = Box((int(centre[0]), int(centre[1])), (int(centre[0]) + 1, int(centre[1]) + 1))
    yy, xx, yx = (m * step**2 for m in moments)
    return UncertainRegion(box.grow(half), centre, score, (), (yy, xx, yx))


def _features(scene: _Scene, centre: tuple[float, float]) -> NDArray[np.float32]:
    """Mean and standard deviation of each channel in the window around an image pixel."""
    (oy, ox), step = scene.origin, scene.step
    middle = int((centre[0] - oy) // step), int((centre[1] - ox) // step)
    part = scene.features[
        (slice(None), *_around(scene.uncertainty.shape, middle, round(scene.size * WINDOW / 2)))
    ]
    return np.concatenate([part.mean(axis=(1, 2)), part.std(axis=(1, 2))]).astype(np.float32)
