"""Filters on the command line: what is left out, and what is refused before anything runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet.cli.filters import filters_of
from napari_unet.cli.main import app
from napari_unet.errors import InputError
from napari_unet.io.tiff import read_labels

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


def test_a_filter_is_read() -> None:
    filters = filters_of(["area_um2=30:", "mean_intensity_GFP = 1e2:5.5e3"], at_edge=True)
    assert filters.ranges == {"area_um2": (30, None), "mean_intensity_GFP": (100, 5500)}
    assert filters.at_edge


def test_ranges_of_one_column_count_together() -> None:
    filters = filters_of(["area=30:", "area=:500", "area=20:900"], at_edge=False)
    assert filters.ranges == {"area": (30, 500)}


def test_labels_on_the_disk_are_not_filtered(small: Path, tmp_path: Path) -> None:
    done = run("segment", small, "--output", tmp_path / "a.zarr", "--no-edge")
    assert done.exit_code != 0
    assert "labels on the disk are not filtered" in done.output.replace("\n", " ")
