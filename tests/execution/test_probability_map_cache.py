"""Room for class maps: bounded, oldest out first, nothing left behind; and the store itself."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

from napari_unet.execution.probability_map_cache import ProbabilityMapCache, Scratch
from napari_unet.execution.probability_maps import ProbabilityMapStore
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


def test_what_dead_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead = tmp_path / f"{int(child.stdout)}-{platform.node()}-abc"
    others = [
        tmp_path / f"{os.getpid()}-{platform.node()}-abc",
        tmp_path / f"{int(child.stdout)}-another.computer-abc",
        tmp_path / "holiday-pictures",
    ]
    for folder in (dead, *others):
        folder.mkdir()
    ProbabilityMapCache(tmp_path)
    assert not dead.exists()
    assert all(folder.exists() for folder in others)


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


def test_what_a_crash_left_can_be_kept_for_some_days(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    left = tmp_path / f"{dead}-{platform.node() or 'host'}-abc" / "labels.zarr"
    left.mkdir(parents=True)
    empty = left.parents[1] / f"{dead}-{platform.node() or 'host'}-def"
    empty.mkdir()
    scratch = Scratch(tmp_path)
    mine = scratch.reserve()
    assert scratch.sweep(7) == [left]
    assert left.exists()
    assert not empty.exists()
    long_ago = left.stat().st_mtime - 8 * 86_400
    os.utime(left, (long_ago, long_ago))
    assert scratch.sweep(7) == []
    assert not left.parent.exists()
    assert mine.parent.exists()
