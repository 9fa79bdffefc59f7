"""Sources left out once: which groups are trained on, and what the table says."""

import pytest

from benchmarks.left_out import CHANNEL, EVERY, SOURCES, shares_without, table
from scripts.base_recipe import CELLS


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_of_a_source_is_trained_on_when_it_is_left_out(source: str) -> None:
    shares = shares_without(source)
    assert all(shares[group] == 0 for group in SOURCES[source])
    assert sum(shares.values()) == pytest.approx(1)
    # the samples on disk are the same
    assert shares.keys() == CELLS.shares.keys()


def test_nothing_left_out_is_the_recipe() -> None:
    assert shares_without(EVERY) == pytest.approx(CELLS.shares)


def test_the_table_sets_a_source_seen_beside_the_same_source_unseen() -> None:
    scores = {s: {"images": 2, "ap": [0.8, 0.6, 0.4]} for s in SOURCES}
    unseen = {**scores, "tnbc": {"images": 2, "ap": [0.5, 0.3, 0.1]}}
    rows = [{"without": EVERY, "scores": scores}, {"without": "tnbc", "scores": unseen}]
    assert table(rows) == [
        ["tnbc", "2", "0.80 0.60 0.40", "0.50 0.30 0.10", ""],
        ["mean", "", "0.80 0.60 0.40", "0.50 0.30 0.10", ""],
    ]
    assert table(rows[1:]) == []
    rows.append({"without": CHANNEL, "scores": unseen})
    assert table(rows)[0][-1] == "0.50 0.30 0.10"
