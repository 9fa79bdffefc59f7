"""Files that hold several images, and sets of files: each image is segmented once, by its name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from typer.testing import CliRunner, Result

from napari_unet.cli.main import app
from napari_unet.cli.targets import find_targets
from napari_unet.errors import SaveError
from napari_unet.io.images import read_image
from napari_unet.io.tiff_header import read_header
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


@pytest.mark.parametrize("first", ["labels.tif", "objects.csv"])
def test_labels_and_table_are_one_result(two: Path, tmp_path: Path, first: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / f"two_left_{first}").write_bytes(b"corrected for days")
    words = (two, "--output", out, "--scene", "left", "--csv")
    unread = "two_left_labels.tif cannot be read as an image"  # a table would be made of them
    there = f"two_left_{first} exists already"
    for more, told in (
        ((), there),
        (("--skip-existing",), unread if first == "labels.tif" else there),
    ):
        refused = run(*words, *more)
        assert refused.exit_code == 1
        assert told in refused.output
        assert [path.read_bytes() for path in out.iterdir()] == [b"corrected for days"]
    assert run(*words, "--overwrite").exit_code == 0
    made = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(made) == {"two_left_labels.tif", "two_left_objects.csv"}
    assert b"corrected for days" not in made.values()
    assert "1 of 1 images have results" in run(*words, "--skip-existing").output


def test_a_table_without_its_labels_is_not_joined_by_others(two: Path, tmp_path: Path) -> None:
    table = tmp_path / "out" / "two_left_objects.csv"
    table.parent.mkdir()
    table.write_bytes(b"of other labels")
    words = (two, "--output", table.parent, "--scene", "left")
    for more in ((), ("--skip-existing",)):
        refused = run(*words, *more)
        assert refused.exit_code == 1
        assert "two_left_labels.tif is missing beside it; give --overwrite" in refused.output
    assert [path.name for path in table.parent.iterdir()] == [table.name]


def test_overwriting_labels_makes_their_table_anew(two: Path, tmp_path: Path) -> None:
    words = (two, "--output", tmp_path / "out", "--scene", "left")
    assert run(*words, "--csv").exit_code == 0
    table = tmp_path / "out" / "two_left_objects.csv"
    made = table.read_bytes()
    table.write_bytes(b"of other labels")
    assert "1 of 1 images have results" in run(*words, "--skip-existing").output
    assert run(*words, "--overwrite").exit_code == 0
    assert table.read_bytes() == made
    assert len(list(table.parent.iterdir())) == 2


@pytest.mark.parametrize("killed", [False, True])
def test_labels_never_lie_beside_the_table_of_others(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    words = (two, "--output", tmp_path / "out", "--scene", "left", "--csv", "--overwrite")
    assert run(*words).exit_code == 0
    table = tmp_path / "out" / "two_left_objects.csv"
    table.write_bytes(b"of other labels")
    before = {path.name: path.read_bytes() for path in table.parent.iterdir()}
    seen: list[bool] = []

    def stop(*_: object, **__: object) -> None:
        seen.append(table.exists())  # a kill here leaves no table
        raise KeyboardInterrupt if killed else SaveError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr("napari_unet.segmentation.files.save_labels", stop)
        assert run(*words).exit_code != 0
    assert seen == [False]
    assert {path.name: path.read_bytes() for path in table.parent.iterdir()} == before


def test_zarr_folders_in_a_folder_are_segmented_and_labels_are_not(tmp_path: Path) -> None:
    source, sample = tmp_path / "in", tifffile.imread(SAMPLE)[:64, :80]
    for name in ("b", "a"):
        zarr.save_array(source / f"{name}.zarr", sample)
    tifffile.imwrite(source / "c.tif", sample)
    assert run(source / "c.tif", "--output", source / "d.zarr").exit_code == 0
    (source / "notes").mkdir()
    targets, complete = find_targets([source], OUT, None)
    assert complete
    assert [target.path.name for target in targets] == [f"{n}_labels.tif" for n in "abc"]
    result = run(source, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    one, other = (tifffile.imread(tmp_path / "out" / f"{n}_labels.tif") for n in "ac")
    np.testing.assert_array_equal(one, other)


def test_without_room_for_the_labels_there_is_no_table(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SaveError("The disk is full.")

    monkeypatch.setattr("napari_unet.segmentation.files.save_labels", full)
    result = run(two, "--output", tmp_path / "out", "--scene", "left", "--csv")
    assert result.exit_code == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_sizes_and_places_are_in_the_table(tmp_path: Path) -> None:
    sample = np.stack([tifffile.imread(SAMPLE)[:96, :96]] * 2)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.moveaxis(sample, 0, 2))
    units = {"y": "micrometer", "x": "nanometer", "z": "millimeter"}
    level = [{"type": "scale", "scale": [0.5, 500.0, 0.001]},
             {"type": "translation", "translation": [10.0, 20_000.0, 0.0]}]  # fmt: skip
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": n, "type": "space", "unit": unit} for n, unit in units.items()],
            "datasets": [{"path": "0", "coordinateTransformations": level}],
            "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5, 2.0]}],
        }
    ]
    result = run(tmp_path / "a.zarr", "--output", tmp_path / "linked", "--csv")
    assert result.exit_code == 0, result.output
    linked = pd.read_csv(tmp_path / "linked" / "a_objects.csv")
    np.testing.assert_allclose(linked["volume_um3"], linked["volume"] / 8)
    np.testing.assert_allclose(linked["centroid_z_um"], linked["centroid_z"] * 2)
    np.testing.assert_allclose(linked["centroid_x_um"], linked["centroid_x"] / 4 + 10)
    result = run(tmp_path / "a.zarr", "--output", tmp_path / "out", "--csv", "--no-link")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "a_objects.csv")
    np.testing.assert_allclose(table["area_um2"], table["area"] / 16)
    np.testing.assert_allclose(table["centroid_y_um"], table["centroid_y"] / 4 + 5)
    np.testing.assert_allclose(table["centroid_x_um"], table["centroid_x"] / 4 + 10)
    np.testing.assert_allclose(table["Z_um"], table["Z"] * 2)
    header = read_header(tmp_path / "out" / "a_labels.tif")
    assert header is not None
    assert header.description["spacing"]["Y"] == {
        "size": 0.25, "unit": "micrometer", "offset": 5.0
    }  # fmt: skip


def test_a_damaged_file_among_others_fails_in_its_turn(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no image")
    tifffile.imwrite(tmp_path / "b.tif", GREY)
    result = run(tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output.count("Error:") == 1
    assert (tmp_path / "out" / "b_labels.tif").exists()
