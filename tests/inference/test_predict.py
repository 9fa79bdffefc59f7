"""The network on one tile: out of memory, devices, no contrast."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet import segment
from napari_unet.errors import EngineError, InputError
from napari_unet.image import Box
from napari_unet.inference.predict import Predictor, _is_out_of_memory, pick_device
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.spec import OCTAVES, UNetSpec
from napari_unet.network.unet import UNet
from napari_unet.tiling.tiles import plan_tiles
from tests.strategies import random_model

pytestmark = pytest.mark.usefixtures("one_thread")


FAILURES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    MemoryError(),
]


def short_of_memory(
    monkeypatch: pytest.MonkeyPatch, limit: int, error: Exception, device: str | None = None
) -> list[tuple[int, int]]:
    """Let the network fail for cores of more than `limit` pixels; note those that succeed."""
    forward, sizes = Predictor._forward, []

    def limited(self: Predictor, given: Any, core: Box, *rest: Any) -> Any:
        if core.size > limit and device in (None, self.device.type):
            raise error
        sizes.append(core.shape)
        return forward(self, given, core, *rest)

    monkeypatch.setattr(Predictor, "_forward", limited)
    return sizes


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: str(e)[:20] or "MemoryError")
@pytest.mark.parametrize("variant", ["padded", "paper"])
def test_smaller_tiles_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, variant: str
) -> None:
    spec = UNetSpec(base_filters=2, depth=2, variant=variant)
    worker = Predictor(random_model(tmp_path, spec), "cpu", "float32")
    plan = plan_tiles((90, 70), spec)
    image = np.random.default_rng(0).random((1, 90, 70)).astype(np.float32)
    (tile,) = plan.tiles
    whole = worker.probability_map(image, tile, plan, ((0, 1),))
    sizes = short_of_memory(monkeypatch, 700, error)
    parts = worker.probability_map(image, tile, plan, ((0, 1),))
    assert len(sizes) > 8
    assert np.abs(parts.astype(int) - whole).max() <= 1
    assert (parts != whole).mean() < 1e-3


def test_the_graphics_card_gives_up_and_the_processor_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_model(tmp_path)
    image = np.random.default_rng(0).random((60, 60)).astype(np.float32)
    expected = segment(image, path, diameter=20)
    monkeypatch.setattr("napari_unet.inference.predict.pick_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)  # no card here
    short_of_memory(monkeypatch, 0, FAILURES[0], device="meta")
    result = segment(image, path, diameter=20)
    assert "The graphics card ran out of memory; the processor goes on." in result.notices
    assert (result.labels == expected.labels).mean() > 0.99


def test_two_threads_give_the_graphics_card_up_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Predictor(random_model(tmp_path), "cpu", "float32")
    given = np.random.default_rng(0).random((2, 1, 208, 208)).astype(np.float32)
    core = Box((96, 96), (112, 112))
    expected = [worker.compute(one, core) for one in given]
    worker.device = torch.device("meta")
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)  # no card here
    met = threading.Barrier(2, timeout=20)
    forward = Predictor._forward

    def limited(self: Predictor, given: Any, core: Box, *rest: Any) -> Any:
        if self.device.type == "meta":
            raise FAILURES[0]
        return forward(self, given, core, *rest)

    def halves(core: Box, grid: int) -> list[Box]:
        met.wait()  # both have failed on the card
        return []

    monkeypatch.setattr(Predictor, "_forward", limited)
    monkeypatch.setattr("napari_unet.inference.predict._halves", halves)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: worker.compute(one, core), given))
    assert worker.device.type == "cpu"
    assert worker.gave_up
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_no_memory_for_the_smallest_tile_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_model(tmp_path)
    short_of_memory(monkeypatch, 0, FAILURES[1])
    with pytest.raises(EngineError, match=r"not enough memory for even the smallest tile\. Close"):
        segment(np.eye(40), path)


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not _is_out_of_memory(RuntimeError("shape mismatch"))
    short_of_memory(monkeypatch, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        segment(np.eye(40), random_model(tmp_path))


def test_a_device_that_is_not_here_is_named() -> None:
    missing = next(d for d in ("mps", "cuda") if d not in pick_device().type)
    with pytest.raises(
        InputError, match=rf"'{missing}' was asked for.*Choose one of these, or auto"
    ):
        pick_device(missing)
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("variant", ["padded", "paper"])
def test_a_diameter_output_changes_no_label(tmp_path: Path, variant: str) -> None:
    """A network with one more output, and else the same weights, segments the same."""
    spec = UNetSpec(base_filters=2, depth=2, variant=variant)
    plain = random_model(tmp_path, spec)
    network, card = load_model(plain)
    more = replace(spec, diameter=True)
    state = UNet(more).state_dict()
    for key, value in network.state_dict().items():
        if value.dim():
            state[key][: len(value)] = value
    wider = UNet(more)
    wider.load_state_dict(state)
    path = save_model(tmp_path / "more.safetensors", wider, card.model_copy(update={"spec": more}))
    image = np.random.default_rng(0).random((90, 70)).astype(np.float32)
    for diameter in (20, 55):
        expected = segment(image, plain, diameter=diameter).labels
        np.testing.assert_array_equal(segment(image, path, diameter=diameter).labels, expected)


def test_an_output_that_is_not_mapped_is_held_where_it_is_asked_for(tmp_path: Path) -> None:
    spec = UNetSpec(base_filters=2, depth=2, diameter=True)
    worker = Predictor(random_model(tmp_path, spec), "cpu", "float32")
    plan = plan_tiles((64, 64), spec)
    (tile,) = plan.tiles
    for image in (np.random.default_rng(0).random((1, 64, 64)), np.ones((1, 64, 64))):
        usual = worker.probability_map(image, tile, plan, ((0, 1),))
        held = worker.probability_map(image, tile, plan, ((0, 1),), ["diameter"])
        assert np.array_equal(held[:3], usual)
        names = {"diameter"}
        given = np.pad(
            image.astype(np.float32), ((0, 0), (spec.halo,) * 2, (spec.halo,) * 2), "reflect"
        )
        told = worker.compute(given, tile.core, names)[0]
        low, high = OCTAVES
        assert np.abs(low + held[3] / 255 * (high - low) - told.clip(low, high)).max() < 0.02
