"""Linking of labels that lie on the disk: lazy stacks, plane by plane."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from conftest import PATIENCE
from napari.layers import Tracks
from scipy.ndimage import gaussian_filter
from tifffile import imread

from napari_unet.image import Box
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.records import read_record
from napari_unet.io.tiff import read_labels
from napari_unet.planning import planner as planning
from napari_unet.plugin.layers.region import IdMap
from napari_unet.plugin.result import incremental
from napari_unet.plugin.result.slide_result import slide_result
from napari_unet.plugin.session.run_controller import Activity
from tests.strategies import blob_labels

SIDE, PLANES = 320, 4


@pytest.fixture
def lazy(viewer, monkeypatch, tmp_path: Path, panel, click, idle, qtbot):
    """Segment a stack on the disk that counts as a large one; wait until it is linked."""
    monkeypatch.setattr(incremental, "TOTAL", SIDE * SIDE)
    monkeypatch.setattr(planning, "SIDE", 192)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")
    panel.session.scratch._root = tmp_path / "cache"

    def segmented(axes: str):
        cells = gaussian_filter((blob_labels(5, (SIDE, SIDE), 22) > 0) * 1000.0, 1)
        lengths = {"Z": PLANES, "T": PLANES, "C": 2, "Y": SIDE, "X": SIDE}
        array = zarr.create_array(
            tmp_path / "stack.zarr",
            shape=[lengths[a] for a in axes],
            chunks=[1] * (len(axes) - 2) + [SIDE, SIDE],
            dtype=np.uint16,
        )
        array[...] = (cells + np.random.default_rng(0).normal(200, 10, array.shape)).astype(int)
        labels = tuple(axes.lower())
        layer = viewer.add_image(
            array, name="cells", axis_labels=labels, contrast_limits=(0, 1500), rgb=False
        )
        panel.form.model.value, panel.form.diameter.value = "nuclei", 22
        click(panel.segment.segment)
        idle()
        assert panel.session.runs.problem is None
        linked(panel, qtbot)
        return slide_result(viewer, layer)

    return segmented


def linked(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: not panel.link.running, timeout=PATIENCE)


def of_disk(slide) -> np.ndarray:
    return np.asarray(LabelPyramid(slide.incremental.output).levels[0])


def shown(viewer) -> np.ndarray:
    layer = viewer.layers["cells linked"]
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def test_lazy_stack_is_linked_plane_by_plane(viewer, lazy, panel, monkeypatch):
    read = []
    whole = LabelPyramid.write
    monkeypatch.setattr(
        LabelPyramid, "write", lambda self, plane, box, part: read.append(part.shape) or
        whole(self, plane, box, part)
    )  # fmt: skip
    slide = lazy("ZCYX")
    assert panel.link.visible
    own, found = of_disk(slide), shown(viewer)
    assert found.shape == (PLANES, 1, SIDE, SIDE)
    found = found[:, 0]
    np.testing.assert_array_equal(found > 0, own > 0)
    objects = len(np.unique(found)) - 1
    assert 30 < objects < len(np.unique(own)) / 2
    assert panel.link.told.text == f"{objects} objects in {PLANES} planes"
    assert "The layer 'cells linked' shows them" in panel.sentence
    assert all(len(shape) == 2 for shape in read)
    place = np.argwhere(own[0])[0]
    assert len({int(i) for i in found[(slice(None), *place)]} - {0}) == 1
    np.testing.assert_array_equal(viewer.layers["cells linked"].scale, slide.layer.scale)


def test_lazy_movie_gets_tracks_and_keeps_ids_when_something_is_put_back(
    viewer, lazy, panel, qtbot
):
    slide = lazy("TYX")
    assert [layer.name for layer in viewer.layers if isinstance(layer, Tracks)] == ["cells tracks"]
    before = shown(viewer)
    folders = set(slide.incremental.output.glob(".unfinished/linked-*"))
    assert len(folders) == 1
    box = Box((0, 0), (64, 64))
    part = of_disk(slide)[2][box.slices]
    painted = np.zeros(box.shape, np.uint32)
    runs = panel.session.runs
    runs.begin(Activity.REGION)
    slide.incremental.put_back((2,), box, painted, part > 0, IdMap(part))
    runs.end(Activity.REGION)
    assert panel.link.running
    linked(panel, qtbot)
    after = shown(viewer)
    assert not after[2][box.slices].any()
    there = after > 0
    np.testing.assert_array_equal(after[there], before[there])
    assert len({*slide.incremental.output.glob(".unfinished/linked-*")} - folders) == 1
    assert not any(folder.exists() for folder in folders)


def test_what_is_saved_of_a_lazy_stack_is_linked(viewer, lazy, panel, idle, tmp_path, click, tick):
    slide = lazy("ZYX")
    found = shown(viewer)
    folder, file = tmp_path / "saved.zarr", tmp_path / "saved_labels.ome.tif"
    for path in (folder, file):
        panel.saving.save_to(path)
        idle()
        assert panel.session.runs.problem is None
    np.testing.assert_array_equal(np.asarray(LabelPyramid(folder).levels[0]), found)
    np.testing.assert_array_equal(read_labels(file)[0], found)
    assert read_record(folder)["link"]["gap"] == read_record(file)["link"]["gap"] == 1
    assert "link_ids" in read_record(file)
    assert len([*slide.incremental.output.glob(".unfinished/linked-*")]) == 1
    tick(panel.link.link)
    assert "cells linked" not in viewer.layers
    assert not [*slide.incremental.output.glob(".unfinished/linked-*")]
    panel.saving.save_to(tmp_path / "planes_labels.tif")
    idle()
    np.testing.assert_array_equal(imread(tmp_path / "planes_labels.tif"), of_disk(slide))


def test_links_go_with_the_layer_of_a_lazy_stack(viewer, lazy, panel):
    slide = lazy("ZYX")
    viewer.layers.remove(slide.layer)
    assert [layer.name for layer in viewer.layers] == ["cells"]
