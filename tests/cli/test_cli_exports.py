"""Exports on the command line: beside a new result, and of label images that exist."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
from typer.testing import CliRunner, Result

from napari_unet import save_labels
from napari_unet.cli.main import app
from napari_unet.io import exports
from tests.strategies import blob_labels

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"
KINDS = ("--csv", "--roi", "--geojson")
ENDINGS = ("_objects.csv", "_objects.geojson", "_rois.zip")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, tifffile.imread(SAMPLE)[:160, :200])
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_exports_beside_new_labels(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("segment", small, "--output", out, *KINDS)
    assert result.exit_code == 0, result.output
    assert names(out) == sorted(["a_labels.tif", *(f"a{ending}" for ending in ENDINGS)])
    table = pd.read_csv(out / "a_objects.csv")
    rois = roifile.roiread(out / "a_rois.zip")
    features = json.loads((out / "a_objects.geojson").read_text(encoding="utf-8"))["features"]
    assert [roi.name for roi in rois] == [str(label) for label in table["label"]]
    areas = [one["properties"]["measurements"]["area"] for one in features]
    assert areas == table["area"].tolist()
    again = run("segment", small, "--output", out, "--roi")
    assert again.exit_code == 1
    assert "a_rois.zip" in again.output
    assert "exists already" in again.output
    (out / "a_rois.zip").unlink()
    skipped = run("segment", small, "--output", out, *KINDS, "--skip-existing", "--overwrite")
    assert skipped.exit_code == 0
    assert (out / "a_rois.zip").exists()  # the result was not whole, so it was made anew


def test_exports_beside_a_folder_of_labels(small: Path, tmp_path: Path) -> None:
    result = run("segment", small, "--output", tmp_path / "a.zarr", *KINDS)
    assert result.exit_code == 0, result.output
    assert {f"a{ending}" for ending in ENDINGS} < set(names(tmp_path))


def test_a_failed_export_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "save_geojson", full)
    out = tmp_path / "out"
    result = run("segment", small, "--output", out, *KINDS)
    assert result.exit_code == 1
    assert "No space left" in result.output
    assert names(out) == []


def test_labels_that_exist(tmp_path: Path) -> None:
    labels = blob_labels(5, (80, 90))
    tifffile.imwrite(tmp_path / "b_labels.tif", labels)
    grey = np.stack([labels, labels * 2]).astype(np.uint16)
    facts = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    facts["Channel"] = {"Name": ["DAPI", "actin"]}
    tifffile.imwrite(tmp_path / "b.ome.tif", grey, metadata=facts)
    command = ("export", tmp_path / "b_labels.tif", "--image", tmp_path / "b.ome.tif", *KINDS)
    result = run(*command)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "b_objects.csv")
    np.testing.assert_array_equal(table["mean_intensity_actin"], table["label"] * 2)
    assert "area_um2" in table
    assert len(roifile.roiread(tmp_path / "b_rois.zip")) == len(table)
    assert "exists already" in run(*command).output
    assert run(*command, "--overwrite").exit_code == 0


def test_objects_through_planes_are_one_row(tmp_path: Path) -> None:
    labels = np.zeros((3, 20, 20), np.uint16)
    labels[:2, 3:9, 3:9] = 4
    save_labels(tmp_path / "c_labels.tif", labels, pixel_size=(2, 0.5, 0.5), unit="um", axes="ZYX")
    assert run("export", tmp_path / "c_labels.tif", "--csv").exit_code == 0
    table = pd.read_csv(tmp_path / "c_objects.csv")
    assert table["volume_um3"].tolist() == [2 * 36 * 0.5]
    apart = {
        "model": "nuclei",
        "corrected": [4],
    }  # made by segment --no-link: an id belongs to one plane
    save_labels(tmp_path / "c_labels.tif", labels, axes="ZYX", description=apart)
    assert run("export", tmp_path / "c_labels.tif", "--csv", "--overwrite").exit_code == 0
    table = pd.read_csv(tmp_path / "c_objects.csv")
    assert table["area"].tolist() == [36, 36]
    assert table["corrected"].all()


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    colours = np.zeros((8, 8, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    for arguments, said in (
        ((tmp_path / "a.tif",), "Nothing was asked for"),
        ((tmp_path / "b.tif", "--csv"), "does not exist"),
        ((tmp_path / "a.tif", "--csv"), "one number for each pixel"),
        ((SAMPLE, "--csv", "--image", tmp_path / "a.tif", "--output", tmp_path), "do not fit"),
    ):
        result = run("export", *arguments)
        assert result.exit_code == 1
        assert said in result.output
    assert names(tmp_path) == ["a.tif"]
