"""The side of the tiles: tried once before a large image, remembered, without effect on objects."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from napari_unet import segment
from napari_unet.blockwise import sides
from napari_unet.blockwise.sides import with_fastest_side
from napari_unet.inference.fastest import fastest
from napari_unet.inference.plan import SegmentPlan
from napari_unet.inference.predict import Predictor
from tests.strategies import random_model

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = np.random.default_rng(0).random((500, 400)).astype(np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let small images be large, and remember nothing of other tests."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_: tmp_path / "cache")
    monkeypatch.setattr("napari_unet.segmentation.UNWATCHED", 128)
    monkeypatch.setattr(sides, "LARGE", 400 * 400)
    monkeypatch.setattr(sides, "cores", lambda: 1)
    fastest.cache_clear()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sides that were tried; 64 is the fastest."""
    found: list[int] = []

    def noted(plan: SegmentPlan, predictor: Predictor) -> float:
        found.append(plan.tile)
        assert measured(plan, predictor) > 0
        return float(plan.tile)

    measured = sides.seconds
    monkeypatch.setattr(sides, "seconds", noted)
    return found


def test_sides_are_tried_before_a_large_image_and_remembered(
    tmp_path: Path, tried: list[int]
) -> None:
    path = random_model(tmp_path)
    first = segment(IMAGE, path, diameter=20)
    assert sorted(tried) == [64, 64, 96, 96, 128, 128]
    assert first.plan.tile == 64
    fastest.cache_clear()  # the next start
    again = segment(IMAGE, path, diameter=20)
    assert len(tried) == 6
    assert (again.labels == first.labels).all()
    small = segment(IMAGE[:300], path, diameter=20)  # has the usual side, whatever was found
    assert small.plan.tile == 128
    assert small.record["tile"] == 128


def test_nothing_is_tried_where_it_does_not_pay(tmp_path: Path, tried: list[int]) -> None:
    path = random_model(tmp_path)
    assert segment(IMAGE[:300], path, diameter=20).plan.tile == 128  # small
    assert segment(IMAGE, path, diameter=20, tile=96).plan.tile == 96  # somebody has chosen
    plan: Any = replace(segment(IMAGE[:300], path, diameter=20).plan, device="cuda")
    assert with_fastest_side(plan) == plan
    assert not tried
