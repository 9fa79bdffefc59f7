"""The command line: what it writes, what it refuses, and how it goes on after an error."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet.cli.main import app
from napari_unet.io.formats.facts import Scene, stem_of
from napari_unet.io.images import read_image
from napari_unet.io.results import name_outputs
from napari_unet.io.tiff import read_labels
from napari_unet.io.tiff_header import read_header
from napari_unet.network.spec import UNetSpec
from tests.strategies import random_model

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A corner of the sample, with a pixel size."""
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    data = tifffile.imread(SAMPLE)[:160, :200]
    tifffile.imwrite(path, data, imagej=True, resolution=(2.0, 2.0), metadata={"unit": "um"})
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["segment", *(str(a) for a in arguments)])


def test_labels_and_table_with_pixel_size(small: Path, tmp_path: Path) -> None:
    result = run(small, "--output", tmp_path / "out", "--csv")
    assert result.exit_code == 0, result.output
    labels, pixel_size, unit, axes = read_labels(tmp_path / "out" / "a_labels.tif")
    assert axes == "YX"
    assert unit == "micrometer"
    np.testing.assert_allclose(pixel_size, 0.5)
    table = pd.read_csv(tmp_path / "out" / "a_objects.csv")
    assert set(table["label"]) == set(np.unique(labels)) - {0}
    np.testing.assert_allclose(table["area_um2"], table["area"] / 4)


def stack_with_steps(path: Path, *, ome: bool) -> Path:
    """Two planes of the sample, 3 µm apart, with 0.2 µm pixels."""
    data = np.stack([tifffile.imread(SAMPLE)[:64, :80]] * 2)
    if ome:
        sizes = {"PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 3000.0}
        facts = {"axes": "ZYX", "PhysicalSizeZUnit": "nm", **sizes}
        tifffile.imwrite(path, data, metadata=facts)
    else:
        facts = {"axes": "ZYX", "unit": "um", "spacing": 3.0}
        tifffile.imwrite(path, data, imagej=True, resolution=(5.0, 5.0), metadata=facts)
    return path


@pytest.mark.parametrize("ome", [True, False])
def test_labels_keep_the_distance_of_planes(tmp_path: Path, ome: bool) -> None:
    source = stack_with_steps(tmp_path / ("a.ome.tif" if ome else "a.tif"), ome=ome)
    for target in (tmp_path / "out", tmp_path / "a.zarr"):
        result = run(source, "--output", target)
        assert result.exit_code == 0, result.output
    _, size, unit, axes = read_labels(tmp_path / "out" / "a_labels.tif")
    assert (axes, unit) == ("ZYX", "micrometer")
    assert size == pytest.approx((3.0, 0.2, 0.2))
    for labels in (tmp_path / "out" / "a_labels.tif", tmp_path / "a.zarr"):
        again = read_image(labels)
        assert again.axes == "ZYX"
        assert again.label_sizes == pytest.approx((3.0, 0.2, 0.2))


def test_an_error_is_one_line_and_the_next_file_is_done(small: Path, tmp_path: Path) -> None:
    damaged = small.with_name("0.tif")
    damaged.write_bytes(b"not a picture")
    missing = small.with_name("nowhere.tif")
    result = run(damaged, missing, small, "--output", tmp_path / "out")
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 2
    assert "Traceback" not in result.output
    assert (tmp_path / "out" / "a_labels.tif").exists()


def test_existing_results_are_kept_unless_told(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a_labels.tif"
    target.parent.mkdir()
    target.write_bytes(b"corrected for days")
    assert run(small, "--output", target.parent).exit_code == 1
    assert target.read_bytes() == b"corrected for days"
    assert run(small, "--output", target.parent, "--overwrite").exit_code == 0
    assert target.read_bytes() != b"corrected for days"


def test_a_folder_and_axes_and_channel(small: Path, tmp_path: Path) -> None:
    plane = tifffile.imread(small)
    tifffile.imwrite(small.with_name("stack.tif"), np.stack([plane, plane // 2]))
    small.unlink()
    folder, out = small.parent, tmp_path / "out"
    assert run(folder, "--output", out, "--axes", "CYX", "--channel", 1).exit_code == 0
    assert tifffile.imread(out / "stack_labels.tif").shape == plane.shape
    assert run(folder, "--output", out, "--axes", "ZYX", "--overwrite").exit_code == 0
    assert tifffile.imread(out / "stack_labels.tif").shape == (2, *plane.shape)
    assert run(folder, "--output", out, "--axes", "QYX", "--channel", 3).exit_code == 1


def test_a_channel_of_nuclei(small: Path, tmp_path: Path) -> None:
    plane = tifffile.imread(small)
    tifffile.imwrite(small, np.stack([plane, plane[::-1]]))
    model = random_model(tmp_path, UNetSpec(base_filters=2, depth=2, nuclei=True))
    out, options = tmp_path / "out", ("--axes", "CYX", "--channel", 0, "--diameter", 20)
    for nuclei in ((), ("--nuclei-channel", 1)):
        result = run(small, "--output", out, "--model", model, "--overwrite", *options, *nuclei)
        assert result.exit_code == 0, result.output
        header = read_header(out / "a_labels.tif")
        assert header is not None
        record = header.description
        assert (record["channel"], record["nuclei"]) == (0, 1 if nuclei else None)
        assert len(record["grey_values"]) == (2 if nuclei else 1)


def test_channels_by_name(small: Path, tmp_path: Path) -> None:
    plane = tifffile.imread(small)
    stained = small.with_name("b.ome.tif")
    facts = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(
        stained, np.stack([plane, plane[::-1]]), photometric="minisblack", metadata=facts
    )
    model = random_model(tmp_path, UNetSpec(base_filters=2, depth=2, nuclei=True))
    options = ("--output", tmp_path / "out", "--model", model, "--diameter", 20)
    result = run(stained, *options, "--channel", "gfp", "--nuclei-channel", "dapi")
    assert result.exit_code == 0, result.output
    header = read_header(tmp_path / "out" / "b_labels.tif")
    assert header is not None
    assert (header.description["channel"], header.description["nuclei"]) == (1, 0)
    wrong = run(stained, *options, "--channel", "Cy5", "--overwrite")
    assert wrong.exit_code == 1
    assert "0 DAPI, 1 GFP" in wrong.stderr


def test_a_stain_of_tissue_is_segmented_and_measured(small: Path, tmp_path: Path) -> None:
    tissue = 255 - np.dstack([tifffile.imread(small) // 256] * 3).astype(np.uint8)
    tifffile.imwrite(small, tissue, photometric="rgb")
    result = run(small, "--output", tmp_path / "out", "--csv", "--channel", "haematoxylin")
    assert result.exit_code == 0, result.output
    header = read_header(tmp_path / "out" / "a_labels.tif")
    assert header is not None
    assert header.description["channel_names"][header.description["channel"]] == "Haematoxylin"
    table = pd.read_csv(tmp_path / "out" / "a_objects.csv")
    assert len(table) > 5
    assert table["mean_intensity_Red"].between(0, 255).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "nuclei", "--nuclei-channel", 1), "takes none"),
        (("--channel", 1, "--nuclei-channel", 1), "Channel 1 was named as that of the nuclei"),
        (("--nuclei-channel", 2), "channels 0 to 1"),
    ],
)
def test_a_channel_of_nuclei_that_cannot_be_used_is_one_line(
    small: Path, tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    tifffile.imwrite(small, np.stack([tifffile.imread(small)] * 2))
    result = run(small, "--output", tmp_path / "out", "--axes", "CYX", *options)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("option", [("--model", "nobody"), ("--diameter", "0"), ("--device", "x")])
def test_wrong_options_end_before_anything_is_written(
    small: Path, tmp_path: Path, option: tuple[str, str]
) -> None:
    result = run(small, "--output", tmp_path / "out", *option)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_models_of_the_library_are_listed() -> None:
    result = CliRunner().invoke(app, ["models", "list"])
    assert result.exit_code == 0
    assert result.output.startswith("nuclei\tinstances")


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *(str(a) for a in arguments)])


def test_a_model_goes_through_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for command in (
        ("duplicate", "nuclei", "mine"),
        ("rename", "mine", "my cells"),
        ("export", "my cells", tmp_path / "out"),
        ("delete", "my cells"),
        ("import", tmp_path / "out.safetensors"),
        ("restore", "my cells"),
        ("export", "my cells", tmp_path / "out", "--overwrite"),
    ):
        result = models(*command)
        assert result.exit_code == 0, result.output
        assert len(result.output.splitlines()) == 1
    names = [line.split("\t")[0] for line in models("list").output.splitlines()]
    assert names == ["nuclei", "cells-phase", "cells", "my cells 2", "my cells"]
    shown = models("show", "my cells").output
    assert "Name:         my cells\n" in shown
    assert "U-Net of 4 levels" in shown
    assert models("restore").output == ""
    models("delete", "my cells")
    assert models("restore").output.startswith("my cells-20")


@pytest.mark.parametrize(
    "command",
    [
        ("show", "nobody"),
        ("rename", "nuclei", "mine"),
        ("rename", "nobody", "mine"),
        ("duplicate", "nuclei", "a/b"),
        ("delete", "nuclei"),
        ("restore", "nobody"),
        ("import", "nowhere.safetensors"),
        ("import", SAMPLE),
        ("export", "nuclei", SAMPLE.parent / "nowhere" / "x"),
    ],
)
def test_what_the_library_refuses_is_one_line(command: tuple[object, ...]) -> None:
    result = models(*command)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1


def test_results_of_two_images_never_share_a_name() -> None:
    files = [Path("x/a.tif"), Path("y/a.tif"), Path("x/a.png"), Path("b.ome.tif")]
    targets = name_outputs([Scene(file, stem=stem_of(file)) for file in files], Path("out"))
    assert len({target.path for target in targets}) == 4
    assert targets[-1].path == Path("out/b_labels.tif")


def test_images_with_results_can_be_left_out(small: Path, tmp_path: Path) -> None:
    words = [str(small), "--output", str(tmp_path / "out"), "--skip-existing"]
    first = run(*words)
    assert first.exit_code == 0, first.output
    (target,) = (tmp_path / "out").iterdir()
    before = target.stat().st_mtime_ns
    again = run(*words)
    assert again.exit_code == 0, again.output
    assert "1 of 1 images have results already" in again.output
    assert target.stat().st_mtime_ns == before
