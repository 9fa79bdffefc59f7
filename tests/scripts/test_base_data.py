"""Crops of the base training: what of an image they show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from base_data import Sampler, centres_of, planes_of
from base_recipe import NUCLEI, SHARP, Phase

SIZE = 128  # smaller than a crop, as many training images are


@pytest.mark.parametrize(
    "change", [{"crop": 64}, {"variant": "paper", "crop": 252}], ids=["padded", "valid"]
)
def test_every_part_of_an_image_is_predicted_in_some_crop(change: dict[str, object]) -> None:
    recipe = NUCLEI.changed({**change, "misfit": 0.0, "on_object": 0.0})
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
