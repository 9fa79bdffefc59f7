"""The person's folder of models: nothing is lost, nothing replaced, nothing foreign gets in."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from safetensors.torch import load_file, save_file

from napari_unet.errors import ModelError, SaveError
from napari_unet.io import atomic
from napari_unet.models import files, store
from napari_unet.models.card import CARD_KEY, ModelCard, describe, plain, sha256_of
from napari_unet.models.files import check_model
from napari_unet.models.library import bundled_folder, lineage, load_card, model_files, user_folder
from napari_unet.models.library import load_model as find
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.outputs import Kind
from napari_unet.network.spec import UNetSpec, expected_tensors
from napari_unet.network.unet import UNet
from tests.strategies import random_card, random_model, random_network, specs

SPEC = UNetSpec(base_filters=2, depth=2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models for each test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert tmp_path in user_folder().parents
    return user_folder()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Bytes of a model file."""
    return random_model(tmp_path_factory.mktemp("model"), SPEC).read_bytes()


@pytest.fixture
def new(tmp_path: Path, content: bytes) -> Callable[..., Path]:
    """Make a finished model file outside the library, with other values in its card."""

    def make(name: str = "mine", **fields: object) -> Path:
        (tmp_path / "new.safetensors").write_bytes(content)
        path = tmp_path / "new" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as stream:
            files.copy_model(tmp_path / "new.safetensors", stream, {"name": name, **fields})
        return path

    return make


def weights(path: Path) -> dict[str, bytes]:
    return {key: value.numpy().tobytes() for key, value in load_file(path).items()}


def in_folder(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


@given(specs(max_depth=4, max_filters=5))
def test_expected_tensors_are_those_of_the_network(spec: UNetSpec) -> None:
    with torch.device("meta"):
        state = UNet(spec).state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("batches_tracked")}
    assert expected_tensors(spec) == shapes


@pytest.mark.parametrize("skip", ["concat", "sum", "none"])
@pytest.mark.parametrize(("variant", "kernel"), [("padded", 2), ("padded", 3), ("paper", 2)])
@pytest.mark.parametrize("distance", [True, False])
def test_expected_tensors_of_every_variant(
    skip: str, variant: str, kernel: int, distance: bool
) -> None:
    spec = UNetSpec(3, 5, distance, 4, 3, variant, skip, kernel)  # type: ignore[arg-type]
    state = UNet(spec).state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("batches_tracked")}
    assert expected_tensors(spec) == shapes


@pytest.mark.parametrize(
    "name", ["mine", "Zellkerne (Müller) v1.2", "細胞", "ಜೀವಕೋಶ", "3", "a..b", "x" * 80, "con man"]
)
def test_names_of_people(name: str, new: Callable[..., Path], folder: Path) -> None:
    path = store.add(new("other"), f"  {name} ")
    assert path == folder / f"{name}.safetensors"
    assert load_card(name).name == name
    assert load_model(path)[1].name == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", ".", "..", ".hidden", "-rf", "a/b", "a\\b", "../up", "C:x", "a\0b", "a\nb", "a*",
        "a\u202eb", "a\u200bb", "\ud800", "\u0301a", "x" * 81, "細" * 70, "con", "NUL.txt", "COM1",
        "lpt9.a.b", "ends.", "mine.safetensors", "nuclei", "Nuclei",
    ],
)  # fmt: skip
def test_names_that_cannot_be(name: str, new: Callable[..., Path], folder: Path) -> None:
    path = new()
    with pytest.raises(ModelError) as caught:
        store.add(path, name)
    assert plain(str(caught.value), 999) == str(caught.value)
    assert path.exists()
    assert in_folder(folder) == []


def test_free_names_are_counted(new: Callable[..., Path]) -> None:
    names = [store.add(new("mine"), "mine").stem for _ in range(3)]
    assert names == ["mine", "mine 2", "mine 3"]
    assert store.free_name("MINE") == "MINE 4"
    assert store.free_name("mine 2") == "mine 4"
    assert store.free_name("day 2") == "day 2"
    assert store.free_name("nuclei") == "nuclei 2"
    store.add(new("day 2"), "day 2")
    assert store.free_name("day 2") == "day 2 2"
    assert [load_card(name).name for name in names] == names


def test_the_longest_name_can_be_counted(new: Callable[..., Path]) -> None:
    store.add(new(), "x" * 80)
    second = store.add(new(), "x" * 80).stem
    assert second.endswith(" 2")
    assert store.save_name(second) == second


def test_add_moves_the_file(new: Callable[..., Path], folder: Path) -> None:
    source = new(report={"old": 0.5}, mood="from a later version")
    sha, tensors = sha256_of(source), weights(source)
    path = store.add(source, "mine")
    assert not source.exists()
    assert in_folder(folder) == ["mine.safetensors"]
    assert sha256_of(path) == sha  # it was called so before: nothing is rewritten
    again = store.duplicate("mine", "other")
    assert weights(again) == tensors
    with open(again, "rb") as stream:
        header = files.read_header(stream, again.name)
    assert json.loads(header["__metadata__"][CARD_KEY])["mood"] == "from a later version"


def test_add_refuses_weights_that_are_no_numbers(tmp_path: Path, folder: Path) -> None:
    network = random_network(SPEC).float()
    torch.nn.init.constant_(network.head.bias, float("inf"))
    path = save_model(tmp_path / "x.safetensors", network, random_card(SPEC))
    with pytest.raises(ModelError, match="not numbers"):
        store.add(path, "mine")
    assert path.exists()
    assert in_folder(folder) == []


def test_rename_keeps_weights_and_lineage(new: Callable[..., Path], folder: Path) -> None:
    tensors = weights(store.add(new("root"), "root"))
    sha = find("root").sha
    store.add(new("child", parent="root", parent_sha=sha), "child")
    child_sha = find("child").sha
    store.add(new("grandchild", parent="child", parent_sha=child_sha), "grandchild")
    for old, name in (("root", "trunk"), ("trunk", "stem"), ("child", "branch")):
        assert store.rename(old, name) == folder / f"{name}.safetensors"
    assert weights(folder / "stem.safetensors") == tensors
    assert load_model(folder / "stem.safetensors")[1] == load_card("stem")
    assert [model.card.name for model in lineage("grandchild")] == ["grandchild", "branch", "stem"]
    assert in_folder(folder) == [f"{n}.safetensors" for n in ("branch", "grandchild", "stem")]
    assert store.rename("stem", "stem") == folder / "stem.safetensors"


def test_capitals_can_be_changed(new: Callable[..., Path], folder: Path) -> None:
    store.add(new("mine"), "mine")
    assert store.rename("mine", "Mine") == folder / "Mine.safetensors"
    assert in_folder(folder) == ["Mine.safetensors"]
    assert load_card("Mine").name == "Mine"
    (folder / "MINE.safetensors").write_bytes((folder / "Mine.safetensors").read_bytes())
    with pytest.raises(ModelError, match="called 'MINE' already"):
        store.rename("Mine", "MINE")
    assert in_folder(folder) == ["MINE.safetensors", "Mine.safetensors"]


def test_nothing_is_renamed_onto_another(new: Callable[..., Path], folder: Path) -> None:
    one, two = store.add(new("one"), "one"), store.add(new("two"), "two")
    before = sha256_of(one), sha256_of(two)
    for deed in (store.rename, store.duplicate):
        with pytest.raises(ModelError, match="called 'two' already"):
            deed("one", "two")
        with pytest.raises(ModelError, match="no model called 'three'"):
            deed("three", "four")
        with pytest.raises(ModelError, match="no model called"):
            deed(str(one), "four")
    assert (sha256_of(one), sha256_of(two)) == before
    assert in_folder(folder) == ["one.safetensors", "two.safetensors"]


def test_bundled_models_stay(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be renamed"):
        store.rename("nuclei", "mine")
    with pytest.raises(ModelError, match="cannot be deleted"):
        store.delete("nuclei")
    copy = store.duplicate("nuclei", "my nuclei")
    assert load_model(copy)[1].name == "my nuclei"
    exported = store.export_model("nuclei", tmp_path / "out")
    assert sha256_of(exported) == find("nuclei").sha
    assert store.import_model(exported).stem == "nuclei 2"
    child = find("nuclei").card.child(find("nuclei").sha, name="child")
    assert (child.parent, child.decode) == ("nuclei", find("nuclei").card.decode)


def test_lineage_prefers_the_sha_to_the_name(new: Callable[..., Path]) -> None:
    store.add(new("a", created="first"), "a")
    sha = find("a").sha
    store.add(new("b", parent="a", parent_sha=sha), "b")
    store.add(new("c", parent="a"), "c")
    store.add(new("d", parent="nuclei", parent_sha="of an earlier release"), "d")
    store.rename("a", "z")
    store.add(new("a", created="second"), "a")
    assert [model.card.created for model in lineage("b")] == ["", "first"]
    assert [model.card.created for model in lineage("c")] == ["", "second"]
    assert [model.card.name for model in lineage("d")] == ["d", "nuclei"]
    store.delete("z")
    assert [model.card.name for model in lineage("b")] == ["b"]
    assert lineage("b")[0].card.parent == "a"


def test_lineage_ends_in_a_circle_or_at_a_damaged_file(
    new: Callable[..., Path], folder: Path
) -> None:
    store.add(new("a", parent="b"), "a")
    store.add(new("b", parent="a"), "b")
    store.add(new("c", parent="c"), "c")
    assert [model.card.name for model in lineage("a")] == ["a", "b"]
    assert [model.card.name for model in lineage("c")] == ["c"]
    (folder / "b.safetensors").write_bytes(b"damaged")
    assert [model.card.name for model in lineage("a")] == ["a"]


def test_a_child_forgets_what_its_parent_was_called() -> None:
    parent = random_card(SPEC, former_shas=("0",), parent="root", parent_sha="1")
    child = parent.child("2", name="child", images=3)
    assert (child.parent, child.parent_sha, child.former_shas) == ("random", "2", ())
    assert (child.spec, child.images) == (SPEC, 3)


def test_deleted_comes_back(new: Callable[..., Path], folder: Path) -> None:
    sha = sha256_of(store.add(new("mine", created="1"), "mine"))
    first = store.delete("mine")
    assert "mine" not in model_files()
    assert first.parent == folder.parent / "bin"
    store.add(new("mine", created="2"), "mine")
    second = store.delete("mine")
    assert store.binned() == [second, first]
    assert store.deleted_model("mine") == second
    back = store.restore(first)
    assert (back.stem, sha256_of(back)) == ("mine", sha)
    again = store.restore(second)
    assert (again.stem, load_card("mine 2").created) == ("mine 2", "2")
    assert store.binned() == []
    with pytest.raises(ModelError, match="no deleted model"):
        store.restore(second)
    with pytest.raises(ModelError, match="no deleted model"):
        store.restore(back)
    with pytest.raises(ModelError, match="no deleted model"):
        store.deleted_model("mine")


def test_a_damaged_model_can_be_deleted_and_restored(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="damaged"):
        store.rename("broken", "other")
    path = store.delete("broken")
    assert path.read_bytes() == b"broken"
    assert store.restore(path).read_bytes() == b"broken"


def test_export_never_replaces_silently(new: Callable[..., Path], tmp_path: Path) -> None:
    source = store.add(new(), "mine")
    target = tmp_path / "out.safetensors"
    assert store.export_model("mine", tmp_path / "out") == target
    assert sha256_of(target) == sha256_of(source)
    target.write_bytes(b"precious")
    with pytest.raises(SaveError, match="exists already"):
        store.export_model("mine", target)
    assert target.read_bytes() == b"precious"
    assert store.export_model("mine", target, overwrite=True) == target
    assert sha256_of(target) == sha256_of(source)
    assert store.export_model("mine", tmp_path) == tmp_path / "mine.safetensors"
    with pytest.raises(SaveError, match="No such file"):
        store.export_model("mine", tmp_path / "no" / "folder")
    with pytest.raises(SaveError, match="the model itself"):
        store.export_model("mine", source, overwrite=True)
    assert not list(tmp_path.glob(".*"))


def test_exported_is_imported(new: Callable[..., Path], tmp_path: Path) -> None:
    path = store.add(new("mine", usual_diameter=31.5, images=2), "mine")
    exported = store.export_model("mine", tmp_path / "for you.safetensors")
    again = store.import_model(exported)
    assert again.stem == "mine 2"
    assert exported.exists()
    assert weights(again) == weights(path)
    assert load_card("mine 2").former_shas == (sha256_of(path),)
    store.delete("mine")
    assert sha256_of(store.import_model(exported)) == sha256_of(exported)


@pytest.mark.parametrize("card", ["../../evil", "a\u202eb", "", "con", "\ud800"])
def test_an_imported_name_is_never_a_path(
    new: Callable[..., Path], card: str, folder: Path
) -> None:
    path = new("file name", description="\x1b[2J\u202e" * 9)
    with open(path.with_name("evil.safetensors"), "wb") as stream:
        files.copy_model(path, stream, {"name": card})
    made = store.import_model(path.with_name("evil.safetensors"))
    assert made == folder / "evil.safetensors"
    assert load_card("evil").name == "evil"
    for _, value in describe(load_card("evil")):
        assert "\x1b" not in value
        assert "\u202e" not in value


@pytest.mark.parametrize("suffix", [".pt", ".PTH", ".pkl", ".ckpt"])
def test_a_pickle_is_refused_and_not_opened(tmp_path: Path, suffix: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    with pytest.raises(ModelError, match="may run a program hidden in it"):
        store.import_model(path)
    path.rename(path.with_suffix(".safetensors"))
    with pytest.raises(ModelError, match="damaged"):
        store.import_model(path.with_suffix(".safetensors"))
    assert not canary.exists()


def test_what_is_no_file_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"png")
    with pytest.raises(ModelError, match="not a model file of this plugin"):
        store.import_model(picture)
    for path in (tmp_path, tmp_path / "none.safetensors", Path()):
        with pytest.raises(ModelError, match="no model file at"):
            store.import_model(path)
    fifo = tmp_path / "fifo.safetensors"
    os.mkfifo(fifo)
    with pytest.raises(ModelError, match="no model file at"):
        store.import_model(fifo)
    huge = random_model(tmp_path, SPEC)
    monkeypatch.setattr(files, "LARGEST_FILE", 1000)
    with pytest.raises(ModelError, match="MB"):
        store.import_model(huge)


def foreign(path: Path, tensors: dict[str, torch.Tensor], card: ModelCard | None = None) -> Path:
    card = card or random_card(SPEC)
    save_file(tensors, path, {CARD_KEY: json.dumps(card.model_dump(mode="json"))})
    return path


def test_tensors_must_be_those_of_the_card(tmp_path: Path, new: Callable[..., Path]) -> None:
    good, path = load_file(new()), tmp_path / "foreign.safetensors"
    assert check_model(foreign(path, good)).spec == SPEC
    counters = {"bottom.0.1.num_batches_tracked": torch.tensor(7)}
    assert check_model(foreign(path, good | counters)).spec == SPEC
    integers = good | {"head.bias": good["head.bias"].int()}
    for wrong in (
        {k: v for k, v in good.items() if k != "head.bias"},
        good | {"extra": torch.zeros(1)},
        good | {"extra": torch.zeros(1, dtype=torch.int8)},
        good | {"head.bias": torch.zeros(5)},
        good | {"head.bias": torch.zeros(2, 2)},
        integers,
    ):
        with pytest.raises(ModelError, match="do not fit"):
            store.import_model(foreign(path, wrong))
    many = {f"{i}.num_batches_tracked": torch.tensor(0) for i in range(2000)}
    with pytest.raises(ModelError, match="at most 2000"):
        store.import_model(foreign(path, good | many))
    huge = random_card(UNetSpec(base_filters=256, depth=6, in_channels=256))
    with pytest.raises(ModelError, match="do not fit"):
        store.import_model(foreign(path, good, huge))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_every_weight_must_be_a_number(
    tmp_path: Path, new: Callable[..., Path], dtype: torch.dtype, value: float
) -> None:
    tensors = {key: tensor.to(dtype) for key, tensor in load_file(new()).items()}
    tensors["head.bias"][0] = torch.finfo(dtype).max
    path = foreign(tmp_path / "foreign.safetensors", tensors)
    assert load_model(store.import_model(path))[1].spec == SPEC
    tensors["up.1.0.weight"].view(-1)[-1] = value
    with pytest.raises(ModelError, match="not numbers"):
        store.import_model(foreign(path, tensors))


def mutated(content: bytes, number: int) -> bytes:
    """Damage a model file in one of several ways."""
    chance = random.Random(number)
    length = int.from_bytes(content[:8], "little")
    data = bytearray(content)
    way = number % 6
    if way == 0:  # bytes of the header
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(8 + length)] = chance.randrange(256)
    elif way == 1:  # cut off, or something more
        end = chance.choice((chance.randrange(len(data)), chance.randrange(8 + length)))
        data = data[:end] if chance.random() < 0.8 else data + chance.randbytes(end)
    elif way == 2:  # another length of the header
        data[:8] = struct.pack("<Q", chance.choice((0, 1, 2**63, length + 8, length - 1, 10**6)))
    elif way == 3:  # bits of the weights
        for _ in range(50):
            data[chance.randrange(8 + length, len(data))] = chance.randrange(256)
    elif way == 4:  # noise
        data = bytearray(chance.randbytes(chance.randrange(3000)))
    else:  # JSON that says something else
        header = json.loads(content[8 : 8 + length])
        card = json.loads(header["__metadata__"][CARD_KEY])
        odd = chance.choice((None, -1, 2**70, "x", [], {}, 1e400, [[]] * 9, True, "\ud800", 0.5))
        kind = chance.randrange(3)
        if kind == 0:
            card[chance.choice(list(card))] = odd
        elif kind == 1:
            card["spec"][chance.choice(list(card["spec"]))] = odd
        else:
            entry = header[chance.choice([key for key in header if key != "__metadata__"])]
            entry[chance.choice(list(entry))] = odd
        header["__metadata__"][CARD_KEY] = json.dumps(card)
        text = json.dumps(header).encode()
        data = bytearray(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return bytes(data)


def test_mutated_files_are_a_sentence_or_a_model(
    tmp_path: Path, content: bytes, folder: Path
) -> None:
    slowest = 0.0
    refused: list[str] = []
    for number in range(600):
        path = tmp_path / "mutated.safetensors"
        path.write_bytes(mutated(content, number))
        start = time.process_time()
        try:
            made = store.import_model(path)
        except ModelError as error:
            refused.append(str(error))
        else:
            describe(load_card(made.stem))
            load_model(made)
            made.unlink()
        slowest = max(slowest, time.process_time() - start)
    assert len(refused) > 300
    assert all("mutated.safetensors" in text and "\n" not in text for text in refused)
    assert slowest < 2
    assert in_folder(folder) == []


def test_a_name_that_stands_twice_is_refused(tmp_path: Path, content: bytes, folder: Path) -> None:
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length].rstrip()
    twice = text[:-1] + b"," + text[1:]
    path = tmp_path / "twice.safetensors"
    path.write_bytes(struct.pack("<Q", len(twice)) + twice + content[8 + length :])
    with pytest.raises(ModelError, match=r"twice.safetensors is damaged"):
        store.import_model(path)
    folder.mkdir(parents=True)
    path.rename(folder / "twice.safetensors")
    with pytest.raises(ModelError, match=r"twice.safetensors is damaged"):
        store.rename("twice", "once")


ADD = """
import sys, time
from pathlib import Path
from napari_unet.models import store
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    print(store.add(Path(sys.argv[1]) / f"{number}.safetensors", "mine").stem, flush=True)
"""


def test_two_programs_add_the_same_name(
    tmp_path: Path, new: Callable[..., Path], folder: Path
) -> None:
    programs = []
    for who in "ab":
        (tmp_path / who).mkdir()
        for number in range(10):
            shutil.move(
                new("mine", data=f"{who}{number}"), tmp_path / who / f"{number}.safetensors"
            )
        command = [sys.executable, "-c", ADD, str(tmp_path / who)]
        programs.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    names = [name for program in programs for name in program.communicate()[0].split("\n") if name]
    assert all(program.returncode == 0 for program in programs)
    assert len(set(names)) == len(names) == 20
    cards = [load_card(name) for name in names]
    assert sorted(card.data for card in cards) == sorted(f"{w}{n}" for w in "ab" for n in range(10))
    assert [card.name for card in cards] == names
    assert not list(folder.glob(".*"))


def test_no_name_is_taken_twice_where_there_are_no_hard_links(
    new: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = store.add(new(), "mine")
    assert store.rename("mine", "yours") == path.with_name("yours.safetensors")
    with pytest.raises(FileExistsError):
        atomic.move_new(new(), folder / "yours.safetensors")
    assert load_card("yours").name == "yours"
    with pytest.raises(FileNotFoundError):
        atomic.move_new(folder / "none", folder / "half.safetensors")
    assert in_folder(folder) == ["yours.safetensors"]


@pytest.mark.parametrize("at", ["copy", "check", "move"])
def test_a_full_disk_changes_nothing(
    new: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    path = store.add(new(), "mine")
    before = sha256_of(path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    where = {
        "copy": (store, "copy_model"),
        "check": (store, "check_copy"),
        "move": (store, "move_new"),
    }
    monkeypatch.setattr(*where[at], fail)
    outside = new("new")
    for deed in (
        lambda: store.rename("mine", "other"),
        lambda: store.duplicate("mine", "other"),
        lambda: store.add(outside, "new"),
        lambda: store.import_model(outside),
        lambda: store.export_model("mine", outside.with_name("exported")),
    ):
        with pytest.raises(SaveError, match="No space left on device"):
            deed()
    if at == "move":
        with pytest.raises(SaveError, match="No space left"):
            store.delete("mine")
    assert in_folder(folder) == ["mine.safetensors"]
    assert sha256_of(path) == before
    assert outside.exists()


def test_a_copy_that_differs_is_not_kept(
    new: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.copy_model

    def flip(source: Path, stream: object, changes: object) -> None:
        real(source, stream, changes)  # type: ignore[arg-type]
        stream.seek(-1, 2)  # type: ignore[attr-defined]
        stream.write(b"\x55")  # type: ignore[attr-defined]

    path = store.add(new(), "mine")
    monkeypatch.setattr(store, "copy_model", flip)
    for name in ("other", "mine"):
        with pytest.raises(SaveError, match="differs"):
            store.add(new(), name)
    assert in_folder(folder) == [path.name]


def test_temporary_files_of_programs_that_died_are_removed(
    new: Callable[..., Path], folder: Path
) -> None:
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    names = (f".napari-unet-{atomic._host()}-{pid}-abc.part" for pid in (process.pid, os.getppid()))
    dead, living = (folder / name for name in names)
    for part in (dead, living):
        part.write_bytes(b"half")
    store.add(new(), "mine")
    assert not dead.exists()
    assert living.exists()


def test_a_card_that_grows_too_long_is_a_sentence(new: Callable[..., Path], folder: Path) -> None:
    room = files.LARGEST_HEADER - int.from_bytes(new().read_bytes()[:8], "little")
    store.add(new(description="x" * (room - 20)), "mine")
    with pytest.raises(ModelError, match="Shorten"):
        store.rename("mine", "other")
    assert in_folder(folder) == ["mine.safetensors"]


def test_renaming_again_and_again_keeps_the_card_short(new: Callable[..., Path]) -> None:
    name = store.add(new("0"), "0").stem
    for number in range(1, 60):
        name = store.rename(name, str(number)).stem
    assert len(load_card(name).former_shas) == 50


def test_a_card_is_readable() -> None:
    card = random_card(
        SPEC, parent="nuclei", images=2, painted_objects=10, painted_background=400,
        usual_diameter=31.5, description="Cells\nof \x07mine", scores={"AP": 0.51234},
        report={"accepted": True, "old": 0.41234, "steps": 300, "held_out": {"objects": 3},
                "curve": [1, 2], "deep": {"er": {"x": 1}}},
    )  # fmt: skip
    rows = dict(describe(card))
    assert rows["Name"] == "random"
    assert rows["About"] == "Cells of mine"
    assert rows["Made from"] == "nuclei"
    assert "nuclei" in rows["Made for"]
    assert "Made for" not in dict(describe(load_card("nuclei")))
    assert rows["Corrections"] == "10 objects and 400 pixels of background in 2 images"
    assert rows["Retraining"] == "accepted yes; old 0.412; steps 300; held out objects 3"
    assert rows["Scores"] == "AP 0.512"
    assert rows["Object size"].endswith("trained on objects of 31.5 px")
    assert "Licence" not in rows
    classes = ModelCard(name="k", spec=UNetSpec(), kind=Kind.CLASSES, class_names=("a", "b", "c"))
    assert dict(describe(classes))["Finds"] == "3 classes: a, b, c"
    scores = dict(describe(load_card("nuclei")))["Scores"]
    assert "AP@0.5 " in scores
    assert len(scores) <= 300


def test_cards_of_the_first_version_are_read() -> None:
    old = {"name": "old", "spec": SPEC.to_dict()}
    card = ModelCard.model_validate(old)
    assert (card.parent_sha, card.images, card.report, card.usual_diameter) == ("", 0, {}, None)
    with pytest.raises(ValueError, match="greater than or equal"):
        ModelCard.model_validate(old | {"images": -1})


def test_the_folder_changes_without_torch() -> None:
    code = "import sys, napari_unet.models.store as s; assert not s.binned(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "napari", "qtpy", "dask"} & set(loaded.stdout.split())
    assert bundled_folder().is_dir()
