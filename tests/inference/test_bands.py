"""Band by band the network says what it says of the whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.image import Box
from napari_unet.inference.bands import BAND, LEAST_ROWS, Bands
from napari_unet.inference.batchnorm_folding import folded
from napari_unet.models.library import load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet

MARGIN = 96  # pixels around what is wanted of a tile


@settings(max_examples=60, deadline=None)
@given(
    filters=st.integers(1, 3),
    depth=st.integers(1, 3),
    skip=st.sampled_from(("concat", "sum", "none")),
    kernel=st.sampled_from((2, 3)),
    cells=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    band=st.integers(1, 3000),
    direct=st.booleans(),
    part=st.tuples(*[st.floats(0, 0.999)] * 4),
)
def test_any_bands_of_any_padded_network(
    filters: int,
    depth: int,
    skip: str,
    kernel: int,
    cells: tuple[int, int],
    band: int,
    direct: bool,
    part: tuple[float, float, float, float],
) -> None:
    spec = UNetSpec(base_filters=filters, depth=depth, skip=skip, up_kernel=kernel, direct=direct)
    network = UNet(spec).eval().double()
    image = torch.rand(1, 1, *(spec.divisor * n for n in cells), dtype=torch.float64)
    with torch.inference_mode():
        plain = network(image)
        assert torch.allclose(Bands(network, band)(image), plain, atol=1e-9, rtol=1e-9)
        wanted = part_of(image, part)
        found = Bands(network, band)(image, wanted)
    assert torch.allclose(found, plain[..., *wanted.slices], atol=1e-9, rtol=1e-9)


def part_of(image: torch.Tensor, part: tuple[float, float, float, float]) -> Box:
    """Return any part of an image, of one pixel at least, from shares of its sides."""
    places = zip(part, (*image.shape[-2:],) * 2, strict=True)
    y, x, last_y, last_x = (int(share * length) for share, length in places)
    start, stop = (min(y, last_y), min(x, last_x)), (max(y, last_y) + 1, max(x, last_x) + 1)
    return Box(start, stop)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(512, 208), (1024, 1040)])
def test_the_bundled_model_to_the_last_bit(precision: torch.dtype, shape: tuple[int, int]) -> None:
    """Bands of a few rows only may be added up in another order by the processor."""
    network, _ = load_network(load_model("nuclei").path)
    lean = folded(network).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(1, 1, *shape).to(precision, memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = lean(image)
        for band in (2**20, BAND // 2, BAND, 2 * BAND):
            assert torch.equal(Bands(lean, band)(image), plain)
            wanted = Box((MARGIN, MARGIN), (shape[0] - MARGIN, shape[1] - MARGIN))
            assert torch.equal(Bands(lean, band)(image, wanted), plain[..., *wanted.slices])


@pytest.mark.parametrize(("filters", "width"), [(16, 8192), (64, 2240), (1, 32)])
def test_no_band_has_few_rows(filters: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bands = Bands(UNet(UNetSpec(base_filters=filters, depth=1)).eval())
    used: list[int] = []
    monkeypatch.setattr(
        Bands, "_compute", lambda _, image, wanted, band: used.append(band) or image
    )
    for height in (64, 2**21 // width):
        bands(torch.zeros(1, 1, height, width))
    assert min(used) >= LEAST_ROWS * 2 * filters * width


def test_bands_with_nuclei_and_without() -> None:
    network = folded(UNet(UNetSpec(base_filters=2, depth=2, nuclei=True)).eval())
    for channels in (1, 2):
        image = torch.rand(1, channels, 64, 32)
        with torch.inference_mode():
            torch.testing.assert_close(Bands(network, 400)(image), network(image))


def test_features_of_every_tile_lie_in_the_same_memory() -> None:
    network = folded(UNet(UNetSpec(base_filters=4, depth=2)).eval())
    bands = Bands(network, 2**14)
    with torch.inference_mode():
        bands(torch.rand(1, 1, 96, 80))
        place = bands._own.room.data_ptr()
        for shape in ((96, 80), (32, 48), (80, 96)):
            image = torch.rand(1, 1, *shape)
            wanted = Box((8, 8), (shape[0] - 8, shape[1] - 8))
            found = bands(image, wanted)
            torch.testing.assert_close(found, network(image)[..., *wanted.slices])
        assert bands._own.room.data_ptr() == place
        bands(torch.rand(1, 1, 128, 128))
    assert bands._own.room.numel() == 128 * 128 * 4 + 64 * 64 * 8  # of the largest one only


def test_features_outside_of_what_is_wanted_are_not_kept() -> None:
    bands = Bands(folded(UNet(UNetSpec(base_filters=4, depth=2)).eval()), 2**14)
    with torch.inference_mode():
        bands(torch.rand(1, 1, 128, 128), Box((32, 32), (96, 96)))
    assert bands._own.room.numel() < (128 * 128 * 4 + 64 * 64 * 8) / 2
