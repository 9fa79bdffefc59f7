"""Images of made-up cells in many looks, with their exact outlines.

What is learned from them is what a cell is in any microscope: an outline of many shapes that is
brighter, darker, rimmed, shadowed or textured. Everything follows from a seed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.labels.watershed import object_diameters, typical_diameter
from napari_unet.training.synthetic_shapes import (
    Floats,
    Labels,
    blobs,
    edges,
    label_map,
    pick,
    rods,
    smooth_noise,
    whole,
)

VERSION = 1  # of the drawing: other images follow from the same seed
BENCHMARK_SEEDS = 1_000_000  # from here on: never trained on
SIDE = 384
ROD = (12.0, 20.0)  # pixels; typical diameter of the rods of a benchmark
OCTAVES = (1, 2, 3, 5, 8, 14)  # pixels; grains of a texture
NUCLEI = 7  # beside the seed, of what draws the nuclei: the image does not depend on them
UNSTAINED = 0.07  # of the nuclei cannot be seen


@dataclass(frozen=True, slots=True, eq=False)
class MadeUp:
    """One image of made-up cells.

    Attributes
    ----------
    image : ndarray of float32
        ``(Y, X)``, 0…1.
    labels : ndarray of int32
        ``(Y, X)``, 0 = background, objects from 1 on without a gap, each connected.
    diameter : float
        Pixels; the typical one of the objects.
    """

    image: NDArray[np.float32]
    labels: Labels
    diameter: float


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Cells before they are drawn; arrays are ``(Y, X)``, distances in pixels.

    `depth` and `away` are the distances to the edge inside and outside the cells; `thick` is the
    depth as a share of the cell's largest.
    """

    labels: Labels
    cells: NDArray[np.bool_]
    depth: Floats
    away: Floats
    thick: Floats
    random: np.random.Generator

    def texture(self, *strengths: float) -> Floats:
        """Draw a texture of one of some strengths."""
        grains = self.random.choice(OCTAVES, 3, replace=False)
        weights = self.random.dirichlet([0.6] * 3)
        side = len(self.labels)
        total = np.zeros((side, side))
        for grain, weight in zip(grains, weights, strict=True):
            total += weight * smooth_noise(side, float(grain), self.random)
        scaled: Floats = total / (total.std() + 1e-6) * pick(self.random, *strengths)
        return scaled

    def each(self, values: Floats) -> Floats:
        """Give every cell one of ``values (N + 1,)``; the background gets 0."""
        found: Floats = values[self.labels] * self.cells
        return found

    def gains(self) -> Floats:
        """Brightness of each cell."""
        spread = pick(self.random, 0.05, 0.2, 0.45)
        return self.each(np.exp(self.random.normal(0, spread, self.labels.max() + 1)))

    def specks(self, density: float, sigma: float) -> Floats:
        """Small spots all over the image."""
        spots = (self.random.random(self.labels.shape) < density).astype(float)
        blurred: Floats = ndimage.gaussian_filter(spots, sigma)
        return blurred


def made_up_cells(seed: int, side: int = SIDE) -> MadeUp:
    """Draw the image that follows from a seed.

    Parameters
    ----------
    seed : int
        From `BENCHMARK_SEEDS` on for tests and benchmarks, below for training.
    side : int
        Height and width, pixels.
    """
    random = np.random.default_rng(seed)
    labels = label_map(side, random)
    scene = _scene(labels, random)
    look = LOOKS[random.choice(len(LOOKS), p=SHARES)]
    image = _added(look(scene), scene)
    inverted = 0.1 if look is _filled else 0.0 if look is _stained else 0.3
    return MadeUp(
        _photographed(image, random, inverted), labels, typical_diameter(object_diameters(labels))
    )


def made_up_nuclei(seed: int, labels: Labels) -> NDArray[np.float32]:
    """Draw the nuclei of made-up cells as a second stain shows them.

    Parameters
    ----------
    seed : int
        That of the cells.
    labels : ndarray of int32
        ``(Y, X)``, the cells.

    Returns
    -------
    ndarray of float32
        ``(Y, X)``, 0…1. Most cells hold one nucleus, at least as compact as the cell.
    """
    random = np.random.default_rng((seed, NUCLEI))
    scene = _scene(labels, random)
    nuclei = _cores(scene) & (random.random(labels.max() + 1) > UNSTAINED)[labels]
    light = scene.gains() * nuclei * (1 + scene.texture(0.05, 0.15, 0.3))
    if random.random() < 0.4:  # the other stain shines through
        light = light + random.uniform(0.05, 0.3) * scene.cells
    light = ndimage.gaussian_filter(light, pick(random, 0.5, 1.0, 2.0))
    return _photographed(light + scene.texture(0, 0.02, 0.05), random, 0.0)


def _cores(scene: _Scene) -> NDArray[np.bool_]:
    """One compact part of each cell, near where it is thickest."""
    random, numbers = scene.random, np.arange(1, scene.labels.max() + 1)
    grain = max(1.5, typical_diameter(object_diameters(scene.labels)) / 6)
    bent = scene.thick + random.uniform(0, 0.25) * smooth_noise(len(scene.labels), grain, random)
    middles = np.zeros((len(numbers) + 1, 2))
    middles[1:] = ndimage.maximum_position(bent * scene.cells, scene.labels, numbers)
    largest = np.zeros(len(numbers) + 1)
    largest[1:] = ndimage.maximum(scene.depth, scene.labels, numbers)
    away = np.indices(scene.labels.shape) - np.moveaxis(middles[scene.labels], -1, 0)
    near = np.hypot(*away) < (random.uniform(0.6, 1.6) * largest)[scene.labels]
    inside: NDArray[np.bool_] = near & (bent > random.uniform(0.25, 0.6)) & (scene.depth > 1)
    return inside


def made_up_rods(seed: int, side: int) -> MadeUp:
    """Draw rods in phase contrast: bacteria, from a seed, see `made_up_cells`."""
    random = np.random.default_rng(seed)
    diameter = float(random.uniform(*ROD))
    labels = whole(rods(side, diameter, random))
    image = _dense(_scene(labels, random))
    found = typical_diameter(object_diameters(labels))
    return MadeUp(_photographed(image, random, 0.0), labels, found)


def _scene(labels: Labels, random: np.random.Generator) -> _Scene:
    cells = labels > 0
    edge = edges(labels) & (cells | ndimage.binary_dilation(cells))
    depth = ndimage.distance_transform_edt(cells & ~edge)
    away = ndimage.distance_transform_edt(~cells) if not cells.all() else np.zeros(labels.shape)
    largest = np.asarray(ndimage.maximum(depth, labels, np.arange(labels.max() + 1)))
    thick = depth / np.maximum(largest, 1)[labels] * cells
    return _Scene(labels, cells, depth, away, thick, random)


def _filled(scene: _Scene) -> Floats:
    """Fluorescence: bright and more or less flat cells, sometimes with a haze around them."""
    random = scene.random
    body = np.clip(scene.thick, 0, 1) ** pick(random, 0, 0.15, 0.5)
    light = scene.gains() * (1 + scene.texture(0.06, 0.16, 0.4)) * body * scene.cells
    if random.random() < 0.3:
        light = light + random.uniform(0.2, 0.8) * ndimage.gaussian_filter(
            light, random.uniform(4, 15)
        )
    return light + scene.texture(0, 0.02, 0.05, 0.1)


def _ringed(scene: _Scene) -> Floats:
    """Stained membranes, brighter than what they enclose."""
    random = scene.random
    near = np.where(scene.cells, scene.depth, scene.away) / random.uniform(0.8, 2.5)
    body = scene.cells * random.uniform(-0.1, 0.5) * (1 + scene.texture(0.03, 0.08, 0.2))
    rim: Floats = np.exp(-(near**2)) * np.where(scene.cells, scene.gains(), 1).clip(0.4)
    if random.random() < 0.3:  # stained in places
        rim = rim * np.clip(0.7 + 0.5 * scene.texture(1.0), 0.1, None)
    return rim + body + scene.texture(0, 0.02, 0.05, 0.1)


def _haloed(scene: _Scene) -> Floats:
    """Phase contrast: bright halo, dark rim; round cells may shine."""
    random = scene.random
    halo = np.exp(-scene.away / random.uniform(1.2, 5)) * ~scene.cells * random.uniform(0.3, 1.2)
    rim = np.exp(-scene.depth / random.uniform(1, 4)) * scene.cells * random.uniform(0, 1)
    body = scene.cells * random.uniform(-0.5, 0.5) * (0.4 + 0.6 * scene.thick)
    image = halo - rim + body + scene.cells * scene.texture(0.06, 0.16, 0.4)
    if random.random() < 0.4:
        count = scene.labels.max() + 1
        shining = (random.random(count) < 0.15) * random.uniform(0.5, 1.5)
        image = image + scene.each(shining) * scene.thick
    return image + scene.texture(0, 0.02, 0.05, 0.1)


def _dense(scene: _Scene) -> Floats:
    """Phase contrast of bacteria: every cell is darker than what surrounds it, with a halo."""
    random = scene.random
    halo = np.exp(-scene.away / random.uniform(1.5, 4)) * ~scene.cells * random.uniform(0.2, 0.6)
    gains = np.exp(random.normal(0, 0.12, scene.labels.max() + 1))
    body = scene.each(gains) * (0.4 + 0.6 * scene.thick) * (1 + scene.texture(0.06, 0.12))
    return halo - body + scene.texture(0, 0.02, 0.05)


def _shadowed(scene: _Scene) -> Floats:
    """Differential interference contrast: relief lit from one side."""
    random = scene.random
    height = scene.thick * scene.gains() + scene.cells * scene.texture(0.045, 0.12, 0.3)
    down, right = np.gradient(ndimage.gaussian_filter(height, random.uniform(0.6, 1.6)))
    angle = random.uniform(0, 2 * np.pi)
    relief: Floats = (down * np.sin(angle) + right * np.cos(angle)) * random.uniform(3, 9)
    return relief + scene.texture(0, 0.02, 0.05, 0.1) + scene.cells * random.uniform(-0.1, 0.1)


def _outlined(scene: _Scene) -> Floats:
    """Bright field: a dark line, a bright one outside it, an interior hardly different."""
    random = scene.random
    width = random.uniform(0.8, 2.2)
    near = np.where(scene.cells, scene.depth, scene.away) / width
    dark = np.exp(-(near**2)) * random.uniform(0.4, 1)
    bright = np.exp(-(((scene.away - 2 * width) / width) ** 2)) * ~scene.cells
    body = scene.cells * (random.uniform(-0.25, 0.25) + scene.texture(0.03, 0.08, 0.2))
    return bright * random.uniform(0, 0.7) - dark + body + scene.texture(0, 0.02, 0.05, 0.1)


def _textured(scene: _Scene) -> Floats:
    """Cells that differ from the background, and from each other, by their grain only."""
    random = scene.random
    shades = scene.each(random.normal(0, 0.3, scene.labels.max() + 1))
    inside = scene.texture(1.0) * random.uniform(0.1, 0.5) + shades
    outside = scene.texture(1.0) * random.uniform(0.05, 0.4) + random.normal(0, 0.6)
    return np.where(scene.cells, inside, outside)


def _membranous(scene: _Scene) -> Floats:
    """Electron microscopy: dark membranes, dark organelles."""
    random = scene.random
    near = np.where(scene.cells, scene.depth, scene.away) / random.uniform(0.8, 2.2)
    organelles = ndimage.gaussian_filter(random.random(scene.labels.shape), 1.5) > 0.54
    image: Floats = scene.texture(1.0) * random.uniform(0.1, 0.35) - np.exp(-(near**2))
    image -= 0.4 * organelles * pick(random, 0, 1)
    return image


def _stained(scene: _Scene) -> Floats:
    """Stained tissue: dark grainy nuclei with a darker rim in a fibrous, uneven ground."""
    random = scene.random
    side = len(scene.labels)
    fibres = smooth_noise(side, 3, random)
    fibres = ndimage.gaussian_filter1d(fibres, random.uniform(2, 9), axis=random.integers(2))
    ground = scene.texture(0.1, 0.25) + fibres / (fibres.std() + 1e-6) * random.uniform(0, 0.25)
    ground += random.uniform(0, 0.5) * (smooth_noise(side, side / 8, random) > 0.8)  # no tissue
    grain = np.clip(0.8 + scene.texture(0.15, 0.35), 0.1, None)
    rim = 1 + random.uniform(0, 0.6) * np.exp(-scene.depth / random.uniform(0.8, 2))
    pale = random.uniform(0.2, 0.9) if random.random() < 0.4 else 0.0  # vesicular nuclei
    body: Floats = scene.gains() * grain * rim * (1 - pale * scene.thick)
    image: Floats = ground * (1 - 0.6 * scene.cells) - random.uniform(0.5, 1.6) * body
    return image


LOOKS: tuple[Callable[[_Scene], Floats], ...] = (
    _filled,
    _ringed,
    _haloed,
    _shadowed,
    _outlined,
    _textured,
    _membranous,
    _stained,
)
SHARES = (0.24, 0.10, 0.19, 0.10, 0.12, 0.10, 0.06, 0.09)


def _added(image: Floats, scene: _Scene) -> Floats:
    """Add what cells hold and what lies beside them and is no cell."""
    random = scene.random
    scale = max(float(image.std()), 0.05) / 0.3
    if random.random() < 0.3:  # a nucleus in each cell
        inner = (scene.thick > random.uniform(0.45, 0.75)) & scene.cells
        image = image + scale * inner * pick(random, -1, 1) * random.uniform(0.1, 0.6)
    if random.random() < 0.3:
        granules = scene.specks(pick(random, 0.002, 0.01, 0.03), random.uniform(0.5, 1.5))
        strength = pick(random, -1, 1) * random.uniform(1, 6)
        image = image + scale * strength * granules * scene.cells
    if random.random() < 0.3:
        dust = scene.specks(0.0004, random.uniform(0.7, 2.5))
        image = image + scale * dust * pick(random, -1, 1) * random.uniform(2, 12)
    if random.random() < 0.15:
        image = image + scale * _scratches(scene) * pick(random, -1, 1) * random.uniform(0.2, 1)
    if random.random() < 0.2:
        image = image + scale * _beyond_focus(scene)
    return image


def _scratches(scene: _Scene) -> Floats:
    """Fibres and scratches: long thin curves."""
    random, side = scene.random, len(scene.labels)
    lines = np.zeros((side, side))
    for _ in range(random.integers(1, 6)):
        (y, x), angle = random.uniform(0, side, 2), random.uniform(0, 2 * np.pi)
        for turn in random.normal(0, 0.05, random.integers(30, side)):
            lines[int(y) % side, int(x) % side] = 1
            angle += turn
            y, x = y + np.sin(angle), x + np.cos(angle)
    blurred: Floats = 3 * ndimage.gaussian_filter(lines, random.uniform(0.7, 2))
    return blurred


def _beyond_focus(scene: _Scene) -> Floats:
    """Cells above or below the focus: wide soft patches that are none of the objects."""
    random, side = scene.random, len(scene.labels)
    diameter = typical_diameter(object_diameters(scene.labels))
    others = blobs(side, float(np.clip(diameter, 14, 80)), random) > 0
    soft = ndimage.gaussian_filter(others.astype(float), random.uniform(0.2, 0.45) * diameter)
    found: Floats = soft * pick(random, -1, 1, 1) * random.uniform(0.1, 0.6)
    return found


def _photographed(
    image: Floats, random: np.random.Generator, inverted: float
) -> NDArray[np.float32]:
    """Blur, shade and add noise as a microscope does; bring to 0…1."""
    image = ndimage.gaussian_filter(image, pick(random, 0.3, 0.7, 1.2, 2.0))
    image = image / (image.std() + 1e-6)
    side = len(image)
    image = image + smooth_noise(side, side / 4, random) * pick(random, 0, 0.15, 0.5)
    image = image + random.standard_normal(image.shape) * pick(random, 0.02, 0.08, 0.2, 0.4)
    if random.random() < 0.15:  # noise of a camera whose pixels are not independent
        image = ndimage.gaussian_filter(image, 0.6)
    if random.random() < inverted:
        image = -image
    low, high = np.percentile(image, (0.5, 99.7))
    found: NDArray[np.float32] = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    return found
