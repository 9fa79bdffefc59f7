"""Figures in prose are the ones that benchmarks measured; the README shows none beside them."""

from pathlib import Path

import pytest

from benchmarks.common.tables import differences, documents, read_tables, update, write_table

TEXT = "# T\n\n<!-- table: speed -->\n<!-- /table -->\n\nAfter.\n"
FIGURE = "Takes <!-- figure: speed / first run / p95 -->{}<!-- /figure --> s.\n"
HEADER = ["case", "p95", "n"]
ROWS = [["first run", "0.346 (0.30–0.40)", "12"], ["second", "–", "3"]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "speed.md"
    path.write_text(TEXT, encoding="utf-8")
    write_table(path, "speed", HEADER, ROWS, command="python -m benchmarks.speed")
    return path


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    return tmp_path / "README.md"


def test_figures_agree_with_the_tables() -> None:
    assert differences(documents()) == []


def test_markers_are_whole() -> None:
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for kind in ("table", "figure"):
            assert text.count(f"<!-- {kind}: ") == text.count(f"<!-- /{kind} -->"), path.name


def test_a_table_says_how_it_was_measured(table: Path) -> None:
    text = table.read_text(encoding="utf-8")
    assert text.startswith("# T\n")
    assert text.endswith("\nAfter.\n")
    for part in ("`python -m benchmarks.speed`", "commit ", " cores, ", " GB"):
        assert part in text


def test_writing_again_replaces(table: Path) -> None:
    write_table(table, "speed", HEADER, [["first run", "0.5", "1"]], command="x")
    assert set(read_tables([table])["speed"].values()) == {"first run", "0.5", "1"}


@pytest.mark.parametrize("shown", ["0.346", "0.35", "0.3"])
def test_rounded_figures_agree(table: Path, prose: Path, shown: str) -> None:
    prose.write_text(FIGURE.format(shown), encoding="utf-8")
    assert differences([table, prose]) == []


@pytest.mark.parametrize("shown", ["0.345", "0.34", "0.4", "0.3460", "", "fast"])
def test_wrong_figures_are_found_and_updated(table: Path, prose: Path, shown: str) -> None:
    prose.write_text(FIGURE.format(shown), encoding="utf-8")
    [wrong] = differences([table, prose])
    assert wrong.shown == shown
    update([table, prose])
    assert differences([table, prose]) == []


@pytest.mark.parametrize("address", ["speed / third / p95", "speed / second / p95", "size / a / b"])
def test_figures_without_a_measurement_are_found(table: Path, prose: Path, address: str) -> None:
    prose.write_text(f"<!-- figure: {address} -->1.0<!-- /figure -->", encoding="utf-8")
    [wrong] = differences([table, prose])
    assert wrong.expected is None


def test_a_table_needs_its_place(table: Path) -> None:
    with pytest.raises(ValueError, match="marked"):
        write_table(table, "size", HEADER, ROWS, command="x")


def test_rows_need_names_of_their_own(table: Path) -> None:
    with pytest.raises(ValueError, match="different names"):
        write_table(table, "speed", HEADER, [ROWS[0], ROWS[0]], command="x")
