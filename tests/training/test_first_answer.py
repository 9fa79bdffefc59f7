"""The first answer of a model of classes: at once, beyond the strokes, and only then a verdict."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unet.finetuning import finetune
from napari_unet.labels.painted import BACKGROUND, CLASSES
from napari_unet.models.card import ModelCard
from napari_unet.models.library import Model, load_card, load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.models.weights import save_model
from napari_unet.network.outputs import Kind
from napari_unet.network.smoothing import smoothed
from napari_unet.network.spec import UNetSpec
from napari_unet.network.transfer import adapted
from napari_unet.network.unet import UNet
from napari_unet.segmentation import segment
from napari_unet.training.competition.first_answer import (
    PIXELS,
    WINDOWS,
    answer_at_once,
    logistic_regression,
    painted_pixels,
)
from napari_unet.training.judge import FEWEST_STROKES, enough_strokes, look_at_it
from napari_unet.training.windows import TrainingWindow

NAMES = ("glass", "nucleus", "stroma")
COLOURS = np.array([[235, 235, 240], [90, 60, 150], [225, 150, 190]])  # of stained tissue
SIDE = 512


def tissue() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Round nuclei in two bands of stroma on glass, with the noise of a camera."""
    random, (y, x) = np.random.default_rng(0), np.indices((SIDE, SIDE))
    truth = np.where(x // 128 % 2 == 1, 2, 0)
    middle = (y % 48 - 24) ** 2 + (x % 32 - 16) ** 2 < 10**2
    truth[(truth == 2) & middle] = 1
    noisy = COLOURS[truth] + random.normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), truth


def strokes(truth: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Three short strokes of each class, all of them in the upper left corner."""
    painted = np.zeros(truth.shape, np.uint32)
    for top in (24, 72, 120):
        painted[top - 3 : top + 3, 40:90] = BACKGROUND
        painted[top - 3 : top + 3, 136:152] = 1
        painted[top + 18 : top + 24, 136:186] = 2
    assert all((truth[painted == number] == number).all() for number in (1, 2))
    return painted


@pytest.fixture(scope="module")
def answer() -> tuple[Model, float]:
    """Model of nine strokes, and the seconds that it took."""
    image, truth = tissue()
    begun = time.process_time()
    made = finetune("nuclei", [(image, strokes(truth))], name="tissue", class_names=NAMES)
    return made, time.process_time() - begun


def test_the_first_answer_takes_less_than_three_seconds(answer: tuple[Model, float]) -> None:
    assert answer[0].report is not None
    assert answer[0].report.seconds < 3 or answer[1] < 3  # another program may have the cores


def test_every_class_is_found_beyond_the_strokes(answer: tuple[Model, float]) -> None:
    image, truth = tissue()
    found, unpainted = segment(image, answer[0]).labels, strokes(truth) == 0
    for number in range(len(NAMES)):
        there = (truth == number) & unpainted
        assert (found[there] == number).mean() > 0.95, NAMES[number]


def test_nine_strokes_give_no_verdict(answer: tuple[Model, float]) -> None:
    report = answer[0].report
    assert report is not None
    assert report.outcome == "preview"
    assert report.sentence == look_at_it()[1]
    assert f"{FEWEST_STROKES} strokes of each class" in report.sentence
    assert report.held == report.steps == 0


def test_a_verdict_needs_strokes_of_every_class() -> None:
    ones, twos = [CLASSES + 1, 2 * CLASSES + 1], [CLASSES + 2, 2 * CLASSES + 2]
    assert enough_strokes(ones, 2)
    assert enough_strokes(ones + twos, 3)
    assert not enough_strokes(ones + twos[:1], 3)
    assert not enough_strokes(ones * 4, 3)
    assert not enough_strokes([], 2)


def test_each_class_counts_the_same_however_rare() -> None:
    random = torch.Generator().manual_seed(0)
    many, few = torch.randn(2000, 1, generator=random), 4 + torch.randn(20, 1, generator=random)
    classes = torch.tensor([0] * 2000 + [1] * 20)
    weight, bias = logistic_regression(torch.cat([many, few]), classes, 3)
    said = (few @ weight.T + bias).argmax(dim=1)
    assert (said == 1).float().mean() > 0.9
    middle = torch.linspace(-5, 9, 50)[:, None] @ weight.T + bias
    assert not (middle.argmax(dim=1) == 2).any()  # nobody painted it


def test_held_out_strokes_are_not_learned_from() -> None:
    painted = np.zeros((96, 96), np.uint32)
    painted[:30], painted[30:60], painted[60:] = BACKGROUND, CLASSES + 1, 2 * CLASSES + 1
    window = TrainingWindow(np.zeros((3, 96, 96), np.float32), painted, (2 * CLASSES + 1,))
    features, classes = painted_pixels(
        [window, replace(window, held=(CLASSES + 1,))],
        lambda image: smoothed(torch.from_numpy(image)[None])[0],
    )
    counts = torch.bincount(classes).tolist()
    assert counts == [PIXELS, PIXELS]
    assert len(features) == sum(counts)


def test_a_network_of_classes_begins_with_colours_only() -> None:
    image, truth = tissue()
    painted = np.where(truth == 0, BACKGROUND, truth + CLASSES).astype(np.uint32)[:160, :160]
    planes = (image[:160, :160].transpose(2, 0, 1) / 255).astype(np.float32)
    network, card = load_network(load_model("nuclei").path)
    changed = adapted(network, card.spec.for_classes(3, 3))
    answer_at_once(changed, [TrainingWindow(planes, painted)])
    assert not changed.head.weight[:, : card.spec.base_filters].any()
    with torch.inference_mode():
        found = changed(torch.from_numpy(planes)[None])[0].argmax(dim=0).numpy()
    assert (found == truth[:160, :160]).mean() > 0.97


def test_of_one_channel_the_learned_features_count_too() -> None:
    """Cells as bright as what is around them: only their texture tells them apart."""
    random, truth = np.random.default_rng(0), np.zeros((160, 160), np.int64)
    truth[:, 80:] = 1
    planes = (0.5 + truth * random.normal(0, 0.2, truth.shape))[None].astype(np.float32)
    painted = np.zeros(truth.shape, np.uint32)
    painted[20:60, 20:60], painted[20:60, 100:140] = BACKGROUND, CLASSES + 1
    network, card = load_network(load_model("cells").path)
    changed = adapted(network, card.spec.for_classes(1, 2))
    answer_at_once(changed, [TrainingWindow(planes, painted)])
    assert changed.head.weight[:, : card.spec.base_filters].any()
    with torch.inference_mode():
        found = changed(torch.from_numpy(planes)[None])[0].argmax(dim=0).numpy()
    assert (found == truth).mean() > 0.85


def test_a_rare_class_of_many_windows_is_looked_at() -> None:
    painted = np.full((8, 8), BACKGROUND, np.uint32)
    image = np.zeros((3, 8, 8), np.float32)
    many = [TrainingWindow(image, painted) for _ in range(200)]
    rare = TrainingWindow(image, np.full((8, 8), CLASSES + 1, np.uint32))
    looked: list[int] = []

    def look(values: NDArray[np.float32]) -> torch.Tensor:
        looked.append(1)
        return torch.from_numpy(values)

    for place in (0, 100, 200):
        looked.clear()
        _, classes = painted_pixels([*many[:place], rare, *many[place:]], look)
        assert (classes == 1).sum() == 64
        assert len(looked) <= WINDOWS + 1


# ---- files from before there was a direct head


def class_card(spec: UNetSpec) -> ModelCard:
    fields = {"spec": spec, "kind": Kind.CLASSES, "class_names": NAMES, "polarity": "given"}
    return load_card("nuclei").model_copy(update=fields)


def test_a_model_of_classes_without_a_direct_head_still_segments(tmp_path: Path) -> None:
    spec = UNetSpec(3, 3, distance=False, base_filters=2, depth=2)
    card = class_card(spec)
    path = save_model(tmp_path / "old.safetensors", UNet(spec).eval(), card)
    assert b"direct" not in path.read_bytes()  # so that older versions read it, too
    network, read = load_network(path)
    again = save_model(tmp_path / "again.safetensors", network, read)
    assert again.read_bytes() == path.read_bytes()
    assert segment(tissue()[0], load_model(path)).labels.max() < 3


def test_a_head_that_sees_more_begins_anew() -> None:
    old = UNetSpec(3, 3, distance=False, base_filters=2, depth=2)
    parent = UNet(old).eval()
    changed = adapted(parent, old.for_classes(3, 3))
    assert changed.head.in_channels == changed.spec.head_channels > parent.head.in_channels
    assert torch.equal(changed.down[0][0][0].weight, parent.down[0][0][0].weight)
