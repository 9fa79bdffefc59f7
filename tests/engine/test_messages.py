"""Suggestions as messages: they arrive as they were sent, through the real pipe format."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.active_learning.suggest import UncertainRegion
from napari_unet.engine.messages import from_message, to_message
from napari_unet.engine.protocol import Message, read_message, write_message
from napari_unet.execution.orders import Rank, Ranked, Suggest
from napari_unet.image import Box

whole = st.integers(0, 2**40)
real = st.floats(allow_nan=False, allow_infinity=False)
boxes = st.tuples(st.tuples(whole, whole), st.tuples(whole, whole)).map(lambda b: Box(*b))
regions = st.builds(
    UncertainRegion,
    boxes,
    st.tuples(real, real),
    real,
    st.lists(whole, max_size=3).map(tuple),
    st.tuples(real, real, real),
)


def sent(message: Message) -> Message:
    """A message after its way through a pipe."""
    pipe = io.BytesIO()
    write_message(pipe, *message)
    pipe.seek(0)
    arrived = read_message(pipe)
    assert arrived is not None
    return arrived


@pytest.mark.parametrize("shape", [(0, 0), (3, 5), (1, 400)])
def test_suggest_carries_what_is_painted(shape: tuple[int, int]) -> None:
    painted = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8) % 2
    task = from_message(sent(to_message(Suggest((3, 7), painted))))
    assert isinstance(task, Suggest)
    assert task.key == (3, 7)
    assert task.array.dtype == np.uint8
    np.testing.assert_array_equal(task.array, painted)


def test_suggest_takes_a_part_of_an_array() -> None:
    painted = np.eye(8, dtype=np.uint8)[::2, 1::3]
    task = from_message(sent(to_message(Suggest((0, 0), painted))))
    assert isinstance(task, Suggest)
    np.testing.assert_array_equal(task.array, painted)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_rank_survives(count: int) -> None:
    assert from_message(sent(to_message(Rank(count)))) == Rank(count)


@given(st.lists(regions, max_size=6))
def test_ranked_spots_survive_exactly_and_in_order(found: list[UncertainRegion]) -> None:
    done = Ranked(tuple(found))
    assert from_message(sent(to_message(done))) == done
