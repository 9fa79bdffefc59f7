"""Which type of numbers a processor computes in."""

import pytest
import torch

from napari_unet.inference.batchnorm_folding import MASKS, computes_bfloat16, pick_precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with bfloat16, and nothing masked."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    for name in MASKS:
        monkeypatch.delenv(name, raising=False)


def test_a_processor_with_bfloat16() -> None:
    assert computes_bfloat16()
    assert pick_precision("auto", CPU) == torch.bfloat16


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("value", ["SSE41", "AVX2", "avx2", "AVX2_VNNI", "AVX512_CORE"])
def test_masked_instructions_are_not_there(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert not computes_bfloat16()
    assert pick_precision("auto", CPU) == torch.float32


@pytest.mark.parametrize("value", ["", "DEFAULT", "AVX512_CORE_BF16", "AVX512_CORE_AMX"])
def test_masks_that_leave_bfloat16(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(MASKS[0], value)
    assert computes_bfloat16()


def test_the_newer_name_of_the_mask_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASKS[0], "ALL")
    monkeypatch.setenv(MASKS[1], "AVX2")
    assert computes_bfloat16()
