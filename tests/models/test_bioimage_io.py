"""Packages of BioImage.IO, run by bioimageio.core itself; skipped where that is not installed."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_unet.cli.main import app
from napari_unet.intensity import normalise, percentiles
from napari_unet.models.weights import load_model
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import activated
from tests.strategies import random_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SPECS = {
    "objects": UNetSpec(base_filters=2, depth=2),
    "with nuclei": UNetSpec(base_filters=2, depth=2, nuclei=True),
    "classes": UNetSpec(in_channels=3, classes=4, distance=False, base_filters=2, depth=2),
    "paper": UNetSpec(base_filters=2, depth=2, variant="paper", up_kernel=2),
}


def run(*arguments: object):
    return CliRunner().invoke(app, ["models", "export", *(str(a) for a in arguments)])


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_package_computes_what_the_model_does(spec: UNetSpec, tmp_path: Path) -> None:
    core = pytest.importorskip("bioimageio.core")
    names = ("background", "a", "b", "c")[: spec.classes]
    model = random_model(tmp_path, spec, licence="BSD-3-Clause", class_names=names)
    package = tmp_path / "package.zip"
    result = run(model, "--bioimageio", package, "--author", "A. Person")
    assert result.exit_code == 0, result.output
    assert core.test_model(package).status == "passed"
    described = core.load_model_description(package)
    assert str(described.license) == "BSD-3-Clause"
    assert described.authors[0].name == "A. Person"
    assert described.cite[0].doi == "10.1007/978-3-319-24574-4_28"
    sides = [spec.next_valid_length(least) for least in (100, 150)]  # not those of the test input
    image = np.random.default_rng(0).normal(100, 20, (spec.in_channels, *sides)).astype("float32")
    found = core.predict(model=package, inputs={"image": image[None]})
    network, _ = load_model(model)
    scaled = np.stack([normalise(one, percentiles(one)) for one in image])
    with torch.inference_mode():
        wanted = activated(network(torch.from_numpy(scaled)[None]), spec).numpy()
    maps = found.members["maps"].data.to_numpy()
    inner = (..., *[slice(spec.halo, -spec.halo)] * 2)  # at borders bioimageio.core pads
    np.testing.assert_allclose(maps[inner], wanted[inner], atol=0.02)  # as do its percentiles


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("bioimageio.core")
    package = tmp_path / "package.zip"
    package.write_bytes(b"precious")
    result = run(random_model(tmp_path), "--bioimageio", package)
    assert result.exit_code == 1
    assert package.read_bytes() == b"precious"


def test_a_package_that_fails_its_test_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bioimageio.core")
    from napari_unet.models.bioimage_io import export

    monkeypatch.setattr(export, "_scaled", lambda image: image / 1000)
    result = run(random_model(tmp_path), "--bioimageio", tmp_path / "package.zip")
    assert result.exit_code == 1
    assert "failed the test" in result.output
    assert not (tmp_path / "package.zip").exists()


def test_without_the_extra_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bioimageio", None)
    monkeypatch.setitem(sys.modules, "bioimageio.core", None)
    result = run("nuclei", "--bioimageio", tmp_path / "package.zip")
    assert result.exit_code == 1
    assert "extra 'bioimageio'" in result.output
    assert run("nuclei").exit_code == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuclei", "cells", "cells-phase"])
def test_bundled_models(name: str, tmp_path: Path) -> None:
    core = pytest.importorskip("bioimageio.core")
    result = run(name, "--bioimageio", tmp_path / "package.zip")
    assert result.exit_code == 0, result.output
    assert core.test_model(tmp_path / "package.zip").status == "passed"
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        assert "# Validation" in package.read("README.md").decode()
