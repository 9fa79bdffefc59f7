"""Every row of the ablations is a recipe that can be trained."""

import pytest

from benchmarks.ablations import CHOICES, Choice, fingerprint
from napari_unet.network.unet import UNet
from scripts.base_recipe import NUCLEI


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_a_choice_is_a_recipe_of_a_network(choice: Choice) -> None:
    recipe = NUCLEI.changed(choice.change)
    UNet(recipe.card.spec)
    assert (fingerprint(choice.change) == fingerprint({})) == (recipe == NUCLEI)


def test_names_tell_choices_apart() -> None:
    assert len({choice.name for choice in CHOICES}) == len(CHOICES)
