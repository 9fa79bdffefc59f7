"""The images that benchmarks look at; they are too large for the repository.

Sets are measured as a whole. Scenes are painted on and scored; `common/domains.py` pairs them.
"""

import csv
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
BASE = 12  # images that show what is forgotten


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
    return pairs_of(data / "usiigaci" / "val", CELLS)[:limit]


def training_cells(data: Path, limit: int | None = None) -> list[Sample]:
    """List some images that `cells-phase` was trained on: what it could do at best."""
    return pairs_of(data / "usiigaci" / "train", TRAINED_ON)[::6][:limit]


def training_nuclei(data: Path) -> list[Sample]:
    """List the images that `nuclei` is trained on."""
    return [*_dsb2018(data / "dsb2018", "train"), *pairs_of(data / "mnfinder" / "train", MNFINDER)]


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
        found += pairs_of(data / "mnfinder" / "val", MNFINDER)
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


def pairs_of(folder: Path, group: str) -> list[Sample]:
    """List the images of a folder that has images/ and masks/."""
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


def open_scene(sample: Sample) -> Scene:
    """Open an image with its truth."""
    return Scene(sample.image_path.name, sample.image(), sample.truth().astype(np.int32))


def base_scenes(data: Path) -> list[Scene]:
    """Open a fixed dozen of images of the kind the bundled model was first trained on."""
    found = [s for s in samples(data, "val") if s.group == "dsb2018 val fluo"]
    return [open_scene(sample) for sample in found[:: len(found) // BASE][:BASE]]
