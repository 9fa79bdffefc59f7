"""Labels of a large image that are edited: how long they are kept after a crash."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_unet.execution.label_edits import EditedPyramid
from napari_unet.execution.patches import patches_of
from napari_unet.image import Box
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.scratch import Scratch

TILE = Box((0, 0), (64, 64))


@pytest.mark.parametrize("change", ["write", "put"])
def test_a_change_makes_labels_young_again(tmp_path: Path, change: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    labels = tmp_path / f"{ended.pid}-{platform.node() or 'host'}-abc" / "labels.zarr"
    patches_of(labels).mkdir(parents=True)
    LabelPyramid.create(labels, (64, 64), TILE.shape, axes="YX")
    _made_days_ago(labels, 8)
    ones = np.ones(TILE.shape, np.uint32)
    pyramid = EditedPyramid(labels)
    if change == "write":
        pyramid.write((), TILE, ones)
    else:
        pyramid.put((), TILE, ones, ones > 0)
    assert Scratch(tmp_path).sweep(7) == [labels]
    _made_days_ago(labels, 8)
    assert Scratch(tmp_path).sweep(7) == []
    assert not labels.exists()


def _made_days_ago(folder: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(folder, (then, then))
