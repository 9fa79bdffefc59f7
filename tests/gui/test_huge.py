"""An image of 100,000 × 100,000 pixels: what is looked at is there in seconds."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from conftest import PATIENCE
from scipy.ndimage import gaussian_filter

from napari_unet.image import Image
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.plugin.layers import layers
from napari_unet.plugin.layers.region import region_of
from napari_unet.plugin.result.slide_result import slide_result
from napari_unet.plugin.session.session import VIEW, WHOLE
from tests.strategies import blob_labels

SIDE, CHUNK, STEP = 100_000, 1024, 16
PLACE = (60 * CHUNK, 40 * CHUNK)  # pixels; only here is something in the file


@pytest.fixture
def slide(viewer, monkeypatch, tmp_path: Path):
    """A pyramid on the disk, with cells in four of its ten thousand chunks."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")
    cells = np.tile(blob_labels(5, (704, 900), 22) > 0, (3, 3))[: 2 * CHUNK, : 2 * CHUNK]
    cells = gaussian_filter(cells * 1000.0, 1)
    pixels = (cells + np.random.default_rng(0).normal(200, 10, cells.shape)).astype(np.uint16)
    levels = []
    for level in range(3):
        step = STEP**level
        array = zarr.create_array(
            tmp_path / f"{level}.zarr", shape=(SIDE // step,) * 2, chunks=(CHUNK,) * 2,
            dtype=np.uint16, fill_value=200,
        )  # fmt: skip
        y, x = (place // step for place in PLACE)
        part = pixels[::step, ::step]
        array[y : y + part.shape[0], x : x + part.shape[1]] = part
        levels.append(array)
    layer = viewer.add_image(levels, name="huge", multiscale=True, contrast_limits=(0, 1500))
    viewer.scene.camera.center = (PLACE[0] + CHUNK, PLACE[1] + CHUNK)
    viewer.scene.camera.zoom = 1
    return layer


@pytest.fixture
def panel(slide, panel):
    panel.form.model.value = "nuclei"
    panel.form.diameter.value = 22
    return panel


def test_the_view_is_segmented_alone(viewer, panel, slide, click, idle):
    box = layers.visible_box(viewer, slide, Image(slide.data[0], "YX"))
    assert max(box.shape) < 1000
    panel.form.where.value = VIEW
    click(panel.segment.segment)
    idle()
    assert panel.session.runs.problem is None
    part = region_of(panel.form.image.value)
    assert part.box.intersect(box) == box
    result = panel.session.results.current
    assert result.layer.data.max() > 20
    assert result.layer.data.shape == part.box.shape


def test_all_of_it_begins_where_one_looks_and_can_be_stopped(
    viewer, panel, slide, click, idle, qtbot
):
    box = layers.visible_box(viewer, slide, Image(slide.data[0], "YX"))
    panel.form.where.value = WHOLE
    click(panel.segment.segment)
    qtbot.waitUntil(lambda: slide_result(panel.session.viewer, slide) is not None, timeout=PATIENCE)
    output = slide_result(panel.session.viewer, slide).incremental.output

    def there() -> bool:
        return bool(np.asarray(LabelPyramid(output).levels[0][box.slices]).any())

    qtbot.waitUntil(there, timeout=PATIENCE)
    click(panel.segment.segment)  # Cancel
    idle()
    assert "go on" in panel.sentence
