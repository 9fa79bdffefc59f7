"""What goes wrong on a cluster: clients, workers and other runs that come and go."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import dask
import pytest
import zarr
from distributed import Client, LocalCluster
from tifffile import imwrite
from typer.testing import CliRunner

from napari_unet import UNetError, segment
from napari_unet.cli.main import app
from napari_unet.execution.cluster import ModelPlugin
from napari_unet.io.results import Target
from napari_unet.models.library import find_model
from napari_unet.segmentation import segment_slide
from tests.cli.test_slide import SETTINGS, nuclei

DIES = """
import os, signal, sys
from distributed import Client
from napari_unet import SegmentSettings
from napari_unet.segmentation import segment_slide

def die(done, total):
    if done == 6:
        os.kill(os.getpid(), signal.SIGKILL)

settings = SegmentSettings(diameter=22, tile=128)
with Client(sys.argv[1]) as client:
    segment_slide(*sys.argv[2:], settings=settings, client=client, progress=die)
"""


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    zarr.save_array(tmp_path / "slide.zarr", nuclei())
    return tmp_path / "slide.zarr"


def test_a_run_whose_client_was_killed_goes_on(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.zarr"
    counts: list[int] = []
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        command = [sys.executable, "-c", DIES, cluster.scheduler_address, str(slide), str(target)]
        dead = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert dead.returncode == -signal.SIGKILL, dead.stderr
        result = segment_slide(
            slide, target, settings=SETTINGS, client=client,
            progress=lambda done, _total: counts.append(done),
        )  # fmt: skip
    expected = segment(nuclei(), settings=SETTINGS)
    assert expected.labels.max() > 100
    assert (result.labels[:] == expected.labels).all()
    assert counts[0] > 4  # those of the first run were not done again


def test_a_cluster_that_loses_all_workers_is_a_sentence(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.execution.cluster.PATIENCE", 2)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def retire(done: int, _total: int) -> None:
            if done == 3:
                cluster.scale(0)

        with pytest.raises(UNetError, match="has no workers"):
            segment_slide(
                slide, tmp_path / "labels.zarr", settings=SETTINGS, client=client, progress=retire
            )


def test_the_model_travels_once_and_is_not_read_again(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    model = tmp_path / "only-here.safetensors"
    shutil.copy(find_model("nuclei"), model)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        result = segment_slide(
            slide, tmp_path / "labels.zarr", model, settings=SETTINGS, client=client,
            progress=lambda done, _total: model.unlink(missing_ok=True) if done else None,
        )  # fmt: skip
        pages = client.run(os.getenv, "THP_MEM_ALLOC_ENABLE")
    assert set(pages.values()) == {"1"}  # large pages of memory take a worker a sixth less time
    assert not model.exists()
    assert (result.labels[:] == segment(nuclei(), settings=SETTINGS).labels).all()


def test_a_run_that_ends_leaves_the_model_of_another(tmp_path: Path) -> None:
    worker = SimpleNamespace(local_directory=str(tmp_path))
    one, other = (ModelPlugin(run, b"weights") for run in ("a", "b"))
    for plugin in (one, other):
        plugin.setup(worker)
    one.teardown(worker)
    assert other.path.read_bytes() == b"weights"
    assert not one.path.exists()


def test_a_cluster_on_this_computer_tells_where_to_watch_it(slide: Path, tmp_path: Path) -> None:
    words = ["segment", str(slide), "--output", str(tmp_path / "labels.zarr"), "--diameter", "22"]
    result = CliRunner().invoke(app, [*words, "--scheduler", "local"])
    assert result.exit_code == 0, result.output
    assert "Watch the cluster at http" in result.output
    assert (zarr.open(tmp_path / "labels.zarr", mode="r")["0"][:].max()) > 100  # type: ignore[index]


def test_an_image_that_kills_its_workers_does_not_end_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("good", "killer"):
        imwrite(folder / f"{name}.tif", nuclei((160, 150)))
    monkeypatch.setattr("napari_unet.cli.segment._segment_there", dies_of_killer)
    words = ["segment", str(folder), "--output", str(tmp_path / "labels"), "--diameter", "22"]
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        result = CliRunner().invoke(app, [*words, "--scheduler", cluster.scheduler_address])
    assert result.exit_code == 1, result.output
    assert "killer.tif: the workers that tried it were lost" in " ".join(result.output.split())
    assert (tmp_path / "labels" / "good_labels.tif").exists()


def dies_of_killer(model: Path, target: Target, options: object) -> object:
    """Runs on a worker, where nothing is replaced."""
    from napari_unet.cli.segment import _segment_there

    if target.scene.path.stem == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return _segment_there(model, target, options)  # type: ignore[arg-type]
