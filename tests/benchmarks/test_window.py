"""Random actions are the same for the same seed, and how a window ended is told in short."""

from pathlib import Path

from benchmarks.reliability.window.campaign import WEIGHTS, Outcome, actions_of, read_log


def test_a_log_holds_the_actions_of_its_seed(tmp_path: Path):
    actions = actions_of(2, 60)
    assert actions == actions_of(2, 60) != actions_of(3, 60)
    log = tmp_path / "log.txt"
    log.write_text("\n".join([*actions, "close 0"]))
    assert read_log(log) == actions


def test_each_action_that_is_drawn_is_there():
    source = Path("benchmarks/reliability/window/actions.py").read_text(encoding="utf-8")
    assert [n for n in WEIGHTS if f"def do_{n}(" not in source and f"do_{n} =" not in source] == []


def test_the_same_fault_has_the_same_name():
    assert Outcome(0, "a 1\nclose 0\n", "", 1.0).kind == "in order"
    assert Outcome(-11, "a 1\n", "Fatal Python error", 1.0).kind == "SIGSEGV"
    told = "Traceback\n  File x\nValueError: it is too long\n local = True\n"
    assert Outcome(3, "a 1\nb 2\n", told, 1.0).kind == "ValueError: it is too long"
    assert Outcome(3, "a 1\nb 2\n", told, 1.0).last == "b 2"
