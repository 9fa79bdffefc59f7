"""Documents are short, plain, and name files that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_unet"
README = ROOT / "README.md"
DOCUMENTS = sorted([README, ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
README_LINES, SENTENCE_WORDS, PICTURE_BYTES = 150, 25, 250_000

TABLE = re.compile(r"<!-- table: .*?<!-- /table -->", re.DOTALL)
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->")
ADDRESS = re.compile(r"\]\([^)]*\)")
APART = re.compile(r"\s*(?:\||!\[|#|$)")  # tables, pictures, headings, empty lines
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ")
STOP = re.compile(r"(?<=[.!?])[*_)\"]*\s+")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
ROW = re.compile(r"^\| [^|]+ \| (.+?) \|$", re.MULTILINE)
SOURCE = re.compile(r"`([\w/]+\.py)`")


def paragraphs(text: str) -> Iterator[str]:
    """Give running text and the items of lists, without tables, code and addresses."""
    for pattern in (TABLE, CODE, COMMENT):
        text = pattern.sub("", text)
    lines: list[str] = []
    for line in [*ADDRESS.sub("]", text).splitlines(), ""]:
        if APART.match(line) or ITEM.match(line):
            yield " ".join(lines)
            lines = []
        if not APART.match(line):
            lines.append(ITEM.sub("", line).strip())


def words(sentence: str) -> int:
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


def long_sentences(text: str) -> list[str]:
    sentences = [sentence for part in paragraphs(text) for sentence in STOP.split(part)]
    return [sentence for sentence in sentences if words(sentence) > SENTENCE_WORDS]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_sentences_are_short(document: Path) -> None:
    assert long_sentences(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("One two. " * 30, 0),
        ("word " * 26 + ".", 1),
        ("| " + "word " * 26 + " |\n", 0),
        ("- " + "word " * 20 + "\n- " + "word " * 20, 0),
        ("- " + "word " * 20 + "\n  " + "word " * 20, 1),
        ("```\n" + "word " * 26 + "\n```\n", 0),
        ("[" + "word " * 20 + "](a b c d e f g h)", 0),
    ],
)
def test_long_sentences_are_seen(text: str, number: int) -> None:
    assert len(long_sentences(text)) == number


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_pictures_are_there_and_small(document: Path) -> None:
    for name in PICTURE.findall(document.read_text(encoding="utf-8")):
        picture = document.parent / name
        assert picture.is_file(), name
        if picture.parent.name == "screenshots":
            assert picture.stat().st_size <= PICTURE_BYTES, name


def test_where_to_look_names_one_file_in_each_row() -> None:
    text = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    section = text.partition("## Where to look")[2].partition("\n## ")[0]
    rows = [cell for cell in ROW.findall(section) if cell not in {"File", "---"}]
    assert len(rows) >= 8
    assert all(len(SOURCE.findall(cell)) == 1 for cell in rows)


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_source_files_that_are_named_exist(document: Path) -> None:
    named = {n for n in SOURCE.findall(document.read_text(encoding="utf-8")) if "/" in n}
    places = (PACKAGE, ROOT)
    assert [n for n in sorted(named) if not any((p / n).is_file() for p in places)] == []


def test_the_drawing_of_the_data_names_files_that_exist() -> None:
    drawing = (ROOT / "docs" / "data-flow.svg").read_text(encoding="utf-8")
    named = re.findall(r"[\w/]+\.py", drawing)
    assert named
    assert [name for name in named if not (PACKAGE / name).is_file()] == []
