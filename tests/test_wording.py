"""Nobody reads of "1 objects"."""

import re
from pathlib import Path

import pytest

from napari_unet.wording import counted, listed

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_unet"
PLURAL = re.compile(r"""(['"])s?\1 if [^\n]*== 1 else|['"]s['"] if """)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "no objects"),
        (1, "1 object"),
        (1.0, "1 object"),
        (1.5, "1.5 objects"),
        (2, "2 objects"),
        (1234567, "1234567 objects"),
    ],
)
def test_one_and_none_and_several(number, told):
    assert counted(number, "object") == told


def test_another_plural():
    assert counted(2, "class", "classes") == "2 classes"
    assert counted(1, "class", "classes") == "1 class"


def test_nobody_else_makes_a_plural():
    own = [path for path in PACKAGE.rglob("*.py") if PLURAL.search(path.read_text("utf-8"))]
    assert own == []


def test_things_are_listed_as_one_would_say_them() -> None:
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed(["small ones", "faint ones"], "or") == "small ones or faint ones"
