"""Shipped crops that a retraining learns beside the paint, so that a model forgets nothing."""

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.training.windows import TrainingWindow

REPLAY = "replay.npz"  # crops of nuclei


def replay_windows(channels: int = 1) -> list[TrainingWindow]:
    """Return shipped crops of nuclei as if all of each had been painted.

    A model that knows them learns them beside the paint, so that it does not forget them.

    Parameters
    ----------
    channels : int
        Channels the model takes; grey crops are repeated.
    """
    images, labels = _stored()
    found = []
    for image, label in zip(images, labels, strict=True):
        values = np.repeat(image[None].astype(np.float32) / 255, channels, axis=0)
        found.append(TrainingWindow(values, _whole_objects(label)))
    return found


def _whole_objects(labels: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """Every pixel is painted, but objects that the crop cuts are left out."""
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    painted = np.where(labels == 0, np.uint32(BACKGROUND), labels.astype(np.uint32))
    return np.where(np.isin(labels, rim[rim > 0]), np.uint32(UNLABELLED), painted)


@cache
def _stored() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    with np.load(Path(str(files("napari_unet") / "training" / REPLAY)), allow_pickle=False) as file:
        return file["images"], file["labels"]
