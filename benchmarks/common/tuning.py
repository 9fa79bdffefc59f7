"""Choosing the decoding on validation images: the network once, then a grid of thresholds."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.image_sets import MNFINDER, Sample
from benchmarks.common.matching import Matching, count, match
from benchmarks.common.tables import markdown
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import Started
from napari_unet.execution.probability_maps import ProbabilityMapCache, ProbabilityMapStore
from napari_unet.image import Image
from napari_unet.labels.watershed import decode
from napari_unet.models.library import Model
from napari_unet.planning.planner import Where
from napari_unet.segmentation import segment_events
from napari_unet.settings import DecodeSettings, SegmentSettings

SENSITIVITY = (0.4, 0.5, 0.6)
SEPARATION = (0.3, 0.45, 0.6, 0.75)
STEP = 0.05  # between neighbours of the best point
ROUNDS = 6  # of which the first is the coarse grid
# Pixels, at the size of objects that the model is used to; costs nothing, so all are tried.
MINIMUM = (0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0)
CRITERION = (0.5, 0.7, 0.8, 0.9)  # thresholds whose AP is averaged: outlines count, too
NUCLEI = {"fluorescence": 1.0, "others": 0.5}  # weight of colour and bright field beside it
HEADER = ("sensitivity", "separation", "smallest", "AP of each group", "criterion")
LEFT_OUT = ("group left out", "AP as chosen for all", "as chosen without it", "its own best")

Point = tuple[float, float]
"""Sensitivity and separation."""


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What the network says about one image.

    Attributes
    ----------
    group : str
        What it is counted with.
    size : float
        How much larger its objects are than those the model is used to.
    maps : ndarray of uint8
        ``(3, Y, X)``, the probability map.
    truth : ndarray of int
        ``(Y, X)``.
    """

    group: str
    size: float
    maps: NDArray[np.uint8]
    truth: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Score:
    """A setting and how well it does.

    Attributes
    ----------
    settings : DecodeSettings
        The setting.
    groups : dict of float
        Mean over `CRITERION` of the pooled AP of each group.
    criterion : float
        What is maximised: the groups' mean by weight.
    """

    settings: DecodeSettings
    groups: dict[str, float]
    criterion: float

    def row(self) -> list[str]:
        """Return the cells of a table."""
        s = self.settings
        thresholds = [f"{s.sensitivity:.2f}", f"{s.separation:.2f}", f"{s.minimum_diameter:g}"]
        groups = ", ".join(f"{name} {ap:.3f}" for name, ap in self.groups.items())
        return [*thresholds, groups, f"{self.criterion:.4f}"]


def nuclei_group(sample: Sample) -> str:
    """Tell fluorescence from colour and bright field."""
    bright = sample.group == MNFINDER or sample.group.endswith("fluo")
    return "fluorescence" if bright else "others"


def tune(
    samples: Sequence[Sample],
    model: Model,
    target: Path,
    *,
    group_of: Callable[[Sample], str] = nuclei_group,
    weights: Mapping[str, float] = NUCLEI,
    true_size: bool = False,
) -> DecodeSettings:
    """Try a coarse grid, then the neighbours of the best until none is better; write it as JSON.

    Parameters
    ----------
    samples : sequence of Sample
        Validation images; test images would make the test worthless.
    model : Model
        What to tune.
    target : Path
        JSON file to write.
    group_of, weights : callable, mapping
        Groups whose AP are averaged, and by what weight; 1 where none is given.
    true_size : bool
        Whether the objects' size is given, not found.
    """
    with tempfile.TemporaryDirectory(prefix="napari-unet-tuning-") as folder:
        found = [
            probability_maps(sample, model, Path(folder), group_of(sample), true_size=true_size)
            for sample in samples
        ]
    # The decoding's own threads are few, and the network is done: one process for each core.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        results = climb(found, model.card.decode, weights, pool)
    now = [score for score in results if score.settings == model.card.decode]
    print(markdown(HEADER, [score.row() for score in results[:40]]))
    print(f"the card's own setting:\n{markdown(HEADER, [score.row() for score in now])}")
    if len(results[0].groups) > 2:
        print(
            f"thresholds chosen without a group:\n{markdown(LEFT_OUT, left_out(results, weights))}"
        )
    chosen = results[0].settings
    if chosen.minimum_diameter >= max(MINIMUM):
        print("The smallest diameter is at the end of its range: look at what it leaves out.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(chosen.model_dump_json(indent=1) + "\n")
    print(f"wrote {target}: {chosen}")
    return chosen


def left_out(results: Sequence[Score], weights: Mapping[str, float]) -> list[list[str]]:
    """Show whether thresholds hold on a group that had no say in them; the best result is first."""
    rows = []
    for group in results[0].groups:

        def of_others(score: Score, group: str = group) -> float:
            others = {name: ap for name, ap in score.groups.items() if name != group}
            shares = [weights.get(name, 1.0) for name in others]
            return float(np.average([*others.values()], weights=shares))

        picks = [results[0], max(results, key=of_others)]
        best = max(score.groups[group] for score in results)
        values = [*(score.groups[group] for score in picks), best]
        rows.append([group, *(f"{value:.3f}" for value in values)])
    return rows


def climb(
    images: Sequence[Maps],
    current: DecodeSettings,
    weights: Mapping[str, float],
    pool: ProcessPoolExecutor,
) -> list[Score]:
    """Return every setting tried, best first; the current one is among them."""
    own = current.sensitivity, current.separation
    points = list(dict.fromkeys([own, *product(SENSITIVITY, SEPARATION)]))
    minima = sorted({*MINIMUM, current.minimum_diameter})
    results: list[Score] = []
    for _ in range(ROUNDS):
        results += search(images, (points, minima), weights, pool)
        results.sort(key=lambda score: -score.criterion)
        points = around(results[0].settings, results)
        if not points:
            break
    return results


def around(best: DecodeSettings, tried: Sequence[Score]) -> list[Point]:
    """Return the neighbours of a setting that were not tried yet."""
    done = {(s.settings.sensitivity, s.settings.separation) for s in tried}
    shifts = product((-STEP, 0, STEP), (-2 * STEP, -STEP, 0, STEP, 2 * STEP))
    near = [(round(best.sensitivity + a, 2), round(best.separation + b, 2)) for a, b in shifts]
    return [p for p in near if p not in done and all(0.05 <= value <= 0.95 for value in p)]


def probability_maps(
    sample: Sample, model: Model, folder: Path, group: str, *, true_size: bool
) -> Maps:
    """Run the network as `segment` does, and read back the whole probability map."""
    settings = SegmentSettings(diameter=sample.diameter() if true_size else None)
    size, maps = _whole_map(sample.image(), model, settings, ProbabilityMapCache(folder))
    return Maps(group, size, maps, sample.truth())


def _whole_map(
    image: Image, model: Model, settings: SegmentSettings, cache: ProbabilityMapCache
) -> tuple[float, NDArray[np.uint8]]:
    started: Started | None = None
    for event in segment_events(image, model, settings, ThreadExecutor(), where=Where(cache=cache)):
        if isinstance(event, Started):
            started = event
    assert started is not None, "the events begin with Started"
    maps = ProbabilityMapStore(started.folder, started.plan).read(0, started.plan.region)
    cache.close()
    usual = model.card.object_diameter
    return (settings.diameter or started.plan.found or usual) / usual, maps


def search(
    images: Sequence[Maps],
    tried: tuple[Sequence[Point], Sequence[float]],
    weights: Mapping[str, float],
    pool: ProcessPoolExecutor,
) -> list[Score]:
    """Score every point with every smallest diameter."""
    points, minima = tried
    by_image = list(pool.map(_decode_all, images, [points] * len(images)))
    scores = []
    for number, (sensitivity, separation) in enumerate(points):
        for minimum in minima:
            kept = [
                matchings[number].at_least(minimum * image.size)
                for image, matchings in zip(images, by_image, strict=True)
            ]
            settings = DecodeSettings(
                sensitivity=sensitivity, separation=separation, minimum_diameter=minimum
            )
            groups = {g: _mean_ap(images, kept, g) for g in sorted({i.group for i in images})}
            shares = [weights.get(group, 1.0) for group in groups]
            criterion = float(np.average([*groups.values()], weights=shares))
            scores.append(Score(settings, groups, criterion))
    return scores


def _decode_all(image: Maps, points: Sequence[Point]) -> list[Matching]:
    """Decode one image at every point, small objects included."""
    settings = [DecodeSettings(sensitivity=a, separation=b, minimum_diameter=0) for a, b in points]
    return [match(image.truth, decode(image.maps, s)) for s in settings]


def _mean_ap(images: Sequence[Maps], matchings: Sequence[Matching], group: str) -> float:
    pairs = zip(images, matchings, strict=True)
    part = [m for image, m in pairs if image.group == group]
    return float(count(part, CRITERION).pooled.mean())
