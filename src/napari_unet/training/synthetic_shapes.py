"""Label maps of made-up cells: blobs, spindles, rods, chains, crowds and closed tissue."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Labels = NDArray[np.int32]
Floats = NDArray[np.float64]
Layout = Callable[[int, float, np.random.Generator], Labels]

LEAST_AREA = 15  # pixels of an object; specks are dropped
FEWEST = 3  # objects of an image
USUAL, SMALL, LARGE = (18.0, 52.0), (8.0, 18.0), (52.0, 120.0)  # diameters, pixels
SIZES = (0.82, 0.12, 0.06)  # how often each is drawn
OVERLAP = 0.45  # of a blob may lie on others


def label_map(side: int, random: np.random.Generator) -> Labels:
    """Draw one label map ``(side, side)``: connected objects, numbered from 1."""
    while True:
        low, high = (USUAL, SMALL, LARGE)[random.choice(3, p=SIZES)]
        diameter = float(np.exp(random.uniform(np.log(low), np.log(high))))
        kind = LAYOUTS[random.choice(len(LAYOUTS), p=SHARES)]
        labels = kind(side, diameter, random)
        if kind is not tissue and random.random() < 0.35:
            amplitude = random.uniform(0.03, 0.12) * diameter
            labels = warped(labels, amplitude, random.uniform(0.25, 0.7) * diameter, random)
        labels = whole(labels)
        if labels.max() >= FEWEST:
            return labels


def pick(random: np.random.Generator, *values: float) -> float:
    """Draw one of some numbers."""
    return float(random.choice(values))


def smooth_noise(side: int, sigma: float, random: np.random.Generator) -> Floats:
    """Draw noise ``(side, side)`` of one grain, mean 0 and standard deviation 1."""
    factor = max(1, int(sigma / 2))
    coarse = -(-side // factor) + 4
    noise = ndimage.gaussian_filter(random.standard_normal((coarse, coarse)), sigma / factor)
    if factor > 1:
        noise = ndimage.zoom(noise, factor, order=1)
    noise = noise[:side, :side]
    found: Floats = (noise - noise.mean()) / (noise.std() + 1e-6)
    return found


def warped(labels: Labels, amplitude: float, sigma: float, random: np.random.Generator) -> Labels:
    """Bend a label map; `amplitude` and `sigma` (the grain of the bends) are in pixels."""
    side = len(labels)
    y, x = np.mgrid[:side, :side].astype(float)
    y += amplitude * smooth_noise(side, sigma, random)
    x += amplitude * smooth_noise(side, sigma, random)
    bent: Labels = ndimage.map_coordinates(labels, [y, x], order=0, mode="nearest")
    return bent


def edges(labels: Labels) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another label."""
    found = np.zeros(labels.shape, bool)
    found[:-1] |= labels[:-1] != labels[1:]
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return found


def whole(labels: Labels) -> Labels:
    """Keep the largest connected piece of each object, number them from 1, drop specks."""
    kept, count = np.zeros_like(labels), 0
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        pieces, _ = ndimage.label(labels[window] == number)
        areas = np.bincount(pieces.ravel())[1:]
        if areas.max() < LEAST_AREA:
            continue
        count += 1
        kept[window][pieces == areas.argmax() + 1] = count
    return kept


def blobs(side: int, diameter: float, random: np.random.Generator) -> Labels:
    """Roundish cells, smooth or ragged, few or many."""
    fill = pick(random, 0.1, 0.25, 0.5, 0.9, 1.3)
    stretch, rough = pick(random, 1.3, 2, 4), pick(random, 0.02, 0.08, 0.18)
    return _scattered(
        _centres(side, diameter, fill, random), side, _Blob(diameter, stretch, rough, random)
    )


def spindles(side: int, diameter: float, random: np.random.Generator) -> Labels:
    """Elongated, bent cells such as fibroblasts."""
    fill = pick(random, 0.2, 0.5, 0.9)
    blob = _Blob(diameter, pick(random, 4, 7), pick(random, 0.1, 0.25), random)
    labels = _scattered(_centres(side, diameter, fill, random), side, blob)
    return warped(labels, 0.12 * diameter, 0.35 * diameter, random)


def crowds(side: int, diameter: float, random: np.random.Generator) -> Labels:
    """Colonies and clumps: cells packed into a few places of an otherwise empty image."""
    places = random.uniform(0, side, (random.integers(1, 5), 2))
    extent = random.uniform(1.5, 5) * diameter
    number = max(4, int(min(1.0, len(places) * (extent / side) ** 2 * 6) * (side / diameter) ** 2))
    nearest = places[random.integers(0, len(places), number)]
    centres = nearest + random.normal(0, extent, (number, 2)) * random.uniform(0.4, 1, (1, 2))
    return _scattered(centres, side, _Blob(diameter, pick(random, 1.2, 1.8), 0.05, random))


def rods(side: int, diameter: float, random: np.random.Generator) -> Labels:
    """Bacteria: capsules of one width and many lengths, a little bent, sometimes in order."""
    fill = pick(random, 0.1, 0.4, 0.9, 1.6)
    order = random.uniform(0, np.pi) if random.random() < 0.4 else None
    rod = _Rod(diameter, order, random)
    return _scattered(_centres(side, diameter, fill, random), side, rod)


def chains(side: int, diameter: float, random: np.random.Generator) -> Labels:
    """Cells in a row, end to end: dividing bacteria, cocci, yeast."""
    bead = _Rod(diameter, None, random) if random.random() < 0.5 else None
    blob = _Blob(diameter, 1.2, 0.02, random)
    step = bead.length * 1.02 if bead else diameter * random.uniform(0.8, 1.0)
    labels, number = np.zeros((side, side), np.int32), 0
    for _ in range(int(random.uniform(0.05, 0.35) * (side / diameter) ** 2 / 5) + 2):
        place, angle = random.uniform(0, side, 2), random.uniform(0, 2 * np.pi)
        for _ in range(random.integers(2, 10)):
            if bead:
                bead.angle = angle
            number += (bead or blob).put(labels, place, number + 1)
            place = place + step * np.array([np.sin(angle), np.cos(angle)])
            angle += random.normal(0, 0.25)
    return labels


def tissue(side: int, diameter: float, random: np.random.Generator) -> Labels:
    """Closed sheets of cells, with or without a gap between them, with holes and missing cells."""
    count = int((side + 2 * diameter) ** 2 / (diameter**2 * 0.8))
    points = random.uniform(-diameter, side + diameter, (count, 2))
    for _ in range(random.integers(0, 3)):
        points = _evened(points, side, diameter, random)
    y, x = np.mgrid[:side, :side]
    _, nearest = cKDTree(points).query(np.stack([y.ravel(), x.ravel()], axis=1))
    labels = (nearest + 1).reshape(side, side).astype(np.int32)
    amplitude = random.uniform(0, 0.18) * diameter
    labels = warped(labels, amplitude, diameter * random.uniform(0.3, 0.8), random)
    gap = pick(random, 0, 0, 1, 2, 3, 0.1 * diameter)
    if gap > 0:
        labels[ndimage.distance_transform_edt(~edges(labels)) <= gap] = 0
    if random.random() < 0.4:
        labels[smooth_noise(side, side / 6, random) > random.uniform(-0.2, 1.2)] = 0
    if random.random() < 0.3:
        present = np.unique(labels)
        labels[np.isin(labels, random.permutation(present)[: int(0.3 * len(present))])] = 0
    return labels


LAYOUTS: tuple[Layout, ...] = (blobs, spindles, crowds, rods, chains, tissue)
SHARES = (0.35, 0.14, 0.08, 0.15, 0.07, 0.21)


def _centres(side: int, diameter: float, fill: float, random: np.random.Generator) -> Floats:
    """Random centres ``(N, 2)`` of cells that cover a share of the image, some in clusters."""
    number = max(1, int(fill * side**2 / (np.pi * diameter**2 / 4)))
    places = random.uniform(-diameter / 2, side + diameter / 2, (number, 2))
    if random.random() < 0.4:
        clusters = random.uniform(0, side, (max(1, number // int(random.integers(4, 14))), 2))
        spread = diameter * random.uniform(0.6, 1.6)
        places = clusters[random.integers(0, len(clusters), number)]
        places = places + random.normal(0, spread, (number, 2))
    return places


def _evened(points: Floats, side: int, diameter: float, random: np.random.Generator) -> Floats:
    """Move each point to the middle of what lies nearest to it, so that cells become alike."""
    probes = random.uniform(-diameter, side + diameter, (20000, 2))
    _, nearest = cKDTree(points).query(probes)
    count = np.bincount(nearest, minlength=len(points))[:, None]
    sums = [np.bincount(nearest, probes[:, axis], len(points)) for axis in (0, 1)]
    moved: Floats = np.where(count > 0, np.stack(sums, axis=1) / np.maximum(count, 1), points)
    return moved


class _Stamp:
    """A kind of cell that is put into a label map, again and again a little different."""

    def put(self, labels: Labels, centre: Floats, number: int) -> bool:
        """Draw one cell at ``(y, x)``; return whether there was room."""
        raise NotImplementedError


class _Blob(_Stamp):
    """An ellipse with waves around its outline."""

    def __init__(
        self, diameter: float, stretch: float, rough: float, random: np.random.Generator
    ) -> None:
        self.diameter, self.stretch, self.rough = diameter, stretch, rough
        self.random = random

    def put(self, labels: Labels, centre: Floats, number: int) -> bool:
        random = self.random
        stretch = random.uniform(1, self.stretch)
        radius = self.diameter / 2 * np.exp(random.normal(0, 0.22))
        long, short = radius * np.sqrt(stretch), radius / np.sqrt(stretch)
        found = _window(labels, centre, int(long * 1.6) + 2, random.uniform(0, np.pi))
        if found is None:
            return False
        window, along, across = found
        angle, size = np.arctan2(across, along), np.hypot(along / long, across / short)
        limit = np.ones_like(size)
        for wave in (2, 3, 4, 5):
            height = self.rough / wave**0.8 * random.normal()
            limit += height * np.cos(wave * angle + random.uniform(0, 2 * np.pi))
        mask = size < np.clip(limit, 0.5, 1.6)
        over = random.random() < 0.5  # it lies above the others, else below
        return _set(window, mask, number, OVERLAP, over=over)


class _Rod(_Stamp):
    """A capsule, a little bent."""

    def __init__(self, diameter: float, order: float | None, random: np.random.Generator) -> None:
        self.width = diameter * random.uniform(0.3, 0.55)
        self.length = diameter**2 * 0.8 / self.width
        self.order, self.random = order, random
        self.angle: float | None = None  # of the next ones; None = random

    def put(self, labels: Labels, centre: Floats, number: int) -> bool:
        random = self.random
        length = self.length * np.exp(random.normal(0, 0.35 if self.angle is None else 0.05))
        width = max(3.0, self.width * np.exp(random.normal(0, 0.08)))
        bend = random.normal(0, 0.5) / max(length, 1)
        found = _window(labels, centre, int(length / 2 + width) + 2, self._turn())
        if found is None:
            return False
        window, along, across = found
        half = max(0.0, (length - width) / 2)
        across = across - bend * along**2 * (self.angle is None)
        mask = (along - np.clip(along, -half, half)) ** 2 + across**2 < (width / 2) ** 2
        return _set(window, mask, number, 0.2, over=False)

    def _turn(self) -> float:
        if self.angle is not None:
            return self.angle
        free = self.random.uniform(0, np.pi)
        return free if self.order is None else self.order + self.random.normal(0, 0.25)


def _scattered(centres: Floats, side: int, stamp: _Stamp) -> Labels:
    labels, number = np.zeros((side, side), np.int32), 0
    for centre in centres:
        number += stamp.put(labels, centre, number + 1)
    return labels


def _window(
    labels: Labels, centre: Floats, reach: int, angle: float
) -> tuple[Labels, Floats, Floats] | None:
    """Part of a label map around a centre, with coordinates along and across a direction."""
    starts = [max(0, int(c) - reach) for c in centre]
    stops = [min(len(labels), int(c) + reach + 1) for c in centre]
    if starts[0] >= stops[0] or starts[1] >= stops[1]:
        return None
    y, x = np.mgrid[starts[0] : stops[0], starts[1] : stops[1]]
    y, x = y - centre[0], x - centre[1]
    along = y * np.sin(angle) + x * np.cos(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    return labels[starts[0] : stops[0], starts[1] : stops[1]], along, across


def _set(window: Labels, mask: NDArray[np.bool_], number: int, most: float, *, over: bool) -> bool:
    """Give the pixels of a mask a number unless too many belong to others already."""
    if mask.sum() < LEAST_AREA or (window[mask] > 0).mean() > most:
        return False
    window[mask if over else mask & (window == 0)] = number
    return True
