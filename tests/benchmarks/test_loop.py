"""Pictures of the loop: what is painted, and that made-up images look as they are called."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import regionprops

from benchmarks.loop import MADE_UP, RIGHT, is_found, remark, strokes


def squares() -> NDArray[np.int32]:
    """Nine objects that are whole, and one that the rim cuts."""
    cells = np.zeros((100, 100), np.int32)
    for number in range(9):
        y, x = 10 + 30 * (number // 3), 10 + 30 * (number % 3)
        cells[y : y + 10, x : x + 10] = number + 1
    cells[:10, :10] = 10
    return cells


def test_cells_that_were_found_badly_are_painted_first() -> None:
    cells = squares()
    found = np.where(np.isin(cells, (2, 5, 7)), 0, cells)
    painted, background = strokes(cells, found, 3)
    assert set(np.unique(painted)) == {0, 2, 5, 7}
    assert background.any()
    assert not (background & (cells > 0)).any()


def test_others_follow_but_none_at_the_rim() -> None:
    painted, _ = strokes(squares(), np.zeros((100, 100), np.int32), 20)
    assert set(np.unique(painted)) == set(range(10))


def test_a_cell_is_found_by_one_object() -> None:
    cells = squares()
    halves = np.where(np.arange(100) % 30 < 15, cells, 0)
    assert is_found(cells == 1, cells, RIGHT)
    assert not is_found(cells == 1, halves, RIGHT)
    said = remark(cells, np.zeros_like(cells), cells)
    assert said == "Of 10 cells that were not painted, 0 were found, then 10."


@pytest.mark.parametrize(
    ("kind", "covered", "longer"), [("membranes", 0.95, 1), ("phase", 0.4, 1.8), ("bacteria", 0, 2)]
)
def test_made_up_cells_are_a_sheet_or_long(kind: str, covered: float, longer: float) -> None:
    made = MADE_UP[kind]()
    shapes = regionprops(made.labels)
    ratios = [p.axis_major_length / max(1.0, p.axis_minor_length) for p in shapes]
    assert len(shapes) > 30
    assert (made.labels > 0).mean() > covered
    assert np.median(ratios) > longer
