"""Random views: repeatable, the same geometry for image and targets, finite grey values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import coins
from torch import Generator, Tensor

from napari_unet.training.augment import (
    Augmentation,
    change_intensity,
    sampling_grid,
    uniform,
    view,
)

OFF = Augmentation(scale=(1, 1), rotate=False, elastic=0, intensity=0, invert=0)
SIZE = 65


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def real_image() -> Tensor:
    """A real image ``(1, 65, 65)``, 0…1."""
    return torch.from_numpy(coins()[:SIZE, :SIZE].astype(np.float32) / 255)[None]


def centre_of(image: Tensor) -> tuple[float, float]:
    return (image.shape[-2] - 1) / 2, (image.shape[-1] - 1) / 2


@given(st.integers(0, 2**32), st.floats(-5, 5), st.floats(0, 5))
def test_uniform_stays_in_range(seed: int, low: float, width: float) -> None:
    assert low <= uniform(low, low + width, seeded(seed)) <= low + width


def test_a_seed_repeats_a_view_and_another_differs() -> None:
    image, options = real_image(), Augmentation()

    def draw(seed: int) -> Tensor:
        random = seeded(seed)
        grid = sampling_grid(48, centre_of(image), options, random)
        return change_intensity(view(image, grid, "bilinear"), options, random)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    before = torch.get_rng_state()
    image = real_image()
    random = seeded(0)
    grid = sampling_grid(32, centre_of(image), Augmentation(), random)
    change_intensity(view(image, grid, "bilinear"), Augmentation(), random)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_pixels_stay_as_they_are_when_everything_is_off_but_flips_and_right_angles(
    mode: str,
) -> None:
    image = real_image()
    turned = [image.rot90(k, (1, 2)) for k in range(4)]
    views = [*turned, *(t.flip(-1) for t in turned)]
    seen = set()
    for seed in range(60):
        found = view(image, sampling_grid(SIZE, centre_of(image), OFF, seeded(seed)), mode)
        same = [i for i, v in enumerate(views) if torch.allclose(found, v, atol=1e-4)]
        assert len(same) == 1
        seen.update(same)
    assert seen == set(range(8))


@given(st.integers(0, 10_000), st.floats(0.5, 2), st.booleans())
@settings(max_examples=25, deadline=None)
def test_without_elasticity_a_view_is_a_similarity(seed: int, zoom: float, rotate: bool) -> None:
    options = Augmentation(scale=(zoom, zoom), rotate=rotate, elastic=0)
    grid = sampling_grid(9, (20.0, 30.0), options, seeded(seed))
    torch.testing.assert_close(grid[4, 4], torch.tensor([30.0, 20.0]))  # (x, y)
    right, down = grid[4, 5] - grid[4, 4], grid[5, 4] - grid[4, 4]
    assert right.norm().item() == pytest.approx(1 / zoom, rel=1e-3)
    assert down.norm().item() == pytest.approx(1 / zoom, rel=1e-3)
    assert (right @ down).item() == pytest.approx(0, abs=1e-3)


def test_scales_are_drawn_between_the_limits() -> None:
    options = Augmentation(scale=(0.5, 2), rotate=False, elastic=0)
    steps = [
        (g := sampling_grid(3, (0, 0), options, seeded(s)))[2, 1].sub(g[1, 1]).norm().item()
        for s in range(200)
    ]
    assert 0.5 <= min(steps) < 0.6
    assert 1.7 < max(steps) <= 2
    assert np.median(steps) == pytest.approx(1, abs=0.25)  # log-uniform: as often in as out


def test_elastic_displacements_have_the_spread_asked_for() -> None:
    still, moving = OFF, Augmentation(scale=(1, 1), rotate=False, elastic=10)
    corners = []
    for seed in range(300):
        moved = sampling_grid(33, (0, 0), moving, seeded(seed))
        shift = moved - sampling_grid(33, (0, 0), still, seeded(seed))
        corners.append(shift[::16, ::16].flatten())  # the nodes of the 3×3 grid
    spread = torch.stack(corners).std().item()
    assert spread == pytest.approx(10, rel=0.05)


def test_a_share_of_the_views_lies_still_on_the_pixel_grid() -> None:
    options = Augmentation(scale=(0.5, 2), rotate=False, elastic=5, still=0.4)
    grids = [sampling_grid(9, (4, 4), options, seeded(seed)) for seed in range(400)]
    still = sum(torch.allclose(grid, grid.round(), atol=1e-4) for grid in grids)
    assert still / len(grids) == pytest.approx(0.4, abs=0.08)


def test_elastic_displacements_are_smooth() -> None:
    options = Augmentation(scale=(1, 1), rotate=False, elastic=5)
    grid = sampling_grid(129, (0, 0), options, seeded(1))
    bend = grid[2:] - 2 * grid[1:-1] + grid[:-2]
    assert bend.norm(dim=-1).max() < 0.1  # pixels per pixel²


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_image_and_targets_are_transformed_alike(seed: int) -> None:
    image = real_image()
    grid = sampling_grid(48, centre_of(image), Augmentation(), seeded(seed))
    together = view(torch.cat([image, 2 * image]), grid, "bilinear")
    torch.testing.assert_close(together[1], 2 * together[0])
    # a label plane resampled by the nearest pixel is the same view of the same image
    position = torch.arange(SIZE * SIZE, dtype=torch.float32).reshape(1, SIZE, SIZE)
    nearest = view(position, grid, "nearest").long()
    torch.testing.assert_close(image.flatten()[nearest], view(image, grid, "nearest"))
    near_linear = view((image > 0.2).float(), grid, "bilinear")
    mask = view((image > 0.2).float(), grid, "nearest")
    sure = (near_linear - 0.5).abs() > 0.499
    assert torch.equal(near_linear[sure].round(), mask[sure])


def test_beyond_the_border_the_image_is_mirrored() -> None:
    image = torch.arange(5.0).reshape(1, 1, 5).expand(1, 5, 5)
    x = torch.arange(-4.0, 9.0)
    grid = torch.stack([x, torch.full_like(x, 2.0)], dim=-1)[None]
    found = view(image, grid, "bilinear")[0, 0]
    expected = torch.tensor(np.pad(np.arange(5.0, dtype=np.float32), 4, mode="reflect"))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_new_values_never_appear_in_classes() -> None:
    classes = torch.randint(0, 3, (1, 40, 40), generator=seeded(0)).float()
    for seed in range(10):
        grid = sampling_grid(32, (19.5, 19.5), Augmentation(), seeded(seed))
        assert set(view(classes, grid, "nearest").unique().tolist()) <= {0.0, 1.0, 2.0}


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from((16, 33)))
@settings(max_examples=40, deadline=None)
def test_intensity_keeps_shape_and_stays_finite(seed: int, channels: int, side: int) -> None:
    image = torch.rand((channels, side, side + 3), generator=seeded(seed)) * 1.4 - 0.2
    before = image.clone()
    found = change_intensity(image, Augmentation(), seeded(seed))
    assert found.shape == image.shape
    assert found.dtype == image.dtype
    assert torch.isfinite(found).all()
    assert torch.equal(image, before)  # the caller's image is left alone


def test_no_intensity_change_when_off() -> None:
    image = real_image()
    assert all(torch.equal(change_intensity(image, OFF, seeded(s)), image) for s in range(20))


def test_inversion_alone() -> None:
    image, options = real_image(), Augmentation(intensity=0, invert=1)
    torch.testing.assert_close(change_intensity(image, options, seeded(0)), 1 - image)


def test_halos_change_edges_and_nothing_flat() -> None:
    halo = Augmentation(scale=(1, 1), rotate=False, elastic=0, intensity=0, invert=0, halo=1)
    step = torch.zeros(1, SIZE, SIZE)
    step[:, :, SIZE // 2 :] = 1
    changed = change_intensity(step, halo, seeded(1))
    assert (changed - step).abs()[:, :, SIZE // 2].min() > 0.004
    assert torch.allclose(changed[:, :, :10], step[:, :, :10], atol=1e-3)
    assert torch.allclose(change_intensity(torch.ones_like(step), halo, seeded(1)), torch.ones(()))
