"""Outlines of truth (green) and prediction (magenta) on images, to look at.

Of those for docs one shows only images that may be passed on: crops of mnfinder's validation images
and scikit-image's samples; the other has twelve varied ones, outlines without the images. With the
images these are written next to the model's run. The worst images may not be passed on either: docs
have their outlines only. Of the sets for a model of any cell both pictures go where one says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import skimage.data
import skimage.segmentation
import skimage.transform
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont
from skimage.io import imsave

from benchmarks.common.image_sets import MNFINDER, Sample, samples
from benchmarks.common.matching import count, faults, match
from benchmarks.common.tables import ROOT
from napari_unet.image import Image
from napari_unet.intensity import percentiles
from napari_unet.models.library import Model
from napari_unet.segmentation import open_image, segment
from napari_unet.settings import DecodeSettings

FULL = ROOT / "runs" / "predictions.png"
WORST = ROOT / "docs" / "worst.png"
SHOWN = 10  # of the worst images
SIDE = 320  # pixels of an image in the picture
CROP = 256  # pixels of the image
GAP = 6
COLUMNS = 4
GREEN, MAGENTA, WHITE, BLACK = (0, 220, 0), (255, 0, 255), (255, 255, 255), (0, 0, 0)
TEXT = 14  # pixels; height of letters
ALIKE = (MNFINDER,)  # sets that look as another one does: twelve are left to draw
PICKED = (("fluo", 6), ("colour", 4), ("brightfield_grey", 1))

Item = tuple[Image, NDArray[Any] | None]
"""An image and its truth, None if it has none."""


def draw(data: Path, model: Model, decode: DecodeSettings | None, public: Path) -> None:
    """Write the pictures.

    Parameters
    ----------
    data : Path
        Folder of the image sets.
    model : Model
        Whose predictions to draw.
    decode : DecodeSettings or None
        Thresholds; None = the card's.
    public : Path
        The picture that may be passed on.
    """
    val = samples(data, "val")
    bare = public.with_name(f"{public.stem}-varied.png")
    for path, items in ((FULL, _varied(val)), (public, _public(val))):
        path.parent.mkdir(parents=True, exist_ok=True)
        found = [(i, truth, segment(i, model, decode=decode).labels) for i, truth in items]
        _write(path, [outlined(*one) for one in found])
        if path == FULL:
            _write(bare, [outlined(None, truth, labels) for _, truth, labels in found])


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """One image that was segmented.

    Attributes
    ----------
    sample : Sample
        The image.
    truth, found : ndarray of int
        ``(Y, X)``, 0 = background.
    """

    sample: Sample
    truth: NDArray[Any]
    found: NDArray[Any]

    @property
    def score(self) -> float:
        """AP at 0.5."""
        return float(count([match(self.truth, self.found)]).each[0, 0])


def segmented(chosen: Sequence[Sample], model: Model) -> list[Segmented]:
    """Segment images with default settings; the one that went worst comes first."""
    found = [Segmented(s, s.truth(), segment(s.image(), model).labels) for s in chosen]
    return sorted(found, key=lambda one: one.score)


def line(number: int, one: Segmented) -> list[str]:
    """One row of the table."""
    objects = (str(len(np.unique(a[a > 0]))) for a in (one.truth, one.found))
    counted = map(str, faults(one.truth, one.found))
    return [str(number), one.sample.group, f"{one.score:.2f}", *objects, *counted]


def draw_worst(val: Sequence[Sample], model: Model, *, write: bool) -> list[list[str]]:
    """Draw the images that went worst into runs/, their outlines into docs.

    Parameters
    ----------
    val : sequence of Sample
        Images to segment.
    model : Model
        What segments them.
    write : bool
        Whether the picture in docs is replaced.

    Returns
    -------
    list of list of str
        A row for each image: how it scored, and what was merged, split, missed and invented.
    """
    worst = segmented(val, model)[:SHOWN]
    full = ROOT / "runs" / WORST.name
    full.parent.mkdir(parents=True, exist_ok=True)
    _write(full, [outlined(f.sample.image(), f.truth, f.found) for f in worst])
    if write:
        _write(WORST, [outlined(None, f.truth, f.found) for f in worst])
    return [line(number, one) for number, one in enumerate(worst, start=1)]


def draw_sets(val: Sequence[Sample], model: Model, path: Path) -> list[list[str]]:
    """Draw one image of each set, and beside it the images that went worst.

    Of a set one sees the image with the median AP; the sets in `ALIKE` are left out. The other
    picture has ``-worst`` in its name.

    Parameters
    ----------
    val : sequence of Sample
        Images to segment.
    model : Model
        What segments them.
    path : Path
        The picture of the sets.

    Returns
    -------
    list of list of str
        A row for each of the worst images, as of `draw_worst`.
    """
    found = segmented(val, model)
    sets = [s for s in dict.fromkeys(sample.group for sample in val) if s not in ALIKE]
    members = [[one for one in found if one.sample.group == name] for name in sets]
    worst = found[:SHOWN]
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, [captioned(each[(len(each) - 1) // 2]) for each in members])
    _write(path.with_stem(f"{path.stem}-worst"), [captioned(one) for one in worst])
    return [line(number, one) for number, one in enumerate(worst, start=1)]


def captioned(one: Segmented) -> NDArray[np.uint8]:
    """Return an image with outlines, its set and its AP."""
    tile = PIL.Image.fromarray(outlined(one.sample.image(), one.truth, one.found))
    text, font = f"{one.sample.group}: AP@.5 {one.score:.2f}", ImageFont.load_default(TEXT)
    ImageDraw.Draw(tile).text((4, 2), text, WHITE, font, stroke_width=2, stroke_fill=BLACK)
    return np.array(tile)


def _write(path: Path, tiles: Sequence[NDArray[np.uint8]]) -> None:
    imsave(path, mosaic(tiles), check_contrast=False)
    print(f"wrote {path}")


def _varied(val: Sequence[Sample]) -> Iterator[Item]:
    """Yield images of every kind, each of another field of view, evenly spread over the list."""
    for modality, number in PICKED:
        members = {s.field: s for s in val if s.group.endswith(modality)}
        fields = sorted(members)
        for i in np.linspace(0, len(fields) - 1, min(number, len(fields))).round().astype(int):
            yield _item(members[fields[i]])
        rest = [s for s in val if s.group.endswith(modality) and s not in members.values()]
        for sample in rest[: max(0, number - len(fields))]:
            yield _item(sample)
    yield _item(next(s for s in val if s.group == MNFINDER))


def _public(val: Sequence[Sample]) -> Iterator[Item]:
    for sample in val:
        if sample.group == MNFINDER:
            yield _item(sample)
    shipped: Any = skimage.data  # lazy and without types
    yield open_image(shipped.immunohistochemistry()), None


def _item(sample: Sample) -> Item:
    return sample.image(), sample.truth()


def outlined(
    image: Image | None, truth: NDArray[Any] | None, labels: NDArray[Any]
) -> NDArray[np.uint8]:
    """Draw the outlines where most is covered by objects, on black if there is no image."""
    crop = _fullest(labels if truth is None else truth)
    shown = np.zeros((*labels.shape, 3), np.uint8) if image is None else _display(image)
    picture = _enlarge(shown[crop])
    segmentation: Any = skimage.segmentation  # without types
    for part, colour in ((truth, GREEN), (labels, MAGENTA)):
        if part is not None:
            enlarged = _enlarge(part[crop].astype(np.int64))
            picture[segmentation.find_boundaries(enlarged, mode="inner")] = colour
    return picture


def _fullest(labels: NDArray[Any]) -> tuple[slice, slice]:
    """Return the crop with most object pixels."""
    height, width = (max(1, n - CROP + 1) for n in labels.shape)
    covered = labels > 0
    crops = [
        np.s_[y : y + CROP, x : x + CROP]
        for y in range(0, height, CROP // 8)
        for x in range(0, width, CROP // 8)
    ]
    return max(crops, key=lambda crop: int(np.count_nonzero(covered[crop])))


def _display(image: Image) -> NDArray[np.uint8]:
    """Return ``(Y, X, 3)``, colours as they are and grey values stretched."""
    array = np.asarray(image.data)
    if array.ndim == 3:
        return array[..., :3].astype(np.uint8)
    low, high = percentiles(array)
    grey = np.clip((array - low) / max(high - low, 1e-9), 0, 1)
    return np.repeat((255 * grey)[..., None], 3, axis=2).astype(np.uint8)


def _enlarge(array: NDArray[Any]) -> NDArray[Any]:
    """Fit into a square by repeating pixels, so that ids stay ids."""
    scale = SIDE / max(array.shape[:2])
    shape = tuple(round(n * scale) for n in array.shape[:2]) + array.shape[2:]
    transform: Any = skimage.transform  # without types
    grown = transform.resize(array, shape, order=0, preserve_range=True, anti_aliasing=False)
    return np.asarray(grown).astype(array.dtype)


def mosaic(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures side by side, row by row."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    step = SIDE + GAP
    canvas = np.full((rows * step - GAP, columns * step - GAP, 3), WHITE, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * step, number % columns * step
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas
