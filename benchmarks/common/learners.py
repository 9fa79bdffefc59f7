"""Other learners on the same strokes, for comparison: a random forest and an untrained U-Net.

The forest's features are scikit-image's for trainable segmentation; the forest is scikit-learn's,
with the settings of scikit-image's example. It tells object from background. Instances are made as
for the network: the probability and the distance inside it make a probability map, which is
decoded. scikit-learn is not a dependency of the plugin; install it with
``pip install -r benchmarks/requirements.txt``.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from torch import nn

from benchmarks.common.annotator import Sheet
from benchmarks.common.image_sets import Scene
from napari_unet.image import Box
from napari_unet.intensity import normalise, percentiles
from napari_unet.labels.painted import BACKGROUND, UNLABELLED
from napari_unet.labels.watershed import decode
from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model, load_model
from napari_unet.models.weights import save_model
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.training.judge import Window, best_thresholds
from napari_unet.training.windows import TrainingWindow

TREES = 50
DEPTH = 10
SHARE = 0.05  # of the pixels that each tree sees, as in scikit-image's example
FEWEST = 2000  # pixels that each tree sees, if there are as many
SIGMAS = (1.0, 16.0)  # pixels
MOST = 50_000  # painted pixels that it learns from
WINDOW = 512  # pixels; of each painted image, thresholds are fitted on the middle of its paint
FITTED = 4  # such windows
SMALLEST = 0.3  # of the painted diameter: smaller objects are left out
LOOKED_AT = 8  # windows that set the statistics of BatchNorm, which retraining leaves as they are


class Forest:
    """A forest trained on the paint of all sheets.

    Parameters
    ----------
    sheets : sequence of Sheet
        Images and paint.
    seed : int
        Decides the trees.
    """

    def __init__(self, sheets: Sequence[Sheet], seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier

        self._scenes = [sheet.scene for sheet in sheets]
        self._painted = [sheet for sheet in sheets if sheet.painted.any()]
        features, targets = self._pixels(np.random.default_rng(seed))
        share = min(1.0, max(SHARE, FEWEST / len(targets)))
        self._forest: Any = RandomForestClassifier(
            TREES, max_depth=DEPTH, max_samples=share, class_weight="balanced",
            random_state=seed, n_jobs=-1,
        )  # fmt: skip
        self._forest.fit(features, targets)
        self._radius = self._usual_radius()
        self.decode = self._thresholds()

    @cached_property
    def _channels(self) -> int:
        """Colours are used if all images have them."""
        return 3 if all(scene.image.channels >= 3 for scene in self._scenes) else 1

    def _features(self, scene: Scene, box: Box | None = None) -> NDArray[np.float32]:
        """Features ``(Y, X, F)`` of a whole image or a window of it."""
        whole = Box((0, 0), scene.image.shape)
        pixels = scene.image.read((), whole, self._channels)
        values = np.stack([normalise(channel, percentiles(channel)) for channel in pixels], axis=-1)
        if box is not None:
            values = values[box.slices]
        low, high = SIGMAS
        found: NDArray[np.float32] = multiscale_basic_features(  # type: ignore[no-untyped-call]
            values, sigma_min=low, sigma_max=high, channel_axis=-1
        )
        return found

    def _pixels(self, random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        features, targets = [], []
        for sheet in self._painted:
            labelled = sheet.painted != UNLABELLED
            features.append(self._features(sheet.scene)[labelled])
            targets.append(sheet.painted[labelled] != BACKGROUND)
        x, y = np.concatenate(features), np.concatenate(targets)
        kept = random.permutation(len(y))[:MOST]
        return x[kept], y[kept]

    def _usual_radius(self) -> float:
        """Largest distance to the edge inside a painted object, of the usual object."""
        deepest: list[float] = []
        for sheet in self._painted:
            labels = _objects(sheet)
            edges = labels != ndimage.grey_erosion(labels, 3)
            depth = ndimage.distance_transform_edt((labels > 0) & ~edges)
            ids = np.unique(labels[labels > 0])
            deepest += list(np.atleast_1d(ndimage.maximum(depth, labels, ids)))
        return max(1.0, float(np.median(deepest)))

    def _thresholds(self) -> DecodeSettings:
        """Fit them on painted cells, as retraining does."""
        boxes = [(sheet, _middle(sheet)) for sheet in self._painted[:FITTED]]
        windows = [Window(self.probability_map(s.scene, b), s.painted[b.slices]) for s, b in boxes]
        areas = np.concatenate([np.bincount(_objects(s).ravel())[1:] for s in self._painted])
        usual = 2 * float(np.sqrt(np.median(areas[areas > 0]) / np.pi))
        start = DecodeSettings().with_smallest(SMALLEST * usual)
        return best_thresholds(windows, start)

    def probability_map(self, scene: Scene, box: Box | None = None) -> NDArray[np.uint8]:
        """Make what the network would: cell, touching border (none), distance, 255 = 1."""
        features = self._features(scene, box)
        flat = features.reshape(-1, features.shape[-1])
        cell = self._forest.predict_proba(flat)[:, -1].reshape(features.shape[:2])
        distance = ndimage.distance_transform_edt(cell > 0.5) / self._radius
        planes = np.stack([cell, np.zeros_like(cell), np.clip(distance, 0, 1)])
        maps: NDArray[np.uint8] = np.rint(planes * 255).astype(np.uint8)
        return maps

    def __call__(self, number: int) -> NDArray[np.int32]:
        """Return the labels of one scene, ``(Y, X)``."""
        return decode(self.probability_map(self._scenes[number]), self.decode)


def _objects(sheet: Sheet) -> NDArray[np.int64]:
    """Painted objects numbered 1…n, 0 elsewhere."""
    _, labels = np.unique(
        np.where(sheet.painted == BACKGROUND, 0, sheet.painted), return_inverse=True
    )
    return labels.reshape(sheet.painted.shape).astype(np.int64)


def _middle(sheet: Sheet) -> Box:
    rows, columns = np.nonzero(sheet.painted)
    y, x = (int(np.median(places)) - WINDOW // 2 for places in (rows, columns))
    box = Box((max(0, y), max(0, x)), (max(0, y) + WINDOW, max(0, x) + WINDOW))
    return box.intersect(Box((0, 0), sheet.scene.image.shape))


def untrained(card: ModelCard, windows: Sequence[TrainingWindow], path: Path, seed: int) -> Model:
    """Save a network with random weights.

    Retraining keeps the parent's BatchNorm statistics, so this parent gets those of the images it
    will learn from. Without them it could hardly learn, and the comparison would not be fair.

    Parameters
    ----------
    card : ModelCard
        Network and thresholds.
    windows : sequence of TrainingWindow
        Windows of the images.
    path : Path
        Where to write the model.
    seed : int
        Decides the weights.
    """
    torch.manual_seed(seed)
    network = UNet(card.spec)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all windows
    network.train()
    grid = card.spec.divisor
    with torch.no_grad():
        for window in windows[:LOOKED_AT]:
            height, width = (n // grid * grid for n in window.image.shape[1:])
            if height and width:
                network(torch.from_numpy(window.image[None, :, :height, :width].copy()))
    fields = {"name": "scratch", "parent": "", "parent_sha": "", "scores": {}, "report": {}}
    save_model(path, network.eval(), card.model_copy(update=fields))
    return load_model(path)
