"""Packages of BioImage.IO into the library: our own ones again, and those of other programs."""

import socket
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy import ndimage
from torch import nn
from typer.testing import CliRunner

from napari_unet import segment
from napari_unet.cli.main import app
from napari_unet.errors import ModelError
from napari_unet.models.bioimage_io import importing
from napari_unet.models.bioimage_io.importing import import_package
from napari_unet.models.card import read_card, sha256_of
from napari_unet.models.library import load_model
from napari_unet.settings import DecodeSettings
from tests.bioimage_packages import SIDE, Edges, blobs, fields_04, fields_05, package, scaled
from tests.strategies import random_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A library of its own, and no network: nothing here may ask for any."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("napari_unet.models.library.user_folder", lambda: tmp_path / "models")
    monkeypatch.setattr("napari_unet.models.store.user_folder", lambda: tmp_path / "models")


def imported(path: Path, *outputs: str) -> Path:
    pytest.importorskip("bioimageio.spec")
    return import_package(path, outputs)


def test_our_own_package_is_our_model_again(tmp_path: Path) -> None:
    pytest.importorskip("bioimageio.core")
    model = random_model(tmp_path, licence="CC0-1.0")
    file = tmp_path / "package.zip"
    run = CliRunner().invoke(app, ["models", "export", str(model), "--bioimageio", str(file)])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["models", "import", str(file)])
    assert run.exit_code == 0, run.output
    made = load_model(tmp_path / "models" / "random.safetensors")
    assert made.sha == sha256_of(model)
    image = np.random.default_rng(0).normal(100, 20, (90, 110))
    one, other = (segment(image, m, diameter=20).labels for m in (model, made))
    assert one.any()
    np.testing.assert_array_equal(one, other)


def test_our_network_gives_the_same_labels_as_others_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bioimageio.core")
    monkeypatch.setitem(importing.RANGES, "distance", 9)  # the weights are random
    model, file = random_model(tmp_path), tmp_path / "package.zip"
    run = CliRunner().invoke(app, ["models", "export", str(model), "--bioimageio", str(file)])
    assert run.exit_code == 0, run.output
    with zipfile.ZipFile(file) as ours, zipfile.ZipFile(tmp_path / "bare.zip", "w") as bare:
        for name in ours.namelist():
            fields = yaml.safe_load(ours.read(name)) if name == "rdf.yaml" else None
            if fields is not None:  # without the model's own file, which tells thresholds
                del fields["config"], fields["attachments"]
            bare.writestr(name, yaml.safe_dump(fields) if fields else ours.read(name))
    made = import_package(tmp_path / "bare.zip")
    assert read_card(made).spec.parts == ("background", "foreground", "boundary", "distance")
    image = np.random.default_rng(0).normal(100, 20, (90, 110))
    options = {"diameter": 20, "decode": DecodeSettings(), "precision": "float32"}
    one, other = (segment(image, m, **options).labels for m in (model, made))
    assert one.any()
    np.testing.assert_array_equal(one, other)


FORMATS = {
    "0.4": (fields_04, ("foreground", "boundary")),
    "0.5": (lambda: fields_05(["foreground", "boundary"]), ()),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_foreground_and_boundary_make_objects(kind: str, tmp_path: Path) -> None:
    fields, outputs = FORMATS[kind]
    made = imported(package(tmp_path / "edges.zip", fields()), *outputs)
    card = read_card(made)
    assert made.stem == "edges of blobs"
    assert card.licence == "CC-BY-4.0"
    assert card.description == "Bright blobs. By A. Person."
    assert 12 <= card.object_diameter <= 20  # the blobs of its test
    image, count = blobs((333, 301), seed=1)
    labels = segment(image, made).labels
    assert len(np.unique(labels)) - 1 == count
    truth, _ = ndimage.label(image > 600)
    assert ((labels > 0) == (truth > 0)).mean() > 0.98
    tiles = segment(image, made, tile=64).labels
    assert ((labels > 0) == (tiles > 0)).all()
    assert len(np.unique(tiles)) - 1 == count


def test_the_command_imports_and_a_folder_is_a_package_too(tmp_path: Path) -> None:
    pytest.importorskip("bioimageio.spec")
    file = package(tmp_path / "edges.zip", fields_04())
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "folder")
    for path in (tmp_path / "folder", tmp_path / "folder" / "rdf.yaml", file):
        run = CliRunner().invoke(app, ["models", "import", str(path)])
        assert run.exit_code == 1
        assert "channel0, channel1" in run.output
        asked = ["models", "import", str(path), "--outputs", "foreground, boundary"]
        run = CliRunner().invoke(app, asked)
        assert run.exit_code == 0, run.output
    shown = CliRunner().invoke(app, ["models", "show", "edges of blobs"])
    assert "TorchScript from BioImage.IO" in shown.output


def test_a_package_of_the_older_format_is_a_model_too(tmp_path: Path) -> None:
    fields = fields_04(format_version="0.3.6")
    fields["weights"] = {"pytorch_script": fields["weights"]["torchscript"]}
    file = package(tmp_path / "old.zip", fields)
    made = imported(file, "foreground", "boundary")
    image, count = blobs((100, 130), seed=2)
    assert len(np.unique(segment(image, made).labels)) - 1 == count


OTHERS: dict[str, tuple[dict[str, Any], nn.Module, tuple[str, ...]]] = {
    "fixed size": (
        fields_05(["fg", "boundary"], size=SIDE), Edges(), ()
    ),
    "valid convolutions": (
        fields_05(
            ["fg", "boundary"], halo=None,
            output_size=lambda one: {"tensor_id": "raw", "axis_id": one, "offset": -2},
        ), Edges(valid=True), (),
    ),
    "logits and sigmoid": (
        fields_05(["foreground", "border"], output={"postprocessing": [{"id": "sigmoid"}]}),
        Edges(logits=True), (),
    ),
    "boundary first": (fields_05(["a", "b"]), Edges(order="bf"), ("boundary", "foreground")),
    "foreground only": (fields_05(["nuclei"]), Edges(order="f"), ()),
    "distance": (fields_05(["cells", "distance"]), Edges(order="ff"), ()),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_make_the_same_objects(kind: str, tmp_path: Path) -> None:
    fields, network, outputs = OTHERS[kind]
    output = None
    if "postprocessing" in fields["outputs"][0]:
        output = Edges()(torch.from_numpy(scaled(blobs()[0][None, None]))).numpy()
    file = package(tmp_path / "edges.zip", fields, network, output=output)
    made = imported(file, *outputs)
    image, count = blobs((210, 301), seed=2)
    for tile in (64, 512):
        labels = segment(image, made, tile=tile).labels
        assert len(np.unique(labels)) - 1 == count
        assert ((labels > 0) == (image > 600)).mean() > 0.97


def test_mean_and_deviation_scale_an_image(tmp_path: Path) -> None:
    steps = [
        {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}},
        {"id": "scale_linear", "kwargs": {"gain": 0.5, "offset": 0.3}},
        {"id": "clip", "kwargs": {"min": -1, "max": 2}},
    ]
    image = blobs()[0][None, None]
    given = np.clip((image - image.mean()) / image.std() * 0.5 + 0.3, -1, 2)
    output = Edges()(torch.from_numpy(given.astype(np.float32))).numpy()
    fields = fields_05(["foreground", "boundary"], image={"preprocessing": steps})
    made = imported(package(tmp_path / "edges.zip", fields, output=output))
    other, count = blobs((150, 190), seed=3)
    assert len(np.unique(segment(other, made).labels)) - 1 == count


def test_classes_get_their_names(tmp_path: Path) -> None:
    fields = fields_05(["background", "bright things"])
    made = imported(package(tmp_path / "edges.zip", fields, Edges(order="gf")))
    card = read_card(made)
    assert not card.finds_objects
    assert card.class_names == ("background", "bright things")
    image, _ = blobs((150, 190), seed=3)
    np.testing.assert_array_equal(segment(image, made).labels > 0, scaled(image) > 0.5)


def test_colour_goes_in_as_three_channels(tmp_path: Path) -> None:
    grey = blobs()[0]
    image = np.stack([grey, grey, grey / 2])[None]
    fields = fields_05(["foreground", "boundary"], channels=3)
    made = imported(package(tmp_path / "edges.zip", fields, image=image))
    picture = (np.stack([grey, grey, grey / 2], axis=-1) / 5).astype(np.uint8)
    labels = segment(picture, made).labels
    assert len(np.unique(labels)) - 1 == blobs()[1]


def two_inputs() -> dict[str, Any]:
    fields = fields_05(["foreground"])
    second = {**fields["inputs"][0], "id": "second", "preprocessing": []}
    return {**fields, "inputs": [fields["inputs"][0], second]}


def in_three_dimensions() -> dict[str, Any]:
    fields = fields_05(["foreground"])
    for tensor in (fields["inputs"][0], fields["outputs"][0]):
        size = {"min": 8, "step": 8}
        if tensor["id"] == "maps":
            size = {"tensor_id": "raw", "axis_id": "z"}
        tensor["axes"].insert(2, {"type": "space", "id": "z", "size": size})
    return fields


def with_source() -> dict[str, Any]:
    state = {
        "source": "weights.pt", "sha256": "0" * 64, "pytorch_version": "2.4",
        "architecture": {"callable": "Evil", "source": "evil.py", "sha256": "0" * 64},
    }  # fmt: skip
    return fields_05(["foreground"], weights={"pytorch_state_dict": state})


STARDIST = [{"id": "custom_thing", "kwargs": {}}]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two inputs": (two_inputs(), "2 inputs (raw, second)"),
    "volumes": (in_three_dimensions(), "axes batch, channel, z, y, x"),
    "python source": (with_source(), "weights are pytorch_state_dict"),
    "onnx": (
        fields_05(["fg"], weights={"onnx": {"source": "w.onnx", "opset_version": 15}}),
        "weights are onnx",
    ),
    "unknown postprocessing": (
        fields_05(["fg"], output={"postprocessing": [
            {"id": "scale_mean_variance", "kwargs": {"reference_tensor": "raw"}}]}),
        "scale_mean_variance",
    ),
    "a step before the scaling": (
        fields_05(["fg"], image={"preprocessing": [
            {"id": "clip", "kwargs": {"min": 0, "max": 5}},
            {"id": "zero_mean_unit_variance", "kwargs": {}}]}),
        "clip comes before",
    ),
    "rays": (fields_05([f"ray{i}" for i in range(32)]), "do not say what they are"),
    "elsewhere": (
        fields_05(["fg"], weights={"torchscript": {
            "source": "https://example.com/w.pt", "pytorch_version": "2.4"}}),
        "outside the package",
    ),
    "not the format": (fields_05(["fg"], cite="no list"), "format (cite"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_understood_is_named(kind: str, tmp_path: Path) -> None:
    fields, sentence = REFUSED[kind]
    with pytest.raises(ModelError) as refused:
        imported(package(tmp_path / "edges.zip", fields))
    assert sentence in str(refused.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("network", "output", "sentence"),
    [
        (Edges(), np.zeros((1, 2, SIDE, SIDE), np.float32), "of the numbers differ"),
        (Edges(), np.zeros((1, 2, SIDE, SIDE + 1), np.float32), "an output of"),
        (Edges(order="f"), None, "gave (1, 1, 128, 128)"),
        (Edges(logits=True), None, "should go from 0 to 1"),
    ],
)
def test_a_model_that_fails_its_test_is_refused(
    network: nn.Module, output: np.ndarray | None, sentence: str, tmp_path: Path
) -> None:
    file = package(tmp_path / "e.zip", fields_05(["fg", "boundary"]), network, output=output)
    with pytest.raises(ModelError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        imported(file)


def test_an_imported_model_is_not_retrained(tmp_path: Path) -> None:
    from napari_unet import finetune

    made = imported(package(tmp_path / "edges.zip", fields_05(["foreground", "boundary"])))
    image, _ = blobs()
    painted, _ = ndimage.label(image > 600)
    for names in ((), ("background", "bright")):
        paint = np.minimum(painted, 1) if names else painted
        with pytest.raises(ModelError, match="can neither be retrained"):
            finetune(made, [(image, paint)], name="x", class_names=names)


def test_without_the_extra_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bioimageio", None)
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(ModelError, match="extra 'bioimageio'"):
        import_package(package(tmp_path / "edges.zip", fields_04()))
