"""The campaigns themselves: the same for the same seed, and a sample of what they try."""

import importlib
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.reliability import odd_inputs
from benchmarks.reliability.campaign import CAMPAIGNS, DOCUMENT, OWN_TABLES, SEED, Tally
from benchmarks.reliability.files.campaign import State
from benchmarks.reliability.files.mutations import damaged
from benchmarks.reliability.files.reading import ORDER, End, Files

CELLS = 30


@pytest.fixture(scope="module")
def files() -> Files:
    return Files(SEED)


def test_every_campaign_can_be_run_and_has_a_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, module in CAMPAIGNS.items():
        assert callable(importlib.import_module(module).run)
        table = name if name in OWN_TABLES else f"reliability-{name}"
        assert f"<!-- table: {table} -->" in text


def test_the_same_seed_damages_the_same_files(files: Files) -> None:
    again = Files(SEED)
    assert [files[n].content for n in range(60)] == [again[n].content for n in range(60)]
    assert [files[n].content for n in range(60)] != [Files(SEED + 1)[n].content for n in range(60)]


def test_every_kind_is_damaged_most_of_the_time(files: Files) -> None:
    same = Counter(
        one.whole.kind
        for one in (files[number] for number in range(400))
        if one.content == one.whole.parts[one.part]
    )
    assert set(ORDER) == {one.kind for one in files.whole}
    assert all(same[kind] < 400 * ORDER.count(kind) / len(ORDER) / 4 for kind in ORDER)


@pytest.mark.parametrize("kind", [*dict.fromkeys(ORDER), "json"])
def test_what_is_no_file_at_all_can_be_damaged(kind: str) -> None:
    for number in range(200):
        chance = Random(number)
        damaged(kind, chance.randbytes(chance.randrange(40)), [b"other"], chance)


def test_what_was_done_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json")
    state.add(bytes([End.RESULT, End.SENTENCE, End.EXCEPTION]))
    again = State(tmp_path / "state.json")
    assert (again.done, again.failed) == (3, {2: End.EXCEPTION})
    again.mend(2)
    assert again.counts["model"] == {End.EXCEPTION: 0, End.MENDED: 1}


def test_a_tally_tells_what_failed() -> None:
    assert Tally(Counter({"results": 3})).told() == "3 results; none failed"
    assert Tally(Counter({"results": 3}), ["one"]).told() == "3 results; **1 failed**"


def test_odd_inputs_give_labels_or_a_sentence(tmp_path: Path) -> None:
    """Other cells each day a test runs would hide what fails: the seed is fixed."""
    matrix, model = odd_inputs.Matrix(SEED + 1), odd_inputs.small_model(tmp_path)
    ends = Counter()
    for number in range(CELLS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of making an array
            ends[odd_inputs.attempt(matrix[number], model, tmp_path)] += 1
    assert ends["results"] > CELLS / 5
    assert ends["sentences"] > CELLS / 5
