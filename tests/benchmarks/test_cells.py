"""Figures of a model for any cell: which images, and the size that the network tells."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from skimage.io import imread

from benchmarks.cells import MADE_UP, _made_up, _spread, told_diameter, told_ratios
from benchmarks.common.image_sets import MNFINDER, Sample
from benchmarks.common.pictures import GAP, SIDE, Segmented, captioned, draw_sets
from napari_unet.image import Image
from napari_unet.models.library import Model
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet
from tests.strategies import random_model

SPEC = UNetSpec(base_filters=2, depth=2, diameter=True)


def sample(number: int) -> Sample:
    return Sample("some val", str(number), Path(f"{number}.png"), Path(f"{number}-mask.png"))


def saying(*outputs: float) -> UNet:
    """A network that says the same of every pixel."""
    network = UNet(SPEC).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor(outputs))
    return network


@pytest.mark.parametrize("ground", [-9.0, 9.0], ids=["all objects", "all ground"])
@pytest.mark.parametrize(("zoom", "expected"), [(1.0, 60.0), (0.25, 240.0), (4.0, 15.0)])
def test_the_diameter_told_is_in_pixels_of_the_image(
    ground: float, zoom: float, expected: float
) -> None:
    image = np.random.default_rng(0).random((1, 50, 70)).astype(np.float32)
    network = saying(ground, 0.0, 0.0, 0.0, 1.0)
    assert told_diameter(network, image, zoom, 30.0) == pytest.approx(expected)


def test_a_model_without_a_diameter_output_tells_none(tmp_path: Path) -> None:
    assert np.isnan(told_ratios(random_model(tmp_path), [sample(0)])).all()


def test_some_images_are_from_all_over_a_set() -> None:
    members = [sample(number) for number in range(11)]
    assert _spread(members, None) == members
    assert [s.field for s in _spread(members, 3)] == ["0", "5", "10"]


def test_made_up_images_are_written_with_their_truth(tmp_path: Path) -> None:
    found = list(_made_up(tmp_path))
    assert len(found) == MADE_UP
    assert found[0].truth().max() >= 3
    assert found[0].diameter()


def test_pictures_show_the_middle_of_each_set_and_the_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = list(_made_up(tmp_path))[:3]
    shift = dict(zip([s.field for s in samples], (40, 0, 2), strict=True))  # pixels; bad, all, good
    samples.append(replace(samples[0], group=MNFINDER))
    found = {s.field: np.roll(s.truth(), shift[s.field], 1) for s in samples}

    def segment(image: Image, _: Model) -> SimpleNamespace:
        return SimpleNamespace(labels=found[image.name])

    monkeypatch.setattr("benchmarks.common.pictures.segment", segment)
    rows = draw_sets(samples, MagicMock(), tmp_path / "new" / "sets.png")
    assert [row[1] for row in rows] == ["made up", MNFINDER, "made up", "made up"]
    assert imread(tmp_path / "new" / "sets.png").shape == (SIDE, SIDE, 3)  # mnfinder is left out
    assert imread(tmp_path / "new" / "sets-worst.png").shape == (SIDE, 4 * (SIDE + GAP) - GAP, 3)
    middle = samples[2]
    shown = captioned(Segmented(middle, middle.truth(), found[middle.field]))
    np.testing.assert_array_equal(imread(tmp_path / "new" / "sets.png"), shown)
