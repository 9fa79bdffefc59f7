"""How steady a model is in an image: the same objects are found where it is enlarged."""

from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.image import Box
from napari_unet.labels.watershed import Patch
from napari_unet.models.library import Model, load_model
from napari_unet.network.spec import UNetSpec
from napari_unet.planning.object_size import ScaleProbe, probe_folders
from napari_unet.planning.planner import Where, begin_plan
from napari_unet.planning.steadiness import labels_of, steadiness
from napari_unet.planning.told_size import find_size
from napari_unet.segmentation import Notes, open_image
from napari_unet.settings import SegmentSettings
from tests.execution.test_ledger import plan_of
from tests.strategies import random_model

pytestmark = pytest.mark.usefixtures("one_thread")
SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "nuclei.tif"


def steady(pixels: np.ndarray, model: Model, folder: Path) -> float:
    image = open_image(pixels)
    plan = Notes().follow(begin_plan(image, model, SegmentSettings(), Where()))
    with probe_folders(folder / "maps") as folders:
        probe = Notes().follow(find_size(plan, image, ThreadExecutor(), folders))
        return Notes().follow(steadiness(probe, image, ThreadExecutor(), folders))


@pytest.mark.parametrize("name", ["nuclei", "cells"])
def test_a_model_that_knows_the_objects_is_steady(name: str, tmp_path: Path) -> None:
    assert 0.6 < steady(imread(SAMPLE), load_model(name), tmp_path) <= 1


def test_a_model_that_knows_nothing_is_not(tmp_path: Path) -> None:
    ignorant = load_model(random_model(tmp_path, UNetSpec(base_filters=2, depth=2)))
    assert steady(imread(SAMPLE), ignorant, tmp_path) < 0.5


def test_nothing_is_found_in_nothing(tmp_path: Path) -> None:
    assert steady(np.zeros((96, 96), np.uint8), load_model(), tmp_path) <= 0
    assert not list(tmp_path.glob("maps*"))


def test_objects_of_several_blocks_are_put_together() -> None:
    one, other = np.zeros((4, 6), np.int32), np.zeros((4, 6), np.int32)
    one[1:3, 1:3], other[:2, 3:] = 1, 1
    other[3, 0] = 2
    patches = [Patch(Box((0, 0), (4, 6)), one, 1), Patch(Box((2, 4), (6, 10)), other, 2)]
    probe = ScaleProbe(plan_of((8, 12), 64), patches=patches)
    found = labels_of(probe, Box((1, 1), (6, 9)))
    assert found.shape == (5, 8)
    assert found[0, 0] == found[1, 1] == 1
    assert (found[1:3, 6:] == 2).all()
    assert found[4, 3] == 3
    assert len(np.unique(found)) == 4
