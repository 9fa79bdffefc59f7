"""Memory is what the computer has, and what a container, a job or a shell leaves of it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from napari_unet.inference.memory import free_memory, group_limit

GIGABYTE = 2**30
LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({GIGABYTE}, {GIGABYTE}))
from napari_unet.inference.memory import free_memory
assert 0 < free_memory() < {GIGABYTE}, free_memory()
"""


FRUGAL = """
import os
from napari_unet.inference.memory import be_frugal
be_frugal()
import zarr
assert zarr.config.get("threading.max_workers") == {}
"""


def test_no_more_than_the_computer_has() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bound no address space")
def test_a_shells_limit_counts() -> None:
    subprocess.run([sys.executable, "-c", LIMITED], check=True)
    subprocess.run([sys.executable, "-c", LIMITED + FRUGAL.format(1)], check=True)


def test_without_a_limit_zarr_has_its_threads() -> None:
    subprocess.run([sys.executable, "-c", FRUGAL.format(None)], check=True)


@pytest.mark.parametrize(
    ("inner", "outer", "limit"),
    [("max", "max", None), ("max", "5000", 5000), ("400", "5000", 400), (None, "5000", 5000)],
)
def test_the_narrowest_group_counts(
    tmp_path: Path, inner: str | None, outer: str, limit: int | None
) -> None:
    own, groups = tmp_path / "own", tmp_path / "groups"
    own.write_text("0::/job/step\n")
    (groups / "job" / "step").mkdir(parents=True)
    (groups / "job" / "memory.max").write_text(f"{outer}\n")
    if inner:
        (groups / "job" / "step" / "memory.max").write_text(f"{inner}\n")
    assert group_limit(own, groups) == limit


def test_systems_without_groups_have_no_limit(tmp_path: Path) -> None:
    assert group_limit(tmp_path / "own", tmp_path) is None
    (tmp_path / "own").write_text("12:memory:/user\n")  # the older version
    assert group_limit(tmp_path / "own", tmp_path) is None
