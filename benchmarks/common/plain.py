"""The plain path: a network on a whole image at its true scale, for networks of any outputs."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed
from skimage.transform import resize

from benchmarks.common.image_sets import Sample
from benchmarks.common.matching import Matching, match
from napari_unet.image import Box, Image
from napari_unet.intensity import grey_limits, normalise
from napari_unet.labels.watershed import decode
from napari_unet.models.card import ModelCard
from napari_unet.network.unet import UNet
from napari_unet.tiling.resample import resized

CELL, BORDER, DISTANCE = 1, 2, 3
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Looking:
    """How probability maps are made and decoded.

    Attributes
    ----------
    flips : bool
        Whether the probabilities are the mean over the eight flips and turns.
    seeds : {"prominence", "components"}
        Summits of the distance, as the library has it, or connected pixels with p(cell) > 0.5.
    grid : {"image", "network"}
        Where objects are made; from the network's grid they are enlarged or reduced afterwards.
    """

    flips: bool = False
    seeds: Literal["prominence", "components"] = "prominence"
    grid: Literal["image", "network"] = "image"


def look_at(sample: Sample, network: UNet, card: ModelCard, looking: Looking) -> Matching:
    """Segment one image with a network and compare with the truth."""
    truth = sample.truth().astype(np.int32)
    image = given(sample.image(), card)
    diameter = sample.diameter()
    zoom = card.zoom(diameter) if diameter else 1.0
    maps = probability_map(network, card, image, zoom, looking)
    return match(truth, labels_of(maps, truth.shape, card, looking))


def grey(image: Image, *, bright_objects: bool) -> Array:
    """Return the image's first plane as a network of one channel is given it, ``(Y, X)``."""
    return _first_plane(image, 1, bright_objects)[0]


def given(image: Image, card: ModelCard) -> Array:
    """Return the image's first plane as a network is given it, ``(C, Y, X)``.

    For a network of three channels a grey image is the same three times.
    """
    wanted, bright = card.spec.in_channels, card.polarity == "bright"
    if image.channels >= wanted:
        return _first_plane(image, wanted, bright)
    return np.repeat(_first_plane(image, 1, bright), wanted, axis=0)


def _first_plane(image: Image, channels: int, bright_objects: bool) -> Array:
    box = Box((0, 0), image.shape)
    pixels = image.read((0,) * len(image.leading_axes), box, channels)
    planes = [normalise(c, grey_limits(c, bright_objects=bright_objects)) for c in pixels]
    return np.stack(planes)


def probability_map(
    network: UNet, card: ModelCard, image: Array, zoom: float, looking: Looking
) -> NDArray[np.uint8]:
    """Return the probability map ``(3, Y, X)`` on the network's grid, with outputs made up."""
    shape = (round(image.shape[1] * zoom), round(image.shape[2] * zoom))
    image = resized(image, shape)
    turns = [(0, False)]
    if looking.flips:
        turns = [(k, flip) for k in range(4) for flip in (False, True)]
    found = np.mean([_turned(network, image, k, flip) for k, flip in turns], axis=0)
    classes = card.spec.classes
    cell = found[CELL]
    border = found[BORDER] if classes > BORDER else np.zeros_like(cell)
    distance = found[classes] if card.spec.distance else distance_of(cell > 0.5)
    return np.rint(np.clip(np.stack([cell, border, distance]), 0, 1) * 255).astype(np.uint8)


def _turned(network: UNet, image: Array, turns: int, flip: bool) -> Array:
    """Probabilities of a turned image ``(C, Y, X)``, turned back."""
    turned = np.rot90(image[:, ::-1] if flip else image, turns, axes=(1, 2))
    found = np.rot90(probabilities(network, np.ascontiguousarray(turned)), -turns, axes=(1, 2))
    return found[:, ::-1] if flip else found


def probabilities(network: UNet, image: Array) -> Array:
    """Run a network on a whole plane ``(C, Y, X)``, mirrored up to a size that pools evenly."""
    spec = network.spec
    rim = spec.shrink
    widths = [(0, 0)]
    for length in image.shape[1:]:
        wanted = length + 2 * rim
        widths.append((rim, rim + spec.next_valid_length(wanted) - wanted))
    padded = np.pad(image, widths, mode="symmetric")
    batch = torch.from_numpy(padded)[None].to(next(network.parameters()).dtype)
    with torch.inference_mode():
        output = network(batch.contiguous(memory_format=torch.channels_last))
        output = output[0, :, : image.shape[1], : image.shape[2]].float()
        classes = torch.softmax(output[: spec.classes], dim=0)
        found: Array = torch.cat([classes, output[spec.classes :]]).numpy()
    return found


def distance_of(mask: NDArray[np.bool_]) -> Array:
    """Distance to the edge of each connected piece, scaled to reach 1 in it."""
    pieces, count = ndimage.label(mask)
    distance = ndimage.distance_transform_edt(mask)
    largest = np.maximum(ndimage.maximum(distance, pieces, np.arange(count + 1)), 1)
    scaled: Array = (distance / np.asarray(largest)[pieces]).astype(np.float32)
    return scaled


def labels_of(
    maps: NDArray[np.uint8], shape: tuple[int, ...], card: ModelCard, looking: Looking
) -> NDArray[Any]:
    """Make objects of a probability map, on the image's grid of `shape`."""
    size = (shape[0], shape[1])
    if looking.grid == "image" and maps.shape[1:] != size:
        maps = np.rint(resized(maps.astype(np.float32), size)).astype(np.uint8)
    found = decode(maps, card.decode) if looking.seeds == "prominence" else components(maps)
    if found.shape == size:
        return found
    return resize(found, size, order=0, anti_aliasing=False, preserve_range=True).astype(np.int32)


def components(maps: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Connected pixels of the cell class, grown over the touching border."""
    seeds, _ = ndimage.label(maps[0] > 127)
    mask = maps[:2].sum(axis=0, dtype=np.int32) > 127
    grown: NDArray[np.int32] = watershed(-maps[0].astype(np.int32), seeds, mask=mask)
    return grown
