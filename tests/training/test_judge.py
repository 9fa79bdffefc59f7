"""Judging: overlaps of painted objects, thresholds that suit them, and the decision."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk

from napari_unet.labels.painted import BACKGROUND
from napari_unet.settings import DecodeSettings
from napari_unet.training.judge import (
    OUTLINES,
    Score,
    Window,
    best_single_class,
    best_thresholds,
    decide,
    judge,
)
from napari_unet.training.targets import targets_of


def two_disks() -> np.ndarray:
    labels = np.zeros((60, 60), np.int32)
    labels[disk((20, 20), 8)], labels[disk((40, 40), 8)] = 1, 2
    return labels


def test_a_perfect_result_scores_one() -> None:
    labels = two_disks()
    painted = np.where(labels == 0, BACKGROUND, labels).astype(np.uint32)
    score = judge(labels, painted)
    assert score.overlaps == (1.0, 1.0)
    assert score.value == 1


def test_objects_on_painted_background_are_wrong() -> None:
    painted = np.full((60, 60), BACKGROUND, np.uint32)
    painted[two_disks() == 1] = 9
    score = judge(two_disks(), painted)
    assert (score.overlaps, score.wrong) == ((1.0,), 1)
    assert score.value == 0.5


def test_what_is_found_on_unlabelled_pixels_counts_nothing() -> None:
    painted = np.zeros((60, 60), np.uint32)
    painted[two_disks() == 1] = 9
    assert judge(two_disks(), painted).wrong == 0


def test_only_the_objects_asked_for_count() -> None:
    painted = two_disks().astype(np.uint32)
    assert judge(np.zeros((60, 60), np.int32), painted, [2]).overlaps == (0.0,)
    assert judge(two_disks(), painted, []).value == 0


def test_scores_pool() -> None:
    both = Score((1.0,), 1) + Score((0.5, 0.0), 0)
    assert both == Score((1.0, 0.5, 0.0), 1)


def test_thresholds_move_only_for_a_gain() -> None:
    labels = two_disks()
    targets = targets_of(labels)
    sure = np.stack([targets.classes == 1, targets.classes == 2, targets.distance])
    maps = (sure * 255).astype(np.uint8)
    painted = np.where(labels == 0, BACKGROUND, labels).astype(np.uint32)
    now = DecodeSettings()
    assert best_thresholds([Window(maps, painted)], now) == now
    faint = maps.copy()
    faint[0] = maps[0] * 0.45  # found only with a higher sensitivity
    assert best_thresholds([Window(faint, painted)], now).sensitivity > 0.5


def test_outlines_are_fitted_on_the_objects_asked_for() -> None:
    labels = two_disks()
    targets = targets_of(labels)
    wide = ndimage.gaussian_filter((labels > 0).astype(float), 3)  # blurred: how wide is a matter
    maps = (np.stack([wide, 0 * wide, targets.distance]) * 255).astype(np.uint8)
    now = DecodeSettings(sensitivity=0.85)
    window = Window(maps, labels.astype(np.uint32), [1])
    fitted = best_thresholds([window], now, shifts=OUTLINES)
    assert fitted.sensitivity < now.sensitivity
    assert fitted.separation == now.separation
    assert best_thresholds([replace(window, ids=[])], now, shifts=OUTLINES) == now


def test_outlines_that_are_too_narrow_are_widened() -> None:
    labels = two_disks()
    narrow = ndimage.gaussian_filter((labels > 0).astype(float), 4)
    maps = (np.stack([narrow, 0 * narrow, targets_of(labels).distance]) * 255).astype(np.uint8)
    now = DecodeSettings(sensitivity=0.35)
    fitted = best_thresholds([Window(maps, labels.astype(np.uint32))], now, shifts=OUTLINES)
    assert fitted.sensitivity > 0.5


def test_thresholds_are_fitted_where_the_window_has_other_pixels_than_the_image() -> None:
    """Cells of 160 px that are shown as 16 are not smaller than the image's smallest object."""
    labels = two_disks()
    maps = (np.stack([labels > 0, 0 * labels, targets_of(labels).distance]) * 255).astype(np.uint8)
    maps[0] = maps[0] * 0.45
    painted = np.where(labels == 0, BACKGROUND, labels).astype(np.uint32)
    now = DecodeSettings(minimum_diameter=80)
    assert best_thresholds([Window(maps, painted, zoom=0.1)], now).sensitivity > 0.5


@pytest.mark.parametrize(
    ("old", "new", "outcome"),
    [
        ((0.1, 0.2, 0.1), (0.8, 0.7, 0.9), "accepted"),
        ((0.8, 0.7, 0.9), (0.1, 0.2, 0.1), "refused"),
        ((0.8, 0.7, 0.9), (0.8, 0.7, 0.9), "refused"),
        ((0.5, 0.5, 0.5), (0.0, 0.0, 1.6), "refused"),  # one lucky stroke is no evidence
        ((0.8, 0.7, 0.9), (0.84, 0.75, 0.95), "preview"),  # a little, on few
        ((0.8, 0.7, 0.9) * 3, (0.84, 0.75, 0.95) * 3, "accepted"),
    ],
)
def test_decisions_about_classes(
    old: tuple[float, ...], new: tuple[float, ...], outcome: str
) -> None:
    decided, sentence = decide(Score(old), Score(new))
    assert decided == outcome
    assert sentence.endswith(".")


@pytest.mark.parametrize(("after", "said"), [(0.651, "not clearly better"), (0.6, "not better")])
def test_a_gain_that_is_no_evidence_is_not_called_none(after: float, said: str) -> None:
    _, sentence = decide(Score((0.65,) * 8), Score((after,) * 8))
    assert said in sentence


def test_a_model_of_classes_must_beat_one_class_everywhere() -> None:
    strokes = [16 + 1, 32 + 1, 48 + 2, 64]
    assert best_single_class(strokes).overlaps == (1.0, 1.0, 0.0, 0.0)
    everywhere = best_single_class(strokes)
    assert decide(everywhere, everywhere)[0] == "refused"
    assert best_single_class([]).overlaps == ()
