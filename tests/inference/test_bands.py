"""Band by band the network says what it says of the whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.inference.bands import BANDS, Bands
from napari_unet.inference.fastest import ROUNDS
from napari_unet.inference.fold import folded
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
