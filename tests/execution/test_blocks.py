"""Block by block equals the whole: objects, ids, and images without the network in between."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet import segment
from napari_unet.execution.block_worker import ArraySink, BlockWorker, Storage
from napari_unet.execution.ledger import BlockResult, Ledger
from napari_unet.execution.orders import DecodeBlock, DropObjects, Job, WriteTile
from napari_unet.execution.patches import Patches, PatchesInFolder, PatchesInMemory
from napari_unet.image import Box
from napari_unet.inference.predict import Predictor
from napari_unet.labels.drawing import draw_tile
from napari_unet.labels.watershed import Patch, decode
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan
from tests.execution.test_ledger import CARD
from tests.strategies import blob_labels, probability_maps, random_model, same_partition

SETTINGS = DecodeSettings()


class GivenMaps:
    """Stands for a store: the probability map is there already."""

    def __init__(self, maps: NDArray[np.uint8]) -> None:
        self.maps = maps

    def read(self, plane: int, box: Box) -> NDArray[np.uint8]:
        return self.maps[(slice(None), *box.slices)]


def in_blocks(
    maps: NDArray[np.uint8], tile: int, seed: int, patches: Patches, notes: set[str] | None = None
) -> NDArray[Any]:
    """Decode a probability map block by block, in a random order."""
    shape = maps.shape[1:]
    plan = SegmentPlan(
        shape=shape, planes=((),), region=Box((0, 0), shape), card=CARD, model_path="",
        model_sha="", channels=1, limits=((0, 1),), diameter=16, tile=tile, anchored=True,
    )  # fmt: skip
    labels = np.zeros(shape, np.uint32)
    storage = Storage(cast(Any, GivenMaps(maps)), patches, ArraySink(labels))
    worker = BlockWorker(Job(plan, SETTINGS), storage)
    ledger = Ledger(plan)
    blocks = ledger.missing
    for i in np.random.default_rng(seed).permutation(len(blocks)):
        result = cast(BlockResult, worker.do(DecodeBlock(blocks[i])))
        ledger.computed(blocks[i], result.ids)
        if notes is not None:
            notes.update(result.notes)
        while ledger.closable:
            closing = ledger.closable.popleft()
            worker.do(WriteTile(closing))
            worker.do(DropObjects(tuple(ledger.written(closing.key))))
    assert ledger.finished
    return labels


sides = st.integers(1, 260)


@settings(max_examples=1000)
@given(st.tuples(sides, sides), st.integers(64, 130), st.integers(6, 22), st.integers(0, 10**6))
def test_blocks_equal_the_whole(
    shape: tuple[int, int], tile: int, diameter: int, seed: int
) -> None:
    """Of touching objects two lie within the 48 px that are decoded with a block."""
    maps = probability_maps(blob_labels(seed, shape, diameter), seed)
    whole = decode(maps, SETTINGS)
    labels = in_blocks(maps, tile, seed, PatchesInMemory())
    assert same_partition(labels, whole)
    ids = np.unique(labels[labels > 0])
    assert (ids == np.arange(1, len(ids) + 1)).all()  # compact


@settings(max_examples=200)
@given(st.tuples(st.integers(0, 150), st.integers(0, 150)), st.integers(10, 260), st.booleans())
def test_an_object_that_is_cut_is_told(start: tuple[int, int], length: int, down: bool) -> None:
    labels = np.zeros((280, 280), np.int32)
    (y, x), thick = start, 14
    part = labels[y : y + length, x : x + thick] if down else labels[y : y + thick, x : x + length]
    part[...] = 1
    maps, notes = probability_maps(labels, noise=0), set[str]()
    found = in_blocks(maps, 64, 0, PatchesInMemory(), notes)
    told = any("may be cut" in note for note in notes)
    assert told or same_partition(found, decode(maps, SETTINGS))
    assert not told or length > 48  # what is read with a block


def test_any_order_gives_the_same_ids(tmp_path: Path) -> None:
    maps = probability_maps(blob_labels(5, (300, 280)), 5)
    first = in_blocks(maps, 64, 0, PatchesInMemory())
    assert first.max() > 50
    assert (in_blocks(maps, 64, 1, PatchesInMemory()) == first).all()
    assert (in_blocks(maps, 64, 2, PatchesInFolder(tmp_path)) == first).all()
    assert not list(tmp_path.iterdir())


def test_the_earlier_block_has_the_pixels_both_claim() -> None:
    one = Patch(Box((0, 0), (2, 3)), np.array([[1, 1, 0], [0, 1, 0]], np.int32), 1)
    other = Patch(Box((0, 1), (2, 4)), np.array([[1, 0, 2], [1, 0, 0]], np.int32), 2)
    labels = draw_tile(Box((0, 0), (2, 5)), [(0, one), (1, other)])
    assert labels.tolist() == [[1, 1, 0, 3, 0], [0, 1, 0, 0, 0]]


@pytest.mark.parametrize("tile", [64, 128, 2048])
def test_an_even_image_costs_one_step_of_the_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    """The network is not run on what lies outside a specimen, and says the same."""
    path = random_model(tmp_path)
    image = np.full((300, 300), 7, np.uint16)
    image[:100, :100] = np.random.default_rng(0).integers(0, 1000, (100, 100))
    skipping = segment(image, path, diameter=20, tile=tile)
    sizes = []
    forward = Predictor._forward

    def counted(self: Predictor, given: Any, core: Box, *rest: Any) -> Any:
        sizes.append(core.size)
        return forward(self, given, core, *rest)

    monkeypatch.setattr(Predictor, "_forward", counted)
    again = segment(image, path, diameter=20, tile=tile)
    fewer = sum(sizes)
    monkeypatch.setattr(Predictor, "_even", Predictor.compute)
    sizes.clear()
    plain = segment(image, path, diameter=20, tile=tile)
    assert (skipping.labels == plain.labels).all()
    assert (again.labels == plain.labels).all()
    assert fewer < sum(sizes) or tile == 2048


def test_pixels_that_are_no_numbers_are_told_once(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((300, 300))
    image[5, 5] = image[250, 250] = np.nan
    result = segment(image, random_model(tmp_path), diameter=20, tile=64)
    assert len([n for n in result.notices if "not numbers" in n]) == 1
