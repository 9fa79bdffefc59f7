"""Cards, weights and the library: what is saved comes back, anything else is a sentence."""

import json
import shutil
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from napari_unet.errors import ModelError
from napari_unet.models import library
from napari_unet.models.card import (
    CARD_KEY,
    KNOWN,
    LARGEST_HEADER,
    LARGEST_ZOOM,
    ModelCard,
    read_card,
    sha256_of,
)
from napari_unet.models.library import bundled_folder, find_model, load_card, model_files
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.outputs import Kind
from napari_unet.network.spec import UNetSpec
from napari_unet.settings import DecodeSettings
from tests.strategies import random_card, random_model, random_network, specs

SPEC = UNetSpec(base_filters=2, depth=2)


def metadata(card: ModelCard) -> dict[str, str]:
    return {CARD_KEY: json.dumps(card.model_dump(mode="json"))}


def changed(path: Path, **fields: object) -> Path:
    """Write the model again with other values in its card."""
    card = json.loads(json.dumps(read_card(path).model_dump(mode="json"))) | fields
    save_file(load_file(path), path, {CARD_KEY: json.dumps(card)})
    return path


def sentence(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    return text


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs(max_depth=3, max_filters=3), st.integers(0, 99))
def test_saved_is_loaded(tmp_path: Path, spec: UNetSpec, seed: int) -> None:
    network, card = random_network(spec, seed).float(), random_card(spec, scores={"AP": 0.5})
    path = save_model(tmp_path / "models" / "mine.safetensors", network, card)
    again, read = load_model(path)
    assert read == card == read_card(path)
    assert not again.training
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, again.state_dict()[key])
    assert [p.name for p in path.parent.iterdir()] == ["mine.safetensors"]


def test_a_card_for_another_network_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="another network"):
        save_model(
            tmp_path / "m.safetensors", random_network(SPEC).float(), random_card(UNetSpec())
        )


def test_missing_models_say_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model called 'yeasts'; the library has nuclei"):
        find_model("yeasts")
    for path in (tmp_path / "none.safetensors", tmp_path / "folder" / "x", "gone.safetensors"):
        with pytest.raises(ModelError, match=r"There is no model file at .*Check the path"):
            find_model(path)
        with pytest.raises(ModelError, match="There is no model file"):
            read_card(Path(path))


def test_nuclei_is_offered_first() -> None:
    assert list(model_files())[:3] == ["nuclei", "cells-phase", "cells"]


def test_own_models_are_listed_after_the_bundled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "user_folder", lambda: tmp_path)
    random_model(tmp_path).rename(tmp_path / "mine.safetensors")
    shutil.copy(tmp_path / "mine.safetensors", tmp_path / "nuclei.safetensors")
    found = model_files()
    assert list(found) == ["nuclei", "cells-phase", "cells", "mine"]
    assert found["nuclei"].parent == bundled_folder()
    assert load_card("mine").spec == SPEC


def test_a_foreign_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "no card of this plugin" in sentence(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"\x80\x04pickle", b"\x00" * 100, b"{}" * 50])
def test_any_other_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    sentence(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_loads_or_is_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    source = tmp_path / "random.safetensors"
    content = bytearray((source if source.exists() else random_model(tmp_path, SPEC)).read_bytes())
    length = struct.unpack("<Q", content[:8])[0]
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, length + 7))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with suppress(ModelError):  # any other error fails the test
        load_model(path)


def test_a_bloated_header_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bloated.safetensors"
    path.write_bytes(struct.pack("<Q", LARGEST_HEADER + 1) + b" " * 100)
    assert "header claims" in sentence(path)
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    assert "header claims" in sentence(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    network = random_network(SPEC).float()
    with torch.no_grad():
        network.head.weight[0, 0] = value
    path = save_model(tmp_path / "nan.safetensors", network, random_card(SPEC))
    assert "not numbers" in sentence(path)


@pytest.mark.parametrize("change", ["shape", "missing", "extra", "integers"])
def test_weights_of_another_network_are_refused(tmp_path: Path, change: str) -> None:
    path = random_model(tmp_path, SPEC)
    tensors = load_file(path)
    if change == "shape":
        tensors["head.weight"] = tensors["head.weight"][:1].contiguous()
    elif change == "missing":
        del tensors["head.bias"]
    elif change == "extra":
        tensors["more"] = torch.zeros(2)
    else:
        tensors["head.bias"] = tensors["head.bias"].to(torch.int32)
    save_file(tensors, path, metadata(random_card(SPEC)))
    assert "do not fit" in sentence(path)


def test_a_card_that_promises_a_huge_network_takes_no_memory(tmp_path: Path) -> None:
    path = random_model(tmp_path, SPEC)
    huge = UNetSpec(base_filters=256, depth=6, in_channels=256).to_dict()
    assert "do not fit" in sentence(changed(path, spec=huge))


@pytest.mark.parametrize(
    "fields",
    [
        {"spec": {"attention": True}},
        {"spec": {"depth": 99}},
        {"spec": 5},
        {"spec": {**SPEC.to_dict(), "classes": 2}},
        {"spec": {**SPEC.to_dict(), "distance": False}},
        {"kind": "boxes"},
        {"object_diameter": 0},
        {"object_diameter": float("nan")},
        {"diameter_range": [-1, 5]},
        {"decode": {"sensitivity": 7}},
        {"scores": {"AP": "good"}},
    ],
    ids=str,
)
def test_a_card_that_makes_no_sense_is_a_sentence(tmp_path: Path, fields: dict) -> None:
    assert "cannot be understood" in sentence(changed(random_model(tmp_path, SPEC), **fields))


@pytest.mark.parametrize("card", ["", "[", "[" * 100_000, "null", "5", '"text"', "9" * 5000])
def test_a_card_that_is_no_json_object_is_a_sentence(tmp_path: Path, card: str) -> None:
    path = tmp_path / "card.safetensors"
    save_file({"weight": torch.zeros(1)}, path, {CARD_KEY: card})
    assert "cannot be understood" in sentence(path)


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    path = changed(random_model(tmp_path, SPEC), mood="good")
    assert load_model(path)[1].spec == SPEC


def test_the_bundled_model_is_the_released_file() -> None:
    released = json.loads((bundled_folder() / "sha256.json").read_text())
    found = {path.name: sha256_of(path) for path in bundled_folder().glob("*.safetensors")}
    assert found == released
    assert load_card("nuclei").kind == Kind.INSTANCES


@pytest.mark.parametrize("damage", ["weights", "manifest", "no manifest"])
def test_a_tampered_bundled_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = Path(shutil.copytree(bundled_folder(), tmp_path / "bundled"))
    monkeypatch.setattr(library, "bundled_folder", lambda: folder)
    path = find_model("nuclei")
    assert path.parent == folder
    load_model(path)
    if damage == "weights":
        with open(path, "r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)[0]
            file.seek(-1, 2)
            file.write(bytes([last ^ 1]))
    elif damage == "manifest":
        (folder / "sha256.json").write_text("{")
    else:
        (folder / "sha256.json").unlink()
    assert "checksum differs" in sentence(path)


def test_zoom_only_outside_the_range() -> None:
    card = ModelCard(name="x", spec=UNetSpec(), object_diameter=20, diameter_range=(8, 50))
    assert [card.zoom(d) for d in (8, 20, 50)] == [1, 1, 1]
    assert np.allclose([card.zoom(5), card.zoom(100)], [4, 0.2])
    trained = card.model_copy(update={"taught_diameters": (3, 200)})
    assert np.allclose([trained.zoom(5), trained.zoom(100)], [2, 0.4])  # no more than is needed
    assert trained.zoom(20) == 1
    assert np.allclose(trained.zoom(1), LARGEST_ZOOM)


def test_a_child_knows_no_larger_objects_than_its_parent() -> None:
    """A parent that was shown too large objects as background learns them only at its own size."""
    parent = load_card("nuclei")
    child = parent.model_copy(update={"usual_diameter": 32.0, "taught_diameters": (18.0, 58.0)})
    for diameter in np.linspace(6, 120, 50):
        shown = diameter * child.zoom(diameter)
        assert parent.object_diameter / KNOWN <= shown <= parent.diameter_range[1]
    assert child.zoom(19.7) == 1


def test_the_smallest_object_follows_the_size_of_the_images_objects() -> None:
    large = DecodeSettings(minimum_diameter=20)
    card = ModelCard(name="x", spec=UNetSpec(), usual_diameter=50, decode=large)
    assert card.decode_for(25).minimum_diameter == 10
    assert card.decode_for(100) == card.decode_for(None) == large
    general = ModelCard(name="x", spec=UNetSpec(), object_diameter=25, decode=large)
    assert [general.decode_for(d).minimum_diameter for d in (5, 25, 100, 4000)] == [4, 20, 80, 200]
    assert general.decode_for(None) == large
