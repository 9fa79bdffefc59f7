"""The table of waiting times says how it was made."""

from benchmarks.responsiveness import Goal, Row, typed


def test_the_command_is_the_one_that_was_typed() -> None:
    assert typed([]) == "python -m benchmarks.responsiveness"
    assert (
        typed(["--repeats", "3", "--sides", "2048", "4096", "--virtual"])
        == "python -m benchmarks.responsiveness --repeats 3 --sides 2048 4096"
    )


def test_a_goal_is_met_or_not() -> None:
    seconds = [0.001] * 90 + [0.2] * 10
    cells = Row("lag", seconds, Goal("p99", 0.05), milliseconds=True).cells()
    assert cells == ["lag", "100", "1.0", "200.0", "200.0", "200.0", "ms", "p99 ≤ 50 ms", "**no**"]
    assert Row("lag", seconds, Goal("p50", 0.05)).cells()[-2:] == ["p50 ≤ 0.05 s", "yes"]
