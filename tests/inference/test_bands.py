"""Band by band the network says what it says of the whole."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import platformdirs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_unet.inference.bands import BANDS, LEAST_ROWS, Bands
from napari_unet.inference.batchnorm_folding import folded
from napari_unet.inference.fastest import ROUNDS, fastest
from napari_unet.models.library import load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet


@settings(max_examples=60, deadline=None)
@given(
    filters=st.integers(1, 3),
    depth=st.integers(1, 3),
    skip=st.sampled_from(("concat", "sum", "none")),
    kernel=st.sampled_from((2, 3)),
    cells=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    band=st.integers(1, 3000),
)
def test_any_bands_of_any_padded_network(
    filters: int, depth: int, skip: str, kernel: int, cells: tuple[int, int], band: int
) -> None:
    spec = UNetSpec(base_filters=filters, depth=depth, skip=skip, up_kernel=kernel)
    network = UNet(spec).eval().double()
    image = torch.rand(1, 1, *(spec.divisor * n for n in cells), dtype=torch.float64)
    with torch.inference_mode():
        plain = network(image)
        assert torch.allclose(Bands(network, band)(image), plain, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(512, 208), (1024, 1040)])
def test_the_bundled_model_to_the_last_bit(precision: torch.dtype, shape: tuple[int, int]) -> None:
    """Bands of a few rows only may be added up in another order by the processor."""
    network, _ = load_network(load_model("nuclei").path)
    lean = folded(network).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(1, 1, *shape).to(precision, memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = lean(image)
        for band in (2**20, *BANDS):
            assert torch.equal(Bands(lean, band)(image), plain)


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path)
    fastest.cache_clear()
    yield
    fastest.cache_clear()


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize(("filters", "width"), [(16, 8192), (64, 2240), (1, 32)])
def test_no_band_has_few_rows(filters: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bands = Bands(UNet(UNetSpec(base_filters=filters, depth=1)).eval())
    used: list[int] = []
    monkeypatch.setattr(Bands, "_compute", lambda _, image, band: used.append(band) or image)
    for height in (64, 2**21 // width):
        for _ in range(4):
            bands(torch.zeros(1, 1, height, width))
    assert min(used) >= LEAST_ROWS * 2 * filters * width


@pytest.mark.usefixtures("nothing_known")
def test_a_band_that_memory_does_not_hold_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    bands, used = Bands(UNet(UNetSpec(base_filters=1, depth=1)).eval()), list[int]()

    def compute(_: Bands, image: Tensor, band: int) -> Tensor:
        used.append(band)
        if band == max(BANDS):
            raise RuntimeError("not enough memory")
        return image

    monkeypatch.setattr(Bands, "_compute", compute)
    for _ in range(len(BANDS) * ROUNDS + 3):
        with suppress(RuntimeError):
            bands(torch.zeros(1, 1, 1024, 1024))
    assert max(BANDS) not in used[-3:]


@pytest.mark.usefixtures("nothing_known")
def test_the_fastest_band_is_found_while_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images try all in turn; a small one neither tries nor counts."""
    bands = Bands(UNet(UNetSpec(base_filters=1, depth=1)).eval())
    used: list[int] = []
    monkeypatch.setattr(Bands, "_compute", lambda _, image, band: used.append(band) or image)
    large, small = torch.zeros(1, 1, 1024, 1024), torch.zeros(1, 1, 64, 64)
    bands(small)
    for _ in range(ROUNDS):
        for _ in BANDS:
            bands(large)
    assert used[0] == BANDS[0]
    assert sorted(used[1:]) == sorted(BANDS * ROUNDS)
    bands(large)
    assert used[-1] in BANDS
    bands(small)
    assert used[-1] == used[-2]
