"""Labels of a large image that grow while somebody looks: stopped, gone on with, edited."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_unet import SegmentSettings, segment
from napari_unet.engine.client import Engine
from napari_unet.execution.events import ObjectsFound, TileWritten
from napari_unet.execution.patches import patches_of
from napari_unet.image import Box, Image, Spacing
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.models.library import load_model
from napari_unet.network.outputs import Kind
from napari_unet.plugin.layers.region import IdMap
from napari_unet.plugin.result.incremental import IncrementalSegmentation
from tests.strategies import blob_labels, same_partition

SETTINGS = SegmentSettings(diameter=18, tile=128)
SHAPE = (500, 640)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    one = Engine()
    yield one
    one.close()


@pytest.fixture(scope="module")
def image() -> Image:
    cells = gaussian_filter((blob_labels(3, SHAPE, 18) > 0) * 1000.0, 1)
    noise = np.random.default_rng(0).normal(200, 10, SHAPE)
    return Image(
        (cells + noise).astype(np.uint16),
        "YX",
        spacing=dict.fromkeys("YX", Spacing(0.5, "micrometer")),
    )


@pytest.fixture
def incremental(image: Image, tmp_path: Path) -> IncrementalSegmentation:
    return IncrementalSegmentation(tmp_path / "labels.zarr", image, load_model("nuclei"), SETTINGS)


@pytest.fixture(scope="module")
def expected(image: Image) -> NDArray[np.uint32]:
    labels = segment(image, settings=SETTINGS).labels
    assert labels.max() > 50
    return labels


def finest(incremental: IncrementalSegmentation) -> NDArray[np.uint32]:
    return np.asarray(LabelPyramid(incremental.output).levels[0])


def finish(incremental: IncrementalSegmentation, engine: Engine) -> None:
    for _ in incremental.events(engine, (), None, only=False):
        pass


def test_labels_grow_from_where_somebody_looks(
    incremental: IncrementalSegmentation, engine: Engine
) -> None:
    events = incremental.events(engine, (), (400.0, 500.0), only=False)
    first = next(event for event in events if isinstance(event, TileWritten))
    assert incremental.plan is not None
    assert (
        incremental.plan.tiles.tiles[first.key[1]].write.intersect(Box((400, 500), (401, 501))).size
    )
    assert not first.final
    events.close()
    there = finest(incremental) > 0
    assert there.any()
    assert not there[:200, :300].any()


def test_stopped_twice_it_ends_as_in_one_go(
    incremental: IncrementalSegmentation, engine: Engine, expected: NDArray[np.uint32]
) -> None:
    for centre in ((0.0, 0.0), (499.0, 639.0)):
        events = incremental.events(engine, (), centre, only=False)
        done = list(islice((e for e in events if isinstance(e, ObjectsFound)), 4))
        events.close()
        engine.cancel()
        assert len(done) == 4
    finish(incremental, engine)
    labels = finest(incremental)
    assert same_partition(labels, expected)
    assert sorted(np.unique(labels)) == list(range(incremental.objects + 1))
    assert not list(patches_of(incremental.output).iterdir())
    for level, copy in enumerate(LabelPyramid(incremental.output).levels):
        assert (np.asarray(copy) == labels[:: 2**level, :: 2**level]).all()


def test_what_a_person_put_back_stays(
    incremental: IncrementalSegmentation, engine: Engine, expected: NDArray[np.uint32]
) -> None:
    events = incremental.events(engine, (), (0.0, 0.0), only=False)
    list(islice((e for e in events if isinstance(e, ObjectsFound)), 8))
    events.close()
    box = Box((64, 64), (192, 256))  # across tiles that are not final
    before = finest(incremental)[box.slices]
    now, numbers = before.copy(), IdMap(before)
    erased = int(before[before > 0][0])
    now[now == erased] = 0
    now[40:60, 40:60] = 7_000_000  # a new object
    incremental.put_back((), box, now, now != before, numbers)
    finish(incremental, engine)
    labels = finest(incremental)
    part = labels[box.slices]
    new = np.unique(part[40:60, 40:60])
    assert len(new) == 1
    assert np.count_nonzero(labels == new[0]) == 400
    assert not (part[(before == erased) & (now == 0)] > 0).any()
    painted = np.zeros(SHAPE, bool)
    painted[box.slices] = now != before
    assert same_partition(np.where(painted, 0, labels), np.where(painted, 0, expected))
    assert labels.max() < incremental.objects + 1
    copies = LabelPyramid(incremental.output).levels
    assert (
        np.asarray(copies[-1]) == labels[:: 2 ** (len(copies) - 1), :: 2 ** (len(copies) - 1)]
    ).all()


def test_a_class_that_is_put_back_keeps_its_number(
    incremental: IncrementalSegmentation, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(islice((e for e in incremental.events(engine, (), None, only=False)), 30))
    engine.cancel()
    card = incremental.model.card.model_copy(update={"kind": Kind.CLASSES})
    monkeypatch.setattr(incremental, "model", replace(incremental.model, card=card))
    box = Box((0, 0), (64, 64))
    before = finest(incremental)[box.slices]
    now = np.full(box.shape, 2, np.uint32)
    incremental.put_back((), box, now, now != before, IdMap(before))
    assert (finest(incremental)[box.slices] == 2).all()
    assert incremental.edits == 1


def test_painted_ids_become_free_ones_of_the_whole() -> None:
    before = np.array([[0, 5, 9]], np.uint32)
    numbers = IdMap(before)
    now = np.array([[10, 5, 9]], np.uint32)
    assert numbers.new_in(now) == [10]
    numbers.know([10], 100)
    assert numbers.whole_ids(now).tolist() == [[100, 5, 9]]
    assert numbers.new_in(np.array([[10, 11]], np.uint32)) == [11]


def test_only_the_plane_that_is_looked_at(engine: Engine, image: Image, tmp_path: Path) -> None:
    stack = Image(np.stack([image.data[:], image.data[:]]), "ZYX")
    incremental = IncrementalSegmentation(
        tmp_path / "stack.zarr", stack, load_model("nuclei"), SETTINGS
    )
    for _ in incremental.events(engine, (1,), None, only=True):
        pass
    labels = finest(incremental)
    assert labels[1].any()
    assert not labels[0].any()


def test_other_settings_are_other_labels(
    incremental: IncrementalSegmentation, image: Image
) -> None:
    assert incremental.goes_on(image, incremental.model, SETTINGS)
    assert not incremental.goes_on(image, incremental.model, SegmentSettings(diameter=20))
    assert not incremental.goes_on(Image(image.data, "YX", 0), incremental.model, SETTINGS)
    stains = np.zeros((3, 64, 64), np.uint8)
    incremental.image = Image(stains, "CYX", 0, nuclei=1)
    for nuclei, same in ((1, True), (2, False), (None, False)):
        shown = Image(stains, "CYX", 0, nuclei=nuclei)
        assert incremental.goes_on(shown, incremental.model, SETTINGS) == same
    other = Image(image.data[:].copy(), "YX")
    assert not incremental.goes_on(other, incremental.model, SETTINGS)
