"""The command ``finetune``: pairs of images and painted labels, and what it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_unet.cli.main import app
from napari_unet.errors import InputError
from napari_unet.image import Image
from napari_unet.labels.painted import as_painted, hold_out, painted_objects, take_whole
from napari_unet.models.library import Model, bundled_models
from napari_unet.network.spec import UNetSpec
from napari_unet.plugin.synthetic_nuclei import nuclei_window
from tests.strategies import random_model


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
    assert "of your objects" in result.output


def test_the_bundled_models_compete_unless_one_is_named(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []

    def finetune(models: list[str | Model], *_: object, **__: object) -> Model:
        begun.append([one.card.name if isinstance(one, Model) else one for one in models])
        raise InputError("enough")

    monkeypatch.setattr("napari_unet.finetuning.finetune", finetune)
    given = ("--image", pair[0], "--labels", pair[1], "--name", "mine")
    for options in ((), ("--parent", "nuclei"), ("--parent", "mine", "--parent", "b.safetensors")):
        assert "enough" in run(*given, *options).output
    bundled = [model.card.name for model in bundled_models()]
    assert begun == [bundled, ["nuclei"], ["mine", "b.safetensors"]]


def test_a_time_that_cannot_be_used_is_one_line(pair: tuple[Path, Path]) -> None:
    result = run("--image", pair[0], "--labels", pair[1], "--name", "mine", "--time", 3)
    assert result.exit_code == 1
    assert "time_limit" in result.output
    assert "Traceback" not in result.output


def test_axes_and_channel_are_those_of_segment(pair: tuple[Path, Path], tmp_path: Path) -> None:
    image = np.stack([tifffile.imread(pair[0])] * 2)
    tifffile.imwrite(tmp_path / "two.tif", image)
    painted = ("--labels", pair[1], "--name", "mine", "--time", 5, "--background", 65535)
    for options, code in ((("--axes", "ZYX"), 1), (("--axes", "CYX", "--channel", 1), 0)):
        result = run("--image", tmp_path / "two.tif", *painted, *options)
        assert result.exit_code in (code, 3 * (1 - code)), result.output
        assert ("shape" in result.output) == bool(code)  # planes need paint of their own


def test_a_channel_of_nuclei(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that of each image, of those in a folder too; who takes none is told so."""
    given: list[Image] = []

    def finetune(_models: object, pairs: list[tuple[Image, object]], **_: object) -> Model:
        given.extend(image for image, _ in pairs)
        raise InputError("enough")

    monkeypatch.setattr("napari_unet.finetuning.finetune", finetune)
    image, folder = np.stack([tifffile.imread(pair[0])] * 2), tmp_path / "folder"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "two.tif", image, metadata={"axes": "CYX"}, ome=True)
    tifffile.imwrite(folder / "b.tif", image, metadata={"axes": "CYX"}, ome=True)
    tifffile.imwrite(folder / "b_mask.tif", np.eye(160, dtype=np.uint16))
    files = ("--image", tmp_path / "two.tif", "--labels", pair[1], "--images", folder)
    options = ("--name", "mine", "--channel", 0, "--nuclei-channel", 1)
    model = random_model(tmp_path, UNetSpec(base_filters=2, depth=2, nuclei=True))
    for parent, told in ((model, False), ("nuclei", True)):
        result = run(*files, *options, "--parent", parent)
        assert "enough" in result.output
        assert ("channel of nuclei is not used" in result.output) == told
    assert [(one.channel, one.nuclei) for one in given] == [(0, 1)] * 4
    result = run(*files, *options, "--class-names", "glass,cell")
    assert result.exit_code == 1
    assert "Leave out one of the two" in result.output


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


@pytest.fixture
def folders(pair: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Two images, and a mask for each; a third has none."""
    images, masks = tmp_path / "fluo", tmp_path / "truth"
    images.mkdir()
    masks.mkdir()
    for number, ending in enumerate(("", "_cp_masks")):
        window = nuclei_window((0, 160 * number), (160, 160), 480)
        image, truth = (np.asarray(array) for array in window)
        tifffile.imwrite(images / f"w{number}.tif", image)
        tifffile.imwrite(masks / f"w{number}{ending}.tif", truth.astype(np.uint16))
    tifffile.imwrite(images / "w2.tif", image)
    return images, masks


def test_a_folder_of_images_and_masks(
    pair: tuple[Path, Path], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, masks = folders
    again = images / "w1.tif"  # with its own labels, it is not trained on twice
    result = run(
        "--images", images, "--masks", masks, "--name", "mine", "--time", 5,
        "--image", pair[0], "--labels", pair[1], "--image", again, "--labels", pair[1],
        "--background", 65535,
    )  # fmt: skip
    assert result.exit_code in (0, 3), result.output
    assert "1 image with its mask from" in result.output
    assert "no mask for them: w2.tif" in result.output
    painted = [as_painted(tifffile.imread(p), background=65535) for p in (pair[1], pair[1])]
    painted.append(take_whole(tifffile.imread(masks / "w0.tif")))
    objects = [
        replace(o, plane=(number,)) for number, p in enumerate(painted) for o in painted_objects(p)
    ]
    _, held = hold_out(objects)
    assert f"with {len(held)} of your objects, held out" in result.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"--masks"}, "Give their folder as --images"),
        ({"--images"}, "Give their folder as --masks"),
        (set(), "nothing to learn from"),
    ],
)
def test_a_folder_alone_is_one_line(folders: tuple[Path, Path], given: set[str], said: str) -> None:
    options = dict(zip(("--images", "--masks"), folders, strict=True))
    arguments = [part for name in sorted(given) for part in (name, options[name])]
    result = run(*arguments, "--name", "mine")
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_mask_that_does_not_fit_is_one_line(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    tifffile.imwrite(masks / "w0.tif", np.ones((80, 80), np.uint16))
    result = run("--images", images, "--masks", masks, "--name", "mine")
    assert result.exit_code == 1
    assert "w0.tif has the shape (80, 80)" in result.output
    tifffile.imwrite(masks / "w7.tif", np.ones((80, 80), np.uint16))
    result = run("--images", images, "--masks", masks, "--name", "mine")
    assert "no image for the mask w7.tif" in result.output


def test_a_mask_without_numbers_is_one_line(pair: tuple[Path, Path], tmp_path: Path) -> None:
    binary = tmp_path / "binary.tif"
    truth = np.zeros((160, 160), np.uint8)
    truth[20:40, 20:40] = truth[80:100, 80:100] = 1
    tifffile.imwrite(binary, truth)
    result = run("--image", pair[0], "--labels", binary, "--whole", "--name", "mine")
    assert result.exit_code == 1
    assert "in 2 separate places" in result.output
