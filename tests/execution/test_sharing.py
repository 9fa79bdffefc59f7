"""Blocks that share probability maps: the same objects for less work, and nothing is left."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet import segment
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.probability_maps import MapsInFolder
from napari_unet.image import Box
from napari_unet.inference.predict import Predictor
from napari_unet.network.spec import UNetSpec
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.schedule import Schedule, shared_pixels, sharing_pays
from tests.strategies import blob_labels, random_card, random_model

pytestmark = pytest.mark.usefixtures("one_thread")
NUCLEI = 22.0  # px


def nuclei(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Bright discs on a noisy ground."""
    discs = (blob_labels(3, shape, int(NUCLEI)) > 0) * 1000.0
    return discs + np.random.default_rng(0).normal(100, 10, shape)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Network pixels of every tile that is computed."""
    pixels: list[int] = []
    probability_map = Predictor.probability_map

    def noted(self: Predictor, window: Any, tile: Any, *rest: Any) -> Any:
        pixels.append(tile.read.size)
        return probability_map(self, window, tile, *rest)

    monkeypatch.setattr(Predictor, "probability_map", noted)
    return pixels


def test_objects_and_ids_are_those_of_blocks_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image, made = nuclei((520, 460)), list[Path]()
    start = MapsInFolder.__init__

    def noted(self: MapsInFolder, folder: Path, plan: SegmentPlan) -> None:
        made.append(folder)
        start(self, folder, plan)

    monkeypatch.setattr(MapsInFolder, "__init__", noted)
    forgotten: list[bool] = []
    abandon = ThreadExecutor.abandon

    def ended(self: ThreadExecutor) -> None:
        if made and made[0].is_dir():
            forgotten.append(not list(made[0].iterdir()))
        abandon(self)

    monkeypatch.setattr(ThreadExecutor, "abandon", ended)
    pixels = counted(monkeypatch)
    shared = segment(image, diameter=NUCLEI, tile=128)
    together = sum(pixels)
    assert made
    assert forgotten[-1]  # before the folder itself goes
    pixels.clear()
    monkeypatch.setattr("napari_unet.segmentation.images.sharing_pays", lambda *_: False)
    apart = segment(image, diameter=NUCLEI, tile=128)
    assert shared.count > 100
    assert (shared.labels == apart.labels).all()
    assert together < 0.8 * sum(pixels)
    assert len(made) == 1


def test_classes_share_nothing(tmp_path: Path) -> None:
    """Pixels of classes need no neighbours, so tiles and blocks are the same."""
    path = random_model(tmp_path, UNetSpec(classes=3, distance=False, depth=2, base_filters=2))
    result = segment(nuclei((300, 260)), path, tile=64)
    missing = list(result.plan.blocks())
    apart = sum(result.plan.covering(n).read.size for _, n in missing)
    assert shared_pixels(result.plan, missing) == apart


sides = st.integers(1, 2000)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(64, 600))
def test_what_is_cheaper_is_done(
    first: tuple[int, int], second: tuple[int, int], tile: int
) -> None:
    """A small part of an image is not computed with whole tiles around it."""
    start = min(first[0], second[0]), min(first[1], second[1])
    stop = max(first[0], second[0]) + 1, max(first[1], second[1]) + 1
    plan = SegmentPlan(
        shape=(2001, 2001), planes=((),), region=Box(start, stop),
        card=random_card(UNetSpec(depth=2)), model_path="", model_sha="", channels=1,
        limits=((0, 1),), diameter=20, tile=tile, anchored=True,
    )  # fmt: skip
    missing = list(plan.blocks())
    apart = sum(plan.covering(number).read.size for _, number in missing)
    assert sharing_pays(plan, missing) == (shared_pixels(plan, missing) < apart)
    schedule = Schedule(plan, missing, set(), 0, apart=not sharing_pays(plan, missing))
    assert list(schedule.apart) == ([] if sharing_pays(plan, missing) else missing)
