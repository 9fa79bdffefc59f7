"""The fastest way is found, kept for the next start, and never asked for twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.inference.fastest import ROUNDS, Fastest

WAYS = (8, 4, 16)


def work(choice: Fastest, seconds: dict[int, float], pieces: int) -> list[int]:
    """Do pieces of work that take as long as they are said to."""
    done = []
    for _ in range(pieces):
        way = choice.pick()
        choice.took(way, seconds[way])
        done.append(way)
    return done


@given(st.permutations([1.0, 2.0, 3.0]))
def test_the_fastest_is_used_after_every_way_was_tried(times: list[float]) -> None:
    choice = Fastest(WAYS, "this", Path(__file__) / "no-folder.json")
    seconds = dict(zip(WAYS, times, strict=True))
    tried = work(choice, seconds, len(WAYS) * ROUNDS)
    assert sorted(tried) == sorted(WAYS * ROUNDS)
    assert set(work(choice, seconds, 5)) == {min(WAYS, key=lambda way: seconds[way])}


def test_one_slow_piece_does_not_decide(tmp_path: Path) -> None:
    choice = Fastest(WAYS, "this", tmp_path / "fastest.json")
    for piece in range(len(WAYS) * ROUNDS):
        way = choice.pick()
        busy = piece == 0  # the computer does something else
        choice.took(way, 9.0 if busy else {8: 1.0, 4: 2.0, 16: 3.0}[way])
    assert choice.chosen == WAYS[0]


def test_it_is_remembered_beside_others(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "fastest.json"
    for key, best in (("this", 4), ("other", 16)):
        work(Fastest(WAYS, key, file), {w: float(w != best) for w in WAYS}, len(WAYS) * ROUNDS)
    assert Fastest(WAYS, "this", file).pick() == 4
    assert Fastest(WAYS, "other", file).pick() == 16
    assert Fastest(WAYS, "third", file).chosen is None


def test_where_there_is_one_way_nothing_is_measured_or_written(tmp_path: Path) -> None:
    file = tmp_path / "fastest.json"
    assert work(Fastest((8,), "this", file), {8: 1.0}, ROUNDS + 1) == [8] * (ROUNDS + 1)
    assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"this": 5}', b'{"this": "4"}', b"\xff"])
def test_what_cannot_be_a_choice_is_measured_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "fastest.json"
    file.write_bytes(content)
    choice = Fastest(WAYS, "this", file)
    assert choice.chosen is None
    work(choice, {8: 1.0, 4: 2.0, 16: 3.0}, len(WAYS) * ROUNDS)
    assert Fastest(WAYS, "this", file).chosen == 8
