"""A further output: a spec that names it, a target, a decoding; nothing else knows of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unet.execution.block_worker import patch_of
from napari_unet.inference.predict import Predictor
from napari_unet.labels import watershed
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models import card as cards
from napari_unet.models.weights import load_model, save_model
from napari_unet.network import imported
from napari_unet.network.outputs import OBJECT_MAP, Channels, Output
from napari_unet.network.spec import UNetSpec
from napari_unet.network.transfer import adapted
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.tiles import plan_tiles
from napari_unet.training import judge
from napari_unet.training.learner import Learner, Samples, probability_map
from napari_unet.training.loss import segmentation_loss
from napari_unet.training.targets import REGRESSIONS, Regression
from napari_unet.training.windows import TrainingWindow


@dataclass(frozen=True)
class MiddleSpec(UNetSpec):
    """A network that also tells where the middles of objects are."""

    middle: bool = True

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (*UNetSpec.outputs.__get__(self), Output("middle"))


def decode_middles(
    maps: NDArray[np.uint8], settings: DecodeSettings, channels: Channels = OBJECT_MAP
) -> NDArray[np.int32]:
    return (maps[channels.index("middle")] > 127).astype(np.int32)


@pytest.fixture(autouse=True)
def _three_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported, "UNetSpec", MiddleSpec)  # where cards are read
    middle = Regression(lambda labels, _: (labels > 0).astype(np.float32), beta=0.1)
    monkeypatch.setitem(REGRESSIONS, "middle", middle)
    monkeypatch.setattr(watershed, "decode", decode_middles)
    monkeypatch.setattr(judge, "decode", decode_middles)


def test_a_further_output_is_learned_kept_predicted_judged_and_decoded(tmp_path: Path) -> None:
    spec = MiddleSpec(base_filters=2, depth=2)
    torch.manual_seed(0)
    card = cards.ModelCard(name="middles", spec=spec)
    network = UNet(spec).eval()
    assert card.map_channels.index("middle") == 3
    painted = np.full((64, 64), BACKGROUND, np.uint32)
    painted[20:40, 20:40] = 1
    image = (painted == 1).astype(np.float32)[None]
    window = TrainingWindow(image, painted)

    truth = torch.zeros((1, 64, 64))
    measured = {"distance": truth, "middle": truth + 1}
    logits = torch.zeros((1, spec.out_channels, 64, 64), requires_grad=True)
    loss = segmentation_loss(logits, spec, truth.long(), truth + 1, measured)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:, spec.index_of("middle")] < 0).all()

    samples = Samples([window], card, lambda w: probability_map(network, card, w.image), 0.5)
    learner = Learner(network, samples, Samples([], card))
    before = learner.network.head.weight[spec.index_of("middle")].clone()
    assert np.isfinite([learner.step(0.5), learner.step(0.5)]).all()
    assert not torch.equal(learner.network.head.weight[spec.index_of("middle")], before)

    path = save_model(tmp_path / "middles.safetensors", network, card)
    again, read = load_model(path)
    assert read.spec == spec
    maps = probability_map(again, read, image)
    assert maps.shape == (len(read.map_channels), 64, 64) == (4, 64, 64)
    plan = plan_tiles((64, 64), spec)
    (tile,) = plan.tiles
    predicted = Predictor(path, "cpu", "float32").probability_map(image, tile, plan, ((0, 1),))
    assert predicted.shape == maps.shape

    maps[3] = 255 * (painted == 1)
    seen = judge.Window(maps, painted, channels=read.map_channels)
    assert seen.score(read.decode).value == 1
    segment_plan = SegmentPlan(
        (64, 64), ((),), tile.write, read, str(path), "0", 1, ((0.0, 1.0),), 20.0
    )  # fmt: skip
    (only,) = segment_plan.tiles.tiles
    assert patch_of(segment_plan, only, maps, read.decode).count == 1


def test_a_network_with_a_further_output_keeps_those_of_its_parent() -> None:
    torch.manual_seed(0)
    parent = UNet(UNetSpec(base_filters=2, depth=2)).eval()
    child = adapted(parent, MiddleSpec(base_filters=2, depth=2))
    image = torch.rand((1, 1, 32, 32))
    with torch.inference_mode():
        torch.testing.assert_close(child(image)[:, :4], parent(image))
