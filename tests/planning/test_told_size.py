"""A network that tells how large objects look: the size is found from it, and planned with."""

import math
from collections.abc import Callable, Collection, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.measure import label

from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import Event, Notice, Started, Waiting
from napari_unet.image import Box, Image
from napari_unet.inference.predict import Predictor
from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model, load_model
from napari_unet.models.weights import save_model
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet
from napari_unet.planning.object_size import ScaleProbe
from napari_unet.planning.planner import Where
from napari_unet.planning.told_size import (
    FURTHER,
    LARGEST,
    REFINED,
    SMALLEST,
    UNSURE,
    Told,
    best_told,
)
from napari_unet.segmentation import Notes, open_image, segment_events
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import SegmentPlan
from tests.execution.test_ledger import plan_of

pytestmark = pytest.mark.usefixtures("one_thread")
EVEN = 2 / math.sqrt(math.pi)  # diameter of a circle as large as a square of side 1
SPEC = UNetSpec(base_filters=2, depth=2, diameter=True)
CARD = ModelCard(name="told", spec=SPEC, object_diameter=30.0, diameter_range=(23.0, 39.0))


def model_that_tells(folder: Path, octaves: float, card: ModelCard = CARD) -> Model:
    """A network of constants: bright pixels are cells, and all are told one size."""
    torch.manual_seed(0)
    network = UNet(card.spec).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.0, 2.0, 0.0, 0.5, octaves]))
    return load_model(save_model(folder / f"{card.name}.safetensors", network, card))


def squares(side: int, shape: tuple[int, int] = (400, 400)) -> NDArray[np.float32]:
    """Bright squares, each in a cell of a grid twice as wide."""
    rows, columns = ((np.arange(n) + 1.5 * side) % (2 * side) < side for n in shape)
    return np.logical_and.outer(rows, columns).astype(np.float32)


def octaves_of(objects: NDArray[np.integer], usual: float) -> NDArray[np.float64]:
    """Like `training.targets.diameter_target`, of squares that a window may cut on one side."""
    sides = [max(s.stop - s.start for s in found) for found in find_objects(objects)]
    return np.log2([1, *sides])[objects] + (objects > 0) * math.log2(EVEN / usual)


def sees_all(leaning: float = 1.0) -> Callable[..., NDArray[np.float32]]:
    """What a network says that tells the size of bright things, nearer to its own than it is."""

    def forward(
        self: Predictor, given: NDArray[np.float32], core: Box, names: Collection[str]
    ) -> NDArray[np.float32]:
        objects = label(given[0] > 0.5)
        cell = objects > 0
        outputs = [~cell, cell, 0 * cell, cell]
        if "diameter" in names:
            outputs.append(octaves_of(objects, self.card.object_diameter) * leaning)
        margin = self.card.spec.halo
        height, width = core.shape
        return np.stack(outputs)[:, margin:, margin:][:, :height, :width].astype(np.float32)

    return forward


def started(
    image: NDArray[Any] | Image, model: Model, where: Where | None = None
) -> tuple[SegmentPlan, list[str]]:
    """The plan, and what was said while it was made."""
    notes = []
    opened = image if isinstance(image, Image) else open_image(image)
    for event in segment_events(opened, model, SegmentSettings(), ThreadExecutor(), where=where):
        match event:
            case Notice(text):
                notes.append(text)
            case Started(plan):
                return plan, notes
    raise AssertionError("no plan")


def test_a_size_that_is_told_whatever_is_seen_is_not_certain(tmp_path: Path) -> None:
    plan, notes = started(squares(30), model_that_tells(tmp_path, 0.2))
    assert notes == [UNSURE.format(plan.found)]


@pytest.mark.parametrize("octaves", [3.5, -3.5])
def test_what_is_told_is_never_beyond_what_is_believable(tmp_path: Path, octaves: float) -> None:
    plan, notes = started(squares(30), model_that_tells(tmp_path, octaves))
    assert SMALLEST <= plan.diameter <= LARGEST
    assert notes


@pytest.mark.parametrize(("side", "leaning"), [(7, 0.7), (12, 1), (27, 1), (55, 0.7), (160, 1)])
def test_the_image_is_resized_so_that_objects_suit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, leaning: float
) -> None:
    monkeypatch.setattr(Predictor, "_forward", sees_all(leaning))
    plan, notes = started(squares(side, (700, 900)), model_that_tells(tmp_path, 0))
    assert plan.found == pytest.approx(side * EVEN, rel=0.15)
    assert plan.zoom == pytest.approx(min(4, 30 / (side * EVEN)), rel=0.3)
    assert not notes


def test_the_size_is_the_same_for_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a part that shows other objects, other planes, and a layer of its own."""
    monkeypatch.setattr(Predictor, "_forward", sees_all())
    pixels = np.stack([squares(50, (300, 500)), squares(60, (300, 500))])
    pixels[:, :, 300:] = squares(20, (300, 200))
    model, image = model_that_tells(tmp_path, 0), Image(pixels, "ZYX")
    part = Box((0, 320), (200, 480))
    whole, _ = started(image, model)
    for where in (Where(part), Where(part, ((0,),)), Where(None, ((0,),)), Where(centre=(9, 490))):
        plan, _ = started(image, model, where)
        assert plan.found == whole.found
    cut = Image(pixels[1][part.slices], "YX", whole=image)
    plan, _ = started(cut, model)
    assert plan.found == whole.found


def test_clumps_of_small_objects_are_not_taken_for_large_ones() -> None:
    """Reduced, they look as large as the network is used to; but not larger when less reduced."""
    plan = replace(plan_of((600, 600), 512), card=CARD)

    def tell(wanted: float) -> Generator[Event, None, Told]:
        seen = replace(plan, diameter=wanted)
        yield Waiting()
        octaves = 0.1 if seen.zoom < 0.4 else 0.8 * math.log2(10 * seen.zoom / 30)
        return Told(ScaleProbe(seen), octaves, 0.2, 0.4)

    best = Notes().follow(best_told(CARD, tell))
    assert best is not None
    assert best.agreed == pytest.approx(10, rel=0.1)


def test_objects_that_tell_one_size_win_over_clumps_that_tell_several() -> None:
    """As in a bright field of nuclei in cells: told at six magnifications, with few sure pixels."""
    plan = replace(plan_of((1024, 1024), 512), card=CARD)
    known = {2.0: (0.52, 0.05), 1.0: (-0.36, 0.03), 0.5: (0.33, 0.05), 0.25: (-0.14, 0.2)}

    def tell(wanted: float) -> Generator[Event, None, Told]:
        seen = replace(plan, diameter=wanted)
        yield Waiting()
        nearest = min(known, key=lambda zoom: abs(math.log2(seen.zoom / zoom)))
        octaves, share = known[nearest]
        octaves += 0.85 * math.log2(seen.zoom / nearest)
        return Told(ScaleProbe(seen), octaves, 0.2, share)

    best = Notes().follow(best_told(CARD, tell))
    assert best is not None
    assert best.agreed == pytest.approx(22, rel=0.15)


@given(diameter=st.floats(5, 250), leaning=st.floats(0.5, 1), noise=st.integers(0, 1000))
def test_probes_come_near_to_the_diameter(diameter: float, leaning: float, noise: int) -> None:
    """A network that tells sizes nearer to its own than they are is believed where it is right."""
    random, probes = np.random.default_rng(noise), 0
    plan = replace(plan_of((600, 600), 512), card=CARD)

    def tell(wanted: float) -> Generator[Event, None, Told]:
        nonlocal probes
        probes += 1
        seen = replace(plan, diameter=wanted)
        octaves = leaning * math.log2(diameter * seen.zoom / CARD.object_diameter)
        yield Waiting()
        return Told(ScaleProbe(seen), octaves + random.normal(0, 0.03), 0.2, 0.4)

    best = Notes().follow(best_told(CARD, tell))
    assert best is not None
    assert SMALLEST <= best.agreed <= LARGEST
    assert best.agreed == pytest.approx(np.clip(diameter, SMALLEST, LARGEST), rel=0.2)
    assert probes <= 2 + len(FURTHER) + REFINED
