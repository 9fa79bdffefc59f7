"""The command line on stacks and movies: linked labels, and a table of what was linked."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet import segment
from napari_unet.cli.main import app
from napari_unet.errors import InputError
from napari_unet.execution.block_worker import BlockWorker
from napari_unet.image import Image
from napari_unet.io.atomic import claimed
from napari_unet.io.images import read_image
from napari_unet.io.records import read_record
from napari_unet.io.tiff import read_labels, save_labels
from napari_unet.io.tiff_header import read_header
from napari_unet.labels.linking import LinkedCopy, linked_copy, separated
from napari_unet.network.spec import UNetSpec
from napari_unet.segmentation import links_recorded
from tests.strategies import random_model

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"
OPTIONS = ("--diameter", 27, "--csv", "--output")

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["segment", *(str(a) for a in arguments)])


def write(path: Path, axes: str, planes: int = 4, **facts: Any) -> Path:
    """A corner of the sample that moves two pixels from plane to plane."""
    data = tifffile.imread(SAMPLE)
    moved = np.stack([data[:160, 2 * i : 200 + 2 * i] for i in range(planes)])
    metadata = {"axes": axes, "unit": "um", **facts}
    tifffile.imwrite(path, moved, imagej=True, resolution=(2.0, 2.0), metadata=metadata)
    return path


def test_a_stack_has_one_row_and_one_id_for_each_object(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.tif", "ZYX", spacing=3.0), *OPTIONS, tmp_path)
    assert result.exit_code == 0, result.output
    labels, size, _, axes = read_labels(tmp_path / "a_labels.tif")
    table = pd.read_csv(tmp_path / "a_objects.csv")
    assert axes == "ZYX"
    assert size == pytest.approx((3.0, 0.5, 0.5))
    assert f"{len(table)} objects in 4 planes" in result.output
    assert sorted(table["label"]) == sorted(set(np.unique(labels)) - {0})
    assert table["planes"].max() == 4
    assert (table["planes"] > 1).mean() > 0.8
    volumes = np.bincount(labels.ravel())[table["label"]]
    np.testing.assert_array_equal(table["volume"], volumes)
    np.testing.assert_allclose(table["volume_um3"], table["volume"] * 0.75)
    z = [np.nonzero(labels == i)[0].mean() for i in table["label"]]
    np.testing.assert_allclose(table["centroid_z"], z)
    np.testing.assert_allclose(table["centroid_z_um"], np.array(z) * 3)
    assert (table["mean_intensity"] > 0).all()
    header = read_header(tmp_path / "a_labels.tif")
    assert header is not None
    assert header.description["link"]["gap"] == 1


def test_without_linking_each_plane_is_for_itself(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    assert run(source, "--no-link", *OPTIONS, tmp_path).exit_code == 0
    table = pd.read_csv(tmp_path / "a_objects.csv")
    assert "Z" in table
    assert "volume" not in table
    labels = read_labels(tmp_path / "a_labels.tif")[0]
    assert not set(np.unique(labels[0])) & set(np.unique(labels[1])) - {0}


def test_settings_of_linking_are_those_of_the_panel(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    given = ("--link-setting", "gap=2", "--link-setting", "least_overlap=0.75")
    result = run(source, *OPTIONS, tmp_path, *given)
    assert result.exit_code == 0, result.output
    link = read_record(tmp_path / "a_labels.tif")["link"]
    assert (link["gap"], link["least_overlap"]) == (2, 0.75)
    for wrong, told in (("gap", "NAME=VALUE"), ("gap=11", "'gap'"), ("speed=1", "'speed'")):
        refused = run(source, "--overwrite", "--link-setting", wrong, "--output", tmp_path)
        assert refused.exit_code == 2
        assert told in " ".join(refused.output.split())
    refused = run(source, "--overwrite", "--no-link", *given, "--output", tmp_path)
    assert refused.exit_code == 2
    assert "--no-link" in refused.output


def test_a_movie_has_a_row_for_each_object_and_time(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "TYX", finterval=60.0)
    result = run(source, "--link", *OPTIONS, tmp_path)
    assert result.exit_code == 0, result.output
    labels = read_labels(tmp_path / "a_labels.tif")[0]
    table = pd.read_csv(tmp_path / "a_objects.csv")
    assert "tracks in 4 frames" in result.output
    assert set(table["T"]) == {0, 1, 2, 3}
    assert set(table["parent"]) >= {0}
    assert not table.duplicated(["label", "T"]).any()
    for number, t in zip(table["label"], table["T"], strict=True):
        assert (labels[t] == number).any()
    assert (table.groupby("label").size() == 4).mean() > 0.6
    np.testing.assert_allclose(table["time_s"], table["T"] * 60)
    assert {"area", "diameter_um"} <= set(table)


def test_a_folder_of_any_size_is_linked_too(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX", spacing=3.0)
    assert run(source, *OPTIONS, tmp_path / "flat").exit_code == 0
    result = run(source, *OPTIONS, tmp_path / "a.zarr")
    assert result.exit_code == 0, result.output
    assert "objects in 4 planes" in result.output
    image = read_image(tmp_path / "a.zarr")
    assert image.label_sizes == pytest.approx((3.0, 0.5, 0.5))
    expected = read_labels(tmp_path / "flat" / "a_labels.tif")[0]
    np.testing.assert_array_equal(np.asarray(image.data[:]), expected)
    one, other = tmp_path / "flat" / "a_objects.csv", tmp_path / "a_objects.csv"
    pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other))
    assert sorted(p.name for p in tmp_path.glob("*.zarr")) == ["a.zarr"]
    assert run(source, *OPTIONS, tmp_path / "a.zarr").exit_code == 2


@pytest.mark.parametrize("step", [1, 2, 3])
def test_killed_while_linked_labels_are_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    source, target = write(tmp_path / "a.tif", "ZYX"), tmp_path / "a.zarr"
    assert run(source, *OPTIONS, tmp_path / "b.zarr").exit_code == 0
    rename, steps = Path.rename, iter(range(1, 9))

    def killed(path: Path, to: Path) -> Path:
        if path.name.startswith("a.") and path.suffix == ".zarr" and next(steps) == step:
            raise KeyboardInterrupt
        return rename(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        assert run(source, *OPTIONS, target).exit_code != 0
    computed: list[object] = []
    plain = BlockWorker._decode
    monkeypatch.setattr(BlockWorker, "_decode", lambda *a: computed.append(a) or plain(*a))
    again = run(source, *OPTIONS, target)
    assert again.exit_code == (2 if step == 3 else 0), again.output  # 3: it was whole already
    assert not computed
    one, other = (np.asarray(read_image(tmp_path / n).data[:]) for n in ("a.zarr", "b.zarr"))
    np.testing.assert_array_equal(one, other)
    for name in ("a_objects.csv", "b_objects.csv"):
        assert (tmp_path / name).stat().st_size > 0
    left = {path.name for path in tmp_path.glob("*.zarr")} - {"a.zarr", "b.zarr"}
    assert left == ({"a.before.zarr"} if step == 3 else set())


def test_a_table_that_is_there_is_not_joined_by_labels_of_a_slide(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    (tmp_path / "b_objects.csv").write_text("of other labels", encoding="utf-8")
    result = run(source, "--output", tmp_path / "b.zarr")
    assert result.exit_code == 2
    assert "b_objects.csv exists already" in " ".join(result.output.split())
    assert not (tmp_path / "b.zarr").exists()


def test_a_large_stack_goes_by_way_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    assert run(source, *OPTIONS, tmp_path / "flat").exit_code == 0
    monkeypatch.setattr("napari_unet.segmentation.files.LARGE", 1)
    assert run(source, *OPTIONS, tmp_path / "large").exit_code == 0
    for name in ("a_labels.tif", "a_objects.csv"):
        assert (tmp_path / "flat" / name).stat().st_size > 0
    one, other = (read_labels(tmp_path / f / "a_labels.tif")[0] for f in ("flat", "large"))
    np.testing.assert_array_equal(one, other)


def test_what_cannot_be_linked_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    result = run(SAMPLE, "--link", "--output", tmp_path)
    assert result.exit_code == 1
    assert "Linking needs objects" in result.stderr
    assert not list(tmp_path.iterdir())
    spec = UNetSpec(base_filters=2, depth=2, classes=2, distance=False)
    model = random_model(tmp_path, spec, class_names=("background", "cell"))
    source = write(tmp_path / "a.tif", "ZYX")
    assert run(source, "--model", model, "--link", "--output", tmp_path).exit_code == 1
    result = run(source, "--model", model, "--output", tmp_path)
    assert result.exit_code == 0, result.output


def test_the_library_links_what_it_segmented(tmp_path: Path) -> None:
    image = Image(tifffile.imread(write(tmp_path / "a.tif", "ZYX")), "ZYX")
    result = segment(image, diameter=27)
    linked = result.linked()
    assert linked.count < result.count
    assert linked.links is not None
    assert len(linked.objects) == linked.count
    assert "link" in linked.record
    assert "link" not in result.record
    with pytest.raises(InputError, match="several planes"):
        segment(image.data[0], diameter=27).linked()


def test_linked_files_can_be_taken_apart_into_the_labels_of_planes(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    assert run(source, *OPTIONS, tmp_path).exit_code == 0
    assert run(source, "--no-link", *OPTIONS, tmp_path / "planes").exit_code == 0
    linked = read_labels(tmp_path / "a_labels.tif")[0]
    record = read_record(tmp_path / "a_labels.tif")
    assert record is not None
    own = separated(linked, record["link_ids"])
    planes = read_labels(tmp_path / "planes" / "a_labels.tif")[0]
    np.testing.assert_array_equal(own, planes)
    links = links_recorded(record, linked, read_image(source))
    assert own is not None
    assert links is not None
    before = LinkedCopy.of_file(linked, own, links)
    again, array = linked_copy(own, before, (), lambda *_: None)
    np.testing.assert_array_equal(array, linked)  # ids stay when it is gone on with
    assert again.own


def test_parents_of_tracks_are_kept_with_the_labels(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "TYX")
    assert run(source, *OPTIONS, tmp_path).exit_code == 0
    record = read_record(tmp_path / "a_labels.tif")
    assert record is not None
    table = pd.read_csv(tmp_path / "a_objects.csv")
    told = {int(child): parent for child, parent in record["parents"].items()}
    there = table[table["parent"] > 0]
    assert told == dict(zip(there["label"], there["parent"], strict=True))
    (tmp_path / "a_objects.csv").unlink()
    exported = CliRunner().invoke(
        app, ["export", str(tmp_path / "a_labels.tif"), "--image", str(source), "--csv"]
    )
    assert exported.exit_code == 0, exported.output
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a_objects.csv"), table)


def test_two_runs_do_not_make_the_same_result(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    for output in (tmp_path / "a.zarr", tmp_path / "a_labels.tif"):
        folder = output if output.suffix == ".zarr" else tmp_path
        with claimed(output):
            refused = run(source, "--diameter", 27, "--output", folder)
        assert refused.exit_code != 0
        assert f"Another run is working on {output}" in refused.output
        assert not output.exists()
        assert run(source, "--diameter", 27, "--output", folder).exit_code == 0
        assert output.exists()
    assert not [*tmp_path.glob(".*")]


def test_a_table_that_is_missing_is_made_of_the_labels_that_are_there(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "ZYX")
    words = (source, "--diameter", 27, "--output", tmp_path)
    assert run(*words).exit_code == 0
    labels, size, unit, axes = read_labels(tmp_path / "a_labels.tif")
    record = read_record(tmp_path / "a_labels.tif")
    labels[labels == labels.max()] = 0  # a person deleted an object
    save_labels(
        tmp_path / "a_labels.tif", labels, pixel_size=size, unit=unit, axes=axes, description=record
    )
    before = (tmp_path / "a_labels.tif").read_bytes()
    made = run(*words, "--csv", "--skip-existing")
    assert made.exit_code == 0, made.output
    assert "a_labels.tif was kept; a_objects.csv was made of it" in made.output
    assert (tmp_path / "a_labels.tif").read_bytes() == before
    table = pd.read_csv(tmp_path / "a_objects.csv")
    assert sorted(table["label"]) == sorted({*np.unique(labels)} - {0})
    assert "volume" in table
    assert "mean_intensity" in table
    again = run(*words, "--csv", "--skip-existing")
    assert "1 of 1 images have results already" in again.output
