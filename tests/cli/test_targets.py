"""Files that hold several images, and sets of files: each image is segmented once, by its name."""

from pathlib import Path

import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet.cli.main import app
from napari_unet.cli.targets import find_targets
from napari_unet.io.images import read_image
from tests.file_sets import GREY, movie, positions

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"
OUT = Path("out")


def run(*arguments: object) -> Result:
    words = [str(a) for a in arguments]
    return CliRunner().invoke(app, ["segment", *words, "--diameter", "20"])


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two corners of the sample in one file, with a thumbnail before them."""
    path, sample = tmp_path / "two.ome.tif", tifffile.imread(SAMPLE)
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(sample[:64, :80], metadata={"axes": "YX", "Name": "left"})
        tif.write(sample[64:160, :100], metadata={"axes": "YX", "Name": "right"})
    return path


def test_each_image_of_a_file_has_a_result(two: Path, tmp_path: Path) -> None:
    result = run(two, "--output", tmp_path / "out", "--csv")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "two_left_labels.tif", "two_left_objects.csv", "two_right_labels.tif",
        "two_right_objects.csv",
    ]  # fmt: skip
    assert read_image(tmp_path / "out" / "two_right_labels.tif").shape == (96, 100)
    assert len(pd.read_csv(tmp_path / "out" / "two_right_objects.csv"))


def test_one_image_of_a_file_can_be_chosen(two: Path, tmp_path: Path) -> None:
    for wanted in ("right", "1"):
        assert [t.path.name for t in find_targets([two], OUT, wanted)[0]] == [
            "two_right_labels.tif"
        ]
    result = run(two, "--output", tmp_path / "out", "--scene", "middle")
    assert result.exit_code == 1
    assert "'middle'" in result.output
    assert "left, right" in result.output


def test_a_zarr_result_takes_one_image(two: Path, tmp_path: Path) -> None:
    result = run(two, "--output", tmp_path / "a.zarr")
    assert result.exit_code == 2
    assert "2 images: left, right" in result.output
    assert "--scene" in result.output
    result = run(two, "--output", tmp_path / "a.zarr", "--scene", "right", "--csv")
    assert result.exit_code == 0, result.output
    assert read_image(tmp_path / "a.zarr").shape == (96, 100)


def test_a_movie_in_several_files_is_segmented_once(tmp_path: Path) -> None:
    movie(tmp_path)
    targets, complete = find_targets([tmp_path], OUT, None)
    assert complete
    assert [target.path.name for target in targets] == ["t0_labels.tif"]


def test_positions_in_files_of_their_own_are_segmented_once(tmp_path: Path) -> None:
    files = positions(tmp_path)
    names = ["run_Pos0_labels.tif", "run_Pos1_labels.tif", "run_Pos2_labels.tif"]
    targets, complete = find_targets([tmp_path, files[1]], OUT, None)
    assert complete
    assert [target.path.name for target in targets] == names
    alone, _ = find_targets([files[2]], OUT, None)
    assert [target.path.name for target in alone] == names[2:]


def test_a_damaged_file_among_others_fails_in_its_turn(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no image")
    tifffile.imwrite(tmp_path / "b.tif", GREY)
    result = run(tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output.count("Error:") == 1
    assert (tmp_path / "out" / "b_labels.tif").exists()
