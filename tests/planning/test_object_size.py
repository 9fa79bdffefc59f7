"""Object size: found in images of any magnification, and nothing is left behind."""

from collections.abc import Generator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.io import imread
from skimage.transform import rescale

from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import Started
from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.image import Box
from napari_unet.models.library import load_model
from napari_unet.planning.object_size import (
    LEANING,
    REFINED,
    SIZES,
    WINDOWS,
    ScaleProbe,
    best_probe,
    busiest,
    window,
)
from napari_unet.planning.planner import Where
from napari_unet.segmentation import open_image, segment_events
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

ROOT = Path(__file__).resolve().parents[2]
USUAL = 29.6  # pixels; diameter of the sample's nuclei


@pytest.fixture(scope="module")
def nuclei() -> NDArray[np.float32]:
    return imread(ROOT / "sample_data" / "nuclei.tif").astype(np.float32)


@pytest.mark.parametrize("size", [0.25, 0.5, 1, 2, 4])
def test_diameter_of_any_magnification(nuclei: NDArray[np.float32], size: float) -> None:
    image = rescale(nuclei, size, order=1, anti_aliasing=size < 1)[:1024, :1024]
    plan = started(image).plan
    assert plan.found == pytest.approx(USUAL * size, rel=0.15)
    low, high = plan.card.diameter_range
    assert low * 0.85 < plan.diameter * plan.zoom < high * 1.15


def started(image: NDArray[np.float32], cache: ProbabilityMapCache | None = None) -> Started:
    events = segment_events(
        open_image(image),
        load_model(),
        SegmentSettings(),
        ThreadExecutor(),
        where=Where(cache=cache),
    )
    return next(event for event in events if isinstance(event, Started))


@pytest.mark.parametrize("model", ["nuclei", "cells-phase"])  # only the first tells sizes
@pytest.mark.parametrize("middle", ["like the others", "empty", "noise"])
def test_a_stack_has_one_size_for_its_planes_and_parts(
    nuclei: NDArray[np.float32], model: str, middle: str
) -> None:
    ground, top = np.percentile(nuclei, (1, 99.8))
    noise = np.random.default_rng(0).uniform(ground, top, (300, 330))
    wrong = {"empty": np.full_like(noise, ground), "noise": noise}
    planes = [nuclei[i : 300 + i, i : 330 + i] for i in range(0, 100, 20)]
    planes[2] = wrong.get(middle, planes[2])
    stack = np.stack(planes).astype(np.float32)
    part = Where(region=Box((10, 20), (160, 140)), planes=((1,),), centre=(80.0, 80.0))
    wheres = [Where(), *(Where(planes=p) for p in [((0,),), ((2,),), ((4,), (3,))]), part]
    found = [found_size(stack, model, where) for where in wheres]
    assert found == found[:1] * len(wheres)
    if model == "nuclei":
        assert found[0] == pytest.approx(USUAL, rel=0.2)


def found_size(stack: NDArray[np.float32], model: str, where: Where) -> float | None:
    chosen, executor = load_model(model), ThreadExecutor()
    events = segment_events(
        open_image(stack, "ZYX"), chosen, SegmentSettings(), executor, where=where
    )
    return next(event for event in events if isinstance(event, Started)).plan.found


def test_probability_maps_of_probes_are_removed(
    nuclei: NDArray[np.float32], tmp_path: Path
) -> None:
    cache = ProbabilityMapCache(tmp_path)
    folder = started(rescale(nuclei, 0.25, anti_aliasing=True), cache).folder
    assert [path.name for path in folder.parent.iterdir()] in ([], [folder.name])


@settings(max_examples=200)
@given(diameter=st.floats(7, 110), leaning=st.floats(0.55, 0.95))
def test_probes_come_nearer_to_the_diameter(diameter: float, leaning: float) -> None:
    """A model that sees objects nearer to its own size than they are is not believed at once."""
    plan = flat_plan()
    search, probes = searching(plan), 1
    probe = seen(plan, next(search), diameter, leaning)
    while True:
        try:
            wanted = search.send(probe)
        except StopIteration as end:
            best: ScaleProbe = end.value
            break
        probe, probes = seen(plan, wanted, diameter, leaning), probes + 1
    assert best.diameter == pytest.approx(diameter, rel=0.16)
    assert probes <= 1 + 1 + len(SIZES) + REFINED


def searching(plan: SegmentPlan) -> Generator[float, ScaleProbe, ScaleProbe]:
    """The search, one probe after the other: the diameters it asks for, its probes sent to it."""

    def probe_with(diameter: float) -> Any:
        return (yield diameter)

    return cast(Any, best_probe(plan, probe_with))


def seen(expected: SegmentPlan, wanted: float, diameter: float, leaning: float) -> ScaleProbe:
    """What such a model shows of objects of a diameter."""
    plan = replace(expected, diameter=wanted)
    usual = plan.card.object_diameter
    ratio = diameter * plan.zoom / usual
    found = usual / plan.zoom * ratio**leaning
    certainty = 0.97 if 1 / 1.6 < ratio < 1.6 else 0.6
    probe = ScaleProbe(plan, Path(), diameters=[found] * 9, certainties=[certainty] * 9)
    return replace(probe, leaning=LEANING)


@pytest.mark.parametrize("second", [[], [0.3] * 9, [0.98] * 9])
def test_a_probe_that_shows_less_is_not_planned_with(second: list[float]) -> None:
    """Whether it shows nothing, unsure things, or much that is further off."""
    expected = flat_plan()
    search = searching(expected)
    first = seen(expected, next(search), 36.0, 0.9)
    wanted = search.send(first)
    plan = replace(expected, diameter=wanted)
    size = plan.card.object_diameter / plan.zoom * (0.5 if second[:1] > [0.9] else 1.05)
    worse = ScaleProbe(plan, Path(), diameters=[size] * len(second), certainties=second)
    with pytest.raises(StopIteration) as end:
        search.send(worse)
    best: ScaleProbe = end.value.value
    assert best.plan is first.plan
    assert best.diameter != wanted
    assert best.diameter == pytest.approx(first.diameters[0], abs=0.05)


def test_a_model_of_one_kind_of_cells_probes_once_and_is_believed() -> None:
    plan = flat_plan()
    card = plan.card.model_copy(update={"usual_diameter": 40.0, "taught_diameters": (30.0, 50.0)})
    plan = replace(plan, card=card, diameter=40.0)
    search = searching(plan)
    probe = replace(seen(plan, next(search), 30.0, 0.7), leaning=1.0)
    with pytest.raises(StopIteration) as end:
        search.send(probe)
    assert end.value.value is probe
    assert probe.diameter == pytest.approx(probe.diameters[0], abs=0.05)


@pytest.mark.parametrize("fits", [False, True])
def test_quite_another_size_than_the_usual_one_is_believed_only_where_more_is_found(
    fits: bool,
) -> None:
    plan = flat_plan()
    card = plan.card.model_copy(update={"usual_diameter": 38.0, "taught_diameters": (22.0, 65.0)})
    plan = replace(plan, card=card, diameter=38.0)
    search = searching(plan)
    clumps = ScaleProbe(replace(plan, diameter=next(search)), Path(), diameters=[139.0] * 4)
    clumps.certainties.extend([0.7] * 4)
    wanted = search.send(clumps)
    assert wanted == pytest.approx(139.0)
    again = ScaleProbe(replace(plan, diameter=wanted), Path())
    again.diameters.extend([130.0] * (4 if fits else 0))
    again.certainties.extend([0.97] * (4 if fits else 0))
    with pytest.raises(StopIteration) as end:
        search.send(again)
    best: ScaleProbe = end.value.value
    assert card.diameter_for(best.diameter) == pytest.approx(130.0 if fits else 38.0, abs=0.1)


@cache
def flat_plan() -> SegmentPlan:
    """A plan of a model that knows one size well, for an image that shows nothing."""
    plan = started(np.random.default_rng(0).random((64, 64)).astype(np.float32)).plan
    sizes = {"object_diameter": 24.0, "diameter_range": (20.0, 29.0)}
    return replace(plan, card=plan.card.model_copy(update=sizes), diameter=24.0)


def test_surely_found_objects_of_another_size_do_not_count_as_fitting() -> None:
    plan = flat_plan()
    usual = plan.card.object_diameter
    right = ScaleProbe(plan, Path(), diameters=[usual] * 3, certainties=[0.95] * 3)
    small = ScaleProbe(plan, Path(), diameters=[usual / 2] * 12, certainties=[0.95] * 12)
    unsure = ScaleProbe(plan, Path(), diameters=[usual] * 3, certainties=[0.6] * 3)
    assert right.sure
    assert not small.sure
    assert not unsure.sure
    assert right.fit > unsure.fit > small.fit


def test_windows_stay_inside() -> None:
    strip = Box((10, 10), (20, 400))
    assert window(strip, strip.centre, 64) == Box((10, 173), (20, 237))
    assert window(strip, (12, 395), 64) == Box((10, 336), (20, 400))
    assert window(strip, (12, 395), 5000) == strip


def test_of_a_large_image_one_chunk_is_read_for_each_window(
    nuclei: NDArray[np.float32],
) -> None:
    """Each one that is computed, or decompressed, takes time before the first objects appear."""
    looked: list[tuple[int, int]] = []

    def chunk(block_info: Any = None) -> NDArray[np.float32]:
        (y, _), (x, _) = block_info[None]["array-location"]
        looked.append((y, x))
        return nuclei[:256, :256]

    lazy: Any = dask.array  # without types
    array = lazy.map_blocks(chunk, chunks=((256,) * 32,) * 2, dtype=np.float32, meta=nuclei[:0])
    image = open_image(array, "YX")
    plan = replace(started(nuclei).plan, shape=image.shape, region=Box((0, 0), image.shape))
    for _ in busiest(plan, image, None):
        pass
    assert len(looked) == WINDOWS**2


def test_objects_are_looked_for_where_something_is(nuclei: NDArray[np.float32]) -> None:
    corner = np.full((1500, 1500), nuclei.min(), np.float32)
    corner[-400:, -400:] = rescale(nuclei, 1)[:400, :400]
    assert started(corner).plan.found == pytest.approx(USUAL, rel=0.2)
