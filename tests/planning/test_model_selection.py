"""Which model fits an image: the one at home in it, the first where none clearly is."""

from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.image import Image
from napari_unet.models.library import Model, load_model
from napari_unet.network.spec import UNetSpec
from napari_unet.planning.model_selection import best_model
from napari_unet.planning.planner import Where
from napari_unet.segmentation import Notes, open_image
from tests.strategies import random_model

ROOT = Path(__file__).resolve().parents[2]


def chosen(image: np.ndarray, models: list[Model], folder: Path) -> str:
    events = best_model(open_image(image), models, ThreadExecutor(), Where(), folder / "maps")
    return Notes().follow(events).card.name


@pytest.fixture
def ignorant(tmp_path: Path) -> Model:
    return load_model(random_model(tmp_path, UNetSpec(base_filters=2, depth=2)))


def test_the_model_that_knows_the_image_is_chosen(tmp_path: Path, ignorant: Model) -> None:
    nuclei = imread(ROOT / "sample_data" / "nuclei.tif")
    assert chosen(nuclei, [load_model(), ignorant], tmp_path) == "nuclei"
    assert chosen(nuclei, [ignorant, load_model()], tmp_path) == "nuclei"
    assert not list(tmp_path.glob("maps*"))


def test_the_first_is_kept_where_nothing_is_known(tmp_path: Path, ignorant: Model) -> None:
    dark = np.zeros((64, 64), np.uint8)
    assert chosen(dark, [load_model(), ignorant], tmp_path) == "nuclei"
    assert chosen(dark, [ignorant, load_model()], tmp_path) == ignorant.card.name


def test_a_model_that_takes_no_nuclei_is_compared_without_them(
    tmp_path: Path, ignorant: Model
) -> None:
    nuclei = imread(ROOT / "sample_data" / "nuclei.tif")[:200, :200]
    image = Image(np.stack([nuclei, nuclei]), "CYX", channel=0, nuclei=1)
    events = best_model(image, [ignorant, load_model()], ThreadExecutor(), Where(), tmp_path / "m")
    assert Notes().follow(events).card.name == "nuclei"
