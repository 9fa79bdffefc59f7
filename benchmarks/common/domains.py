"""Pairs of images that a model is retrained on and scored on, each set a domain of its own.

The first image of a pair is painted on; what is not painted there, and the whole second image, are
scored. The second shows the same kind of cells: another field, slice or preparation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common.image_sets import Sample, Scene, cell_samples, open_scene, pairs_of, samples
from napari_unet.image import Image
from napari_unet.training.synthetic import BENCHMARK_SEEDS, made_up_rods
from scripts.base_split import HELD_PATIENTS, part_of

SLICES = ((0, 20), (10, 25))  # of isbi2012_em
ROD_SEEDS = (BENCHMARK_SEEDS + 500, BENCHMARK_SEEDS + 501)
RODS_SIDE = 768  # pixels; one half is painted on
LARGEST = 1024  # pixels; more of an image takes time and tells nothing new


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two images of one kind.

    Attributes
    ----------
    domain : str
        The set.
    painted, following : Scene
        The image that is painted on, and the next one.
    """

    domain: str
    painted: Scene
    following: Scene


def _usiigaci(data: Path) -> Iterator[tuple[Sample, Sample]]:
    found = cell_samples(data)
    yield from ((found[0], found[1]), (found[2], found[3]))


def _membranes(data: Path) -> Iterator[tuple[Sample, Sample]]:
    found = pairs_of(data / "isbi2012_em", "isbi2012_em")
    yield from ((found[i], found[j]) for i, j in SLICES)


def _tissue(data: Path) -> Iterator[tuple[Sample, Sample]]:
    found = pairs_of(data / "tnbc", "tnbc")
    for patient in HELD_PATIENTS:
        mine = [s for s in found if s.image_path.stem.split("_")[0] == patient]
        yield mine[0], mine[1]


def _epithelium(data: Path) -> Iterator[tuple[Sample, Sample]]:
    found = pairs_of(data / "zo1_mdck", "zo1_mdck")
    one, other = (s for s in found if part_of("zo1_mdck", s.image_path.stem) == "val")
    yield from ((one, other), (other, one))


def _whole_cells(data: Path) -> Iterator[tuple[Sample, Sample]]:
    one, other = pairs_of(data / "cell_aap", "cell_aap")
    yield from ((one, other), (other, one))


def _nuclei(data: Path) -> Iterator[tuple[Sample, Sample]]:
    found = [s for s in samples(data, "val") if s.group == "dsb2018 val fluo"]
    fields = {s.field: [t for t in found if t.field == s.field] for s in found}
    several = [members for members in fields.values() if len(members) > 1]
    yield from ((members[0], members[1]) for members in several[:2])


def _rods(_: Path) -> Iterator[tuple[Scene, Scene]]:
    for seed in ROD_SEEDS:
        made = made_up_rods(seed, RODS_SIDE)
        pixels = np.rint(made.image * 255).astype(np.uint8)
        half = RODS_SIDE // 2
        first, second = (
            Scene(f"rods-{seed}-{part}", Image(pixels[rows], "YX"), made.labels[rows])
            for part, rows in enumerate((slice(0, half), slice(half, None)))
        )
        yield first, second


SETS: dict[str, Callable[[Path], Iterator[tuple[Sample, Sample]]]] = {
    "usiigaci": _usiigaci,
    "isbi2012_em": _membranes,
    "tnbc": _tissue,
    "zo1_mdck": _epithelium,
    "cell_aap": _whole_cells,
    "nuclei": _nuclei,
}
DOMAINS = ("usiigaci", "isbi2012_em", "tnbc", "zo1_mdck", "cell_aap", "rods")
"""What models learn from that do not know it."""
KNOWN = "nuclei"
"""Fluorescent nuclei, which the bundled model knows: there, many retrainings should lose."""


def pairs(domain: str, data: Path) -> list[Pair]:
    """Open the pairs of a domain.

    Parameters
    ----------
    domain : str
        One of `DOMAINS`, or `KNOWN`.
    data : Path
        Folder of the image sets.
    """
    if domain == "rods":
        return [Pair(domain, one, other) for one, other in _rods(data)]
    opened = ([_cut(open_scene(s)) for s in two] for two in SETS[domain](data))
    return [Pair(domain, replace(one, scored=True), other) for one, other in opened]


def _cut(scene: Scene) -> Scene:
    """Cut a part of at most `LARGEST` pixels a side out of the middle."""
    starts = [max(0, n - LARGEST) // 2 for n in scene.truth.shape]
    window = tuple(slice(start, start + LARGEST) for start in starts)
    image = Image(np.asarray(scene.image.data)[window], scene.image.axes)
    return Scene(scene.name, image, scene.truth[window])
