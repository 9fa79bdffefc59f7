"""Probability maps on disk: the store, and room that is bounded, oldest out first."""

from pathlib import Path

import numpy as np

from napari_unet.execution.probability_maps import ProbabilityMapCache, ProbabilityMapStore
from napari_unet.image import Box
from napari_unet.network.spec import UNetSpec
from napari_unet.tiling.plan import SegmentPlan
from tests.strategies import random_card


def plan(side: int = 100, tile: int = 32) -> SegmentPlan:
    return SegmentPlan(
        (side, side), ((0,), (1,)), Box((0, 0), (side, side)), random_card(UNetSpec(depth=2)),
        "model", "0", 1, ((0.0, 1.0),), 20.0, tile,
    )  # fmt: skip


def test_older_runs_make_room(tmp_path: Path) -> None:
    cache, one = ProbabilityMapCache(tmp_path, limit=150_000), plan()
    folders = [cache.reserve() for _ in range(3)]
    assert len(set(folders)) == 3
    for folder in folders:
        assert cache.budget(folder, one) == 2 * 3 * 100 * 100
        ProbabilityMapStore(folder, one)
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert cache.budget(cache.reserve(), plan(1000)) == 150_000
    assert not any(folder.exists() for folder in folders)


def test_closing_removes_everything(tmp_path: Path) -> None:
    cache = ProbabilityMapCache(tmp_path)
    ProbabilityMapStore(cache.reserve(), plan())
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_the_store_gives_back_any_window_and_forgets_tiles(tmp_path: Path) -> None:
    one = plan()
    store, maps = ProbabilityMapStore(tmp_path / "run", one), np.zeros((3, 100, 100), np.uint8)
    random = np.random.default_rng(0)
    for tile in one.tiles.tiles:
        part = random.integers(0, 256, (3, *tile.write.shape)).astype(np.uint8)
        store.write(1, tile.write, part)
        maps[(slice(None), *tile.write.slices)] = part
    window = Box((13, 5), (77, 91))
    again = ProbabilityMapStore(tmp_path / "run", one)
    assert (again.read(1, window) == maps[(slice(None), *window.slices)]).all()
    assert not again.read(0, window).any()
    files = len(list((tmp_path / "run").rglob("*")))
    again.drop((1, 0))
    assert not store.read(1, one.tiles.tiles[0].write).any()
    assert len(list((tmp_path / "run").rglob("*"))) < files
