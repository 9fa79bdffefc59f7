"""The side of the tiles: tried once before a large image, remembered, without effect on objects."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from napari_unet import segment
from napari_unet.execution import tile_sides as sides
from napari_unet.execution.tile_sides import with_fastest_side
from napari_unet.image import Box
from napari_unet.inference.fastest import fastest
from napari_unet.inference.predict import Predictor
from napari_unet.tiling.plan import SegmentPlan
from tests.strategies import random_model

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = np.random.default_rng(0).random((500, 400)).astype(np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let small images be large, and remember nothing of other tests."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_: tmp_path / "cache")
    monkeypatch.setattr("napari_unet.planning.planner.SIDE", 128)
    monkeypatch.setattr(sides, "LARGE", 400 * 400)
    monkeypatch.setattr(sides, "cores", lambda: 1)
    fastest.cache_clear()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sides that were tried; the largest is the fastest."""
    found: list[int] = []

    def noted(plan: SegmentPlan, predictor: Predictor) -> float:
        found.append(plan.tile)
        assert measured(plan, predictor) > 0
        return 1 / plan.tile

    measured = sides.seconds
    monkeypatch.setattr(sides, "seconds", noted)
    return found


def test_sides_are_tried_before_a_large_image_and_remembered(
    tmp_path: Path, tried: list[int]
) -> None:
    path = random_model(tmp_path)
    first = segment(IMAGE, path, diameter=20)
    assert sorted(tried) == [128, 128, 192, 192, 256, 256]
    assert first.plan.tile == 256
    fastest.cache_clear()  # the next start
    again = segment(IMAGE, path, diameter=20)
    assert len(tried) == 6
    assert (again.labels == first.labels).all()
    small = segment(IMAGE[:300], path, diameter=20)  # has the usual side, whatever was found
    assert small.plan.tile == 128
    assert small.record["tile"] == 128


def test_a_larger_side_has_to_be_clearly_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_model(tmp_path)
    seconds = {128: 1.0, 192: 0.93, 256: 0.92}  # it takes more memory
    monkeypatch.setattr(sides, "seconds", lambda plan, _: seconds[plan.tile])
    assert segment(IMAGE, path, diameter=20).plan.tile == 128
    fastest.cache_clear()


def test_a_side_that_memory_does_not_hold_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Predictor.compute

    def short(self: Predictor, given: Any, core: Box) -> Any:
        if core.size > 128**2:
            raise MemoryError
        return plain(self, given, core)

    monkeypatch.setattr(Predictor, "compute", short)
    assert segment(IMAGE, random_model(tmp_path), diameter=20).plan.tile == 128
    fastest.cache_clear()


def test_nothing_is_tried_where_it_does_not_pay(tmp_path: Path, tried: list[int]) -> None:
    path = random_model(tmp_path)
    assert segment(IMAGE[:300], path, diameter=20).plan.tile == 128  # small
    assert segment(IMAGE, path, diameter=20, tile=96).plan.tile == 96  # somebody has chosen
    plan: Any = replace(segment(IMAGE[:300], path, diameter=20).plan, device="cuda")
    assert with_fastest_side(plan) == plan
    assert not tried
