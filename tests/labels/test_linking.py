"""Objects through Z and time: volumes come back from their planes, and movies from their frames."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common.made_up_stacks import apart
from benchmarks.common.made_up_stacks import movie as movie_of
from benchmarks.linking import SCENES
from napari_unet.errors import InputError
from napari_unet.labels.linking import (
    LinkedCopy,
    LinkedLabels,
    Links,
    link,
    linked_copy,
    packed,
    relink,
    separated,
)
from napari_unet.labels.linking.stitching import stitch
from napari_unet.labels.painted import painted_ids
from napari_unet.settings import LinkSettings
from tests.strategies import same_partition

Volume = np.ndarray[Any, np.dtype[np.int64]]


def ellipsoid(
    volume: Volume, centre: tuple[float, ...], radii: tuple[float, ...], number: int
) -> None:
    """Draw what is free of an ellipsoid."""
    grid = np.ogrid[tuple(slice(n) for n in volume.shape)]
    away = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True))
    volume[(away <= 1) & (volume == 0)] = number


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    """Ellipsoids on a lattice, side by side and touching; two layers apart by empty planes."""
    volume = np.zeros((22, 40, 40), np.int64)
    number = 0
    for z in (5, 16):
        for y in (7, 20, 33):
            for x in (7, 20, 33):
                if draw(st.booleans()):
                    number += 1
                    jitter = [draw(st.floats(-1, 1)) for _ in range(2)]
                    radii = (draw(st.floats(1, 4)), *(draw(st.floats(4, 8)) for _ in range(2)))
                    ellipsoid(volume, (z, y + jitter[0], x + jitter[1]), radii, number)
    return volume


def by_plane(volume: Volume, seed: int = 0) -> Volume:
    """Give the objects of each plane ids of their own, in an order of their own."""
    random = np.random.default_rng(seed)
    planes = np.zeros(volume.shape, np.int64)
    first = 1
    for index in np.ndindex(*volume.shape[:-2]):
        ids = np.unique(volume[index])
        ids = ids[ids > 0]
        table = np.zeros(int(volume.max()) + 1, np.int64)
        table[ids] = first + random.permutation(len(ids))
        planes[index], first = table[volume[index]], first + len(ids)
    return planes


def linked(labels: Volume, axes: str, **settings: Any) -> tuple[Volume, Links]:
    links = link(labels, axes, LinkSettings(**settings))
    return links.applied(labels).astype(np.int64), links


def dot(frame: Volume, y: float, x: float, number: int, radius: float = 5) -> None:
    ellipsoid(frame, (y, x), (radius, radius), number)


def movie(*frames: dict[int, tuple[float, float, float]]) -> Volume:
    """Draw discs by id: row, column, radius."""
    result = np.zeros((len(frames), 60, 80), np.int64)
    for frame, discs in zip(result, frames, strict=True):
        for number, (y, x, radius) in discs.items():
            dot(frame, y, x, number, radius)
    return result


# ------------------------------------------------------------------------------------- through Z


@given(volumes(), st.integers(0, 9))
def test_planes_of_a_volume_give_it_back(volume: Volume, seed: int) -> None:
    found, links = linked(by_plane(volume, seed), "ZYX")
    assert same_partition(found, volume)
    assert links.count == len(np.unique(volume)) - (volume == 0).any()
    assert sorted(set(np.unique(found)) - {0}) == list(range(1, links.count + 1))


@given(volumes(), st.integers(0, 9), st.integers(10, 19))
def test_ids_of_the_planes_decide_nothing(volume: Volume, seed: int, other: int) -> None:
    one, _ = linked(by_plane(volume, seed), "ZYX")
    two, _ = linked(by_plane(volume, other), "ZYX")
    assert same_partition(one, two)


@given(volumes(), st.integers(1, 20))
def test_a_plane_that_misses_objects_breaks_nothing_but_their_ends(
    volume: Volume, missing: int
) -> None:
    planes = by_plane(volume)
    planes[missing] = 0
    found, _ = linked(planes, "ZYX")
    kept = volume.copy()
    kept[missing] = 0
    areas = np.array([np.bincount(p.ravel(), minlength=kept.max() + 1) for p in kept])
    for number in set(np.unique(kept)) - {0}:
        ids = set(np.unique(found[kept == number]))
        inside = np.flatnonzero(areas[:, number])
        if len(inside) > 4 and inside[0] + 1 < missing < inside[-1] - 1:
            assert len(ids) == 1
    assert same_partition(linked(planes, "ZYX", gap=0)[0][:missing], kept[:missing])


def test_no_gap_no_bridge() -> None:
    volume = np.ones((5, 6, 6), np.int64)
    volume[2] = 0
    assert linked(volume, "ZYX")[1].count == 1
    assert linked(volume, "ZYX", gap=0)[1].count == 2


def test_a_plane_that_joins_two_or_cuts_one_breaks_nothing() -> None:
    volume = np.zeros((7, 20, 30), np.int64)
    volume[:, 2:18, 2:14], volume[:, 3:17, 14:27] = 1, 2
    joined = volume.copy()
    joined[3][joined[3] > 0] = 3
    found, links = linked(by_plane(joined), "ZYX")
    assert links.count == 2
    assert same_partition(np.delete(found, 3, 0), np.delete(volume, 3, 0))
    cut = by_plane(volume)
    cut[3, 2:8, 2:14] = 99
    found, links = linked(cut, "ZYX")
    assert links.count == 3
    assert same_partition(np.delete(found, 3, 0), np.delete(volume, 3, 0))


def test_balls_above_each_other_are_two() -> None:
    volume = np.zeros((34, 20, 20), np.int64)
    ellipsoid(volume, (8, 10, 10), (8, 8, 8), 1)
    ellipsoid(volume, (25, 10, 10), (8, 8, 8), 2)
    planes = by_plane(volume)
    assert same_partition(linked(planes, "ZYX")[0], volume)
    assert linked(planes, "ZYX", waist=0)[1].count == 1


def test_a_jump_to_the_side_is_between_two() -> None:
    volume = np.zeros((12, 24, 40), np.int64)
    volume[:6, 4:20, 4:22], volume[6:, 4:20, 12:30] = 1, 2
    planes = by_plane(volume)
    assert same_partition(linked(planes, "ZYX")[0], volume)
    assert linked(planes, "ZYX", waist=0)[1].count == 1


def test_a_slanted_object_is_one() -> None:
    volume = np.zeros((10, 24, 60), np.int64)
    for z, plane in enumerate(volume):
        dot(plane, 12, 10 + 4 * z, 1, 9)
    assert linked(by_plane(volume), "ZYX")[1].count == 1


def test_one_thin_plane_is_no_waist() -> None:
    volume = np.zeros((7, 20, 20), np.int64)
    volume[:, 4:16, 4:16] = 1
    volume[3] = 0
    volume[3, 8:12, 8:12] = 1
    assert linked(volume, "ZYX")[1].count == 1


@pytest.mark.parametrize("shape", [(1, 8, 9), (4, 8, 9)])
def test_empty_planes_and_single_planes(shape: tuple[int, ...]) -> None:
    empty = np.zeros(shape, np.uint16)
    found, links = linked(empty, "ZYX")
    assert not found.any()
    assert links.count == 0
    assert links.tracks()[0].shape == (0, 5)
    empty[-1, 2:4, 2:5] = 70
    found, links = linked(empty, "ZYX")
    assert np.array_equal(found, (empty > 0) * 1)
    assert link(empty, "TYX").count == 1
    assert link(empty[-1], "YX").count == 1


def test_volumes_below_the_smallest_are_left_out_unless_locked() -> None:
    volume = np.zeros((9, 30, 30), np.int64)
    ellipsoid(volume, (4, 8, 8), (4, 6, 6), 1)
    volume[4, 22:25, 22:25] = 7
    settings = LinkSettings(smallest_diameter=5)
    assert set(np.unique(link(volume, "ZYX", settings).applied(volume))) == {0, 1}
    assert link(volume, "ZYX", settings, depth=9).count == 2
    assert set(np.unique(link(volume, "ZYX", settings, locked=[7]).applied(volume))) == {0, 1, 7}


class Counted:
    """A stack that makes its planes when they are read, and knows how many are alive."""

    def __init__(self, planes: int) -> None:
        self.reads: list[int] = []
        self.alive = self.most = 0
        self.planes = planes

    def __iter__(self) -> Iterator[np.ndarray]:
        counted = self

        class Plane(np.ndarray[Any, Any]):
            def __del__(self) -> None:
                counted.alive -= self.base is None

        for number in range(self.planes):
            self.reads.append(number)
            self.alive += 1
            self.most = max(self.most, self.alive)
            plane = Plane((64, 64), np.uint16)
            plane[:] = 0
            plane[8:30, 8:30] = 1 + number
            yield plane
            del plane


def test_planes_are_read_once_each_and_not_held() -> None:
    stack = Counted(50)
    sections, objects = stitch(stack, LinkSettings())
    assert stack.reads == list(range(50))
    assert stack.most <= 3
    assert len(sections) == 50
    assert set(objects.tolist()) == {0}


# ---------------------------------------------------------------------------------- through time


def test_tracks_of_what_moves_enters_and_leaves() -> None:
    truth = movie(*({1: (20, 10 + 4 * t, 5), 2: (40, 60 - 4 * t, 6)} for t in range(8)))
    dot(truth[5], 8, 8, 3)
    dot(truth[6], 9, 9, 3)
    found, links = linked(by_plane(truth), "TYX")
    assert same_partition(found, truth)
    assert not links.parents
    data, graph = links.tracks()
    assert data.shape == (18, 4)
    assert graph == {}
    first = data[data[:, 0] == data[0, 0]]
    assert first[:, 1].tolist() == list(range(8))
    np.testing.assert_allclose(np.abs(np.diff(first[:, 3])), 4, atol=0.5)


def test_a_frame_that_misses_an_object() -> None:
    truth = movie(*({1: (20, 10 + 4 * t, 5), 2: (40, 60 - 4 * t, 6)} for t in range(8)))
    truth[4][truth[4] == 1] = 0
    assert same_partition(linked(by_plane(truth), "TYX")[0], truth)
    assert linked(by_plane(truth), "TYX", gap=0)[1].count == 3


DIVIDING = (
    {1: (30, 30, 8), 4: (10, 70, 8)},
    {1: (30, 31, 8), 4: (11, 70, 8)},
    {2: (30, 26, 5.5), 3: (30, 38, 5.5), 4: (12, 70, 8)},
    {2: (30, 24, 5.5), 3: (30, 40, 5.5), 4: (13, 70, 8)},
    {2: (30, 23, 6), 3: (30, 42, 6), 4: (14, 70, 8)},
)


def test_divisions() -> None:
    truth = movie(*DIVIDING)
    found, links = linked(by_plane(truth), "TYX")
    assert same_partition(found, truth)
    mother, one, other = (int(found[truth == n][0]) for n in (1, 2, 3))
    assert links.parents == {one: mother, other: mother}
    assert links.tracks()[1] == {one: [mother], other: [mother]}
    apart = linked(by_plane(truth), "TYX", divisions=False)[1]
    assert not apart.parents
    assert apart.count == 3


def test_napari_takes_the_tracks() -> None:
    from napari.layers import Tracks

    data, graph = linked(by_plane(movie(*DIVIDING)), "TYX")[1].tracks()
    layer = Tracks(data, graph=graph)
    assert len(layer.data) == len(data)
    assert {int(c): [int(p) for p in parents] for c, parents in layer.graph.items()} == graph


def test_a_newcomer_beside_an_object_is_no_daughter() -> None:
    truth = movie(
        {1: (30, 30, 7)}, {1: (30, 30, 7), 2: (30, 45, 7)}, {1: (30, 30, 7), 2: (30, 45, 7)}
    )
    found, links = linked(by_plane(truth), "TYX")
    assert same_partition(found, truth)
    assert not links.parents


@pytest.mark.parametrize("seed", range(3))
def test_a_movie_in_windows_is_linked_as_the_whole(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    labels = apart(movie_of(replace(SCENES["all of it"], frames=24), seed).truth, seed)
    whole, links = linked(labels, "TYX")
    monkeypatch.setattr("napari_unet.labels.linking.tracks.WINDOW", 6)
    parts, others = linked(labels, "TYX")
    assert np.array_equal(whole, parts)
    assert links.parents == others.parents


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_stacks_through_time_in_any_order_of_axes(axes: str) -> None:
    truth = np.zeros((4, 9, 40, 60), np.int64)
    for t in range(4):
        ellipsoid(truth[t], (4, 20, 15 + 3 * t), (4, 7, 7), 1)
        ellipsoid(truth[t], (4, 20, 45 - 2 * t), (3, 6, 6), 2)
    if axes == "ZTYX":
        truth = truth.swapaxes(0, 1)
    found, links = linked(by_plane(truth), axes)
    assert same_partition(found, truth)
    data, _ = links.tracks()
    assert data.shape == (8, 5)
    np.testing.assert_allclose(data[:, 2], 4, atol=0.01)


def test_parts_of_another_axis_are_apart() -> None:
    labels = np.ones((2, 3, 8, 8), np.int64)
    found, links = linked(labels, "PZYX")
    assert links.count == 2
    assert [len(np.unique(part)) for part in found] == [1, 1]


# ------------------------------------------------------------------------------------ stable ids


@given(volumes(), st.integers(0, 21))
def test_nothing_changes_where_nothing_changed(volume: Volume, plane: int) -> None:
    found, links = linked(by_plane(volume), "ZYX")
    assert np.array_equal(relink(found, links, []).applied(found), found)
    assert np.array_equal(relink(found, links, [plane]).applied(found), found)


@given(volumes(), st.integers(2, 19), st.integers(0, 9))
def test_a_plane_that_was_segmented_again_takes_the_ids_around_it(
    volume: Volume, plane: int, seed: int
) -> None:
    found, links = linked(by_plane(volume), "ZYX")
    again = found.copy()
    again[plane] = by_plane(volume, seed)[plane] + (volume[plane] > 0) * 1000
    anew = relink(again, links, [plane]).applied(again).astype(np.int64)
    rest = np.arange(len(volume)) != plane
    assert np.array_equal(anew[rest], found[rest])
    lasting = np.isin(found[plane], np.unique(found[rest]))
    assert np.array_equal(anew[plane][lasting], found[plane][lasting])


def test_the_plane_that_was_missing_joins_the_parts() -> None:
    volume = np.zeros((9, 16, 16), np.int64)
    volume[:, 4:12, 4:12] = 1
    planes = volume.copy()
    planes[3:6] = 0
    found, links = linked(planes, "ZYX")
    assert links.count == 2
    found[3:6, 4:12, 4:12] = 50
    anew = relink(found, links, [3, 4, 5])
    assert anew.count == 1
    assert set(np.unique(anew.applied(found))) == {0, 1}


def test_locked_ids_stay_through_the_stack() -> None:
    volume = np.zeros((9, 30, 30), np.int64)
    ellipsoid(volume, (4, 8, 8), (4, 6, 6), 1)
    ellipsoid(volume, (4, 20, 20), (4, 7, 7), 2)
    planes = by_plane(volume)
    planes[4][volume[4] == 2] = 777
    found = link(planes, "ZYX", locked=[777]).applied(planes).astype(np.int64)
    assert same_partition(found, volume)
    assert set(np.unique(found[volume == 2])) == {777}


def test_two_locked_ids_are_never_one_object() -> None:
    labels = np.zeros((6, 10, 10), np.int64)
    labels[:3, 2:8, 2:8], labels[3:, 2:8, 2:8] = 5, 9
    for axes in ("ZYX", "TYX"):
        assert np.array_equal(link(labels, axes, locked=[5, 9]).applied(labels), labels)
        assert link(labels, axes, locked=[5]).count == 1


def test_a_locked_id_holds_where_overlap_does_not() -> None:
    labels = np.zeros((4, 10, 40), np.int64)
    labels[0, 2:8, 2:8] = labels[1, 2:8, 30:36] = 5
    labels[1, 2:8, 2:8], labels[2, 2:8, 2:8], labels[2, 2:8, 30:36] = 11, 12, 13
    found = link(labels, "ZYX", locked=[5]).applied(labels)
    assert found[0, 4, 4] == found[1, 4, 33] == found[2, 4, 33] == 5
    assert found[1, 4, 4] == found[2, 4, 4] != 5


def test_ids_of_a_movie_stay_when_a_frame_is_corrected() -> None:
    truth = movie(*DIVIDING)
    found, links = linked(by_plane(truth), "TYX")
    again = found.copy()
    again[3][truth[3] == 4] = 900
    anew = relink(again, links, [3])
    assert np.array_equal(anew.applied(again), found)
    assert anew.parents == links.parents
    assert relink(found, links, []).parents == links.parents


# ------------------------------------------------------------------------------------- the result


def test_a_view_reads_windows_as_the_whole_does() -> None:
    random = np.random.default_rng(3)
    truth = np.zeros((3, 5, 20, 24), np.int64)
    for t in range(3):
        ellipsoid(truth[t], (2, 9, 9), (2, 6, 6), 1)
        ellipsoid(truth[t], (2, 14, 18), (2, 5, 5), 2)
    labels = by_plane(truth)
    links = link(labels, "TZYX")
    view, whole = links.view(labels), links.applied(labels)
    assert isinstance(view, LinkedLabels)
    assert (view.shape, view.dtype) == (whole.shape, whole.dtype)
    keys = [(1,), (slice(None), 2), (0, 3, slice(2, 9)), (2, slice(1, 4), slice(3), slice(5, 8))]
    for key in [*keys, (int(random.integers(3)), 1, slice(4), slice(4)), slice(1, 3)]:
        assert np.array_equal(view[key], whole[key])


def test_what_cannot_be_used_is_told() -> None:
    labels = np.ones((3, 4, 4), np.int64)
    with pytest.raises(InputError, match="Correct the axes"):
        link(labels, "YX")
    with pytest.raises(InputError, match="whole numbers"):
        link(labels.astype(float), "ZYX")
    with pytest.raises(InputError, match="no planes"):
        link(labels[:0], "ZYX")
    links = link(labels, "ZYX")
    with pytest.raises(InputError, match="Link them again"):
        links.applied(labels + 1)
    with pytest.raises(InputError, match="Link all of them"):
        relink(labels[:2], links, [1])


def test_one_frame_of_specks_does_not_shrink_how_far_all_others_may_move() -> None:
    frames = np.zeros((6, 60, 120), np.int64)
    for number, frame in enumerate(frames):
        dot(frame, 30, 20 + 10 * number, 1, radius=8)
    frames[3] = 0
    frames[3, ::4, ::4] = 2 + np.arange(15 * 30).reshape(15, 30)
    found, _ = linked(frames, "TYX")
    ids = [set(np.unique(frame)) - {0} for frame in found]
    assert ids[0] == ids[1] == ids[2]
    assert ids[4] == ids[5]


def balls() -> Volume:
    """Two balls side by side, and a third above the first behind an empty plane."""
    volume = np.zeros((16, 30, 50), np.int64)
    for number, centre in enumerate([(4, 14, 12), (4, 14, 36), (12, 14, 12)], 1):
        ellipsoid(volume, centre, (3, 8, 8), number)
    return volume


def copied(
    labels: Volume, before: LinkedCopy | None = None, given_ids: Sequence[int] = ()
) -> tuple[LinkedCopy, Volume]:
    start = before or LinkedCopy.empty(labels, "ZYX", LinkSettings(), 1.0)
    return linked_copy(labels, start, set(given_ids), lambda *_: None)


def test_copy_has_one_id_for_each_object_and_it_is_one_of_its_own():
    planes = by_plane(balls())
    copy, array = copied(planes)
    assert same_partition(array, balls())
    assert copy.links.count == 3
    for number in np.unique(array[array > 0]):
        assert number in planes[array == number]


def test_copy_made_again_keeps_the_ids_of_what_did_not_change():
    planes = by_plane(balls())
    copy, first = copied(planes)
    planes[4][first[4] == first[4, 14, 12]] = 0  # the first ball is missing in a plane
    planes[12, 0:5, 40:45] = planes.max() + 1  # and a person paints an object
    again, second = copied(planes, copy, [int(planes[12, 2, 42])])
    same = np.ones(planes.shape, bool)
    same[4] &= first[4] != first[4, 14, 12]
    same[12, 0:5, 40:45] = False
    np.testing.assert_array_equal(second[same], first[same])
    assert not second[4, 14, 12]
    assert second[12, 2, 42] == planes[12, 2, 42]
    assert again.links.count == 4


def test_copy_never_joins_ids_that_a_person_gave_nor_parts_one():
    planes = by_plane(balls())
    upper, lower = planes.max() + 1, planes.max() + 2
    planes[:5][balls()[:5] == 1] = upper
    planes[5:][balls()[5:] == 1] = lower
    copy, array = copied(planes, None, [upper, lower])
    assert set(np.unique(array[balls() == 1])) == {upper, lower}
    assert copy.links.count == 4


def test_copy_gives_a_new_object_no_id_of_another():
    planes = by_plane(balls())
    copy, first = copied(planes)
    used = LinkedCopy(copy.links, {**copy.known, 7_000: 900}, ())  # as after a cut
    planes[0, 0:4, 0:4] = 900
    _, second = copied(planes, used)
    assert second[0, 1, 1] not in {0, 900}
    assert second[0, 1, 1] not in first


def test_copy_that_leaves_objects_out_keeps_ids_and_brings_them_back():
    planes, third = by_plane(balls()), balls() == balls().max()
    third[: np.flatnonzero(third.any(axis=(1, 2)))[3]] = False
    planes[third] = 0  # only three planes of one ball are left
    copy, first = copied(planes)
    sizes = np.sort(np.bincount(first[first > 0].ravel())[np.unique(first[first > 0])])
    diameter = float(np.cbrt((sizes[0] + sizes[-1]) / 2 * 6 / np.pi))
    small = copy.with_settings(LinkSettings(smallest_diameter=diameter))
    some, second = linked_copy(planes, small, (), lambda *_: None)
    assert 0 < some.links.count < copy.links.count
    np.testing.assert_array_equal(second[second > 0], first[second > 0])
    again, third = linked_copy(planes, some, (), lambda *_: None)
    np.testing.assert_array_equal(third, second)
    assert again.sums == some.sums  # nothing counts as changed
    own = separated(second, packed(some.own))
    np.testing.assert_array_equal(own, np.where(second > 0, planes, 0))
    _, last = linked_copy(planes, again.with_settings(LinkSettings()), (), lambda *_: None)
    np.testing.assert_array_equal(last, first)


def wandering(random: np.random.Generator, shape: tuple[int, int]) -> Volume:
    """Five objects that move, grow, shrink and miss in some planes; each plane with its own ids."""
    labels, number = np.zeros((*shape, 32, 32), np.uint32), 0
    places = random.integers(2, 24, (5, 2))
    for plane in np.ndindex(*shape):
        for place in places[random.random(5) < 0.85]:
            y, x = np.maximum(0, place + random.integers(-1, 2, 2))
            side, number = random.integers(3, 6), number + 1
            labels[plane][y : y + side, x : x + side] = number
    return labels


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
@pytest.mark.parametrize("smallest", [0.0, 4.0])
def test_copy_made_again_of_the_same_labels_is_the_same(axes: str, smallest: float):
    settings = LinkSettings(smallest_diameter=smallest)
    for seed in range(40):
        labels = wandering(np.random.default_rng(seed), (3, 3))
        start = LinkedCopy.empty(labels, axes, settings, 1.0)
        first, array = linked_copy(labels, start, (), lambda *_: None)
        second, again = linked_copy(labels, first, (), lambda *_: None)
        np.testing.assert_array_equal(again, array)
        assert second.links.parents == first.links.parents
        assert second.known == first.known


@pytest.mark.parametrize("given_ids", [False, True])
def test_a_daughter_whose_sister_was_filtered_out_stays_one(given_ids: bool):
    truth = movie(*DIVIDING)
    planes = by_plane(truth)
    first, array = linked_copy(
        planes, LinkedCopy.empty(planes, "TYX", LinkSettings(), 1.0), (), lambda *_: None
    )
    mother, one, other = (int(array[truth == n][0]) for n in (1, 2, 3))
    array[array == other], planes[truth == 3] = 0, 0
    links = replace(first.links, parents={one: mother})
    saved = LinkedCopy.of_file(array, planes, links)
    own = {int(planes[truth == n][0]) for n in (1, 2)} if given_ids else ()
    copy, again = linked_copy(planes, saved, own, lambda *_: None)
    np.testing.assert_array_equal(again, array)
    assert copy.links.parents == {one: mother}


def test_rows_of_labels_may_lie_in_memory_in_any_order():
    planes = np.asfortranarray(np.pad(np.full((2, 4, 6), 7, np.uint32), 2)[2:-2])
    _, copy = linked_copy(
        planes, LinkedCopy.empty(planes, "ZYX", LinkSettings(), 1.0), (), lambda *_: None
    )
    assert np.array_equal(copy, planes)


def test_what_is_painted_while_a_plane_is_looked_at_belongs_to_the_next_copy(monkeypatch):
    planes = np.zeros((2, 20, 20), np.uint32)
    planes[:, 2:8, 2:8], planes[:, 12:18, 12:18] = 1, 9

    def slow(plane):
        found = painted_ids(plane)
        planes[:, 10, 2:8] = 5  # a stroke of the person
        return found

    monkeypatch.setattr("napari_unet.labels.linking.copying.painted_ids", slow)
    start = LinkedCopy.empty(planes, "ZYX", LinkSettings(), 1.0)
    _, copy = linked_copy(planes, start, (), lambda *_: None)
    assert not copy[0, 10].any()  # neither it nor any other object


def test_copy_is_stopped_by_what_progress_raises_and_counts_to_the_end():
    planes, seen = by_plane(balls()), list[tuple[int, int]]()
    start = LinkedCopy.empty(planes, "ZYX", LinkSettings(), 1.0)
    linked_copy(planes, start, (), lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(48))
    assert {total for _, total in seen} == {48}

    def stop(done: int, _total: int) -> None:
        if done > 20:
            raise InputError("Cancelled.")

    with pytest.raises(InputError, match="Cancelled"):
        linked_copy(planes, start, (), stop)
