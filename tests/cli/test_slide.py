"""Images larger than memory: the result on disk, runs that stop, and clusters."""

import contextlib
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from distributed import Client, LocalCluster
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from tifffile import imread, imwrite
from typer.testing import CliRunner

from napari_unet import SegmentSettings, UNetError, read_image, segment
from napari_unet.cli.main import app
from napari_unet.execution.block_worker import BlockWorker
from napari_unet.execution.cluster import connect
from napari_unet.execution.patches import scratch_of
from napari_unet.execution.slide import Source
from napari_unet.image import Box, Image
from napari_unet.models.library import find_model
from napari_unet.network.spec import UNetSpec
from napari_unet.segmentation import segment_slide
from tests.strategies import blob_labels, random_model, same_partition

SETTINGS = SegmentSettings(diameter=22, tile=128)


def nuclei(shape: tuple[int, int] = (500, 440)) -> NDArray[np.uint16]:
    cells = gaussian_filter((blob_labels(3, shape, 18) > 0) * 1000.0, 1)
    return (cells + np.random.default_rng(0).normal(200, 10, shape)).astype(np.uint16)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """An OME-Zarr image."""
    group = zarr.create_group(tmp_path / "slide.zarr", zarr_format=2)
    group.create_array("0", data=nuclei()[None], chunks=(1, 100, 100))
    axes = [{"name": "z", "type": "space"}] + [
        {"name": n, "type": "space", "unit": "micrometer"} for n in "yx"
    ]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.25]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return tmp_path / "slide.zarr"


def test_a_slide_on_disk_equals_the_image_in_memory(slide: Path, tmp_path: Path) -> None:
    result = segment_slide(slide, tmp_path / "labels.zarr", settings=SETTINGS)
    expected = segment(nuclei()[None], axes="ZYX", settings=SETTINGS)
    assert expected.labels.max() > 100
    assert (result.labels[:] == expected.labels).all()
    assert list(result.objects["area"]) == list(expected.objects["area"])
    assert (result.objects["area_um2"] == 0.125 * result.objects["area"]).all()


def test_the_result_is_an_ome_zarr_label_image(slide: Path, tmp_path: Path) -> None:
    result = segment_slide(slide, tmp_path / "labels.zarr", settings=SETTINGS)
    group = zarr.open_group(tmp_path / "labels.zarr", mode="r")
    assert group["0"].chunks == (1, 128, 128)
    again = read_image(tmp_path / "labels.zarr")
    assert (again.axes, again.pixel_size, again.unit) == ("ZYX", (0.5, 0.25), "micrometer")
    assert again.label_sizes == (None, 0.5, 0.25)  # the slide says nothing of Z
    assert "unit" not in group.attrs["multiscales"][0]["axes"][0]
    assert (again.data[:] == result.labels[:]).all()
    attributes: Any = dict(group.attrs)
    assert attributes["napari_unet"]["model"] == "nuclei"
    assert attributes["napari_unet"]["diameter"] == 22
    assert not scratch_of(tmp_path / "labels.zarr").exists()


def test_smaller_copies_take_every_other_pixel(tmp_path: Path) -> None:
    zarr.save_array(tmp_path / "plain.zarr", nuclei((1100, 700)))
    segment_slide(tmp_path / "plain.zarr", tmp_path / "labels.zarr", settings=SETTINGS)
    group: Any = zarr.open_group(tmp_path / "labels.zarr", mode="r")
    levels = [group[str(i)][:] for i in range(3)]
    assert "3" not in group
    assert (levels[1] == levels[0][::2, ::2]).all()
    assert (levels[2] == levels[0][::4, ::4]).all()
    scales = [
        one["coordinateTransformations"][0]["scale"]
        for one in group.attrs["multiscales"][0]["datasets"]
    ]
    assert scales == [[1, 1], [2, 2], [4, 4]]


def test_a_part_of_a_slide_is_computed_alone(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that reach into the part are whole; nothing else is there, or computed."""
    whole = segment(nuclei(), settings=SETTINGS).labels
    keep, computed = BlockWorker._decode, []
    monkeypatch.setattr(
        BlockWorker, "_decode", lambda s, k, *a: computed.append(k) or keep(s, k, *a)
    )
    source = Source(slide, region=Box((150, 130), (240, 250)))
    part = segment_slide(source, tmp_path / "labels.zarr", settings=SETTINGS).labels[0]
    assert 1 <= len(computed) <= 4
    inside = (slice(150, 240), slice(130, 250))
    assert same_partition(part[inside], whole[inside])
    ids = np.unique(whole[inside])
    assert ((part > 0) == np.isin(whole, ids[ids > 0])).all()
    monkeypatch.setattr(BlockWorker, "_decode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        segment_slide(source, tmp_path / "again.zarr", settings=SETTINGS)
    with pytest.raises(UNetError, match="another region"):
        segment_slide(slide, tmp_path / "again.zarr", settings=SETTINGS)


def test_a_region_that_is_none_is_a_sentence(slide: Path, tmp_path: Path) -> None:
    words = ["segment", str(slide), "--output", str(tmp_path / "labels.zarr"), "--region", "0,0,9"]
    result = runner.invoke(app, words)
    assert result.exit_code == 2
    assert "four numbers" in " ".join(result.output.split())


class StoppedError(Exception):
    """Somebody pressed Ctrl+C."""


def counting(computed: list[Any]) -> Any:
    """Stands for `BlockWorker._decode` and notes every block."""
    keep = BlockWorker._decode

    def counted(self: BlockWorker, key: Any, *rest: Any) -> Any:
        computed.append(key)
        return keep(self, key, *rest)

    return counted


def stop_at(count: int) -> Any:
    def progress(done: int, total: int) -> None:
        if done == count:
            raise StoppedError

    return progress


@pytest.mark.parametrize("count", [1, 7, 12])
def test_a_run_that_was_stopped_goes_on(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    target = tmp_path / "labels.zarr"
    with pytest.raises(StoppedError):
        segment_slide(slide, target, settings=SETTINGS, progress=stop_at(count))
    log = scratch_of(target) / "done.jsonl"
    for again in (count + 3, 99):  # more than once
        noted = log.read_text().count("ids")
        with open(log, "a") as file:
            file.write('\n{"plane": 0, "til')  # killed while it wrote
        computed = list[Any]()
        with monkeypatch.context() as patch:
            patch.setattr(BlockWorker, "_decode", counting(computed))
            with contextlib.suppress(StoppedError):
                result = segment_slide(slide, target, settings=SETTINGS, progress=stop_at(again))
    assert len(computed) == 16 - noted
    expected = segment(nuclei()[None], axes="ZYX", settings=SETTINGS)
    assert (result.labels[:] == expected.labels).all()


def test_objects_that_were_lost_are_computed_again(slide: Path, tmp_path: Path) -> None:
    """A disk that was full, or a machine without power, left broken files behind."""
    target = tmp_path / "labels.zarr"
    with pytest.raises(StoppedError):
        segment_slide(slide, target, settings=SETTINGS, progress=stop_at(6))
    first, second, *_ = sorted((scratch_of(target) / "patches").glob("*.npz"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:50])
    result = segment_slide(slide, target, settings=SETTINGS)
    expected = segment(nuclei()[None], axes="ZYX", settings=SETTINGS)
    assert (result.labels[:] == expected.labels).all()


def test_killed_before_the_plan_was_noted(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.zarr"
    with pytest.raises(StoppedError):
        segment_slide(slide, target, settings=SETTINGS, progress=stop_at(1))
    (scratch_of(target) / "job.json").unlink()
    result = segment_slide(slide, target, settings=SETTINGS)
    assert result.count == result.labels[:].max() > 100


def test_the_model_may_have_moved_meanwhile(slide: Path, tmp_path: Path) -> None:
    target, first, second = (
        tmp_path / n for n in ("labels.zarr", "a.safetensors", "b.safetensors")
    )
    shutil.copy(find_model("nuclei"), first)
    with pytest.raises(StoppedError):
        segment_slide(slide, target, first, settings=SETTINGS, progress=stop_at(3))
    first.rename(second)
    assert segment_slide(slide, target, second, settings=SETTINGS).count > 100


def test_an_image_that_changed_is_not_mixed_in(tmp_path: Path) -> None:
    imwrite(tmp_path / "slide.tif", nuclei())
    target = tmp_path / "labels.zarr"
    with pytest.raises(StoppedError):
        segment_slide(tmp_path / "slide.tif", target, settings=SETTINGS, progress=stop_at(3))
    imwrite(tmp_path / "slide.tif", nuclei()[::-1])
    with pytest.raises(UNetError, match="unfinished result of another image"):
        segment_slide(tmp_path / "slide.tif", target, settings=SETTINGS)


def test_two_runs_do_not_share_a_result(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.zarr"

    def second_run(done: int, total: int) -> None:
        with pytest.raises(UNetError, match="Another run is working on"):
            segment_slide(slide, target, settings=SETTINGS)

    assert segment_slide(slide, target, settings=SETTINGS, progress=second_run).count > 100


def test_planes_classes_and_other_sizes(tmp_path: Path) -> None:
    stack = np.stack([nuclei((300, 260)), nuclei((300, 260))[::-1]])
    zarr.save_array(tmp_path / "stack.zarr", stack)
    source = Source(tmp_path / "stack.zarr", axes="TYX")
    for number, diameter in enumerate((22, 70)):  # as it is, and reduced
        wanted = SegmentSettings(diameter=diameter, tile=100)
        result = segment_slide(source, tmp_path / f"{number}.zarr", settings=wanted)
        expected = segment(stack, axes="TYX", settings=wanted)
        assert result.plan.zoom == (1 if diameter == 22 else pytest.approx(30 / 70))
        assert (result.labels[:] == expected.labels).all()
    spec = UNetSpec(classes=3, distance=False, base_filters=2, depth=2)
    model = random_model(tmp_path, spec)
    classes = segment_slide(source, tmp_path / "classes.zarr", model)
    assert (classes.labels[:] == segment(stack, model, axes="TYX").labels).all()
    assert (classes.labels[:].max(), classes.count) == (2, 0)


def test_a_newer_ome_zarr_is_read(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "new.zarr", zarr_format=3)
    group.create_array("s0", data=nuclei((100, 90)))
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    change = [{"type": "scale", "scale": [0.5, 0.5]}]
    scales = [{"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": change}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    image = read_image(tmp_path / "new.zarr")
    assert (image.axes, image.pixel_size, image.shape) == ("YX", (0.5, 0.5), (100, 90))


def test_an_unfinished_result_of_something_else_is_refused(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.zarr"
    with pytest.raises(StoppedError):
        segment_slide(slide, target, settings=SETTINGS, progress=stop_at(2))
    before = json.loads((scratch_of(target) / "job.json").read_text())
    with pytest.raises(UNetError, match="unfinished result of another settings"):
        segment_slide(slide, target, settings=SegmentSettings(diameter=20))
    assert json.loads((scratch_of(target) / "job.json").read_text()) == before


@pytest.mark.parametrize("older", [False, True])
def test_nuclei_of_a_slide(tmp_path: Path, older: bool) -> None:
    """They belong to what an unfinished result is of; older notes do not name them."""
    pair = np.stack([nuclei((300, 260)), nuclei((300, 260))[::-1]])
    zarr.save_array(tmp_path / "pair.zarr", pair)
    spec = UNetSpec(base_filters=2, depth=2, nuclei=True)
    model, target = random_model(tmp_path, spec, seed=7), tmp_path / "labels.zarr"
    wanted = Source(tmp_path / "pair.zarr", "CYX", channel=0, nuclei=None if older else 1)
    with pytest.raises(StoppedError):
        segment_slide(wanted, target, model, settings=SETTINGS, progress=stop_at(2))
    if older:
        note = scratch_of(target) / "job.json"
        noted = json.loads(note.read_text())
        del noted["channel of nuclei"]
        note.write_text(json.dumps(noted))
    other = replace(wanted, nuclei=1 if older else None)
    with pytest.raises(UNetError, match="another channel of nuclei"):
        segment_slide(other, target, model, settings=SETTINGS)
    result = segment_slide(wanted, target, model, settings=SETTINGS)
    image = Image(pair, "CYX", channel=0, nuclei=wanted.nuclei)
    assert result.plan.channels == (1 if older else 2)
    assert (result.labels[:] == segment(image, model, settings=SETTINGS).labels).all()
    attributes: Any = dict(zarr.open_group(target, mode="r").attrs)
    assert attributes["napari_unet"]["nuclei"] == wanted.nuclei
    assert attributes["napari_unet"]["channel"] == 0


def test_a_result_is_never_overwritten(slide: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.zarr").mkdir()
    with pytest.raises(UNetError, match="exists already"):
        segment_slide(slide, tmp_path / "labels.zarr")
    with pytest.raises(UNetError, match=r"does not end in \.zarr"):
        segment_slide(slide, tmp_path / "labels.tif")


def test_a_group_without_an_image_is_a_sentence(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "g.zarr").create_array("inner", shape=(3, 3), dtype="u1")
    with pytest.raises(UNetError, match="without an OME-Zarr image; it holds inner"):
        segment_slide(tmp_path / "g.zarr", tmp_path / "labels.zarr")


def test_no_scheduler_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.execution.cluster.PATIENCE", 1)
    with pytest.raises(UNetError, match="No dask scheduler answers"), connect("tcp://127.0.0.1:9"):
        pass


def test_a_cluster_without_workers_is_a_sentence(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.execution.cluster.PATIENCE", 1)
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        Client(cluster) as client,
        pytest.raises(UNetError, match="has no workers"),
    ):
        segment_slide(slide, tmp_path / "labels.zarr", settings=SETTINGS, client=client)


def test_a_cluster_that_loses_a_worker_gives_the_same(tmp_path: Path) -> None:
    """A worker is killed in the middle; its blocks are computed by the other."""
    zarr.save_array(tmp_path / "slide.zarr", nuclei())
    model = tmp_path / "only-here.safetensors"  # the workers are sent it
    shutil.copy(find_model("nuclei"), model)
    killed: list[int] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())

        def kill_one(done: int, total: int) -> None:
            if done == 5:
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])

        result = segment_slide(
            tmp_path / "slide.zarr", tmp_path / "labels.zarr", model,
            settings=SETTINGS, client=client, progress=kill_one,
        )  # fmt: skip
        assert killed
        assert set(client.run(os.getpid).values()) != set(pids)
    expected = segment(nuclei(), model, settings=SETTINGS)
    assert expected.labels.max() > 100
    assert (result.labels[:] == expected.labels).all()


runner = CliRunner()


def test_command_line_writes_a_slide_and_says_so(slide: Path, tmp_path: Path) -> None:
    target = tmp_path / "labels.zarr"
    words = ["segment", str(slide), "--output", str(target), "--diameter", "22", "--csv"]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.output
    count = int(read_image(target).data[:].max())
    assert f"{target}: {count} objects" in result.output
    assert len((tmp_path / "labels_objects.csv").read_text().splitlines()) == count + 1
    again = runner.invoke(app, words)
    assert again.exit_code == 2
    assert "exists already" in again.output
    shutil.rmtree(target)
    table = (tmp_path / "labels_objects.csv").read_text()
    third = runner.invoke(app, words)
    assert third.exit_code == 2
    assert "labels_objects.csv exists already" in " ".join(third.output.split())
    assert (tmp_path / "labels_objects.csv").read_text() == table


def test_a_folder_is_spread_over_a_cluster(tmp_path: Path) -> None:
    """Each image by one worker, with the model that is sent; the same labels as here."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(4):
        imwrite(folder / f"{i}.tif", nuclei((200 + i, 180)))
    (folder / "damaged.png").write_bytes(b"no image")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        words = ["segment", str(folder), "--output", str(tmp_path / "labels"), "--diameter", "22"]
        result = runner.invoke(app, [*words, "--scheduler", cluster.scheduler_address])
    assert result.exit_code == 1
    assert "damaged.png" in result.output
    assert result.output.count(" objects") == 4
    for i in range(4):
        labels = imread(tmp_path / "labels" / f"{i}_labels.tif")
        assert (labels == segment(nuclei((200 + i, 180)), diameter=22).labels).all()


def test_labels_of_a_large_image_go_to_a_tiff_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.segmentation.files.LARGE", 100_000)
    imwrite(tmp_path / "large.tif", nuclei())
    words = ["segment", str(tmp_path / "large.tif"), "--diameter", "22", "--csv"]
    runner, plan_tile = CliRunner(), "napari_unet.planning.planner.SIDE"
    monkeypatch.setattr(plan_tile, 128)
    done = runner.invoke(app, [*words, "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    labels = imread(tmp_path / "out" / "large_labels.tif")
    expected = segment(nuclei(), settings=SETTINGS).labels
    assert (labels == expected).all()
    assert f"{expected.max()} objects" in done.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["large_labels.tif", "large_objects.csv"]


def test_a_large_tiff_that_failed_goes_on_from_the_finished_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.segmentation.files.LARGE", 100_000)
    imwrite(tmp_path / "large.tif", nuclei())
    words = ["segment", str(tmp_path / "large.tif"), "--diameter", "22"]
    words += ["--output", str(tmp_path / "out")]
    with monkeypatch.context() as patched:
        patched.setattr("napari_unet.io.tiff.write_replacing", no_space)
        assert CliRunner().invoke(app, words).exit_code != 0
    computed: list[Any] = []
    plain = BlockWorker._decode
    monkeypatch.setattr(BlockWorker, "_decode", lambda *a: computed.append(a) or plain(*a))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert not computed
    expected = segment(nuclei(), settings=SETTINGS).labels
    labels = imread(tmp_path / "out" / "large_labels.tif")
    assert same_partition(labels.astype(np.uint32), expected)


def no_space(*_arguments: Any, **_options: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_damaged_part_of_the_image_is_a_sentence_that_names_it(
    slide: Path, tmp_path: Path
) -> None:
    chunk = slide / "0" / "0.3.2"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        UNetError, match=r"Rows \d+ to \d+, columns \d+ to \d+ of .* cannot be read"
    ):
        segment_slide(slide, tmp_path / "labels.zarr", settings=SETTINGS)
    chunk.write_bytes(whole)
    result = segment_slide(slide, tmp_path / "labels.zarr", settings=SETTINGS)
    assert (result.labels[0] == segment(nuclei(), settings=SETTINGS).labels).all()


def test_a_table_that_fails_is_made_by_the_same_command_again(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "labels.zarr"
    words = ["segment", str(slide), "--output", str(target), "--diameter", "22", "--csv"]
    with monkeypatch.context() as patched:
        patched.setattr("napari_unet.io.exports.save_table", no_space)
        assert runner.invoke(app, words).exit_code == 2
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "labels_objects.csv").exists()
    assert not scratch_of(target).exists()
