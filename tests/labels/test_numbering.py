"""Ids given to the same objects of another result."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.labels import numbering
from napari_unet.labels.numbering import landmarks, new_ids, renumbered

LABELS = arrays(np.uint32, (2, 5, 7), elements=st.integers(0, 9))


@given(LABELS, st.permutations(range(1, 10)), st.integers(1, 80))
def test_the_same_objects_get_the_ids_they_had(labels, ids, pixels) -> None:
    before = np.array([0, *ids], np.uint32)[labels] * 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "PIXELS", pixels)
        marks = landmarks(before)
    np.testing.assert_array_equal(renumbered(labels, new_ids(labels, marks)), before)


@given(LABELS, LABELS)
def test_no_two_objects_become_one(labels, other) -> None:
    names = new_ids(labels, landmarks(other))
    assert sorted(names) == [i for i in np.unique(labels).tolist() if i]
    assert len(set(names.values())) == len(names)
    assert 0 not in names.values()


def test_what_nobody_changed_comes_before_what_a_person_drew() -> None:
    found, drawn = np.array([[0, 1, 1, 1]]), np.array([[0, 9, 5, 5]])
    marks = landmarks(drawn, last=[9])
    assert marks == [2, 5, 1, 9]
    assert new_ids(found, marks) == {1: 5}
    assert new_ids(np.array([[2, 1, 1, 3]]), marks) == {1: 5, 2: 10, 3: 11}


def test_an_id_for_two_objects_is_refused() -> None:
    for marks in ([0, 3, 1, 3], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"one object|in turns"):
            new_ids(np.array([[1, 2]]), marks)
    assert new_ids(np.array([[1, 2]]), [-1, 4, 99, 5]) == {1: 6, 2: 7}
