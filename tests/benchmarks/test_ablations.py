"""Every row of the ablations is a recipe that can be trained."""

import json

import pytest

from benchmarks.ablations import CHOICES, ROOT, Choice, fingerprint
from napari_unet.network.unet import UNet
from scripts.base_recipe import NUCLEI_ALONE


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_a_choice_is_a_recipe_of_a_network(choice: Choice) -> None:
    recipe = NUCLEI_ALONE.changed(choice.change)
    UNet(recipe.card.spec)
    assert (fingerprint(choice.change) == fingerprint({})) == (recipe == NUCLEI_ALONE)


def test_names_tell_choices_apart() -> None:
    assert len({choice.name for choice in CHOICES}) == len(CHOICES)


def test_rows_stay_valid_when_a_knob_is_added_that_they_do_not_set() -> None:
    path = ROOT / "benchmarks" / "results" / "ablations.jsonl"
    recorded = {json.loads(line).get("recipe") for line in path.read_text().splitlines()}
    assert fingerprint({}) in recorded
    assert fingerprint({"far": 0.1}) != fingerprint({})
