"""Figures of a model for any cell: which images, and the size that the network tells."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cells import MADE_UP, _made_up, _spread, told_diameter, told_ratios
from benchmarks.common.image_sets import Sample
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
