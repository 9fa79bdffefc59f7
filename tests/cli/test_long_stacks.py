"""Long movies and odd stacks go from file to table: read, segmented, linked, saved, measured."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet import segment
from napari_unet.cli.main import app
from napari_unet.image import Image
from napari_unet.inference.predict import Predictor
from napari_unet.io.images import read_image
from napari_unet.models.library import Model
from tests.planning.test_told_size import model_that_tells, sees_all

pytestmark = pytest.mark.usefixtures("one_thread")
DIAMETER = 16


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """What is bright is a cell."""
    monkeypatch.setattr(Predictor, "_forward", sees_all())
    return model_that_tells(tmp_path, 0)


def run(source: Path, model: Model, output: Path) -> Result:
    words = ["segment", source, "--output", output, "--model", model.path, "--csv"]
    return CliRunner().invoke(app, [*map(str, words), "--diameter", str(DIAMETER)])


def frames(planes: int, side: int) -> Iterator[np.ndarray]:
    """Two discs, of which one moves and one is lost in every seventh frame."""
    rows, columns = np.ogrid[:side, :side]
    for number in range(planes):
        frame = np.zeros((side, side), np.uint8)
        for k in range(1 if number % 7 == 3 else 2):
            y, x = side // 2 + (10 * np.sin(number / 20) if k else 0), side * (k + 1) // 3
            frame[(rows - y) ** 2 + (columns - x) ** 2 < (DIAMETER / 2) ** 2] = 200
        yield frame


def write(path: Path, planes: int, side: int, axes: str = "TYX") -> Path:
    tifffile.imwrite(
        path, frames(planes, side), shape=(planes, side, side), dtype=np.uint8,
        photometric="minisblack", metadata={"axes": axes},
    )  # fmt: skip
    return path


def check(table: Path, planes: int) -> None:
    found = pd.read_csv(table)
    assert set(found["label"]) == {1, 2}
    assert found.groupby("label")["T"].nunique().max() == planes
    assert not found.duplicated(["label", "T"]).any()
    assert found["area"].between(180, 220).all()


def test_the_memory_for_a_movie_does_not_grow_with_its_length(tmp_path: Path, model: Model) -> None:
    peaks, side = [], 256
    for planes in (8, 70, 140):  # the first loads libraries; grey values are of 64 windows at most
        source = write(tmp_path / f"{planes}.ome.tif", planes, side)
        tracemalloc.start()
        result = run(source, model, tmp_path / f"{planes}.zarr")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert result.exit_code == 0, result.output
        assert f"2 tracks in {planes} frames" in result.output
        check(tmp_path / f"{planes}_objects.csv", planes)
    pixels = (140 - 70) * side**2  # a byte each in the file, which is small enough to be read whole
    assert peaks[2] - peaks[1] < 2 * pixels  # labels alone take four


def test_thousands_of_planes_by_way_of_a_folder(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.segmentation.files.LARGE", 1000)
    source = write(tmp_path / "a.ome.tif", 150, 48)
    assert run(source, model, tmp_path / "out").exit_code == 0
    check(tmp_path / "out" / "a_objects.csv", 150)
    assert tifffile.imread(tmp_path / "out" / "a_labels.tif").shape == (150, 48, 48)


@pytest.mark.slow
def test_a_movie_of_four_thousand_frames(tmp_path: Path, model: Model) -> None:
    assert run(write(tmp_path / "a.ome.tif", 4000, 64), model, tmp_path / "out").exit_code == 0
    check(tmp_path / "out" / "a_objects.csv", 4000)


@pytest.mark.parametrize("output", ["out", "out.zarr"])
@pytest.mark.parametrize("axes", ["TYX", "ZYX", "TZYX"])
def test_an_empty_stack_has_an_empty_table(
    tmp_path: Path, model: Model, axes: str, output: str
) -> None:
    data = np.zeros((2,) * (len(axes) - 2) + (40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": axes})
    result = run(tmp_path / "a.ome.tif", model, tmp_path / output)
    assert result.exit_code == 0, result.output
    table = tmp_path / ("out_objects.csv" if "zarr" in output else "out/a_objects.csv")
    found = pd.read_csv(table)
    assert len(found) == 0
    assert "label" in found


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_a_stack_of_a_single_plane(tmp_path: Path, model: Model, axes: str) -> None:
    """One plane has no axis of its own in a TIFF; in OME-Zarr it has."""
    import zarr

    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=next(frames(1, 64))[None])
    named = [{"name": a.lower(), "type": {"T": "time"}.get(a, "space")} for a in axes]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": named, "datasets": [{"path": "0"}]}]
    for output in ("out", "b.zarr"):
        result = run(tmp_path / "a.zarr", model, tmp_path / output)
        assert result.exit_code == 0, result.output
        assert "2 objects" in result.output
    assert len(pd.read_csv(tmp_path / "out" / "a_objects.csv")) == 2
    assert read_image(tmp_path / "b.zarr").data.shape == (1, 64, 64)


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
@pytest.mark.parametrize("wrong", ["noise", "empty", "full", "nan"])
def test_one_wrong_plane_breaks_no_object(model: Model, axes: str, wrong: str) -> None:
    stack = np.stack([frame for i, frame in enumerate(frames(9, 96)) if i % 7 != 3])
    stack = stack.astype(np.float32)
    random = np.random.default_rng(0)
    stack[4] = {
        "noise": random.uniform(0, 200, (96, 96)), "empty": 0, "full": 200, "nan": np.nan
    }[wrong]  # fmt: skip
    result = segment(stack, model, axes=axes, diameter=DIAMETER).linked()
    ids = [set(np.unique(plane)) - {0} for i, plane in enumerate(result.labels) if i != 4]
    assert [len(one) for one in ids] == [2] * len(ids)
    assert len(result.objects) >= 2
    if (wrong, axes) != ("noise", "TYX"):  # among hundreds of specks some look like daughters
        assert all(one == ids[0] for one in ids)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
@pytest.mark.parametrize("diameter", [DIAMETER, 250])
def test_an_object_that_is_larger_than_what_blocks_share(
    model: Model, axes: str, diameter: int
) -> None:
    """With its own diameter it is whole; with a far smaller one it is cut, and nothing stops."""
    stack = np.zeros((3, 400, 520), np.uint8)
    for number, plane in enumerate(stack):
        plane[40:360, 30 + 80 * number : 300 + 80 * number] = 200
    result = segment(Image(stack, axes), model, diameter=diameter).linked()
    assert len(result.objects) >= 1
    if diameter == DIAMETER:
        return
    assert result.count == 1
    areas = [np.count_nonzero(plane) for plane in result.labels]
    assert areas == pytest.approx([320 * 270] * 3, rel=0.03)
