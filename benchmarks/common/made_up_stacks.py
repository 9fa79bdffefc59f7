"""Made-up volumes and movies of nuclei with their truth, also as pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SPACING = 2  # pixels from plane to plane
SHAPE = (60, 256, 256)  # pixels, before planes are taken
NUCLEI, RADII = 45, (9.0, 15.0)  # pixels
TOUCHING = 0.6  # share of the nuclei that are put at another one
NEAR = 0.94  # distance of touching nuclei, in that at which two balls touch
SIDE, MARGIN = 256, 12  # pixels of a frame, and what nuclei may leave it by
GROWTH = 1.04  # of the radius of a daughter, from frame to frame
DARK, BRIGHT, NOISE = 300.0, (1500.0, 5000.0), 60.0  # grey values

Labels = NDArray[np.int64]
Array = NDArray[np.float64]


# ---- volumes -----------------------------------------------------------------------------------


def volume(seed: int) -> tuple[Labels, NDArray[np.uint16]]:
    """Draw ellipsoids, many of them touching, also above each other.

    Returns
    -------
    truth : ndarray of int64
        ``(Z, Y, X)``, 0 = background; planes are `SPACING` pixels apart.
    image : ndarray of uint16
        ``(Z, Y, X)``, out of focus as a microscope's are.
    """
    random = np.random.default_rng(seed)
    centres, radii = _placed(random)
    semi = radii[:, None] * random.uniform(0.85, 1.0, (len(radii), 3))
    truth = _nearest(SHAPE, centres, semi)
    light = random.uniform(*BRIGHT, len(radii) + 1)
    light[0] = 0
    return truth[::SPACING], _picture(light[truth], (3.0, 1.2, 1.2), random)[::SPACING]


def _placed(random: np.random.Generator) -> tuple[Array, Array]:
    """Return centres ``(N, 3)`` and radii ``(N,)`` of balls that touch, and hardly overlap."""
    centres, radii = np.zeros((0, 3)), np.zeros(0)
    for _ in range(20_000):
        if len(radii) == NUCLEI:
            break
        radius = random.uniform(*RADII)
        if len(radii) and random.random() < TOUCHING:
            other = random.integers(len(radii))
            away = random.normal(size=3)
            reach = NEAR * (radii[other] + radius) / np.linalg.norm(away)
            centre = centres[other] + away * reach
        else:
            centre = random.uniform(0, SHAPE)
        inside = ((centre > radius) & (centre < np.array(SHAPE) - radius)).all()
        apart = np.linalg.norm(centres - centre, axis=1) >= NEAR * (radii + radius) - 1e-9
        if inside and apart.all():
            centres, radii = np.vstack([centres, centre]), np.append(radii, radius)
    return centres, radii


def _nearest(shape: tuple[int, ...], centres: Array, semi: Array) -> Labels:
    """Label each pixel by the ellipsoid it lies deepest in: 1 + its number."""
    labels, depth = np.zeros(shape, np.int64), np.ones(shape)
    for number, (centre, axes) in enumerate(zip(centres, semi, strict=True), 1):
        start = np.maximum(np.floor(centre - axes).astype(int), 0)
        stop = np.minimum(np.ceil(centre + axes).astype(int) + 1, shape)
        if (start >= stop).any():
            continue
        part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        away = sum(((g - c) / r) ** 2 for g, c, r in zip(np.ogrid[part], centre, axes, strict=True))
        nearer = away < depth[part]
        depth[part][nearer] = away[nearer]
        labels[part][nearer] = number
    return labels


def _picture(
    light: Array, blur: tuple[float, ...], random: np.random.Generator
) -> NDArray[np.uint16]:
    """Give grey values to what shines: texture, blur and noise."""
    rough = ndimage.gaussian_filter(random.normal(size=light.shape), 2.0)
    textured = light * (1 + 0.2 * rough / max(float(rough.std()), 1e-9))
    image = ndimage.gaussian_filter(textured, blur) + DARK
    noisy = image + random.normal(size=image.shape) * (NOISE + np.sqrt(np.maximum(image, 0)))
    return np.clip(noisy, 0, 65535).astype(np.uint16)


def with_wrong_planes(truth: Labels, seed: int) -> Labels:
    """Leave some sections out, and join some that touch, in planes that are not neighbours."""
    random, wrong = np.random.default_rng(seed), truth.copy()
    for plane in wrong[1::2]:
        ids = np.unique(plane)[1:]
        plane[np.isin(plane, ids[random.random(len(ids)) < 0.1])] = 0
        for axis in (0, 1):
            one, other = plane[:-1, :-1], np.roll(plane, -1, axis)[:-1, :-1]
            met = (one > 0) & (other > 0) & (one != other)
            pairs = np.unique(np.stack([one[met], other[met]]), axis=1).T
            for first, second in pairs[random.random(len(pairs)) < 0.1]:
                plane[plane == second] = first
    return wrong


def apart(labels: Labels, seed: int) -> Labels:
    """Give the objects of each plane ids of their own, in any order."""
    random, result, first = np.random.default_rng(seed), np.zeros_like(labels), 1
    for index in np.ndindex(*labels.shape[:-2]):
        ids, places = np.unique(labels[index], return_inverse=True)
        new = first + random.permutation(len(ids))
        new[ids == 0] = 0
        result[index] = new[places.reshape(labels.shape[-2:])]
        first += len(ids)
    return result


# ---- movies ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens in a movie.

    Attributes
    ----------
    cells : int
        At its beginning; as many enter as leave.
    speed : float
        Pixels from frame to frame; a cell keeps its direction for a while.
    dividing : float
        Share of the cells that divide, in each frame.
    lost : float
        Share of the cells that are not seen, in each frame.
    frames : int
        Its length.
    """

    cells: int = 25
    speed: float = 3.0
    dividing: float = 0.0
    lost: float = 0.0
    frames: int = 40


@dataclass(slots=True)
class _Cell:
    id: int
    place: Array
    velocity: Array
    radius: float
    full: float
    seen: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Movie:
    """A movie with its truth.

    Attributes
    ----------
    truth : ndarray of int64
        ``(T, Y, X)``, id of the track, 0 = background.
    parents : dict of int to int
        Parent of each track that comes of a division.
    image : ndarray of uint16
        ``(T, Y, X)``.
    """

    truth: Labels
    parents: dict[int, int]
    image: NDArray[np.uint16]


class _Dish:
    """Cells that move, push each other away, divide, enter and leave."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.random = scene, np.random.default_rng(seed)
        self.cells: list[_Cell] = []
        self.parents: dict[int, int] = {}
        self.count = 0
        for _ in range(scene.cells):
            self._add(self.random.uniform(0, SIDE, 2), self.random.uniform(8, 12))
        for _ in range(30):
            self._push()

    def _add(self, place: Array, full: float, radius: float | None = None) -> _Cell:
        self.count += 1
        velocity = self.random.normal(0, self.scene.speed / np.sqrt(2), 2)
        cell = _Cell(self.count, place, velocity, radius or full, full)
        self.cells.append(cell)
        return cell

    def step(self) -> None:
        """Go on by one frame."""
        spread = self.scene.speed / np.sqrt(2)
        for cell in self.cells:
            cell.velocity = 0.8 * cell.velocity + 0.6 * self.random.normal(0, spread, 2)
            cell.place = cell.place + cell.velocity
            cell.radius = min(cell.full, cell.radius * GROWTH)
            cell.seen = not cell.seen or self.random.random() >= self.scene.lost
        for cell in list(self.cells):
            if cell.radius >= cell.full and self.random.random() < self.scene.dividing:
                self._divide(cell)
        for _ in range(4):
            self._push()
        inside = [((c.place > -MARGIN) & (c.place < SIDE + MARGIN)).all() for c in self.cells]
        self.cells = [c for c, stays in zip(self.cells, inside, strict=True) if stays]
        while len(self.cells) < self.scene.cells:
            place = self.random.uniform(0, SIDE, 2)
            place[self.random.integers(2)] = self.random.choice([-MARGIN, SIDE + MARGIN])
            self._add(place, self.random.uniform(8, 12))

    def _divide(self, mother: _Cell) -> None:
        turn = self.random.uniform(0, 2 * np.pi)
        away = np.array([np.sin(turn), np.cos(turn)]) * mother.radius * 0.75
        for side in (away, -away):
            cell = self._add(mother.place + side, mother.full, mother.radius * 0.72)
            cell.velocity = side * 0.2
            self.parents[cell.id] = mother.id
        self.cells.remove(mother)

    def _push(self) -> None:
        for i, one in enumerate(self.cells):
            for other in self.cells[i + 1 :]:
                gap = other.place - one.place
                far = max(float(np.hypot(*gap)), 1e-6)
                overlap = NEAR * (one.radius + other.radius) - far
                if overlap > 0:
                    one.place = one.place - gap / far * overlap / 2
                    other.place = other.place + gap / far * overlap / 2

    def labels(self) -> Labels:
        """Return the ids of what is seen, ``(Y, X)``."""
        seen = [cell for cell in self.cells if cell.seen]
        ids = np.array([0, *(cell.id for cell in seen)])
        centres = np.array([cell.place for cell in seen]).reshape(-1, 2)
        radii = np.array([[cell.radius] * 2 for cell in seen]).reshape(-1, 2)
        return ids[_nearest((SIDE, SIDE), centres, radii)]


def movie(scene: Scene, seed: int) -> Movie:
    """Draw a movie; a track that is never seen is no parent and has none."""
    dish, frames = _Dish(scene, seed), []
    for _ in range(scene.frames):
        frames.append(dish.labels())
        dish.step()
    truth = np.stack(frames)
    present = set(np.unique(truth).tolist())
    parents = {c: p for c, p in dish.parents.items() if {c, p} <= present}
    random = np.random.default_rng(seed)
    light = random.uniform(*BRIGHT, dish.count + 1)
    light[0] = 0
    image = np.stack([_picture(light[frame], (1.2, 1.2), random) for frame in truth])
    return Movie(truth, parents, image)
