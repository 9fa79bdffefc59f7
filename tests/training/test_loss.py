"""The loss: its terms, and that unlabelled pixels do not exist for it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from napari_unet.network.outputs import BACKGROUND, BORDER, CELL
from napari_unet.network.spec import UNetSpec
from napari_unet.training import loss as losses
from napari_unet.training.targets import UNKNOWN


def batch(seed: int, classes: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw output, classes, distance and weights; about half the pixels are unlabelled."""
    random = Generator().manual_seed(seed)
    output = torch.randn((2, classes + 1, 6, 7), generator=random)
    target = torch.randint(0, classes, (2, 6, 7), generator=random)
    distance = torch.rand((2, 6, 7), generator=random) * (target != BACKGROUND)
    weights = (torch.rand((2, 6, 7), generator=random) * 12 - 6).clamp(min=0)
    return output, target, distance, weights


def segmentation_loss(
    output: Tensor,
    classes: Tensor,
    distance: Tensor,
    weights: Tensor,
    diameter: Tensor | None = None,
) -> Tensor:
    """Loss of a network with a distance, perhaps with a diameter, and classes besides."""
    measured = {"distance": distance}
    if diameter is not None:
        measured["diameter"] = diameter
    spec = UNetSpec(classes=output.shape[1] - len(measured), diameter=diameter is not None)
    return losses.segmentation_loss(output, spec, classes, weights, measured)


def gradient(output: Tensor, *targets: Tensor) -> tuple[Tensor, Tensor]:
    output = output.clone().requires_grad_()
    loss = segmentation_loss(output, *targets)
    loss.backward()
    assert output.grad is not None
    return loss.detach(), output.grad


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_unlabelled_pixels_have_no_influence(seed: int, classes: int) -> None:
    output, target, distance, weights = batch(seed, classes)
    unlabelled = weights == 0
    loss, slope = gradient(output, target, distance, weights)
    assert not slope.movedim(1, -1)[unlabelled].any()

    random = Generator().manual_seed(seed + 1)
    noise = torch.randn(output.shape, generator=random) * 30 * unlabelled[:, None]
    other = torch.where(unlabelled, (target + 1) % classes, target)
    further = torch.where(unlabelled, 1 - distance, distance)
    loss_again, slope_again = gradient(output + noise, other, further, weights)
    torch.testing.assert_close(loss_again, loss)
    torch.testing.assert_close(slope_again, slope)


def test_labelled_pixels_have() -> None:
    output, target, distance, weights = batch(0)
    _, slope = gradient(output, target, distance, weights)
    assert slope.movedim(1, -1)[weights > 0].any(dim=-1).all()


def test_a_batch_without_labels_costs_nothing() -> None:
    output, target, distance, weights = batch(1)
    loss, slope = gradient(output, target, distance, torch.zeros_like(weights))
    assert loss == pytest.approx(0, abs=1e-6)
    assert not slope.any()


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    _, target, distance, _ = batch(2)
    weights = torch.ones_like(distance)
    logits = 50 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    right = torch.cat([logits, distance[:, None]], dim=1)
    wrong = torch.cat([-logits, 1 - distance[:, None]], dim=1)
    assert segmentation_loss(right, target, distance, weights) < 1e-3
    assert segmentation_loss(wrong, target, distance, weights) > 40


def test_value_by_hand() -> None:
    """One cell pixel and one background pixel, all logits equal, distance off by 1 in the cell."""
    output = torch.zeros(1, 4, 1, 2)
    target = torch.tensor([[[CELL, BACKGROUND]]])
    distance = torch.tensor([[[1.0, 0.0]]])
    loss = segmentation_loss(output, target, distance, torch.tensor([[[3.0, 1.0]]]))
    dice = 1 - (2 / 3 + 1) / (2 / 3 + 1 + 1)
    off = 5 * (1 - 0.05) / 2  # the cell counts five times; smooth L1 with beta 0.1
    assert loss.item() == pytest.approx(math.log(3) + 0.5 * dice + off)


def test_weights_are_relative() -> None:
    output, target, distance, weights = batch(3)
    one = segmentation_loss(output, target, distance, weights)
    torch.testing.assert_close(segmentation_loss(output, target, distance, 7 * weights), one)


def test_a_heavy_pixel_pulls_more() -> None:
    output, target, distance, _ = batch(4)
    weights = torch.ones_like(distance)
    weights[0, 2, 3] = 20
    target[0, 2, 3] = BORDER
    _, slope = gradient(output, target, distance, weights)
    pull = slope[:, BORDER].abs()
    assert pull[0, 2, 3] == pull.max()


def test_half_precision_output_gives_a_float32_loss() -> None:
    output, target, distance, weights = batch(5)
    loss = segmentation_loss(output.bfloat16(), target, distance, weights)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, segmentation_loss(output, target, distance, weights), rtol=0.02, atol=0.02
    )


def test_gradient_descent_learns_one_image() -> None:
    output, target, distance, weights = batch(6)
    output = output.requires_grad_()
    optimiser = torch.optim.Adam([output], lr=0.2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = segmentation_loss(output, target, distance, weights)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    known = weights > 0
    assert torch.equal(output[:, :3].argmax(dim=1)[known], target[known])


def test_the_diameter_is_learned_where_it_is_known_whatever_the_weights() -> None:
    output, target, distance, weights = batch(7)
    told = torch.zeros((2, 1, 6, 7)).requires_grad_()
    diameter = torch.full((2, 6, 7), UNKNOWN)
    diameter[:, 2:4] = 1.5
    given = torch.cat([output, told], dim=1)
    without = segmentation_loss(output, target, distance, weights)
    loss = segmentation_loss(given, target, distance, weights, diameter=diameter)
    assert loss > without
    loss.backward()
    assert told.grad is not None
    assert (told.grad[:, 0, 2:4] < 0).all()
    assert (told.grad[:, 0, [0, 1, 4, 5]] == 0).all()
    right = torch.cat([output, diameter[:, None].clamp(min=0)], dim=1)
    silent = torch.zeros_like(weights)
    for known in (weights, silent):
        alone = segmentation_loss(output, target, distance, known)
        both = segmentation_loss(right, target, distance, known, diameter=diameter)
        torch.testing.assert_close(both, alone)
