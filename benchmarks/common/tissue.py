"""Stained tissue with classes, short strokes as a person paints them, and scores beyond them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.draw import line
from skimage.io import imread

from napari_unet.labels.painted import BACKGROUND

NAMES = ("background", "nucleus", "stroma")
WHITE, BRIGHT = 0.15, 0.75  # most saturation and least brightness of glass
SMOOTH = 1.0  # pixels; glass is told from stroma without the camera's noise
STROKES = 3  # of each class
WIDTH = 6  # pixels of a brush
LENGTH = 40, 60  # pixels of a stroke
SHORT = {"nucleus": 15.0}  # least length, where a class has little room
ENOUGH = 0.6  # of the length that was meant, in other classes
MOVE, TURN, WAYS = 3, 0.3, 12  # pixels, radians, and attempts to stay inside
ATTEMPTS = 1500  # at a stroke of full length


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """An image of stained tissue.

    Attributes
    ----------
    name : str
        Of its file.
    image : ndarray of uint8
        ``(Y, X, 3)``.
    truth : ndarray of uint8
        ``(Y, X)``, class of each pixel; see `NAMES`.
    classes : int
        2: nuclei and all else. 3: glass, nuclei and stroma.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    classes: int


def tissue(data: Path, name: str, classes: int) -> Tissue:
    """Read an image of `tnbc`; of three classes, colour tells glass from stroma."""
    image = imread(data / "tnbc" / "images" / f"{name}.png")[..., :3]
    nuclei = imread(data / "tnbc" / "masks" / f"{name}.png") > 0
    if classes == 2:
        return Tissue(name, image, nuclei.astype(np.uint8), classes)
    smooth = ndimage.gaussian_filter(image.astype(float), (SMOOTH, SMOOTH, 0)).astype(np.uint8)
    _, saturation, brightness = np.moveaxis(rgb2hsv(smooth), -1, 0)
    glass = (saturation < WHITE) & (brightness > BRIGHT)
    return Tissue(name, image, np.where(nuclei, 1, np.where(glass, 0, 2)).astype(np.uint8), classes)


def strokes(scene: Tissue, seed: int) -> NDArray[np.uint32]:
    """Paint some strokes of each class: a painted array, ids are classes."""
    random = np.random.default_rng(seed)
    painted = np.zeros(scene.truth.shape, np.uint32)
    for number, name in enumerate(NAMES[: scene.classes]):
        inside, done = ndimage.binary_erosion(scene.truth == number), 0
        for attempt in range(2 * ATTEMPTS):
            meant = random.integers(*LENGTH)
            way, length = _way(inside & (painted == 0), meant, random)
            least = SHORT.get(name, ENOUGH * meant)
            stroke = ndimage.binary_dilation(way, iterations=WIDTH // 2) & (scene.truth == number)
            value = number or BACKGROUND
            near = ndimage.binary_dilation(stroke, iterations=2)
            if (length < least and attempt < ATTEMPTS) or (painted[near] == value).any():
                continue
            painted[stroke & (painted == 0)] = value
            done += 1
            if done == STROKES:
                break
    return painted


def _way(
    free: NDArray[np.bool_], meant: int, random: np.random.Generator
) -> tuple[NDArray[np.bool_], float]:
    """Walk inside a class until the way is as long as it was meant, or finds no way on."""
    way, places = np.zeros(free.shape, bool), np.argwhere(free)
    y, x = (int(n) for n in places[random.integers(len(places))])
    heading, length = random.uniform(0, 2 * np.pi), 0.0
    while length < meant:
        for _ in range(WAYS):
            to = round(y + MOVE * np.sin(heading)), round(x + MOVE * np.cos(heading))
            if all(0 <= n < most for n, most in zip(to, free.shape, strict=True)) and free[to]:
                break
            heading += random.normal(0, 0.8)
        else:
            break
        way[line(y, x, *to)] = True
        (y, x), length = to, length + MOVE
        heading += random.normal(0, TURN)
    return way, length


def mean_iou(found: NDArray[np.integer], scene: Tissue, painted: NDArray[np.uint32]) -> float:
    """Return the intersection over union, averaged over classes, of all that is not painted."""
    beyond = painted == 0
    overlaps = []
    for number in range(scene.classes):
        one, other = found[beyond] == number, scene.truth[beyond] == number
        overlaps.append((one & other).sum() / max(1, (one | other).sum()))
    return float(np.mean(overlaps))
