"""Tiles in pure integers: each pixel written once, cores on the pooling grid, sources inside."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.image import Box
from napari_unet.network.spec import UNetSpec
from napari_unet.tiling.tiles import TilePlan, plan_tiles
from tests.strategies import intervals, specs


@st.composite
def plans(draw: st.DrawFn) -> tuple[TilePlan, UNetSpec]:
    spec = draw(specs(max_depth=4, max_filters=2))
    shape = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    zoom = draw(st.one_of(st.just(1.0), st.floats(0.2, 4)))
    area = None
    if draw(st.booleans()):
        y, x = (draw(intervals(low=0, high=side)) for side in shape)
        area = Box((y[0], x[0]), (y[1], x[1])).grow(draw(st.integers(0, 40)))
    return plan_tiles(shape, spec, zoom=zoom, tile=draw(st.integers(16, 400)), area=area), spec


@given(plans())
def test_write_boxes_cover_every_pixel_of_the_area_once(case: tuple[TilePlan, UNetSpec]) -> None:
    plan, _ = case
    written = np.zeros(plan.shape, int)
    for tile in plan.tiles:
        assert tile.write.size > 0
        written[tile.write.slices] += 1
    assert (written[plan.area.slices] == 1).all()
    assert written.sum() == plan.area.size


@given(plans())
def test_boxes_are_what_the_network_takes(case: tuple[TilePlan, UNetSpec]) -> None:
    plan, spec = case
    image = Box((0, 0), plan.shape)
    for tile in plan.tiles:
        for corner in (tile.core.start, tile.core.stop):
            assert not any(length % spec.divisor for length in corner)
        assert all(spec.takes(length) for length in tile.read.shape)
        for i in (0, 1):
            before = tile.core.start[i] - tile.read.start[i]
            after = tile.read.stop[i] - tile.core.stop[i]
            assert min(before, after) >= spec.shrink
            assert before >= spec.halo
        assert tile.source.intersect(image) == tile.source
        assert tile.source.size > 0


@given(plans())
def test_the_core_covers_what_is_written(case: tuple[TilePlan, UNetSpec]) -> None:
    plan, _ = case
    for tile in plan.tiles:
        for i in (0, 1):
            scale = plan.network_shape[i] / plan.shape[i]
            assert tile.core.start[i] <= max(0, np.floor(tile.write.start[i] * scale))
            assert tile.core.stop[i] >= min(
                plan.network_shape[i], np.floor(tile.write.stop[i] * scale)
            )


@given(plans(), st.data())
def test_touching_is_what_shares_pixels(
    case: tuple[TilePlan, UNetSpec], data: st.DataObject
) -> None:
    plan, _ = case
    y, x = (data.draw(intervals(low=-20, high=side + 20)) for side in plan.shape)
    box = Box((y[0], x[0]), (y[1], x[1]))
    expected = [t.index for t in plan.tiles if t.write.intersect(box).size]
    assert plan.touching(box) == expected


@given(plans(), st.tuples(st.floats(-50, 350), st.floats(-50, 350)))
def test_nearest_first_is_a_permutation_by_distance(
    case: tuple[TilePlan, UNetSpec], centre: tuple[float, float]
) -> None:
    plan, _ = case
    order = plan.nearest_first(centre)
    assert sorted(order) == [t.index for t in plan.tiles]
    distances = [np.hypot(*np.subtract(plan.tiles[i].write.centre, centre)) for i in order]
    assert (np.diff(distances) >= -1e-9).all()


@pytest.mark.parametrize("variant", ["padded", "paper"])
def test_the_papers_tile(variant: str) -> None:
    spec = UNetSpec(variant=variant)
    (tile,) = plan_tiles((384, 384), spec, tile=384).tiles
    assert (tile.read.start, tile.read.shape[0]) == ((-96, -96), 572 if variant == "paper" else 576)
    assert tile.source == tile.write == Box((0, 0), (384, 384))


def test_a_tile_is_never_larger_than_asked() -> None:
    for tile in (32, 100, 512):
        plan = plan_tiles((1000, 777), UNetSpec(), tile=tile)
        assert max(max(t.write.shape) for t in plan.tiles) <= tile


def test_geometry_needs_no_torch() -> None:
    code = "import sys, napari_unet.tiling.schedule; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
