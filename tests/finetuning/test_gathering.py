"""What a retraining is made of: the channels, and the name of the new model."""

import numpy as np
import pytest

from napari_unet.finetuning.gathering import class_parent, gather, painting_of
from napari_unet.finetuning.in_engine import new_name
from napari_unet.image import Box, Image
from napari_unet.models.class_names import DEFAULT
from napari_unet.models.library import load_model
from napari_unet.network.spec import UNetSpec
from napari_unet.settings import FinetuneSettings
from tests.library import put
from tests.strategies import random_card


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path)


def test_the_new_name_is_free_and_no_longer_than_allowed():
    assert new_name("nuclei") == "nuclei retrained"
    put("nuclei retrained")
    assert new_name("nuclei") == new_name("nuclei retrained") == "nuclei retrained 2"
    assert len(new_name("x" * 80)) <= 80


def test_as_many_channels_as_the_image_has(tmp_path):
    """Two channels, one of them chosen, and colour: each gives a network of its own."""
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 64, 64), np.uint16)
    painted = np.zeros((64, 64), np.uint32)
    painted[10:20, 10:20], painted[40:50, 40:50] = 1, 2
    parent = load_model("nuclei")
    for channel, expected in ((None, 2), (1, 1)):
        image = Image(pixels, "CYX", channel)
        card = class_parent(parent.card, image, DEFAULT)
        painting = painting_of(image, painted, card)
        inputs = gather([painting], parent, "x", FinetuneSettings(), class_names=DEFAULT)
        assert inputs.card["spec"]["in_channels"] == expected
        assert {len(window.image) for window in inputs.windows} == {expected}


@pytest.mark.parametrize("nuclei", [True, False])
def test_each_parent_sees_the_nuclei_as_segment_would_show_them(nuclei):
    """A parent that takes none has them in the average, as its child will."""
    pixels = np.stack([np.full((64, 64), value, np.uint16) for value in (10, 20, 90)])
    image = Image(pixels, "CYX", nuclei=2)
    card = random_card(UNetSpec(base_filters=2, depth=2, nuclei=nuclei))
    painting = painting_of(image, np.ones((64, 64), np.uint32), card)
    seen = painting.image.read((), Box((0, 0), (1, 1)), 1 + nuclei, nuclei=nuclei)
    assert seen.ravel().tolist() == ([15, 90] if nuclei else [40])
    assert len(painting.limits) == 1 + nuclei
