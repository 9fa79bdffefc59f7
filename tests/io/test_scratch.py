"""Folders of a process: those of dead processes go, and nothing else."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_unet.execution.probability_maps import ProbabilityMapCache
from napari_unet.io.scratch import Scratch, temporary_folder


@pytest.mark.parametrize("sweep", [ProbabilityMapCache, lambda root: Scratch(root).sweep()])
def test_what_dead_processes_left_is_removed_and_nothing_else(
    sweep: Callable[[Path], object], tmp_path: Path
) -> None:
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
    sweep(tmp_path)
    assert not dead.exists()
    assert all(folder.exists() for folder in others)


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


def test_a_folder_in_which_an_engine_still_writes_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = os.rmdir

    def a_tile_comes_first(path: str, **options: int) -> None:
        (folder / "late tile").touch()
        remove(path, **options)

    with temporary_folder("maps-", tmp_path) as folder:
        monkeypatch.setattr("os.rmdir", a_tile_comes_first)
    assert (folder / "late tile").exists()


def test_a_temporary_folder_is_gone_in_the_end(tmp_path: Path) -> None:
    with temporary_folder("maps-", tmp_path) as folder:
        (folder / "tile").touch()
    assert not list(tmp_path.iterdir())
