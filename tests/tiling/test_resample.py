"""Resampling: weights, mirroring, and values that do not depend on the window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.tiling.resample import axis_taps, mirror, resample
from tests.strategies import intervals

lengths = st.integers(1, 60)


@given(st.integers(1, 20), st.integers(0, 100), st.integers(0, 100))
def test_mirror_is_reflection_as_numpy_pads(length: int, before: int, after: int) -> None:
    values = np.arange(length)
    mode = "reflect" if length > 1 else "edge"
    expected = np.pad(values, (before, after), mode=mode)
    assert (mirror(np.arange(-before, length + after), length) == expected).all()


@given(lengths, lengths, intervals(low=-80, high=140))
def test_weights_sum_to_one_and_indices_stay_inside(
    target: int, source: int, interval: tuple[int, int]
) -> None:
    taps = axis_taps(interval, target, source)
    assert np.allclose(taps.weights.sum(axis=1, dtype=np.float64), 1, atol=1e-6)
    assert (taps.weights >= 0).all()
    start, stop = taps.support
    assert 0 <= start < stop <= source


@given(lengths)
def test_equal_grids_copy(length: int) -> None:
    values = np.random.default_rng(0).random((1, length, 3)).astype(np.float32)
    same = resample(values, (0, 0), axis_taps((0, length), length, length), axis_taps((0, 3), 3, 3))
    assert (same == values).all()


def reference(values: np.ndarray, position: int, target: int) -> float:
    """One target pixel by the definition: a triangle as wide as the coarser pixel."""
    source = len(values)
    step = source / target
    reach, centre = max(1.0, step), (position + 0.5) * step - 0.5
    near = range(int(np.floor(centre - reach)) - 1, int(np.ceil(centre + reach)) + 2)
    weights = np.array([max(0.0, 1 - abs(i - centre) / reach) for i in near])
    return float(weights @ values[np.clip(near, 0, source - 1)] / weights.sum())


@given(lengths, lengths, st.integers(0, 99))
def test_values_are_those_of_the_definition(target: int, source: int, seed: int) -> None:
    values = np.random.default_rng(seed).random(source)
    taps = axis_taps((0, target), target, source)
    found = (values[taps.indices] * taps.weights).sum(axis=1)
    assert np.allclose(found, [reference(values, i, target) for i in range(target)], atol=1e-5)


@given(lengths, lengths, st.data())
def test_a_value_does_not_depend_on_the_window(
    target: int, source: int, data: st.DataObject
) -> None:
    image = np.random.default_rng(1).random((2, source, source)).astype(np.float32)
    every = axis_taps((-5, target + 5), target, source)
    whole = resample(image, (0, 0), every, every)
    y, x = (data.draw(intervals(low=-5, high=target + 5)) for _ in "yx")
    rows, columns = axis_taps(y, target, source), axis_taps(x, target, source)
    (y0, y1), (x0, x1) = rows.support, columns.support
    part = resample(image[:, y0:y1, x0:x1], (y0, x0), rows, columns)
    assert (part == whole[:, y[0] + 5 : y[1] + 5, x[0] + 5 : x[1] + 5]).all()


@pytest.mark.parametrize(("target", "source"), [(7, 40), (40, 7), (1, 9), (9, 1)])
def test_a_constant_stays_constant(target: int, source: int) -> None:
    taps = axis_taps((-3, target + 3), target, source)
    image = np.full((1, source, source), 0.7, np.float32)
    assert np.allclose(resample(image, (0, 0), taps, taps), 0.7, atol=1e-6)
