"""Made-up stacks: the truth is what is drawn, and linking what it shows is right."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.common.made_up_stacks import (
    NUCLEI,
    SPACING,
    apart,
    movie,
    volume,
    with_wrong_planes,
)
from benchmarks.linking import SCENES, scores, volume_row
from napari_unet.labels.linking import link
from tests.strategies import same_partition


def test_volumes_and_their_pictures_show_the_same() -> None:
    truth, image = volume(7)
    assert truth.shape == image.shape
    assert len(truth) == -(-60 // SPACING)
    assert len(np.unique(truth)) == NUCLEI + 1
    assert image[truth > 0].mean() > 2 * image[truth == 0].mean()
    again, _ = volume(7)
    assert np.array_equal(truth, again)
    wrong = with_wrong_planes(truth, 0)
    assert np.array_equal(wrong[::2], truth[::2])
    assert (wrong != truth).any()


def test_perfect_planes_reach_the_goal() -> None:
    truth, _ = volume(7)
    planes = apart(truth, 0)
    assert all(same_partition(one, other) for one, other in zip(planes, truth, strict=True))
    found = link(planes, "ZYX", depth=SPACING).applied(planes).astype(np.int64)
    assert float(volume_row("perfect", [(truth, found)])[4]) >= 0.95


def test_parents_of_a_movie_end_where_their_children_begin() -> None:
    scene = movie(replace(SCENES["all of it"], frames=30), 1)
    assert scene.parents
    times = {i: np.flatnonzero((scene.truth == i).any((1, 2))) for i in np.unique(scene.truth)}
    for child, parent in scene.parents.items():
        assert times[parent][-1] < times[child][0]


def test_perfect_frames_reach_the_goal() -> None:
    pytest.importorskip("traccuracy")
    scene = movie(replace(SCENES["all of it"], frames=15), 1)
    score, edges, _ = scores(scene, apart(scene.truth, 0))
    assert score >= 0.95
    assert edges >= 0.95
