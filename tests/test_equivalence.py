"""Tiled equals whole: the probability map does not depend on the tiles it was computed in.

Bit for bit where the network is given tensors of the same shape; between shapes the matrix
products of the processor's library may add in another order, which moves a probability by about
1e-6 and so, where it lies between two bytes, a byte of the probability map by one.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from tifffile import imread

from napari_unet import segment
from napari_unet.inference.batchnorm_folding import folded
from napari_unet.inference.predict import Predictor
from napari_unet.intensity import percentiles
from napari_unet.models.library import find_model
from napari_unet.network.spec import UNetSpec
from napari_unet.planning import planner
from napari_unet.tiling.resample import mirror, resized
from napari_unet.tiling.tiles import plan_tiles
from tests.strategies import (
    SKIPS,
    blob_labels,
    random_card,
    random_model,
    random_network,
    same_partition,
)

LIMITS = (0.1, 0.9)
SAMPLE = Path(__file__).parents[1] / "sample_data" / "nuclei.tif"


pytestmark = pytest.mark.usefixtures("one_thread")


def predictor(spec: UNetSpec, seed: int = 0) -> Predictor:
    """Wrap a random network without a file."""
    made = Predictor.__new__(Predictor)
    made._take(random_network(spec, seed).float(), random_card(spec), "cpu", "float32")
    return made


def tiled(
    worker: Predictor, image: NDArray[np.float32], tile: int, zoom: float = 1.0
) -> NDArray[np.uint8]:
    """Probability map of ``(C, Y, X)`` in tiles, each given its source window alone."""
    spec = worker.card.spec
    plan = plan_tiles(image.shape[1:], spec, zoom=zoom, tile=tile)
    kept = len(worker.card.map_channels)
    maps = np.full((kept, *image.shape[1:]), 77, np.uint8)
    limits = (LIMITS,) * len(image)
    for one in plan.tiles:
        window = image[(slice(None), *one.source.slices)].copy()
        maps[(slice(None), *one.write.slices)] = worker.probability_map(window, one, plan, limits)
    return maps


def plain(worker: Predictor, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probability map of the mirror-padded whole image, without any of the tiles' code."""
    spec = worker.card.spec
    pads = []
    for length in image.shape[1:]:
        core = -(-length // spec.divisor) * spec.divisor
        pads.append((-spec.halo, spec.next_valid_length(core + spec.shrink + spec.halo)))
    if spec.variant == "padded":
        pads = [(-spec.halo, n + spec.halo - spec.shrink) for _, n in pads]
    (y0, height), (x0, width) = pads
    rows = mirror(np.arange(y0, y0 + height), image.shape[1])
    columns = mirror(np.arange(x0, x0 + width), image.shape[2])
    scaled = np.clip((image - LIMITS[0]) / (LIMITS[1] - LIMITS[0]), -0.5, 2)
    batch = torch.from_numpy(scaled[:, rows][:, :, columns].astype(np.float32))[None]
    with torch.inference_mode():
        output = worker.network(batch)[0]
    first = spec.halo - spec.shrink
    output = output[:, first : first + image.shape[1], first : first + image.shape[2]]
    classes = torch.softmax(output[: spec.classes], dim=0)
    if not worker.card.finds_objects:
        return classes.argmax(dim=0)[None].byte().numpy()
    maps = torch.cat([classes[1:3], output[3:4]]).clip(0, 1)
    return torch.round(maps * 255).byte().numpy()


def assert_close(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> None:
    difference = np.abs(one.astype(int) - other)
    assert difference.max(initial=0) <= 1
    assert (difference > 0).mean() <= 1e-3


sides = st.one_of(st.integers(1, 8), st.integers(1, 120), st.integers(100, 200))


@st.composite
def networks(draw: st.DrawFn) -> UNetSpec:
    variant = draw(st.sampled_from(["padded", "paper"]))
    return UNetSpec(
        in_channels=draw(st.integers(1, 3)),
        base_filters=draw(st.integers(2, 4)),
        depth=draw(st.integers(2, 4)),
        variant=variant,
        skip=draw(st.sampled_from(SKIPS)),
        up_kernel=2 if variant == "paper" else draw(st.sampled_from([2, 3])),
    )


def picture(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@settings(max_examples=15)
@given(networks(), st.tuples(sides, sides), st.integers(32, 150), st.integers(0, 99))
def test_tiled_is_the_mirror_padded_whole(
    spec: UNetSpec, shape: tuple[int, int], tile: int, seed: int
) -> None:
    worker, image = predictor(spec, seed), picture((spec.in_channels, *shape), seed)
    assert_close(tiled(worker, image, tile), plain(worker, image))


@settings(max_examples=15)
@given(
    networks(),
    st.tuples(sides, sides),
    st.integers(32, 150),
    st.floats(0.4, 1.6),
    st.integers(0, 99),
)
def test_tiled_is_whole_when_rescaled(
    spec: UNetSpec, shape: tuple[int, int], tile: int, zoom: float, seed: int
) -> None:
    worker, image = predictor(spec, seed), picture((spec.in_channels, *shape), seed)
    whole = tiled(worker, image, 8192, zoom)
    assert_close(tiled(worker, image, tile, zoom), whole)


@pytest.mark.parametrize("variant", ["padded", "paper"])
def test_bit_for_bit_at_one_tile_size(variant: str) -> None:
    """The same pixels, the same tensor shape, another place in the image: no difference at all."""
    spec = UNetSpec(base_filters=4, depth=3, variant=variant)
    worker = predictor(spec)
    large = picture((1, 320, 320), 1)
    plan = plan_tiles((320, 320), spec, tile=64)
    inner = [
        t
        for t in plan.tiles
        if t.read.shape == plan.tiles[0].read.shape
        and min(t.read.start) >= 0
        and max(t.read.stop) <= 320
    ]
    assert len(inner) >= 4
    for one in inner:
        window = large[(slice(None), *one.read.slices)]
        alone = worker._forward(window, one.core)
        around = np.full_like(large, 5)
        around[(slice(None), *one.read.slices)] = window
        again = worker._forward(around[(slice(None), *one.read.slices)], one.core)
        assert (alone == again).all()
    shifted = np.roll(large, (64, 64), (1, 2))
    first, second = (
        inner[0],
        next(t for t in inner if t.write.start == tuple(a + 64 for a in inner[0].write.start)),
    )
    maps = [
        worker.probability_map(image[(slice(None), *t.source.slices)], t, plan, (LIMITS,))
        for image, t in ((large, first), (shifted, second))
    ]
    assert (maps[0] == maps[1]).all()


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="other processors' libraries may sum in an order that depends on the tile's size",
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@settings(max_examples=8)
@given(st.tuples(st.integers(1, 200), st.integers(1, 200)), st.integers(32, 150))
def test_the_bundled_network_is_bit_for_bit_the_same_at_any_tile_size(
    precision: str, shape: tuple[int, int], tile: int
) -> None:
    """Sixteen filters fill the processor's vectors, so every sum has one order: no difference."""
    worker, image = Predictor(find_model("nuclei"), "cpu", precision), picture((1, *shape), tile)
    assert (tiled(worker, image, tile) == tiled(worker, image, 8192)).all()


@pytest.mark.parametrize("variant", ["padded", "paper"])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4), (5, 7)])
def test_any_channels_and_classes_give_the_argmax(
    tmp_path: Path, variant: str, channels: int, classes: int
) -> None:
    spec = UNetSpec(channels, classes, distance=False, base_filters=2, depth=2, variant=variant)
    path = random_model(tmp_path, replace(spec, direct=channels == 5))
    image = picture((channels, 70, 90), 3)
    worker = Predictor(path, "cpu", "float32")
    results = [
        segment(image, path, axes="CYX", tile=tile, precision="float32") for tile in (32, 512)
    ]
    limits = [percentiles(c) for c in image]
    scaled = np.stack([(c - a) / (b - a) for c, (a, b) in zip(image, limits, strict=True)])
    expected = plain(worker, (scaled * (LIMITS[1] - LIMITS[0]) + LIMITS[0]).astype(np.float32))
    for result in results:
        assert result.labels.dtype == np.uint32
        assert (result.labels != expected[0]).mean() < 1e-3
    assert len(np.unique(results[0].labels)) > 1


@settings(max_examples=10)
@given(networks(), st.integers(0, 99))
def test_a_batchnorm_inside_its_convolution_says_the_same(spec: UNetSpec, seed: int) -> None:
    network = random_network(spec, seed).double()
    length = spec.next_valid_length(2 * spec.halo + 20)
    batch = torch.from_numpy(picture((1, spec.in_channels, length, length), seed)).double()
    lean = folded(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in lean.modules())
    with torch.inference_mode():
        torch.testing.assert_close(lean(batch), network(batch), rtol=1e-9, atol=1e-9)


def test_short_numbers_find_the_same_objects() -> None:
    """Real nuclei: hardly a pixel changes sides, and every object is found again."""
    sample = imread(SAMPLE)[:512, :512]
    exact = segment(sample, precision="float32", diameter=25)
    short = segment(sample, precision="bfloat16", diameter=25)
    assert ((exact.labels > 0) != (short.labels > 0)).mean() < 5e-4
    both = (exact.labels > 0) & (short.labels > 0)
    pairs, shared = np.unique(
        np.stack([exact.labels[both], short.labels[both]]), axis=1, return_counts=True
    )
    areas = [np.bincount(labels.ravel()) for labels in (exact.labels, short.labels)]
    united = areas[0][pairs[0]] + areas[1][pairs[1]] - shared
    counts = [np.count_nonzero(area[1:]) for area in areas]
    assert counts[0] == counts[1] == np.count_nonzero(shared > 0.9 * united) > 30


@pytest.mark.parametrize("tile", [160, 352])
def test_real_nuclei_in_blocks_are_those_of_the_whole_image(tile: int) -> None:
    """Touching ones among them; blocks decode their objects with the surroundings."""
    sample = imread(SAMPLE)[:512, :512]
    whole = segment(sample, precision="float32", diameter=25, tile=2048).labels
    blocks = segment(sample, precision="float32", diameter=25, tile=tile).labels
    assert whole.max() > 30
    assert same_partition(blocks, whole)


def test_probability_maps_of_the_scale_probe_are_as_good_as_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A small image is not computed twice."""
    shown = resized(imread(SAMPLE)[None, :340, :340].astype(np.float32), (256, 256))[0]
    sample = shown.astype(np.uint16)  # objects of the size that the network expects
    taken: list[int] = []
    plan = planner.make_plan

    def watched(*given: Any) -> Any:
        planned = yield from plan(*given)
        taken.append(len(planned.cached_tiles))
        return planned

    def forgetting(*given: Any) -> Any:
        planned = yield from plan(*given)
        return planner.Planned(planned.plan)

    monkeypatch.setattr("napari_unet.segmentation.images.make_plan", watched)
    kept = segment(sample).labels
    assert taken[0]  # else nothing is compared
    monkeypatch.setattr("napari_unet.segmentation.images.make_plan", forgetting)
    assert kept.max() > 5
    assert (segment(sample).labels == kept).all()


def test_objects_of_the_bundled_model_do_not_depend_on_the_tile_size() -> None:
    labels = blob_labels(1, (170, 150), 18)
    image = gaussian_filter((labels > 0) * 1000.0, 1) + np.random.default_rng(0).normal(
        100, 10, labels.shape
    )
    results = [segment(image, tile=tile) for tile in (64, 512)]
    assert results[0].plan.diameter == pytest.approx(results[1].plan.diameter, abs=0.2)
    assert len(np.unique(results[0].labels)) > 20
    assert (results[0].labels > 0).mean() == pytest.approx((results[1].labels > 0).mean(), rel=1e-3)
    fixed = [segment(image, tile=tile, diameter=18).labels for tile in (64, 512)]
    assert same_partition(*fixed)


def test_saved_equals_loaded(tmp_path: Path) -> None:
    spec = UNetSpec(base_filters=2, depth=2)
    image = picture((1, 60, 60), 0)
    again = Predictor(random_model(tmp_path, spec, seed=7), "cpu", "float32")
    assert (tiled(again, image, 64) == tiled(predictor(spec, 7), image, 64)).all()


def test_planes_of_a_stack_equal_single_planes(tmp_path: Path) -> None:
    path = random_model(tmp_path)
    stack = picture((3, 40, 50), 5)
    stack[:, 0, 0], stack[:, 0, 1] = -5, 5  # one grey-value range for all
    whole = segment(stack, path, diameter=20, precision="float32")
    assert whole.labels.shape == stack.shape
    for plane, labels in zip(stack, whole.labels, strict=True):
        other = np.concatenate([plane[None], stack])
        again = segment(other, path, diameter=20, precision="float32").labels[0]
        assert same_partition(labels, again)
