"""What the documents show can be typed as it stands, and what they link to is there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import tifffile
import typer
from typer.testing import CliRunner

from napari_unet.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{p}.md" for p in ("command-line", "exports", "library")),
]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sample_data/*.md")])
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#\s]+)")


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language in the pages that show code."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder to type in, with the sample data where a clone has them."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(clone: Path, code: str) -> None:
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})


def test_command_lines_run(clone: Path) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) >= 3
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "napari-unet"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{line}: {done.output}"
    assert tifffile.imread(clone / "labels" / "nuclei_labels.tif").max() > 40
    assert (clone / "labels" / "nuclei_objects.csv").read_text().startswith("label,")


def test_options_that_are_shown_are_those_of_the_command_line() -> None:
    shown = set(re.findall(r"^\| `(--[a-z-]+)` \|", TEXT, re.MULTILINE))
    command = next(c for c in app.registered_commands if c.callback.__name__ == "segment")
    options = typer.main.get_command_from_info(
        command, pretty_exceptions_short=True, rich_markup_mode=None
    ).params
    assert shown == {one.opts[0] for one in options if one.param_type_name == "option"} - {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
