"""What is decided from an image: grey values of slides that are almost empty, sides of tiles."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.image import Box, Image
from napari_unet.models.library import load_model
from napari_unet.planning import planner as planning
from napari_unet.planning.planner import Where, grey_values
from napari_unet.segmentation import Notes, open_image
from napari_unet.settings import SegmentSettings
from tests.execution.test_ledger import plan_of

SIDE = 20_000  # pixels
TISSUE = Box((13_100, 5300), (13_900, 6100))  # between the windows that are looked at of all


class Noise:
    """A slide of noise with some bright tissue, computed where it is read."""

    shape, dtype, ndim = (SIDE, SIDE), np.dtype("u2"), 2

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (np.arange(s.start, s.stop) for s in key)
        random = np.random.default_rng(int(rows[0]) * SIDE + int(columns[0]))
        pixels = random.normal(200, 10, (len(rows), len(columns)))
        (top, left), (bottom, right) = TISSUE.start, TISSUE.stop
        inside = np.logical_and.outer(
            (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
        )
        cells = np.logical_and.outer(rows % 30 < 15, columns % 30 < 15)
        return (pixels + 5000 * (inside & cells)).astype(np.uint16)


def limits(near: Box | None) -> Any:
    looking = grey_values(Image(Noise(), "YX"), load_model("nuclei").card, near)
    return Notes().follow(looking)


@pytest.mark.parametrize("away", [0, 300])
def test_grey_values_are_those_of_what_is_looked_at_where_all_else_is_noise(away: int) -> None:
    ((low, high),) = limits(None)
    assert high - low < 100
    y, x = TISSUE.start
    ((low, high),) = limits(Box((y + away, x + away), (y + away + 600, x + away + 600)))
    assert high > 4000
    assert limits(Box((100, 100), (700, 700))) == limits(None)


class Read(Noise):
    """Counts what is read of it."""

    def __init__(self) -> None:
        self.times = 0

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        self.times += 1
        return super().__getitem__(key)


def test_all_of_a_large_file_is_looked_at_once() -> None:
    slide, card = Read(), load_model("nuclei").card
    image = Image(slide, "YX")
    first = Notes().follow(grey_values(image, card))
    read = slide.times
    again = Image(slide, "YX", looks=image.looks)  # the same array, described anew
    assert Notes().follow(grey_values(again, card)) == first
    assert slide.times == read
    other = card.model_copy(update={"polarity": "bright"})
    Notes().follow(grey_values(again, other))
    assert slide.times == 2 * read


def test_an_array_in_memory_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SPARSE", 100)
    pixels, card = np.random.default_rng(0).random((300, 300)), load_model("nuclei").card
    before = Notes().follow(grey_values(Image(pixels, "YX"), card))
    pixels *= 2  # by its owner
    assert Notes().follow(grey_values(Image(pixels, "YX"), card)) != before


def test_tiles_are_halved_where_memory_is_short() -> None:
    plan = plan_of((4096, 4096), 1024)
    one = plan.working_bytes
    assert planning.with_room(plan, 2 * one).tile == 1024  # half of what is free
    assert planning.with_room(plan, one).tile == 512
    assert planning.with_room(plan, 0).tile == planning.LEAST
    assert planning.with_room(plan).tile == 1024


def test_somebodys_choice_of_tiles_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "free_memory", lambda: 0)
    image, model = open_image(np.zeros((2000, 2000), np.uint8)), load_model()
    for diameter, chosen, apart, tile in (
        (24, None, False, planning.LEAST),
        (None, None, False, planning.LEAST),
        (24, None, True, planning.APART),  # other computers have other memory
        (24, 640, False, 640),
        (None, 640, False, 640),
    ):
        settings, where = SegmentSettings(diameter=diameter, tile=chosen), Where(apart=apart)
        events = planning.make_plan(image, model, settings, ThreadExecutor(), where, tmp_path / "m")
        assert Notes().follow(events).plan.tile == tile
