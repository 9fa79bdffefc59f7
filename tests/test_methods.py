"""The record of a result as sentences, and as a script that is run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unet import load_model, read_image, save_labels, segment
from napari_unet.cli.main import app
from napari_unet.errors import InputError
from napari_unet.io.records import read_record
from napari_unet.io.tiff import read_labels
from napari_unet.segmentation import methods_script, methods_text
from napari_unet.settings import FilterSettings

ROOT = Path(__file__).resolve().parents[1]
DECODE = {"sensitivity": 0.5, "separation": 0.5, "minimum_diameter": 4.0}
SAMPLE = ROOT / "sample_data" / "nuclei.tif"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module", params=["YX", "ZYX"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of a plane, and of a stack whose planes are linked."""
    folder = tmp_path_factory.mktemp("made")
    data = tifffile.imread(SAMPLE)[:200, :220]
    stack = data if request.param == "YX" else np.stack([data, data])
    tifffile.imwrite(folder / "a.tif", stack, imagej=True, metadata={"axes": request.param})
    run("segment", folder / "a.tif", "--output", folder)
    return folder


def made_again(script: Path) -> None:
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, env=os.environ | path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_script_makes_the_same_labels_to_the_id(made: Path) -> None:
    labels, script = made / "a_labels.tif", made / "again.py"
    run("methods", labels, "--script", script, "--image", made / "a.tif")
    made_again(script)
    again = read_labels(made / "again_labels.tif")[0]
    assert again.max() > 5
    np.testing.assert_array_equal(again, read_labels(labels)[0])
    text = methods_text(read_record(made / "again_labels.tif"))
    assert text.replace("as set", "estimated") == methods_text(read_record(labels))


def test_the_script_filters_as_well(made: Path) -> None:
    labels, script = made / "few_labels.tif", made / "filtered.py"
    image = read_image(made / "a.tif")
    column = "volume" if image.leading_axes else "area"
    result = segment(image, load_model("nuclei"))
    result = result.linked() if image.leading_axes else result
    filters = FilterSettings(ranges={column: (300, None)}, at_edge=True)
    few = result.filtered(filters)
    assert 0 < few.count < result.count
    assert len(np.unique(few.labels)) - 1 == few.count
    np.testing.assert_array_equal(few.labels[few.labels > 0], result.labels[few.labels > 0])
    assert few.objects[column].min() >= 300
    assert not few.objects["at_edge"].any()
    save_labels(labels, few.labels, axes=image.leading_axes + "YX", description=few.record)
    run("methods", labels, "--script", script, "--image", made / "a.tif")
    made_again(script)
    np.testing.assert_array_equal(read_labels(made / "filtered_labels.tif")[0], few.labels)
    assert f"({result.count - few.count} objects)" in run("methods", labels)


def test_sentences_say_versions_model_and_settings(made: Path) -> None:
    text = run("methods", made / "a_labels.tif", "--corrected", 1)
    for part in (
        "napari-unet-interactive 0.1.0",
        "PyTorch",
        f"'nuclei' (SHA-256 {load_model('nuclei').sha})",
        "px (estimated)",
        "exceeded 0.",
        "confirmed 1 object.",
    ):
        assert part in text
    assert ("50 % overlap" in text) == ("link" in read_record(made / "a_labels.tif"))
    assert text.count(". ") <= 3


def test_a_retrained_model_says_from_how_many_objects() -> None:
    record = {
        "model": "mine",
        "model_sha256": "ab",
        "retrained": {"parent": "nuclei", "images": 2, "painted_objects": 12},
    }
    assert "retrained from 'nuclei' with 12 painted objects in 2 images." in methods_text(record)
    assert "confirmed 3 objects." in methods_text({**record, "corrected": [4, 7, 9]})
    assert "were not corrected by hand." in methods_text({**record, "corrected": []})
    assert "by hand" not in methods_text(record)


def test_lengths_are_told_in_the_unit_of_the_pixels_too() -> None:
    micron = {"size": 0.5, "unit": "micrometer", "offset": 0.0}
    record = {"model": "mine", "diameter": 30.04, "decode": DECODE}
    assert "was 30.04 px (estimated)" in methods_text(record)
    text = methods_text({**record, "spacing": {"Z": {}, "Y": micron, "X": micron}})
    assert "was 30.04 px (15 µm) (estimated)" in text
    assert "less than 4 px (2 µm) in diameter" in text
    for other in ({}, {**micron, "size": None}, {**micron, "unit": "pixel"}):
        assert "µm" not in methods_text({**record, "spacing": {"Y": other, "X": micron}})
        assert "µm" not in methods_text({**record, "spacing": {"Y": micron, "X": other}})


def test_the_script_of_labels_of_a_window_gives_their_ids_again(made: Path, tmp_path: Path) -> None:
    """They are numbered by when they appeared, and as a person wished; that is kept."""
    image, labels = read_image(made / "a.tif"), read_labels(made / "a_labels.tif")[0]
    record = read_record(made / "a_labels.tif")
    numbers = np.random.default_rng(0).permutation(10 * labels.max())[: labels.max()] + 2
    seen = np.concatenate([[0], numbers])[labels].astype(np.uint32)
    gone, drawn = numbers[0], numbers.max() + 1
    painted = np.where(seen == gone, 0, seen)
    painted[..., :3, :3] = drawn
    for name, shown, corrected in (("all", seen, []), ("some", painted, [int(drawn)])):
        path, script = tmp_path / f"{name}.tif", tmp_path / f"{name}.py"
        axes = image.leading_axes + "YX"
        save_labels(path, shown, axes=axes, description={**record, "corrected": corrected})
        run("methods", path, "--script", script, "--image", made / "a.tif")
        text = script.read_text()
        assert "The ids are the same" in text
        assert ("What a person corrected is not among them" in text) == bool(corrected)
        made_again(script)
        again, known = read_labels(tmp_path / f"{name}_labels.tif")[0], seen != gone
        np.testing.assert_array_equal(again[known], seen[known])
        assert (again[~known] > drawn).all() == bool(corrected)


def test_a_script_that_does_not_know_the_labels_promises_no_ids(made: Path) -> None:
    record = {**read_record(made / "a_labels.tif"), "corrected": []}
    text = methods_script(record, made / "a.tif", made / "again.tif")
    assert "The ids are the same" not in text
    assert "begins at 1" in text


def test_classes_have_no_diameter() -> None:
    text = methods_text({"model": "mine", "class_names": ["background", "stroma"], "diameter": 9})
    assert "one of the classes background, stroma." in text
    assert "px" not in text


def test_labels_without_a_record(tmp_path: Path) -> None:
    path = save_labels(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    tifffile.imwrite(tmp_path / "b.tif", np.ones((4, 4), np.uint8))
    for file in (path, tmp_path / "b.tif"):
        result = CliRunner().invoke(app, ["methods", str(file)])
        assert result.exit_code == 1
        assert "no record" in result.output
    part = {"model": "nuclei", "decode": {}, "part": {"region": [0, 0, 9, 9]}}
    with pytest.raises(InputError, match="part of the image"):
        methods_script(part, path, path)


def test_a_script_is_never_replaced(made: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("precious")
    command = ["methods", made / "a_labels.tif", "--script", script, "--image", made / "a.tif"]
    assert CliRunner().invoke(app, [str(part) for part in command]).exit_code == 1
    assert script.read_text() == "precious"
