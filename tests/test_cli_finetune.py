"""The command ``finetune``: pairs of images and painted labels, and what it says."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet.cli import app
from napari_unet.io.synthetic import nuclei_window


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An image and its painted labels, 16 bit, background painted as 65535."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    image, truth = (np.asarray(a) for a in nuclei_window((0, 0), (160, 160), 160))
    painted = np.where(truth == 0, 65535, truth).astype(np.uint16)
    paths = tmp_path / "a.tif", tmp_path / "a_painted.tif"
    tifffile.imwrite(paths[0], image)
    tifffile.imwrite(paths[1], painted)
    return paths


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["finetune", *(str(a) for a in arguments)])


def test_it_ends_with_a_sentence(pair: tuple[Path, Path]) -> None:
    image, painted = pair
    result = run(
        "--image", image, "--labels", painted, "--name", "mine", "--time", 5,
        "--background", 65535,
    )  # fmt: skip
    assert result.exit_code in (0, 3), result.output
    assert "painted objects" in result.output


def test_files_come_in_pairs(pair: tuple[Path, Path]) -> None:
    result = run("--image", pair[0], "--image", pair[0], "--labels", pair[1], "--name", "mine")
    assert result.exit_code == 1
    assert "pairs" in result.output


def test_too_little_paint_is_one_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.tif"
    tifffile.imwrite(empty, np.zeros((160, 160), np.uint16))
    result = run("--image", pair[0], "--labels", empty, "--name", "mine")
    assert result.exit_code == 1
    assert "Nothing is painted" in result.output
    assert "Traceback" not in result.output
