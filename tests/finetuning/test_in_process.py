"""Gathering for several parents, and what the library hands to the training."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet import finetune
from napari_unet.errors import InputError
from napari_unet.finetuning import at_once, gather_all
from napari_unet.image import Image
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.card import KNOWN
from napari_unet.models.library import Model, bundled_models, load_model
from napari_unet.models.report import Report
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import FinetuneInputs, Finished, PlannedTraining

SIDE, PITCH = 256, 64


@pytest.fixture(autouse=True)
def _own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def dark_cells() -> tuple[np.ndarray, np.ndarray]:
    """Sixteen dark discs on a bright ground, all painted."""
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = np.hypot(y % PITCH - PITCH // 2, x % PITCH - PITCH // 2) < 20
    number = (y // PITCH * 4 + x // PITCH + 1).astype(np.uint32)
    return np.where(disc, 50, 200).astype(np.uint8), np.where(disc, number, BACKGROUND)


def gathered(parents: list[Model]) -> FinetuneInputs:
    image, painted = dark_cells()
    pairs = [(Image(image, "YX"), painted)]
    steps = gather_all(pairs, parents, lambda one: f"{one.card.name} 2", FinetuneSettings())
    return at_once(steps)


def test_each_parent_sees_the_objects_in_its_own_size_and_contrast() -> None:
    bundled = load_model("nuclei")
    card = bundled.card.model_copy(update={"polarity": "bright"})
    nuclei = replace(bundled, card=card)
    given = {"object_diameter": 90.0, "diameter_range": (80.0, 100.0), "polarity": "given"}
    large = replace(nuclei, sha="1", card=card.model_copy(update={"name": "large", **given}))
    inputs = gathered([nuclei, large])
    [other] = inputs.others
    assert (inputs.card["name"], other.card["name"]) == ("nuclei 2", "large 2")
    assert (inputs.named("large"), inputs.named("nuclei")) == (large, nuclei)
    assert inputs.named("gone") == nuclei
    for one, parent in ((inputs, nuclei), (other, large)):
        for window in one.windows:
            inside = (window.painted > 0) & (window.painted != BACKGROUND)
            _, areas = np.unique(window.painted[inside], return_counts=True)
            middle, most = parent.card.object_diameter, parent.card.diameter_range[1]
            assert middle / KNOWN < np.median(2 * np.sqrt(areas / np.pi)) < most
            brighter = window.image[0][inside].mean() > window.image[0][~inside].mean()
            assert brighter is np.bool_(parent.card.polarity == "bright")
            assert window.dark
    held = [{i for window in one.windows for i in window.judged} for one in (inputs, other)]
    assert held[0] == held[1] != set()
    assert not any(window.dark for window in gathered([large]).windows)


def test_a_list_of_models_competes_and_one_alone_does_not(monkeypatch, tmp_path: Path) -> None:
    seen: list[PlannedTraining] = []
    report = Report(
        outcome="refused", sentence="No.", objects=16, held=4, old=1, new=1, base_old=1,
        base_new=1, trained=True, steps=1, seconds=1, parent=bundled_models()[-1].card.name,
    )  # fmt: skip

    def events(plan, windows, *, others) -> Iterator[Finished]:
        seen[:] = [(plan, windows), *others]
        plan.target.touch()
        yield Finished(report, plan.target)

    monkeypatch.setattr("napari_unet.training.finetune.finetune_events", events)
    first, *rest = bundled_models()
    kept = finetune([first.card.name, *rest], [dark_cells()], name="mine")
    assert [plan.parent for plan, _ in seen] == [first.path, *(one.path for one in rest)]
    assert {plan.in_use for plan, _ in seen} == {first.path}
    assert len({plan.target for plan, _ in seen}) == 1
    assert kept.path == rest[-1].path
    assert finetune(rest[-1], [dark_cells()], name="mine").path == rest[-1].path
    assert [(plan.parent, plan.in_use) for plan, _ in seen] == [(rest[-1].path, rest[-1].path)]
    image, painted = dark_cells()
    strokes = np.where(painted == BACKGROUND, painted, 1)
    finetune([first, *rest], [(image, strokes)], name="mine", class_names=("ground", "cell"))
    assert [plan.parent for plan, _ in seen] == [first.path]
    with pytest.raises(InputError, match="no model to begin with"):
        finetune([], [dark_cells()], name="mine")
