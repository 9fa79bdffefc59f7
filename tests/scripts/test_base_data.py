"""Crops of the base training: what of an image they show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from base_data import (
    Sampler,
    centres_of,
    diameter_seen,
    load,
    load_nuclei,
    load_parts,
    made_up_row,
    planes_of,
    training_images,
)
from base_recipe import CELLS, NUCLEI_ALONE, SHARP, Phase, Recipe
from base_split import FURTHER
from skimage.measure import label
from skimage.segmentation import clear_border
from train_base_model import begun

from napari_unet.models.card import ModelCard
from napari_unet.models.weights import save_model
from napari_unet.network.unet import UNet
from napari_unet.training.augment import Augmentation, sampling_grid
from napari_unet.training.targets import UNKNOWN

SIZE = 128  # smaller than a crop, as many training images are


@pytest.mark.parametrize(
    "change", [{"crop": 64}, {"variant": "paper", "crop": 252}], ids=["padded", "valid"]
)
def test_every_part_of_an_image_is_predicted_in_some_crop(change: dict[str, object]) -> None:
    recipe = NUCLEI_ALONE.changed({**change, "misfit": 0.0, "on_object": 0.0})
    labels = np.zeros((SIZE, SIZE), np.int32)
    labels[60:68, 60:68] = 1
    image = np.mgrid[:SIZE, :SIZE].sum(axis=0)[None].astype(np.float32)
    sample = {
        "planes": planes_of(image, labels, recipe),
        "centres": centres_of(labels, recipe),
        "crowded": None,
        "group": "fluo",
        "cluster": "one",
    }
    sampler, random = Sampler([sample], recipe), torch.Generator().manual_seed(0)
    still = Phase(steps=1, rate=1e-3, augmentation=replace(SHARP, intensity=0.0, invert=0.0))
    rim = recipe.card.spec.shrink
    seen = set()
    for _ in range(200):
        crop = sampler.crop(still, random)
        middle = crop[:, rim : crop.shape[1] - rim, rim : crop.shape[2] - rim]
        known = middle[2] > 0
        seen |= set(middle[0][known].round().int().tolist())
    assert {2, 2 * SIZE - 4} <= seen  # two corners, whatever the turn


def disc(recipe: Recipe, radius: int) -> dict[str, object]:
    """A sample of one disc in the middle."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    labels = (rows**2 + columns**2 < radius**2).astype(np.int32)
    return {
        "planes": planes_of(labels[None].astype(np.float32), labels, recipe),
        "centres": centres_of(labels, recipe),
        "crowded": None,
        "group": "made_up",
        "cluster": "made_up",
    }


@pytest.mark.parametrize("far", [0.0, 1.0])
def test_the_diameter_told_is_that_of_what_a_crop_shows(far: float) -> None:
    recipe = CELLS.changed({"crop": 192, "on_object": 1.0, "far": far})
    calm = replace(SHARP, scale=(0.6, 1.6), rotate=True, invert=0.0, still=0.0, intensity=0.0)
    phase = Phase(steps=1, rate=1e-3, augmentation=calm)
    sampler, random = Sampler([disc(recipe, 15)], recipe), torch.Generator().manual_seed(0)
    seen = []
    for _ in range(60):
        _, _, _, weights, _, diameter = sampler.crop(phase, random)
        pieces = label((diameter > UNKNOWN).numpy())  # the disc, and mirrored ones
        whole = clear_border(pieces)
        assert (weights == 0).all() == bool(far)
        if not whole.any():
            continue
        area = np.median(np.bincount(whole[whole > 0])[np.unique(whole[whole > 0])])
        told = float(diameter[torch.from_numpy(whole > 0)].median())
        assert abs(told - np.log2(2 * np.sqrt(area / np.pi) / 30)) < 0.3
        seen.append(told)
    assert len(seen) > 10
    assert max(seen) - min(seen) > (2 if far else 0.8)


def test_a_view_twice_as_large_tells_twice_the_diameter() -> None:
    plane = torch.full((1, 64, 64), 0.5)
    plane[:, :8] = UNKNOWN
    twice = Augmentation(scale=(2.0, 2.0), rotate=True, elastic=0.0)
    grid = sampling_grid(32, (40.0, 32.0), twice, torch.Generator().manual_seed(1))
    seen = diameter_seen(plane, grid)
    torch.testing.assert_close(seen, torch.full((1, 32, 32), 1.5))


def test_made_up_cells_are_prepared_and_read_back_from_the_cache(tmp_path: Path) -> None:
    rows = [made_up_row(seed) for seed in range(2)]
    place = tmp_path / "runs" / "some"
    first = load_parts(rows, place, load, CELLS)
    assert [path.name for path in place.parent.iterdir()] == ["some-0-2.pt"]
    again = load_parts(rows, place, load, CELLS)
    assert len(first) == len(again) == 2
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one["planes"], other["planes"])
        assert one["planes"].shape[0] == CELLS.truths + 1
        assert one["group"] == "made_up"


@pytest.mark.parametrize("far", [0.0, 1.0])
def test_half_of_the_crops_of_made_up_cells_show_their_nuclei(far: float) -> None:
    row = made_up_row(3)
    sample = {**load(row, CELLS), "nuclei": load_nuclei(row, CELLS)}
    assert sample["nuclei"].shape == sample["planes"][:1].shape
    recipe = CELLS.changed({"crop": 192, "on_object": 1.0, "far": far})
    sampler, random = Sampler([sample], recipe), torch.Generator().manual_seed(0)
    shown = [sampler.crop(CELLS.phases[0], random)[1] for _ in range(60)]
    empty = sum(bool((nuclei == 0).all()) for nuclei in shown)
    assert 15 < empty < 45


def test_small_made_up_cells_are_not_magnified_to_a_huge_image() -> None:
    sides = [max(load(made_up_row(seed), CELLS)["planes"].shape) for seed in range(12)]
    assert max(sides) <= 700


def test_groups_of_the_recipe_are_those_of_the_data() -> None:
    known = {"fluo", "colour", "brightfield_grey", "mnfinder", "usiigaci", "made_up", *FURTHER}
    assert set(CELLS.shares) == known
    assert sum(CELLS.shares.values()) == pytest.approx(1)


def test_only_the_wanted_groups_are_listed(tmp_path: Path) -> None:
    (tmp_path / "dsb2018").mkdir()
    (tmp_path / "dsb2018" / "split.csv").write_text("name,modality,mosaic,split\na,fluo,1,train\n")
    (tmp_path / "tnbc" / "images").mkdir(parents=True)
    (tmp_path / "tnbc" / "images" / "01_1.png").touch()
    assert [row["group"] for row in training_images(tmp_path, ["fluo"])] == ["fluo"]
    assert [row["group"] for row in training_images(tmp_path, ["tnbc"])] == ["tnbc"]


def test_training_begins_with_the_weights_of_a_model_without_a_diameter(tmp_path: Path) -> None:
    small = CELLS.changed({"base_filters": 2, "depth": 2})
    spec = replace(small.card.spec, diameter=False)
    known = UNet(spec).eval()
    card = ModelCard.model_validate({**small.card.model_dump(), "spec": spec})
    path = save_model(tmp_path / "known.safetensors", known, card)
    network = begun(path, small).eval()
    image = torch.rand((1, 1, 32, 32))
    with torch.inference_mode():
        torch.testing.assert_close(network(image)[:, : spec.out_channels], known(image))
    assert network(image).shape[1] == spec.out_channels + 1
