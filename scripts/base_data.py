"""Training images of the bundled models: read, brought to the model's scale, drawn from."""

import csv
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the field's usual name)
from base_crowd import crowded
from base_recipe import Phase, Recipe
from base_split import further_training_images
from numpy.typing import NDArray
from skimage.io import imread
from skimage.measure import label
from skimage.morphology import dilation, disk
from skimage.segmentation import relabel_sequential
from skimage.transform import resize

from napari_unet.intensity import grey_limits, normalise
from napari_unet.labels.watershed import object_diameters, typical_diameter
from napari_unet.models.card import ModelCard
from napari_unet.network.outputs import BORDER, CELL
from napari_unet.tiling.resample import resized
from napari_unet.training.augment import (
    Augmentation,
    change_intensity,
    sampling_grid,
    uniform,
    view,
)
from napari_unet.training.synthetic import VERSION, made_up_cells, made_up_nuclei
from napari_unet.training.targets import (
    UNKNOWN,
    border_weights,
    class_target,
    diameter_target,
    distance_target,
)

PART = 200  # images in one file of the cache
USUAL_MADE_UP = 18.0  # pixels; made-up images of smaller cells are cut
PLACES = 2000  # pixels of objects that are remembered of each image
MIXTURES = 5  # of a colour image's channels, beside the average
KINDS = ("image", "mask")
MISFIT = (2.8, 4.5)  # how many times too large or too small objects of a misfit crop are
FIT = 2.0  # factor within which an object of a misfit crop has a size that the model is used to
FAR = (1.6, 4.5)  # the same of the crops that train the diameter only
PAIRED = 0.5  # of the crops of made-up cells show their nuclei, too
MISFIT_WEIGHT = 0.5  # of a pixel of a misfit crop, but 0 in objects of a known size
Sample = dict[str, Any]


def training_images(data: Path, groups: list[str]) -> list[Sample]:
    """List the training images of some groups (modalities), each with its cluster (field)."""
    rows = []
    with open(data / "dsb2018" / "split.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                place = {k: data / "dsb2018" / f"{k}s" / f"{row['name']}.png" for k in KINDS}
                rows.append({**place, "group": row["modality"], "cluster": row["mosaic"]})
    for name in ("mnfinder", "usiigaci"):
        for image in sorted((data / name / "train" / "images").glob("*.png")):
            mask = data / name / "train" / "masks" / image.name
            rows.append({"image": image, "mask": mask, "group": name, "cluster": image.stem})
    rows += further_training_images(data)
    return [row for row in rows if row["group"] in groups]


def load(row: Sample, recipe: Recipe) -> Sample:
    """Read one image, prepare it as inference does, and compute its targets once."""
    pixels, labels = pixels_of(row)
    card = recipe.card
    bright = card.polarity == "bright"
    images = [
        normalise(grey, grey_limits(grey, bright_objects=bright))
        for grey in mixtures(pixels, recipe)
    ]
    image, labels = at_model_scale(np.stack(images), labels, card)
    random = np.random.default_rng(recipe.seed)
    dense = crowded(image, labels, random) if recipe.is_crowded else None
    return {
        "planes": planes_of(image, labels, recipe),
        "centres": centres_of(labels, recipe),
        "crowded": None if dense is None else planes_of(*dense, recipe),
        "group": row["group"],
        "cluster": row["cluster"],
    }


def load_nuclei(row: Sample, recipe: Recipe) -> torch.Tensor:
    """Make up the nuclei ``(1, Y, X)`` of made-up cells, as large as their sample."""
    made = made_up_cells(row["seed"])
    nuclei = made_up_nuclei(row["seed"], made.labels)
    _, labels = pixels_of(row)
    height, width = labels.shape
    image, _ = at_model_scale(nuclei[None, :height, :width], labels, recipe.card)
    return torch.from_numpy(image.astype(np.float16))


def pixels_of(row: Sample) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Read, or make up, an image ``(Y, X [, C])`` and its labels."""
    if "seed" not in row:
        return imread(row["image"]), imread(row["mask"]).astype(np.int32)
    made = made_up_cells(row["seed"])
    # small cells are magnified: as many pixels are kept as the network has use for
    side = round(len(made.image) * min(1.0, made.diameter / USUAL_MADE_UP))
    labels, _, _ = relabel_sequential(made.labels[:side, :side])
    if labels.max() == 0:
        return made.image, made.labels
    return made.image[:side, :side], labels


def planes_of(
    image: NDArray[np.float32], labels: NDArray[np.int32], recipe: Recipe
) -> torch.Tensor:
    """Distance, weights, classes, perhaps the diameter, and image, ``(3 [+ 1] + C, Y, X)``."""
    card, peak = recipe.card, recipe.weight_peak
    known = border_weights(labels, peak) if peak else np.zeros(labels.shape, np.float32)
    classes = class_target(labels)
    if card.spec.classes == 2:  # as in the paper: a line of background where two objects touch
        classes = np.where(labels > 0, ~touching_line(labels), 0)
    truths = [distance_target(labels), known, classes]
    if card.spec.diameter:
        truths.append(diameter_target(labels, card.object_diameter))
    planes = np.concatenate([truths, image])
    return torch.from_numpy(planes.astype(np.float16))


def centres_of(labels: NDArray[np.int32], recipe: Recipe) -> torch.Tensor:
    """Some pixels of objects, ``(N, 2)``."""
    centres = np.argwhere(labels > 0)
    keep = np.random.default_rng(recipe.seed).permutation(len(centres))[:PLACES]
    return torch.from_numpy(centres[keep])


def touching_line(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels of an object beside another object."""
    beside = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        one, other = np.swapaxes(labels, 0, axis)[:-1], np.swapaxes(labels, 0, axis)[1:]
        met = (one != other) & (one > 0) & (other > 0)
        np.swapaxes(beside, 0, axis)[:-1] |= met
        np.swapaxes(beside, 0, axis)[1:] |= met
    return beside


def mixtures(pixels: NDArray[Any], recipe: Recipe) -> list[NDArray[Any]]:
    """Grey images of a colour one: the average first, as inference has it, then others.

    For a network that is given colour they are the channels, for grey images all the same.

    Stains differ from laboratory to laboratory; what is dark in another mixture of the channels
    is what another stain makes dark in the average.
    """
    wanted = recipe.card.spec.in_channels
    if pixels.ndim == 2:
        return [pixels] * wanted
    channels = pixels[..., :3].astype(np.float32)
    if wanted == channels.shape[-1]:
        return list(np.moveaxis(channels, -1, 0))
    found = [channels.mean(axis=-1)]
    if recipe.mixed and np.ptp(channels, axis=-1).max() > 0:
        random = np.random.default_rng(recipe.seed)
        found += [channels @ w for w in random.dirichlet((0.7, 0.7, 0.7), MIXTURES)]
    return found


def at_model_scale(
    image: NDArray[np.float32], labels: NDArray[np.int32], card: ModelCard
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Resize an image ``(C, Y, X)`` whose objects are smaller or larger than the model expects."""
    diameters = object_diameters(labels)
    if not diameters.size:
        return image, labels
    zoom = card.zoom(typical_diameter(diameters))
    if zoom == 1:
        return image, labels
    shape = round(labels.shape[0] * zoom), round(labels.shape[1] * zoom)
    nearest = resize(labels, shape, order=0, anti_aliasing=False, preserve_range=True)
    return resized(image, shape), nearest.astype(np.int32)


def load_all(data: Path, folder: Path, recipe: Recipe) -> list[Sample]:
    """Load every training image, from the cache of an earlier start if there is one."""
    card = recipe.card
    scale = (card.object_diameter, card.diameter_range, card.polarity, card.spec.classes)
    shares = sorted(recipe.shares)
    knobs = repr((scale, shares, recipe.weight_peak, recipe.mixed, recipe.seed, recipe.is_crowded))
    if card.spec.in_channels > 1:
        knobs += f" {card.spec.in_channels} channels"
    if card.spec.diameter:
        knobs += " diameter"
    name = f"samples-{hashlib.sha256(knobs.encode()).hexdigest()[:8]}"
    made_up = [made_up_row(n) for n in range(recipe.made_up)]
    found = load_parts(training_images(data, list(recipe.shares)), folder / name, load, recipe)
    drawn = folder / f"{name}-made-up-{VERSION}"
    cells = load_parts(made_up, drawn, load, recipe)
    if card.spec.nuclei:
        nuclei = load_parts(made_up, drawn.with_name(f"{drawn.name}-nuclei"), load_nuclei, recipe)
        cells = [{**one, "nuclei": seen} for one, seen in zip(cells, nuclei, strict=True)]
    return [sample for sample in found + cells if sample["cluster"] not in recipe.without]


def load_parts(
    rows: list[Sample], place: Path, load_one: Callable[[Sample, Recipe], Any], recipe: Recipe
) -> list[Any]:
    """Load images part by part; their pixels stay in the cache files until a crop needs them."""
    found: list[Any] = []
    for begin in range(0, len(rows), PART):
        part = rows[begin : begin + PART]
        cache = place.with_name(f"{place.name}-{begin}-{len(part)}.pt")
        if not cache.exists():
            cache.parent.mkdir(parents=True, exist_ok=True)
            begun = cache.with_suffix(".part")
            torch.save([load_one(row, recipe) for row in part], begun)
            begun.replace(cache)
        found += torch.load(cache, weights_only=True, mmap=True)
    return found


def made_up_row(seed: int) -> Sample:
    """One image of made-up cells; all are one cluster."""
    return {"seed": seed, "group": "made_up", "cluster": "made_up"}


class Sampler:
    """Draws batches: a group by its share, a cluster by √size, an image, a place, a view."""

    def __init__(self, samples: list[Sample], recipe: Recipe) -> None:
        self.samples, self.recipe = samples, recipe
        clusters: dict[tuple[str, str], list[int]] = {}
        for index, sample in enumerate(samples):
            clusters.setdefault((sample["group"], sample["cluster"]), []).append(index)
        self.clusters = list(clusters.values())
        weights = torch.zeros(len(clusters))
        for group, share in recipe.shares.items():
            sizes = torch.tensor(
                [math.sqrt(len(m)) if key[0] == group else 0.0 for key, m in clusters.items()]
            )
            weights += share * sizes / sizes.sum().clamp(min=1e-9)
        self.weights = weights

    def batch(self, phase: Phase, random: torch.Generator) -> torch.Tensor:
        """``(N, C + 3 [+ 1], CROP, CROP)``: image, nuclei, distance, weights, classes, diameter."""
        crops = [self.crop(phase, random) for _ in range(self.recipe.batch)]
        return torch.stack(crops)

    def crop(self, phase: Phase, random: torch.Generator) -> torch.Tensor:
        """One augmented crop ``(C + 3 [+ 1], CROP, CROP)``; see `batch`."""
        size, augmentation = self.recipe.crop, phase.augmentation
        cluster = self.clusters[int(torch.multinomial(self.weights, 1, generator=random))]
        sample = self.samples[cluster[int(uniform(0, len(cluster), random))]]
        paired = "nuclei" in sample and uniform(0, 1, random) < PAIRED
        if paired:
            both = torch.cat([sample["planes"], sample["nuclei"]])
            sample = {**sample, "planes": both, "crowded": None}
        planes, centres = sample["planes"], sample["centres"]
        recipe, truths = self.recipe, self.recipe.truths
        misfit = uniform(0, 1, random) < recipe.misfit
        far = recipe.far > 0 and uniform(0, 1, random) < recipe.far
        dense = phase.crowded > 0 and uniform(0, 1, random) < phase.crowded
        if dense and not (misfit or far) and sample["crowded"] is not None:
            planes = sample["crowded"]
        if misfit or far:
            planes, centres, augmentation = far_too_large_or_small(
                sample, FAR if far else MISFIT, truths, augmentation, random
            )
        centre = self._place(planes.shape[1:], centres, random)
        grid = sampling_grid(size, centre, augmentation, random)
        channels = self.recipe.card.spec.in_channels
        mixed = len(planes) - truths - int(paired)
        first = truths if channels > 1 else truths + int(uniform(0, mixed, random))
        image = planes[first : first + channels].float()
        distance, weights, classes = planes[:3, None].float()
        # A mirrored object that the border cuts has a shape no cell has: nothing is learned there.
        inside = view(torch.ones_like(weights), grid, "nearest", outside="zeros")
        classes = view(classes, grid, "nearest")
        weights = (
            1 + view(weights, grid, "bilinear") + (self.recipe.border - 1) * (classes == BORDER)
        )
        image = change_intensity(view(image, grid, "bilinear"), augmentation, random)
        if recipe.card.spec.nuclei:
            image = torch.cat([image, nuclei_seen(planes, grid, augmentation, random, paired)])
        distance = view(distance, grid, "bilinear")
        if misfit:
            weights = MISFIT_WEIGHT * ~of_known_size(classes, self.recipe.card)
            classes, distance = torch.zeros_like(classes), torch.zeros_like(distance)
        if truths == 3:
            return torch.cat([image, distance, weights * inside, classes])
        # mirrored objects are as large as real ones; those that the image's edge cuts are unknown
        diameter = diameter_seen(planes[3:4].float(), grid)
        return torch.cat([image, distance, weights * inside * (not far), classes, diameter])

    def _place(
        self, shape: torch.Size, centres: torch.Tensor, random: torch.Generator
    ) -> tuple[float, float]:
        if len(centres) and uniform(0, 1, random) < self.recipe.on_object:
            y, x = centres[int(uniform(0, len(centres), random))].tolist()
        else:
            y, x = (uniform(0, length, random) for length in shape)
        # the part of a crop that valid convolutions predict; an image's rim has to be there, too
        window = self.recipe.crop - 2 * self.recipe.card.spec.shrink
        jitter = window / 4
        places = (
            place(c + uniform(-jitter, jitter, random), length, window)
            for c, length in zip((y, x), shape, strict=True)
        )
        return next(places), next(places)


def far_too_large_or_small(
    sample: Sample,
    factors: tuple[float, float],
    truths: int,
    augmentation: Augmentation,
    random: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, Augmentation]:
    """Planes, centres and views of an image that is magnified or reduced by some factor."""
    planes, centres = sample["planes"], sample["centres"]
    if uniform(0, 1, random) < 0.5:
        return planes, centres, replace(augmentation, scale=factors, elastic=0.0, still=0.0)
    factor = uniform(*factors, random)
    shape = [max(16, round(n / factor)) for n in planes.shape[1:]]
    image = F.interpolate(planes[None, truths:].float(), shape, mode="bilinear", antialias=True)[0]
    truth = F.interpolate(planes[None, :truths].float(), shape, mode="nearest")[0]
    truth[3:][truth[3:] > UNKNOWN] -= math.log2(factor)
    calm = replace(augmentation, scale=(0.9, 1.1), still=0.0)
    return torch.cat([truth, image]), centres / factor, calm


def nuclei_seen(
    planes: torch.Tensor,
    grid: torch.Tensor,
    augmentation: Augmentation,
    random: torch.Generator,
    paired: bool,
) -> torch.Tensor:
    """View of the nuclei ``(1, H, W)``, which are the last plane, or of none."""
    if not paired:
        return torch.zeros(1, *grid.shape[:2])
    seen = view(planes[-1:].float(), grid, "bilinear")
    return change_intensity(seen, replace(augmentation, invert=0.0, halo=0.0), random)


def diameter_seen(diameter: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Diameters ``(1, Y, X)``, as logarithms, in a view of ``grid (H, W, 2)``."""
    down, right = grid[-1, 0] - grid[0, 0], grid[0, -1] - grid[0, 0]
    area = float((down[0] * right[1] - down[1] * right[0]).abs()) / (len(grid) - 1) ** 2
    seen = view(diameter, grid, "nearest")
    return torch.where(seen > UNKNOWN, seen - math.log2(area) / 2, UNKNOWN)


def of_known_size(classes: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Pixels ``(1, Y, X)`` of objects that have a size the model is used to, with their borders."""
    parts = label(classes[0].numpy() == CELL)
    diameters = np.sqrt(4 / np.pi * np.bincount(parts.ravel()))
    ratio = diameters / card.object_diameter
    fitting = (ratio > 1 / FIT) & (ratio < FIT)
    fitting[0] = False
    return torch.from_numpy(dilation(fitting[parts], disk(4)))[None]


def place(centre: float, length: int, window: int) -> float:
    """Move the centre of a window so that it stays in the image if it fits.

    The result lies between two pixels, so that a view of scale 1 needs no interpolation.
    """
    low, high = min(window, length) / 2, length - min(window, length) / 2
    return math.floor(min(max(centre, low), high)) - 0.5
