"""What sparse paint allows, and the loss that reads it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import disk

from napari_unet.labels.painted import BACKGROUND as PAINTED_BACKGROUND
from napari_unet.models.library import load_card
from napari_unet.network.outputs import BACKGROUND, BORDER, CELL
from napari_unet.training import loss as losses
from napari_unet.training.targets import (
    ANYTHING,
    LEAST_REACH,
    SparseTargets,
    agreement,
    believed,
    border_reach,
    sparse_targets,
    targets_of,
)

CARD = load_card("cells-phase")  # without a further output


def paint_targets(painted: np.ndarray) -> SparseTargets:
    return sparse_targets(painted, CARD)


def partial_loss(output: torch.Tensor, *truth: torch.Tensor) -> torch.Tensor:
    allowed, distance, weights, known = truth
    return losses.partial_loss(output, CARD.spec, allowed, weights, {"distance": (distance, known)})


def painted_disk(radius: int = 8) -> np.ndarray:
    painted = np.zeros((40, 40), np.uint32)
    painted[disk((20, 20), radius)] = 7
    return painted


def test_unpainted_pixels_allow_everything_and_weigh_nothing() -> None:
    targets = paint_targets(painted_disk())
    far = np.ones((40, 40), bool)
    far[disk((20, 20), 12)] = False
    assert (targets.allowed[far] == ANYTHING).all()
    assert not targets.weights[far].any()
    assert not targets.measured["distance"].known[far].any()


def test_the_rim_of_a_lonely_object_leaves_room_for_a_neighbour() -> None:
    targets = paint_targets(painted_disk())
    assert targets.allowed[20, 20] == 1 << CELL
    row = targets.allowed[20]
    inner, outer = 27, 28  # the last pixel of the disk in this row, and the next
    assert row[inner] == 1 << CELL | 1 << BORDER
    assert row[outer] == 1 << BACKGROUND | 1 << BORDER
    assert row[outer + int(LEAST_REACH)] == ANYTHING
    assert row[inner - int(border_reach(painted_disk())[20, 20])] == 1 << CELL


def test_painted_background_ends_the_object_for_certain() -> None:
    painted = painted_disk()
    painted[painted == 0] = PAINTED_BACKGROUND
    targets = paint_targets(painted)
    assert set(np.unique(targets.allowed)) == {1 << BACKGROUND, 1 << CELL}
    assert targets.measured["distance"].known.all()


def test_objects_that_touch_have_a_border() -> None:
    painted = np.full((20, 40), PAINTED_BACKGROUND, np.uint32)
    painted[5:15, 5:20], painted[5:15, 20:35] = 3, 900
    targets = paint_targets(painted)
    assert (targets.allowed[8, 19:21] == 1 << BORDER).all()
    assert (targets.weights[8, 19:21] > targets.weights[8, 10]).all()


@pytest.mark.parametrize("value", [0, PAINTED_BACKGROUND, 5])
def test_uniform_paint(value: int) -> None:
    targets = paint_targets(np.full((16, 16), value, np.uint32))
    assert np.isfinite(targets.weights).all()
    assert (targets.weights > 0).all() == (value > 0)


def as_batch(painted: np.ndarray) -> list[torch.Tensor]:
    t = paint_targets(painted)
    distance = t.measured["distance"]
    parts = (t.allowed.astype(np.int64), distance.values, t.weights, distance.known)
    return [torch.from_numpy(part)[None] for part in parts]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_where_one_class_is_allowed_the_loss_is_cross_entropy(seed: int) -> None:
    """Dense paint is the dense loss: the sparse path is checked against the plain one."""
    random = np.random.default_rng(seed)
    labels = np.zeros((32, 32), np.uint32)
    for number in range(1, 5):
        y, x = random.integers(4, 28, 2)
        labels[disk((y, x), 5, shape=labels.shape)] = number
    painted = np.where(labels == 0, np.uint32(PAINTED_BACKGROUND), labels)
    allowed, distance, _, measured = as_batch(painted)
    output = torch.from_numpy(random.normal(size=(1, 4, 32, 32)).astype(np.float32))
    weights = torch.ones_like(distance)
    classes = torch.from_numpy(targets_of(labels).classes.astype(np.int64))[None]
    sparsely = partial_loss(output, allowed, distance, weights, measured)
    dense = losses.segmentation_loss(output, CARD.spec, classes, weights, {"distance": distance})
    assert sparsely.item() == pytest.approx(dense.item(), rel=1e-4)


def test_unknown_pixels_have_no_gradient() -> None:
    allowed, distance, weights, measured = as_batch(painted_disk())
    output = torch.zeros((1, 4, 40, 40), requires_grad=True)
    partial_loss(output, allowed, distance, weights, measured).backward()
    assert output.grad is not None
    assert not output.grad[..., :8, :].any()
    assert output.grad[..., 20, 20].any()


def test_border_everywhere_is_no_answer_to_a_lonely_object() -> None:
    """It is allowed on both sides of the edge; it must cost more than cell and background."""
    allowed, distance, weights, measured = as_batch(painted_disk())
    right = np.where(painted_disk() > 0, CELL, BACKGROUND)

    def loss_of(classes: np.ndarray) -> float:
        output = torch.zeros((1, 4, 40, 40))
        output[:, :3] = 8 * torch.nn.functional.one_hot(torch.from_numpy(classes), 3).permute(
            2, 0, 1
        )
        output[:, 3] = distance
        return partial_loss(output, allowed, distance, weights, measured).item()

    rim = (allowed[0].numpy() >> BORDER & 1 > 0) & (weights[0].numpy() > 0)
    assert rim.any()
    assert loss_of(np.where(rim, BORDER, right)) > 2 * loss_of(right)


def probability_map(cell: np.ndarray) -> np.ndarray:
    """Return a map that is sure of cell where `cell` is, and of background elsewhere."""
    maps = np.zeros((3, *cell.shape), np.uint8)
    maps[0] = 250 * cell
    maps[2] = 128 * cell
    return maps


def test_the_parent_is_believed_only_where_nothing_is_painted_and_it_is_sure() -> None:
    cell = np.zeros((40, 40), bool)
    cell[2:6, 2:6] = True
    maps = probability_map(cell)
    maps[0, 30:, 30:] = 128  # unsure
    before = paint_targets(painted_disk())
    targets = believed(before, maps, 0.5)
    painted = before.weights > 0
    assert (targets.allowed[painted] == before.allowed[painted]).all()
    np.testing.assert_array_equal(targets.weights[painted], before.weights[painted])
    assert (targets.allowed[cell] == 1 << CELL).all()
    assert (targets.weights[cell] == 0.5).all()
    assert targets.measured["distance"].values[3, 3] == pytest.approx(128 / 255)
    assert targets.measured["distance"].known[3, 3] == 0.5
    assert targets.allowed[2, 20] == 1 << BACKGROUND
    assert not targets.weights[30:, 30:].any()


def test_agreement_is_how_sure_the_parent_is_of_painted_objects() -> None:
    painted = painted_disk()
    painted[0] = PAINTED_BACKGROUND
    assert agreement([painted], [probability_map(painted == 7)]) == pytest.approx(250 / 255)
    assert agreement([painted], [probability_map(painted == 0)]) == 0
    assert agreement([], []) == 0
