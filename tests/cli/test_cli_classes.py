"""The command ``finetune`` where the labels hold classes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet.cli.main import app
from napari_unet.models.card import read_card
from napari_unet.models.library import model_files
from napari_unet.network.outputs import Kind


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A colour image and strokes of two classes and of background."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path / "data")
    truth = np.repeat(np.arange(3), 32)[None].repeat(96, 0)
    colours = np.array([[60, 60, 60], [200, 40, 40], [40, 40, 200]], np.uint8)
    painted = np.zeros(truth.shape, np.uint16)
    for row in range(6, 90, 11):
        for column, value in ((8, 65535), (40, 1), (72, 2)):
            painted[row : row + 6, column : column + 16] = value
    paths = tmp_path / "tissue.tif", tmp_path / "painted.tif"
    tifffile.imwrite(paths[0], colours[truth], photometric="rgb")
    tifffile.imwrite(paths[1], painted)
    return paths


def run(pair: tuple[Path, Path], names: str) -> Result:
    options = ["--name", "tissue", "--time", "20", "--background", "65535", "--class-names", names]
    files = ["--image", str(pair[0]), "--labels", str(pair[1])]
    return CliRunner().invoke(app, ["finetune", *files, *options])


def test_a_model_of_the_classes_named(pair: tuple[Path, Path]) -> None:
    result = run(pair, "glass, stroma, nuclei")
    assert result.exit_code == 0, result.output
    card = read_card(model_files()["tissue"])
    assert card.kind == Kind.CLASSES
    assert card.class_names == ("glass", "stroma", "nuclei")
    assert card.spec.in_channels == card.spec.classes == 3


def test_a_class_without_a_name_is_one_line(pair: tuple[Path, Path]) -> None:
    result = run(pair, "glass,stroma")
    assert result.exit_code == 1
    assert "Name every class" in result.output
    assert "Traceback" not in result.output


def test_masks_of_a_folder_may_hold_one_class_in_many_places(pair: tuple[Path, Path]) -> None:
    images, masks = pair[0].parent / "images", pair[0].parent / "masks"
    for folder, file in ((images, pair[0]), (masks, pair[1])):
        folder.mkdir()
        file.rename(folder / "tissue.tif")
    mask = tifffile.imread(masks / "tissue.tif")
    tifffile.imwrite(masks / "tissue.tif", np.where(mask == 1, np.uint8(1), np.uint8(0)))
    options = ["--name", "tissue", "--time", "5", "--class-names", "glass,stroma"]
    files = ["--images", str(images), "--masks", str(masks)]
    result = CliRunner().invoke(app, ["finetune", *files, *options])
    assert result.exit_code in (0, 3), result.output
