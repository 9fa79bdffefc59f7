"""The learner's windows: made ready when drawn; the parent is asked only where it helps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.common.evaluation import probabilities
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.library import load_card
from napari_unet.network.transfer import adapted, mean_of
from napari_unet.network.unet import UNet
from napari_unet.training.learner import Learner, Samples, layout, probability_map
from napari_unet.training.windows import TrainingWindow

CARD = load_card("nuclei")


def window(*, wholly: bool = False) -> TrainingWindow:
    painted = np.full((64, 64), BACKGROUND if wholly else 0, np.uint32)
    painted[20:40, 20:40] = 1
    return TrainingWindow(np.zeros((1, 64, 64), np.float32), painted)


class Parent:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, window: TrainingWindow) -> NDArray[np.uint8]:
        self.asked += 1
        return np.zeros((3, *window.painted.shape), np.uint8)


def test_a_window_is_made_ready_when_it_is_drawn_and_only_once() -> None:
    parent = Parent()
    samples = Samples([window() for _ in range(500)], CARD, parent, 0.5)
    assert len(samples) == 500
    assert parent.asked == 0
    assert samples[7] is samples[7]
    assert parent.asked == 1


def test_windows_that_say_nothing_are_left_out() -> None:
    blank = TrainingWindow(np.zeros((1, 64, 64), np.float32), np.zeros((64, 64), np.uint32))
    held = TrainingWindow(blank.image, window().painted, (1,))
    assert len(Samples([blank, held, window()], CARD)) == 1


def test_the_parent_is_believed_only_where_nothing_is_painted() -> None:
    parent = Parent()
    place = layout(CARD).index("weights")
    weights = Samples([window()], CARD, parent, 0.5)[0].planes[place]
    assert weights[0, 0] == 0.5
    assert weights[30, 30] >= 1
    assert Samples([window(wholly=True)], CARD, parent, 0.5)[0].planes[place].min() >= 1
    assert parent.asked == 1
    assert Samples([window()], CARD, parent, 0.0)[0].planes[place][0, 0] == 0
    assert parent.asked == 1


def test_a_processor_without_the_short_type_is_never_asked_to_emulate_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_unet.training.learner.computes_bfloat16", lambda: False)
    learner = Learner(UNet(CARD.spec), Samples([window()], CARD), Samples([], CARD))
    seen = set()

    def look(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
        seen.add(output.dtype)

    learner.network.head.register_forward_hook(look)
    learner.step(0.5)
    assert seen == {torch.float32}


@pytest.mark.parametrize("variant", ["padded", "paper"])
def test_valid_convolutions_learn_as_padded_ones_do(variant: str) -> None:
    card = CARD.model_copy(update={"spec": replace(CARD.spec, base_filters=2, variant=variant)})
    learner = Learner(UNet(card.spec), Samples([window()], card), Samples([], card))
    first = learner.step(0.5)
    assert np.isfinite([first, learner.step(0.5)]).all()


@pytest.mark.parametrize("shape", [(64, 80), (33, 200)])
def test_a_window_seen_by_valid_convolutions_is_what_inference_sees(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The geometry is compared, so both sides compute in float32, whatever the processor offers."""
    monkeypatch.setattr("napari_unet.training.learner.computes_bfloat16", lambda: False)
    torch.manual_seed(0)
    card = CARD.model_copy(update={"spec": replace(CARD.spec, base_filters=2, variant="paper")})
    network = UNet(card.spec).eval()
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    maps = probability_map(network, card, image)
    whole = probabilities(network, image)
    assert maps.shape == (3, *shape)
    assert np.abs(maps[0].astype(int) - 255 * whole[1]).max() <= 1


def test_strokes_leave_the_diameter_output_alone() -> None:
    spec = replace(CARD.spec, base_filters=2, diameter=True)
    card = CARD.model_copy(update={"spec": spec})
    learner = Learner(UNet(spec), Samples([window()], card), Samples([], card))
    assert np.isfinite(learner.step(0.5))
    gradient = learner.network.head.weight.grad
    assert gradient is not None
    assert gradient[: spec.index_of("diameter")].abs().max() > 0
    assert (gradient[spec.slice_of("diameter")] == 0).all()
    image = window().image
    assert probability_map(learner.network.eval(), card, image).shape == (3, 64, 64)


def test_nuclei_are_learned_where_they_are_given_and_stay_empty_elsewhere() -> None:
    card = CARD.model_copy(update={"spec": replace(CARD.spec, base_filters=2, nuclei=True)})
    pair = np.stack([window().image[0], (window().painted == 1).astype(np.float32)])
    both = Samples([replace(window(), image=pair)], card)
    alone = Samples([window()], card)
    place = layout(card).slice_of("image")
    learner = Learner(UNet(card.spec), both, alone)
    assert learner._crop(both)[place][1].std() > 0
    assert (learner._crop(alone)[place][1] == 0).all()
    assert np.isfinite(learner.step(0.5))


def test_a_network_that_takes_no_nuclei_is_not_given_them() -> None:
    network = UNet(CARD.spec).eval()
    image = np.random.default_rng(0).random((2, 64, 64), np.float32)
    alone = probability_map(network, CARD, image[:1])
    assert (probability_map(network, CARD, image) == alone).all()


def test_what_is_made_to_take_nuclei_finds_the_same_without_them() -> None:
    parent = UNet(replace(CARD.spec, base_filters=2)).eval()
    child = adapted(parent, replace(parent.spec, nuclei=True))
    image = torch.rand(1, 1, 64, 64)
    assert torch.equal(child(image), parent(image))
    assert torch.equal(adapted(child, parent.spec)(image), parent(image))
    classes = adapted(child, child.spec.for_classes(2, 3))
    first = classes.state_dict()["down.0.0.0.weight"]
    assert torch.equal(first[:, 0], first[:, 1])


def test_the_mean_of_two_networks_lies_between_them() -> None:
    one, other = UNet(replace(CARD.spec, base_filters=2)), UNet(replace(CARD.spec, base_filters=2))
    assert mean_of(one, other, 0.0) is one
    halfway = mean_of(one, other, 0.5)
    pairs = zip(one.parameters(), other.parameters(), halfway.parameters(), strict=True)
    for a, b, mean in pairs:
        torch.testing.assert_close(mean, (a + b) / 2)
