"""Accuracy of a model for any cell on held-out images, and how well it tells the size of cells.

    python scripts/train_base_model.py cells --run RUN --export FOLDER
    python -m benchmarks.cells FOLDER/cells.safetensors --limit 3
    python -m benchmarks.cells FOLDER/cells.safetensors --limit 3 --tune RUN/decode.json
    python -m benchmarks.cells FOLDER/cells.safetensors --pictures FILE.png
    python -m benchmarks.cells cells --nuclei --write
    python -m benchmarks.cells nuclei --sets dsb2018 mnfinder sbsst265 tnbc nuinsseg embryo --write

For each validation set: AP with the objects' true diameter given and with the diameter found, the
median area of found objects over true ones, and the diameter that the network's own output tells,
divided by the true one.

With `--nuclei` made-up cells are measured with and without the stain of their nuclei.

The pictures have an image of each set and, in another file, the ten that went worst; their size
is found. Most of the images may not be passed on, so neither may the pictures.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.io import imread, imsave

from benchmarks.accuracy import FAULTS
from benchmarks.common.evaluation import DATA, DOCUMENT, Outcome, evaluate, weights_sha
from benchmarks.common.image_sets import Sample, cell_samples, samples
from benchmarks.common.matching import count, match
from benchmarks.common.pictures import draw_sets
from benchmarks.common.tables import markdown, write_table
from benchmarks.common.tuning import tune
from napari_unet.image import Image
from napari_unet.intensity import grey_limits, normalise
from napari_unet.models.library import Model
from napari_unet.models.library import load_model as find
from napari_unet.models.weights import load_model
from napari_unet.network.unet import UNet
from napari_unet.segmentation import segment
from napari_unet.tiling.resample import resized
from napari_unet.training.synthetic import BENCHMARK_SEEDS, made_up_cells, made_up_nuclei
from scripts.base_split import further_images

THRESHOLDS = (0.5, 0.7, 0.8, 0.9)
MADE_UP = 12
LOOKED_AT = 384  # network pixels; side of the window that the diameter is told from
SHARE = 0.05  # of its pixels at least count as objects: those that look most like it
HEADER = (
    "set",
    "images",
    "size given: AP .5 .7 .8 .9",
    "found: AP .5 .7 .8 .9",
    "area found / true",
)
PAIRS = 40  # made-up images
PAIRED = ("made-up cells", "images", "size given: AP .5 .7 .8 .9", "found: AP .5 .7 .8 .9")
SIZES = ("first look: median (5–95 %)", "second look: median (5–95 %)")


def held_out(data: Path, folder: Path, limit: int | None) -> list[Sample]:
    """List the validation images of every set, some of each, and made-up ones put into a folder."""
    found = [*samples(data, "val"), *cell_samples(data), *_made_up(folder)]
    found += [
        Sample(f"{row['group']} val", row["cluster"], row["image"], row["mask"])
        for row in further_images(data, "val")
    ]
    groups = dict.fromkeys(sample.group for sample in found)
    return [s for g in groups for s in _spread([s for s in found if s.group == g], limit)]


def _spread(members: list[Sample], limit: int | None) -> list[Sample]:
    """Some of the images, from all over the list: neighbours are alike."""
    if limit is None or len(members) <= limit:
        return members
    return [members[i] for i in np.linspace(0, len(members) - 1, limit).round().astype(int)]


def _made_up(folder: Path) -> Iterator[Sample]:
    for seed in range(BENCHMARK_SEEDS, BENCHMARK_SEEDS + MADE_UP):
        made = made_up_cells(seed)
        image, mask = folder / f"{seed}.png", folder / f"{seed}-mask.png"
        imsave(image, np.rint(made.image * 255).astype(np.uint8), check_contrast=False)
        imsave(mask, made.labels.astype(np.uint16), check_contrast=False)
        yield Sample("made up", str(seed), image, mask)


def told_diameter(network: UNet, image: NDArray[np.float32], zoom: float, usual: float) -> float:
    """Typical diameter, image pixels, that the diameter output tells of an image ``(C, Y, X)``.

    Parameters
    ----------
    network : UNet
        With a diameter output.
    image : ndarray of float32
        Normalised.
    zoom : float
        Factor that the image is resized by before.
    usual : float
        Network pixels; the diameter that an output of 0 means.
    """
    grid = network.spec.divisor
    height, width = (max(2 * grid, round(n * zoom)) for n in image.shape[1:])
    shown = resized(image, (height, width))
    height, width = (min(n, LOOKED_AT) // grid * grid for n in (height, width))
    y, x = ((n - m) // 2 for n, m in zip(shown.shape[1:], (height, width), strict=True))
    window = torch.from_numpy(shown[None, :, y : y + height, x : x + width].copy())
    with torch.inference_mode():
        output = network(window)[0].float().numpy()
    ground = np.exp(output[0] - np.logaddexp.reduce(output[: network.spec.classes], axis=0))
    objects = ground <= max(0.5, float(np.quantile(ground, SHARE)))
    return float(usual * 2 ** np.median(output[-1][objects]) / zoom)


def told_ratios(path: Path, chosen: list[Sample]) -> NDArray[np.float64]:
    """Told divided by true diameter of every image, ``(N, 2)``: at first, then looked at again."""
    network, card = load_model(path)
    if not card.spec.diameter:
        return np.full((len(chosen), 2), np.nan)
    ratios = []
    for sample in chosen:
        pixels = imread(sample.image_path)
        grey = pixels[..., :3].mean(axis=-1) if pixels.ndim == 3 else pixels
        limits = grey_limits(grey, bright_objects=card.polarity == "bright")
        image = normalise(grey, limits)[None].astype(np.float32)
        first = told_diameter(network, image, 1.0, card.object_diameter)
        zoom = float(np.clip(card.object_diameter / first, 1 / 8, 8))
        second = told_diameter(network, image, zoom, card.object_diameter)
        ratios.append([first / sample.diameter(), second / sample.diameter()])
    return np.array(ratios)


def _rows(
    given: list[Outcome], found: list[Outcome], ratios: NDArray[np.float64]
) -> Iterator[list[str]]:
    for group in dict.fromkeys(o.sample.group for o in given):
        which = [i for i, o in enumerate(given) if o.sample.group == group]
        row = [group, str(len(which))]
        for outcomes in (given, found):
            counts = count([outcomes[i].matching for i in which], THRESHOLDS)
            row.append(" ".join(f"{value:.3f}" for value in counts.pooled))
        areas = np.concatenate([given[i].matching.ratio for i in which])
        row.append(f"{np.median(areas):.2f}" if areas.size else "–")
        for look in ratios[which].T:
            low, middle, high = np.percentile(look, (5, 50, 95))
            row.append(f"{middle:.2f} ({low:.2f}–{high:.2f})")
        yield row


def _paired(model: Model) -> Iterator[list[str]]:
    """AP on made-up cells without their nuclei, and with them as a second channel."""
    made = [made_up_cells(seed) for seed in range(BENCHMARK_SEEDS, BENCHMARK_SEEDS + PAIRS)]
    pairs = [
        np.stack([one.image, made_up_nuclei(BENCHMARK_SEEDS + n, one.labels)])
        for n, one in enumerate(made)
    ]
    for name, nuclei in (("alone", None), ("with their nuclei", 1)):
        row = [name, str(PAIRS)]
        for given in (True, False):
            matchings = []
            for pair, one in zip(pairs, made, strict=True):
                image = Image(pair, "CYX", channel=0, nuclei=nuclei)
                size = one.diameter if given else None
                matchings.append(match(one.labels, segment(image, model, diameter=size).labels))
            row.append(" ".join(f"{value:.3f}" for value in count(matchings, THRESHOLDS).pooled))
        yield row


def _wanted(sample: Sample, words: list[str]) -> bool:
    return not words or any(word in sample.group for word in words)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or path")
    parser.add_argument("--limit", type=int, help="images of each set; default all")
    parser.add_argument("--nuclei", action="store_true", help="nuclei as a second channel instead")
    parser.add_argument("--sets", nargs="*", default=[], help="words of sets; default all")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--write", action="store_true", help="write the table into docs/accuracy.md"
    )
    parser.add_argument("--tune", type=Path, help="JSON file to write the best thresholds to")
    parser.add_argument("--pictures", type=Path, help="draw images into this PNG, nothing else")
    return parser.parse_args()


def _report(
    options: argparse.Namespace,
    model: Model,
    name: str,
    header: tuple[str, ...],
    rows: list[list[str]],
) -> None:
    """Print a table, and put it into the document where that was asked for."""
    print(markdown(header, rows))
    if options.write:
        command = f"python -m benchmarks.cells {' '.join(sys.argv[1:])}"
        note = f"sha256 of its weights {weights_sha(model)}."
        write_table(DOCUMENT, name, header, rows, command=command, note=note)


def main() -> None:
    """Run what the command line asks for."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    if options.nuclei:
        model = find(options.model)
        _report(options, model, "nuclei-channel", PAIRED, list(_paired(model)))
        return
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        chosen = held_out(options.data, Path(folder), options.limit)
        chosen = [s for s in chosen if s.diameter() is not None and _wanted(s, options.sets)]
        model = find(options.model)
        if options.tune:
            tune(chosen, model, options.tune, group_of=lambda s: s.group, true_size=True)
            return
        if options.pictures:
            print(markdown(FAULTS, draw_sets(chosen, model, options.pictures)))
            return
        given = evaluate(chosen, model, true_size=True)
        found = evaluate(chosen, model)
        ratios = told_ratios(model.path, chosen)
    rows = list(_rows(given, found, ratios))
    _report(options, model, f"{model.card.name}-sets", (*HEADER, *SIZES), rows)
    print(f"{len(chosen)} images, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
