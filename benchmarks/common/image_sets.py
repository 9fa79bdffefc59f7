"""The images that benchmarks look at; they are too large for the repository.

Sets are measured as a whole. Scenes are painted on and scored, and sorted by domain:

- ``usiigaci``: phase contrast, whole cells; painted and scored on the five validation images.
- ``other``: colour and grey bright-field images of the dsb2018 test set, all of them for both.
- ``isbi2012_em``: painted on slices 0 to 19, scored on slices 20 to 29.
- ``fluo``: fluorescent nuclei of the dsb2018 validation set: what the bundled model knows already.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from napari_unet.image import Image
from napari_unet.io.images import read_image
from napari_unet.labels.watershed import object_diameters, typical_diameter

MODALITIES = ("fluo", "colour", "brightfield_grey")
MNFINDER = "mnfinder val"
CELLS = "usiigaci val"
TRAINED_ON = "usiigaci train, every sixth"
DOMAINS = ("usiigaci", "other", "isbi2012_em")
FIRST_SCORED = 20  # slice of isbi2012_em
BASE = 12  # images that show what is forgotten
CROP = 512  # pixels of a training image that a fully trained model sees
MOST_CROPS = 40


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with ground truth.

    Attributes
    ----------
    group : str
        The set it is reported under, such as "dsb2018 val fluo".
    field : str
        Field of view; crops of one field share it.
    image_path, mask_path : Path
        The files.
    """

    group: str
    field: str
    image_path: Path
    mask_path: Path

    def image(self) -> Image:
        """Open the image as the command line does."""
        return read_image(self.image_path)

    def truth(self) -> NDArray[Any]:
        """Read the ground truth, ``(Y, X)``, 0 = background."""
        return np.asarray(imread(self.mask_path))

    def diameter(self) -> float | None:
        """Typical diameter of the true objects, pixels; None if there are none."""
        diameters = object_diameters(self.truth())
        return typical_diameter(diameters) if diameters.size else None


def cell_samples(data: Path, limit: int | None = None) -> list[Sample]:
    """List the validation images of usiigaci: whole cells in phase contrast."""
    return _pairs(data / "usiigaci" / "val", CELLS)[:limit]


def training_cells(data: Path, limit: int | None = None) -> list[Sample]:
    """List some images that `cells-phase` was trained on: what it could do at best."""
    return _pairs(data / "usiigaci" / "train", TRAINED_ON)[::6][:limit]


def training_nuclei(data: Path) -> list[Sample]:
    """List the images that `nuclei` is trained on."""
    return [*_dsb2018(data / "dsb2018", "train"), *_pairs(data / "mnfinder" / "train", MNFINDER)]


def samples(data: Path, split: str, limit: int | None = None) -> list[Sample]:
    """List a split of dsb2018, and with "val" the validation images of mnfinder.

    Parameters
    ----------
    data : Path
        Folder of the sets.
    split : {"val", "test"}
        Which images; "train" is for training only.
    limit : int, optional
        Images of each group, for a quick look; default all.
    """
    found = [*_dsb2018(data / "dsb2018", split)]
    if split == "val":
        found += _pairs(data / "mnfinder" / "val", MNFINDER)
    if not found:
        raise FileNotFoundError(f"{data} has no images of the {split} split")
    groups = {sample.group for sample in found}
    first = {g: [s for s in found if s.group == g][:limit] for g in groups}
    return [sample for sample in found if sample in first[sample.group]]


def _dsb2018(folder: Path, split: str) -> list[Sample]:
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    rows.sort(key=lambda row: (MODALITIES.index(row["modality"]), row["name"]))
    return [
        Sample(
            f"dsb2018 {split} {row['modality']}",
            row["mosaic"],
            folder / "images" / f"{row['name']}.png",
            folder / "masks" / f"{row['name']}.png",
        )
        for row in rows
    ]


def _pairs(folder: Path, group: str) -> list[Sample]:
    paths = sorted((folder / "images").glob("*.png"))
    return [Sample(group, p.stem, p, folder / "masks" / p.name) for p in paths]


# ---- scenes to paint on ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image, what is truly there, and what it is for.

    Attributes
    ----------
    name : str
        File name.
    image : Image
        One plane.
    truth : ndarray of int32
        ``(Y, X)``, 0 = background.
    painted_on, scored : bool
        Whether the annotator sees it, and whether results are compared on it.
    """

    name: str
    image: Image
    truth: NDArray[np.int32]
    painted_on: bool = True
    scored: bool = True


def scenes(domain: str, data: Path, limit: int | None = None) -> list[Scene]:
    """Open the images of a domain.

    Parameters
    ----------
    domain : str
        One of `DOMAINS`, or ``"fluo"``.
    data : Path
        Folder of the image sets.
    limit : int, optional
        Images to paint on and images to score, for a quick look; default all.
    """
    if domain == "isbi2012_em":
        slices = _folder(data / "isbi2012_em", domain)
        first, last = slices[:FIRST_SCORED][:limit], slices[FIRST_SCORED:][:limit]
        return [_open(s, scored=False) for s in first] + [_open(s, painted_on=False) for s in last]
    if domain == "usiigaci":
        return [_open(s) for s in _folder(data / "usiigaci" / "val", domain)[:limit]]
    if domain == "other":
        return [_open(s) for s in _of_kinds(data, "test", ("colour", "brightfield_grey"))[:limit]]
    if domain == "fluo":
        return [_open(s) for s in _of_kinds(data, "val", ("fluo",))[:limit]]
    raise ValueError(f"there is no domain {domain!r}; choose from {', '.join((*DOMAINS, 'fluo'))}")


def training_crops(domain: str, data: Path) -> list[Scene]:
    """Open crops of the images of a domain that are neither painted on nor scored by anyone else.

    For isbi2012_em they are the slices to paint on: there are no others.
    """
    if domain == "usiigaci":
        found = _folder(data / "usiigaci" / "train", domain)
    elif domain == "other":
        found = _of_kinds(data, "train", ("colour", "brightfield_grey"))
    else:
        found = _folder(data / "isbi2012_em", domain)[:FIRST_SCORED]
    step = max(1, len(found) // MOST_CROPS)
    return [_middle(_open(sample)) for sample in found[::step][:MOST_CROPS]]


def base_scenes(data: Path) -> list[Scene]:
    """Open a fixed dozen of images of the kind the bundled model was first trained on."""
    found = _of_kinds(data, "val", ("fluo",))
    return [_open(sample) for sample in found[:: len(found) // BASE][:BASE]]


def _folder(folder: Path, group: str) -> list[Sample]:
    found = _pairs(folder, group)
    if not found:
        raise FileNotFoundError(f"{folder} has no images")
    return found


def _of_kinds(data: Path, split: str, modalities: Iterable[str]) -> list[Sample]:
    groups = {f"dsb2018 {split} {modality}" for modality in modalities}
    return [sample for sample in samples(data, split) if sample.group in groups]


def _open(sample: Sample, **purpose: bool) -> Scene:
    truth = sample.truth().astype(np.int32)
    return Scene(sample.image_path.name, sample.image(), truth, **purpose)


def _middle(scene: Scene) -> Scene:
    """Cut out the middle; the image's axes are Y, X and perhaps C."""
    starts = [max(0, n - CROP) // 2 for n in scene.truth.shape]
    window = tuple(slice(start, start + CROP) for start in starts)
    pixels: Any = np.asarray(scene.image.data)[window]
    return Scene(scene.name, Image(pixels, scene.image.axes), scene.truth[window])
