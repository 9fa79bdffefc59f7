"""The network: channels, own weights, sizes, initialisation, and the exact reach of a pixel.

Reach is measured, not derived: one input column is changed by a large random amount, in float64
(float32 hides a halo that is too small), and every output column that moves depends on it.
"""

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_unet.errors import InputError
from napari_unet.network.spec import Interval, UNetSpec, required_input
from napari_unet.network.unet import UNet
from tests.strategies import SKIPS, random_network

VARIANTS = ("padded", "paper")


def record_shapes(network: UNet, image: Tensor) -> dict[str, tuple[int, ...]]:
    """Run the network and note the output shape of every level's block."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("down", "up", "merge"):
        for level, block in enumerate(getattr(network, name)):
            block.register_forward_hook(
                lambda _m, _i, out, key=f"{name}{level}": shapes.update({key: tuple(out.shape)})
            )
    network.bottom.register_forward_hook(lambda _m, _i, out: shapes.update(bottom=tuple(out.shape)))
    with torch.inference_mode():
        shapes["head"] = tuple(network(image).shape)
    return shapes


def convolutions(network: UNet) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


# ------------------------------------------------------------------ channels and own weights


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_channels_level_by_level(variant: str, skip: str) -> None:
    spec = UNetSpec(in_channels=3, classes=5, base_filters=4, variant=variant, skip=skip)
    network = UNet(spec)
    widths = {
        name: [(m.in_channels, m.out_channels) for m in convolutions(part)]
        for name, part in network.named_children()
    }
    joined = 2 if skip == "concat" else 1
    assert widths["down"] == [
        (3, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32),
    ]  # fmt: skip
    assert widths["bottom"] == [(32, 64), (64, 64)]
    assert widths["up"] == [(8, 4), (16, 8), (32, 16), (64, 32)]
    assert widths["merge"] == [
        (joined * 4, 4), (4, 4), (joined * 8, 8), (8, 8),
        (joined * 16, 16), (16, 16), (joined * 32, 32), (32, 32),
    ]  # fmt: skip
    assert widths["head"] == [(4, 6)]


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_level_has_its_own_weights(variant: str, skip: str) -> None:
    network = UNet(UNetSpec(base_filters=2, variant=variant, skip=skip))
    layers = convolutions(network)
    assert len(layers) == 23  # 8 down, 2 bottom, 4 up, 8 merge, 1 head: as the paper counts
    assert len({layer.weight.data_ptr() for layer in layers}) == 23
    everything = list(network.named_parameters(remove_duplicate=False))
    assert len(everything) == len(list(network.parameters()))


def test_every_weight_takes_part() -> None:
    network = UNet(UNetSpec(in_channels=2, base_filters=2, depth=3)).double()
    network(torch.randn(2, 2, 32, 32, dtype=torch.float64)).square().sum().backward()
    idle = [
        name
        for name, weight in network.named_parameters()
        if weight.grad is None or not weight.grad.abs().sum() > 0
    ]
    # BatchNorm subtracts the mean, so the bias of the up-convolution before it cannot matter
    assert all(name.startswith("up.") and name.endswith(".0.bias") for name in idle)


def test_parameters_of_the_paper() -> None:
    spec = UNetSpec(classes=2, distance=False, base_filters=64, variant="paper")
    assert sum(w.numel() for w in UNet(spec).parameters()) == 31_030_658


# ------------------------------------------------------------------------------------- sizes


def test_paper_572_to_388_level_by_level() -> None:
    spec = UNetSpec(classes=2, distance=False, base_filters=1, variant="paper")
    shapes = record_shapes(UNet(spec).eval(), torch.zeros(1, 1, 572, 572))
    assert shapes == {
        "down0": (1, 1, 568, 568),
        "down1": (1, 2, 280, 280),
        "down2": (1, 4, 136, 136),
        "down3": (1, 8, 64, 64),
        "bottom": (1, 16, 28, 28),
        "up3": (1, 8, 56, 56),
        "merge3": (1, 8, 52, 52),
        "up2": (1, 4, 104, 104),
        "merge2": (1, 4, 100, 100),
        "up1": (1, 2, 200, 200),
        "merge1": (1, 2, 196, 196),
        "up0": (1, 1, 392, 392),
        "merge0": (1, 1, 388, 388),
        "head": (1, 2, 388, 388),
    }


@pytest.mark.parametrize("up_kernel", [2, 3])
@pytest.mark.parametrize("skip", SKIPS)
def test_padded_output_is_as_large_as_the_input(skip: str, up_kernel: int) -> None:
    spec = UNetSpec(base_filters=2, skip=skip, up_kernel=up_kernel)
    shapes = record_shapes(UNet(spec).eval(), torch.zeros(2, 1, 48, 80))
    for level in range(4):
        expected = (2, 2 * 2**level, 48 >> level, 80 >> level)
        assert [shapes[f"{part}{level}"] for part in ("down", "up", "merge")] == [expected] * 3
    assert shapes["bottom"] == (2, 32, 3, 5)
    assert shapes["head"] == (2, 4, 48, 80)


def test_paper_variant_crops_both_axes_of_an_oblong_tile() -> None:
    spec = UNetSpec(base_filters=1, depth=2, variant="paper")
    assert UNet(spec).eval()(torch.zeros(1, 1, 44, 60)).shape == (1, 4, 4, 20)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("in_channels", [1, 3, 5])
@pytest.mark.parametrize("classes", [2, 3, 9])
@pytest.mark.parametrize("distance", [True, False])
def test_any_channels_and_classes(
    variant: str, in_channels: int, classes: int, distance: bool
) -> None:
    spec = UNetSpec(in_channels, classes, distance, base_filters=2, depth=2, variant=variant)
    output = UNet(spec).eval()(torch.zeros(1, in_channels, 44, 44))
    side = 44 - 2 * spec.shrink
    assert output.shape == (1, classes + distance, side, side)


@pytest.mark.parametrize("variant", VARIANTS)
def test_output_is_logits_without_activation(variant: str) -> None:
    network = random_network(UNetSpec(base_filters=2, depth=2, variant=variant))
    assert isinstance(network.head, nn.Conv2d)
    image = torch.randn(1, 1, 60, 60, dtype=torch.float64)
    with torch.no_grad():
        first = network(image)
        network.head.weight.neg_()
        network.head.bias.neg_()
        torch.testing.assert_close(network(image), -first)  # no activation is odd and linear


def test_activations_of_both_variants() -> None:
    padded, paper = (UNet(UNetSpec(base_filters=1, variant=v)) for v in VARIANTS)
    leaky = [m for m in padded.modules() if isinstance(m, nn.LeakyReLU)]
    assert len(leaky) == 22
    assert {m.negative_slope for m in leaky} == {0.2}
    assert sum(isinstance(m, nn.BatchNorm2d) for m in padded.modules()) == 22
    assert sum(isinstance(m, nn.ReLU) for m in paper.modules()) == 18  # none after up-convolution
    assert not any(isinstance(m, nn.BatchNorm2d | nn.LeakyReLU) for m in paper.modules())


def test_dropout_only_at_the_end_of_the_contracting_path_and_only_in_training() -> None:
    network = random_network(UNetSpec(base_filters=4, depth=2, dropout=0.5))
    image = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image))
        network.dropout.train()
        assert not torch.equal(network(image), network(image))
    assert sum(isinstance(m, nn.Dropout2d) for m in network.modules()) == 1


# ------------------------------------------------------------------------------ initialisation


@pytest.mark.parametrize("variant", VARIANTS)
def test_he_initialisation(variant: str) -> None:
    torch.manual_seed(0)
    for layer in convolutions(UNet(UNetSpec(base_filters=16, variant=variant))):
        if layer.bias is not None:
            assert not layer.bias.any()
        if isinstance(layer, nn.ConvTranspose2d) or layer.weight.numel() < 1000:
            continue
        incoming = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
        ratio = layer.weight.std().item() / (2 / incoming) ** 0.5
        assert ratio == pytest.approx(1, abs=4 / (2 * layer.weight.numel()) ** 0.5)


@pytest.mark.parametrize(("variant", "up_kernel"), [("padded", 2), ("padded", 3), ("paper", 2)])
def test_up_convolutions_neither_swell_nor_fade(variant: str, up_kernel: int) -> None:
    # of the kernel's pixels each output pixel sees one in stride², and so in_channels · k² / 4
    torch.manual_seed(0)
    spec = UNetSpec(base_filters=16, up_kernel=up_kernel, variant=variant)
    for layer in convolutions(UNet(spec).up):
        gain = layer.weight.var().item() * layer.in_channels * up_kernel**2 / 4
        spread = 4 * (2 / layer.weight.numel()) ** 0.5  # four standard errors of a variance
        assert gain == pytest.approx(2, rel=spread)


# -------------------------------------------------------------------------------------- errors


def test_wrong_channels_say_what_is_needed() -> None:
    with pytest.raises(InputError, match=r"has 1 channels; this network needs 3.*Choose"):
        UNet(UNetSpec(in_channels=3, base_filters=1, depth=1))(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("variant", "shape", "fit"),
    [
        ("padded", (100, 16), "112 × 16"),
        ("padded", (16, 1), "16 × 16"),
        ("paper", (388, 573), "396 × 588"),
    ],
)
def test_wrong_size_says_the_next_that_fits(variant: str, shape: tuple[int, int], fit: str) -> None:
    network = UNet(UNetSpec(base_filters=1, variant=variant))
    with pytest.raises(InputError, match=rf"{shape[0]} × {shape[1]} px.*{fit} px.*mirror"):
        network(torch.zeros(1, 1, *shape))


def test_a_tile_too_small_for_the_paper_variant_is_an_input_error() -> None:
    with pytest.raises(InputError, match="next size"):
        UNet(UNetSpec(base_filters=1, variant="paper"))(torch.zeros(1, 1, 140, 140))


# --------------------------------------------------------------------------- reach, by perturbing


@cache
def measure_reach(spec: UNetSpec) -> list[Interval]:
    """Input interval that each output column depends on, found by changing input columns."""
    network = random_network(spec)
    length, height = 2 * spec.halo + 5 * spec.divisor, 16  # many rows: one must pass every pooling
    random = torch.Generator().manual_seed(1)
    image = torch.randn(1, 1, height, length, dtype=torch.float64, generator=random)
    push = 1e4 * torch.randn(1, 1, height, length, dtype=torch.float64, generator=random)
    moved = []
    with torch.inference_mode():
        before = network(image)
        for columns in torch.eye(length, dtype=torch.float64).split(32):
            pushed = push * columns[:, None, None]  # one column in each image of the batch
            seen = (network(image + pushed) != before) | (network(image - pushed) != before)
            moved.append(seen.any(dim=1).any(dim=1))
    numbers = torch.cat(moved).T.numpy()  # (output X, input X)
    return [(int(m.argmax()), length - int(m[::-1].argmax())) for m in numbers]


def measured_input(spec: UNetSpec, output: Interval) -> Interval:
    starts, stops = zip(*measure_reach(spec)[slice(*output)], strict=True)
    return min(starts), max(stops)


def inner_boxes(spec: UNetSpec) -> range:
    """Starts of the aligned boxes whose reach ends inside the measured image."""
    margin = (spec.halo // spec.divisor + 1) * spec.divisor
    return range(margin, len(measure_reach(spec)) - margin, spec.divisor)


@pytest.mark.parametrize("up_kernel", [2, 3])
@pytest.mark.parametrize(("depth", "skip"), [*itertools.product((1, 2), SKIPS), (3, "concat")])
def test_required_input_is_exact_at_every_alignment(depth: int, skip: str, up_kernel: int) -> None:
    spec = UNetSpec(base_filters=2, depth=depth, skip=skip, up_kernel=up_kernel)
    first = inner_boxes(spec).start
    for start in range(first, first + spec.divisor):
        for stop in range(start + 1, first + 2 * spec.divisor + 1):
            assert measured_input(spec, (start, stop)) == required_input((start, stop), spec)


@pytest.mark.parametrize("depth", [1, 2])
def test_required_input_of_a_direct_head_is_exact(depth: int) -> None:
    spec = UNetSpec(base_filters=2, depth=depth, direct=True)
    first = inner_boxes(spec).start
    for start in range(first, first + spec.divisor):
        assert measured_input(spec, (start, start + 1)) == required_input((start, start + 1), spec)


@pytest.mark.parametrize(
    ("up_kernel", "aligned", "unaligned"), [(2, (94, 94), (107, 107)), (3, (94, 110), (107, 122))]
)
def test_reach_at_depth_4(up_kernel: int, aligned: Interval, unaligned: Interval) -> None:
    """The numbers of docs/network.md: pixels needed before and after an output box."""
    spec = UNetSpec(base_filters=2, up_kernel=up_kernel)
    boxes = inner_boxes(spec)
    single = []
    for output in range(boxes.start, boxes.start + 16):  # every alignment of one pixel
        start, stop = measured_input(spec, (output, output + 1))
        assert (start, stop) == required_input((output, output + 1), spec)
        single.append((output - start, stop - output - 1))
    assert (max(before for before, _ in single), max(after for _, after in single)) == unaligned
    for box in boxes:
        start, stop = measured_input(spec, (box, box + 16))
        assert (start, stop) == required_input((box, box + 16), spec)
        assert (box - start, stop - box - 16) == aligned
        assert max(aligned) <= spec.halo < max(aligned) + 16


# --------------------------------------------------------------------------- tiled equals whole


def mirrored(image: np.ndarray, box: tuple[Interval, Interval]) -> Tensor:
    """Window of the mirror-padded image; the box may leave the image on every side."""
    (y0, y1), (x0, x1) = box
    rows, columns = (
        np.abs((np.arange(a, b) + n - 1) % (2 * n - 2) - (n - 1))
        for (a, b), n in zip(((y0, y1), (x0, x1)), image.shape, strict=True)
    )
    return torch.from_numpy(image[np.ix_(rows, columns)])[None, None]


def assert_same(tile: Tensor, whole: Tensor) -> None:
    """Equal up to float64 rounding: matrix products of other sizes may sum in another order.

    `test_nothing_beyond_the_halo_counts` compares bit for bit, at one size.
    """
    torch.testing.assert_close(tile, whole, rtol=0, atol=1e-12)


def run_box(network: UNet, image: np.ndarray, core: tuple[Interval, Interval]) -> Tensor:
    """Output over `core`, computed from its read box alone."""
    spec = network.spec
    read = tuple(spec.read_interval(axis) for axis in core)
    with torch.inference_mode():
        output = network(mirrored(image, read))
    rows, columns = (
        slice(c[0] - r[0] - spec.shrink, c[1] - r[0] - spec.shrink)
        for c, r in zip(core, read, strict=True)
    )
    return output[..., rows, columns]


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("up_kernel", [2, 3])
@pytest.mark.parametrize("skip", SKIPS)
def test_padded_tiles_equal_the_whole(skip: str, up_kernel: int, direct: bool) -> None:
    spec = UNetSpec(base_filters=2, depth=3, skip=skip, up_kernel=up_kernel, direct=direct)
    network = random_network(spec)
    image = np.random.default_rng(2).normal(size=(70, 90))
    whole = run_box(network, image, ((0, 72), (0, 96)))
    for top in range(0, 72, 24):
        for left in range(0, 96, 32):
            tile = run_box(network, image, ((top, top + 24), (left, left + 32)))
            expected = whole[..., top : top + 24, left : left + 32]
            assert_same(tile, expected)


def test_padded_tile_at_depth_4_equals_the_whole() -> None:
    network = random_network(UNetSpec(base_filters=2))
    image = np.random.default_rng(3).normal(size=(160, 240))
    whole = run_box(network, image, ((0, 160), (0, 240)))
    tile = run_box(network, image, ((64, 96), (112, 160)))
    assert_same(tile, whole[..., 64:96, 112:160])


@pytest.mark.parametrize("up_kernel", [2, 3])
def test_nothing_beyond_the_halo_counts(up_kernel: int) -> None:
    spec = UNetSpec(base_filters=2, up_kernel=up_kernel)
    network = random_network(spec)
    halo, core = spec.halo, 32
    image = torch.randn(1, 1, 16, core + 2 * halo + 64, dtype=torch.float64)
    other = torch.randn_like(image) * 1e4
    other[..., 32:-32] = image[..., 32:-32]
    inside = slice(32 + halo, 32 + halo + core)
    with torch.inference_mode():
        assert torch.equal(network(image)[..., inside], network(other)[..., inside])


def test_paper_tiles_that_step_by_384_equal_the_whole() -> None:
    spec = UNetSpec(base_filters=2, variant="paper")
    network = random_network(spec)
    image = np.random.default_rng(4).normal(size=(380, 600))
    assert spec.read_interval((0, 384)) == (-96, 476)
    whole = run_box(network, image, ((0, 384), (0, 768)))
    for left in (0, 384):
        tile = run_box(network, image, ((0, 384), (left, left + 384)))
        assert_same(tile, whole[..., left : left + 384])


def test_paper_tiles_that_step_by_388_do_not() -> None:
    """388 is no multiple of 16: the pooling grid shifts from tile to tile."""
    network = random_network(UNetSpec(base_filters=2, depth=2, variant="paper"))
    image = torch.randn(1, 1, 60, 100, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(image)  # 20 × 60
        shifted = network(image[..., 2:62])  # off the grid of 4 by two
        aligned = network(image[..., 4:64])
    torch.testing.assert_close(aligned, whole[..., 4:24])
    assert (shifted - whole[..., 2:22]).abs().max() > 1e-3


def test_nuclei_that_are_not_given_count_as_an_empty_channel() -> None:
    spec = UNetSpec(base_filters=2, depth=2, nuclei=True)
    network = UNet(spec).eval()
    image = torch.rand(1, 1, 32, 32)
    nuclei = torch.rand(1, 1, 32, 32)
    empty = network(torch.cat([image, torch.zeros_like(image)], dim=1))
    assert torch.equal(network(image), empty)
    assert not torch.allclose(network(torch.cat([image, nuclei], dim=1)), empty)
    with pytest.raises(InputError, match="3 channels"):
        network(torch.rand(1, 3, 32, 32))
