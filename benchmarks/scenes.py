"""Images to paint on and to score on, by domain, and those that show what a model forgets.

- ``usiigaci``: phase contrast, whole cells; painted and scored on the five validation images.
- ``other``: colour and grey bright-field images of the dsb2018 test set, all of them for both.
- ``isbi2012_em``: painted on slices 0 to 19, scored on slices 20 to 29.
- ``fluo``: fluorescent nuclei of the dsb2018 validation set: what the bundled model knows already.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.image_sets import Sample, samples
from napari_unet.image import Image

DOMAINS = ("usiigaci", "other", "isbi2012_em")
FIRST_SCORED = 20  # slice of isbi2012_em
BASE = 12  # images that show what is forgotten
CROP = 512  # pixels of a training image that a fully trained model sees
MOST_CROPS = 40


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
        return [_open(s) for s in _dsb2018(data, "test", ("colour", "brightfield_grey"))[:limit]]
    if domain == "fluo":
        return [_open(s) for s in _dsb2018(data, "val", ("fluo",))[:limit]]
    raise ValueError(f"there is no domain {domain!r}; choose from {', '.join((*DOMAINS, 'fluo'))}")


def training_crops(domain: str, data: Path) -> list[Scene]:
    """Open crops of the images of a domain that are neither painted on nor scored by anyone else.

    For isbi2012_em they are the slices to paint on: there are no others.
    """
    if domain == "usiigaci":
        found = _folder(data / "usiigaci" / "train", domain)
    elif domain == "other":
        found = _dsb2018(data, "train", ("colour", "brightfield_grey"))
    else:
        found = _folder(data / "isbi2012_em", domain)[:FIRST_SCORED]
    step = max(1, len(found) // MOST_CROPS)
    return [_middle(_open(sample)) for sample in found[::step][:MOST_CROPS]]


def base_scenes(data: Path) -> list[Scene]:
    """Open a fixed dozen of images of the kind the bundled model was first trained on."""
    found = _dsb2018(data, "val", ("fluo",))
    return [_open(sample) for sample in found[:: len(found) // BASE][:BASE]]


def _folder(folder: Path, group: str) -> list[Sample]:
    paths = sorted((folder / "images").glob("*.png"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no images")
    return [Sample(group, path.stem, path, folder / "masks" / path.name) for path in paths]


def _dsb2018(data: Path, split: str, modalities: Iterable[str]) -> list[Sample]:
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
