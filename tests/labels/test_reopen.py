"""Labels from a file go on as what the model said, and what was painted on them lies on top."""

import numpy as np

from napari_unet.image import Box
from napari_unet.labels.change_tracker import ChangeTracker
from napari_unet.labels.live_labels import PERSONAL, Assembly, LiveLabels
from napari_unet.labels.painted import BACKGROUND
from napari_unet.labels.reopen import as_labels, belongs, put_on_top
from napari_unet.labels.watershed import Patch

SHAPE = (40, 60)
ALL = Box((0, 0), SHAPE)


def labels_of(**boxes: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint32)
    for name, (y0, x0, y1, x1) in boxes.items():
        labels[y0:y1, x0:x1] = int(name[1:])
    return labels


def test_the_next_run_knows_the_objects_by_their_ids() -> None:
    labels = labels_of(_17=(2, 2, 12, 12), _5=(2, 20, 12, 40))
    assembly = Assembly(np.zeros(SHAPE, np.uint32))
    assembly.take_up(labels)
    np.testing.assert_array_equal(assembly.labels, labels)
    assert assembly.next_id == 18
    assembly.begin(18)
    found = np.zeros(SHAPE, np.int32)
    found[2:12, 20:30], found[30:35, 2:8] = 1, 2  # one became smaller, one is new, one is gone
    half = Box((0, 0), (40, 30))
    assembly.place((), half, Patch(half, found[:, :30], 2), 0)
    expected = labels_of(_5=(2, 20, 12, 30), _18=(30, 2, 35, 8))
    np.testing.assert_array_equal(assembly.labels, expected)  # also beyond the block


def test_ids_no_model_gives_are_a_person_s() -> None:
    plane = labels_of(_3=(2, 2, 12, 12), _4=(20, 2, 30, 12))
    labels = np.stack([plane, np.where(plane == 3, 3, 0).astype(np.uint32)])
    labels[1, 20:30, 40:50] = PERSONAL + 7
    live = LiveLabels.empty(labels.shape)
    live.assembly.take_up(labels)
    assert set(np.unique(live.assembly.labels)) == {0, 4}
    tracker = ChangeTracker(live)
    for where, box in tracker.blocks():
        tracker.compare(labels, where, box)
    np.testing.assert_array_equal(tracker.recorded > 0, (labels > 0) & (labels != 4))
    classes = Assembly(np.zeros(labels.shape, np.uint32), classes=True)
    classes.take_up(np.where(labels == 3, 3, 0).astype(np.uint32))
    assert set(np.unique(classes.labels)) == {0, 3}  # a class is in any plane


def test_paint_is_recognised_by_its_ids() -> None:
    labels = labels_of(_3=(2, 2, 12, 12), _9=(20, 2, 30, 12))
    painted = np.where(labels == 9, labels, 0).astype(np.uint32)
    painted[35:, :] = BACKGROUND
    assert belongs(painted, labels)
    later = painted.copy()
    later[20:26, 40:50] = 11  # since the labels were saved
    assert belongs(later, labels)
    assert not belongs(np.where(painted == 9, 8, painted), labels)
    assert belongs(np.where(painted == BACKGROUND, painted, 0), labels)
    assert not belongs(np.zeros_like(labels), labels)


def test_what_was_painted_keeps_its_ids() -> None:
    shown = labels_of(_3=(2, 2, 12, 12), _4=(20, 2, 30, 12))
    painted = np.zeros(SHAPE, np.uint32)
    painted[2:12, 10:14] = 3  # a part of it, two columns wider than what was saved
    painted[20:30, 10:12] = BACKGROUND
    live = LiveLabels.empty(SHAPE)
    live.assembly.take_up(shown)
    tracker = ChangeTracker(live)
    put_on_top(tracker, shown, painted)
    for where, box in tracker.blocks():
        tracker.compare(shown, where, box)
    expected = labels_of(_3=(2, 2, 12, 14), _4=(20, 2, 30, 10))
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(tracker.recorded[painted > 0], painted[painted > 0])
    assert not (tracker.recorded == 4).any()


def test_labels_are_copied_and_hold_ids_only() -> None:
    labels = np.array([[0, 7], [-1, 2]], np.int64)
    copy = as_labels(labels)
    assert copy.dtype == np.uint32
    assert copy.tolist() == [[0, 7], [0, 2]]
