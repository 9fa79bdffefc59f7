"""Filters on the command line: what is left out, and what is refused before anything runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from typer.testing import CliRunner, Result

from napari_unet import save_labels
from napari_unet.cli.filters import filters_of
from napari_unet.cli.main import app
from napari_unet.errors import InputError
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.records import read_record
from napari_unet.io.tiff import read_labels
from napari_unet.labels.linking import separated

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tifffile.imread(SAMPLE)[:200, :220])
    return path


def test_labels_and_table_lack_what_is_left_out(small: Path, tmp_path: Path) -> None:
    all_of_it, few = tmp_path / "all", tmp_path / "few"
    assert run("segment", small, "--output", all_of_it, "--csv").exit_code == 0
    done = run("segment", small, "--output", few, "--csv", "--filter", "area=300:", "--no-edge")
    assert done.exit_code == 0, done.output
    whole, table = (pd.read_csv(folder / "a_objects.csv") for folder in (all_of_it, few))
    stay = whole[(whole["area"] >= 300) & ~whole["at_edge"]]
    assert 0 < len(stay) < len(whole)
    pd.testing.assert_frame_equal(table, stay.reset_index(drop=True))
    labels, shown = (read_labels(folder / "a_labels.tif")[0] for folder in (few, all_of_it))
    np.testing.assert_array_equal(labels, np.where(np.isin(shown, stay["label"]), shown, 0))
    gone = len(whole) - len(stay)
    assert f"{gone} filtered out" in done.output
    told = run("methods", few / "a_labels.tif").output
    assert "Objects smaller than 300 px or at the image's edge were left out" in told


def test_a_filter_of_what_is_not_measured_is_refused_at_once(small: Path, tmp_path: Path) -> None:
    done = run("segment", small, "--output", tmp_path / "out", "--filter", "area_um2=30:")
    assert done.exit_code != 0
    assert "area_um2" in done.output
    assert "area, diameter" in done.output
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("text", ["area", "area=30", "area=a:b", "=1:2", "area=5:2"])
def test_a_filter_that_cannot_be_read_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError):
        filters_of([text], at_edge=False)


def test_a_filter_that_leaves_nothing_says_what_to_do(small: Path) -> None:
    done = run("segment", small, "--filter", "area=500:", "--filter", "area=:50")
    assert done.exit_code != 0
    said = " ".join(done.output.replace("│", " ").split())
    assert "The least area was given as 500 and the most as 50: no object lies" in said
    assert "FilterSettings" not in said
    assert "Known settings" not in said


def test_a_filter_is_read() -> None:
    filters = filters_of(["area_um2=30:", "mean_intensity_GFP = 1e2:5.5e3"], at_edge=True)
    assert filters.ranges == {"area_um2": (30, None), "mean_intensity_GFP": (100, 5500)}
    assert filters.at_edge


def test_ranges_of_one_column_count_together() -> None:
    filters = filters_of(["area=30:", "area=:500", "area=20:900"], at_edge=False)
    assert filters.ranges == {"area": (30, 500)}


@pytest.mark.parametrize("stack", [False, True])
def test_labels_on_the_disk_are_filtered_as_those_in_memory(
    stack: bool, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stack:
        pixels = tifffile.imread(small)
        turned = [pixels, np.roll(pixels, 3, axis=0), np.roll(pixels, 60, axis=1)]
        tifffile.imwrite(small, np.stack(turned), imagej=True, metadata={"axes": "ZYX"})
    size = "volume=500:" if stack else "area=300:"
    options = ("--csv", "--filter", size, "--no-edge")
    memory, piecewise, folder = (tmp_path / name for name in ("memory", "disk", "a.zarr"))
    assert run("segment", small, "--output", memory, *options).exit_code == 0
    done = run("segment", small, "--output", folder, *options)
    assert done.exit_code == 0, done.output
    assert "filtered out" in done.output
    monkeypatch.setattr("napari_unet.segmentation.files.LARGE", 1)
    done = run("segment", small, "--output", piecewise, *options)
    assert done.exit_code == 0, done.output
    labels = read_labels(memory / "a_labels.tif")[0]
    assert len(np.unique(labels)) > 2
    stored = LabelPyramid(folder)
    np.testing.assert_array_equal(stored.levels[0][...], labels)
    np.testing.assert_array_equal(stored.levels[1][...], labels[..., ::2, ::2])
    np.testing.assert_array_equal(read_labels(piecewise / "a_labels.tif")[0], labels)
    tables = [memory / "a_objects.csv", piecewise / "a_objects.csv", tmp_path / "a_objects.csv"]
    assert len({path.read_bytes() for path in tables}) == 1
    for path in (memory / "a_labels.tif", piecewise / "a_labels.tif", folder):
        assert read_record(path)["filters"][0]["at_edge"]
    if stack:  # the panel can go on with the planes
        own = separated(labels, read_record(memory / "a_labels.tif")["link_ids"])
        assert own is not None
        np.testing.assert_array_equal(own > 0, labels > 0)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_labels_that_exist_are_filtered_where_they_are_exported(axes: str, tmp_path: Path) -> None:
    pixels = tifffile.imread(SAMPLE)[:200, :220]
    image = tmp_path / "a.tif"
    tifffile.imwrite(
        image, np.stack([pixels, np.roll(pixels, 4, axis=0)]), imagej=True, metadata={"axes": axes}
    )
    assert run("segment", image, "--output", tmp_path / "all").exit_code == 0
    size = "volume=500:" if "Z" in axes else "area=250:"
    few = ("--csv", "--geojson", "--filter", size, "--no-edge")
    assert run("segment", image, "--output", tmp_path / "few", *few).exit_code == 0
    labels = tmp_path / "all" / "a_labels.tif"
    (tmp_path / "exported").mkdir()
    done = run("export", labels, "--image", image, "--output", tmp_path / "exported", *few)
    assert done.exit_code == 0, done.output
    for name in ("a_objects.csv", "a_objects.geojson"):
        [made] = (tmp_path / "exported").glob(f"*{Path(name).suffix}")
        [wanted] = (tmp_path / "few").glob(f"*{Path(name).suffix}")
        assert made.read_bytes() == wanted.read_bytes()


def test_an_export_keeps_what_a_person_painted_and_its_record_tells_the_filter(
    tmp_path: Path,
) -> None:
    labels = np.zeros((40, 60), np.uint32)
    labels[:3, 2:5], labels[10:13, 2:5], labels[20:30, 20:30] = 1, 2, 3
    path, image = tmp_path / "b_labels.tif", tmp_path / "b.zarr"
    save_labels(path, labels, description={"corrected": [1]})
    group = zarr.open_group(image, mode="w", zarr_format=2)
    group.create_array("0", data=labels, chunks=(40, 60))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    done = run("export", path, "--into", image, "--csv", "--filter", "area=50:", "--no-edge")
    assert done.exit_code == 0, done.output
    assert pd.read_csv(tmp_path / "b_objects.csv")["label"].tolist() == [1, 3]
    inside = image / "labels" / "cells"
    np.testing.assert_array_equal(
        LabelPyramid(inside).levels[0][...], np.where(labels == 2, 0, labels)
    )
    assert read_record(inside)["filters"][0]["left_out"] == 1
    done = run("export", path, "--csv", "--overwrite", "--filter", "volume=50:")
    assert done.exit_code == 1
    assert "the column volume" in done.output
