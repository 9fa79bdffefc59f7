"""Many images, one after the other: as the command line does it, whatever becomes of one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unet.cli.main import app
from napari_unet.cli.targets import find_targets
from napari_unet.engine.client import Engine
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.slide import Source
from napari_unet.io.records import read_record
from napari_unet.io.scratch import Scratch
from napari_unet.models.library import load_model
from napari_unet.segmentation.batch import (
    BatchItem,
    BatchSettings,
    ItemDone,
    ItemFailed,
    ItemProgress,
    ItemSkipped,
    batch_events,
)
from napari_unet.settings import FilterSettings, LinkSettings, SegmentSettings

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data" / "nuclei.tif"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image, a damaged one, and a stack."""
    images = tmp_path / "images"
    images.mkdir()
    pixels = tifffile.imread(SAMPLE)[:160, :200]
    tifffile.imwrite(images / "a.tif", pixels)
    (images / "b.tif").write_bytes(b"no image")
    stack = np.stack([pixels] * 3)
    tifffile.imwrite(images / "c.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    return images


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def items_of(folder: Path, output: Path) -> list[BatchItem]:
    targets, _ = find_targets([folder], output, None)
    return [BatchItem(one.label, one, Source(one.scene.path).open) for one in targets]


def settings_in(tmp_path: Path, **changes) -> BatchSettings:
    scratch = Scratch(tmp_path / "scratch")
    return BatchSettings(load_model("nuclei"), SegmentSettings(), scratch, **changes)


def ends(events) -> list:
    return [one for one in events if isinstance(one, ItemDone | ItemFailed | ItemSkipped)]


def test_results_are_those_of_the_command_line(folder: Path, tmp_path: Path, engine) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    done = CliRunner().invoke(app, ["segment", str(folder), "--output", str(there), "--csv"])
    assert done.exit_code == 1, done.output  # the damaged one
    events = [*batch_events(items_of(folder, here), settings_in(tmp_path), engine)]
    first, damaged, stack = ends(events)
    assert isinstance(first, ItemDone)
    assert isinstance(damaged, ItemFailed)
    assert "b.tif cannot be read" in damaged.text
    assert isinstance(stack, ItemDone)
    assert any(isinstance(one, ItemProgress) and one.total for one in events)
    names = sorted(path.name for path in there.iterdir())
    assert names == sorted(path.name for path in here.iterdir())
    assert names == ["a_labels.tif", "a_objects.csv", "c_labels.tif", "c_objects.csv"]
    for name in ("a_labels.tif", "c_labels.tif"):
        ours, theirs = tifffile.imread(here / name), tifffile.imread(there / name)
        assert ours.any()
        assert np.array_equal(ours, theirs)
    for name in ("a_objects.csv", "c_objects.csv"):
        assert (here / name).read_bytes() == (there / name).read_bytes()
    assert [*(tmp_path / "scratch").glob("*/*")] == []


def test_planes_are_linked_as_the_panel_is_set(folder: Path, tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        (folder / name).unlink()
    for number, linking in enumerate((LinkSettings(gap=2), None)):
        output = tmp_path / str(number)
        settings = settings_in(tmp_path, linking=linking)
        [end] = ends(batch_events(items_of(folder, output), settings, ThreadExecutor()))
        assert isinstance(end, ItemDone)
        told = read_record(output / "c_labels.tif").get("link")
        assert (told and told["gap"]) == (None if linking is None else 2)


def test_objects_are_filtered_as_the_panel_is_set(folder: Path, tmp_path: Path) -> None:
    (folder / "b.tif").unlink()
    filters = FilterSettings(ranges={"volume": (800, None)}, at_edge=True)
    settings = settings_in(tmp_path, filters=filters)
    flat, stack = ends(batch_events(items_of(folder, tmp_path / "1"), settings, ThreadExecutor()))
    assert isinstance(flat, ItemFailed)  # before anything is computed
    assert "asks for the column volume" in flat.text
    assert isinstance(stack, ItemDone)
    assert "filtered out" in stack.text
    there = tmp_path / "2"
    options = ["--csv", "--filter", "volume=800:", "--no-edge", "--output", str(there)]
    CliRunner().invoke(app, ["segment", str(folder / "c.tif"), *options])
    theirs, ours = (tifffile.imread(one / "c_labels.tif") for one in (there, tmp_path / "1"))
    assert ours.any()
    assert np.array_equal(ours, theirs)
    tables = [(one / "c_objects.csv").read_bytes() for one in (there, tmp_path / "1")]
    assert tables[0] == tables[1]
    assert len(read_record(tmp_path / "1" / "c_labels.tif")["filters"]) == 1


def test_what_exists_is_left_alone_unless_overwritten(folder: Path, tmp_path: Path) -> None:
    (folder / "b.tif").unlink()
    (folder / "c.tif").unlink()
    output, executor = tmp_path / "out", ThreadExecutor()
    items = items_of(folder, output)
    assert isinstance(ends(batch_events(items, settings_in(tmp_path), executor))[0], ItemDone)
    labels, table = output / "a_labels.tif", output / "a_objects.csv"
    labels.write_bytes(b"corrected")
    assert ends(batch_events(items, settings_in(tmp_path), executor)) == [ItemSkipped(0)]
    table.unlink()
    half = ends(batch_events(items, settings_in(tmp_path), executor))[0]
    assert "a_labels.tif is there without a_objects.csv" in half.text
    assert labels.read_bytes() == b"corrected"
    again = ends(batch_events(items, settings_in(tmp_path, overwrite=True), executor))
    assert isinstance(again[0], ItemDone)
    assert table.exists()
    assert labels.read_bytes() != b"corrected"


def test_a_batch_that_is_stopped_leaves_nothing_half_done(folder: Path, tmp_path: Path) -> None:
    (folder / "b.tif").unlink()
    items = items_of(folder, tmp_path / "out")
    events = batch_events(items, settings_in(tmp_path), ThreadExecutor())
    for event in events:
        if isinstance(event, ItemDone):
            break
    next(events)
    events.close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_labels.tif",
        "a_objects.csv",
    ]
    assert [*(tmp_path / "scratch").glob("*/*")] == []
    rest = ends(batch_events(items, settings_in(tmp_path), ThreadExecutor()))
    assert [type(one) for one in rest] == [ItemSkipped, ItemDone]


def test_an_error_that_nobody_foresaw_stops_only_its_image(folder: Path, tmp_path: Path) -> None:
    def broken():
        raise KeyError("page 3")

    items = items_of(folder, tmp_path / "out")[:1]
    items = [BatchItem("odd", items[0].target, broken), *items]
    first, second = ends(batch_events(items, settings_in(tmp_path), ThreadExecutor()))
    assert "KeyError" in first.text
    assert isinstance(second, ItemDone)
