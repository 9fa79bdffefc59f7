"""Which model a retraining begins with, and which compete."""

from dataclasses import replace

import pytest

from napari_unet.errors import InputError
from napari_unet.models.library import DEFAULT, bundled_models, load_model
from napari_unet.models.parents import choose_parent, competitors, objects_parent
from tests.library import put


@pytest.fixture(autouse=True)
def library(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path)


def test_which_model_is_trained():
    root = load_model("nuclei")
    assert choose_parent(root, ["a"], 3, session_models=frozenset()) == (root, "")
    child = load_model(put("child", parent="nuclei", parent_sha=root.sha, images=2,
                           taught_images=["a", "b"], painted_objects=9))  # fmt: skip
    made = frozenset([child.sha])
    both, one, other = ["a", "b"], ["a"], ["a", "c", "d"]
    assert choose_parent(child, both, 9, session_models=frozenset())[0].card.name == "nuclei"
    assert choose_parent(child, both, 8, session_models=made)[0].card.name == "nuclei"
    for images, objects, ours in (
        (both, 8, frozenset()), (one, 9, frozenset()), (one, 9, made), (other, 50, frozenset()),
    ):  # fmt: skip
        chosen, remark = choose_parent(child, images, objects, session_models=ours)
        assert chosen is child
        assert "that model itself learns on" in remark
    orphan = load_model(put("orphan", parent="gone", parent_sha="0" * 64, images=1))
    chosen, remark = choose_parent(orphan, both, 50, session_models=frozenset())
    assert chosen is orphan
    assert "What 'orphan' was made from is gone" in remark


def test_a_parent_is_found_after_its_file_was_renamed_by_hand():
    parent = put("mine", scores={"AP": 0.5})
    sha = load_model(parent).sha
    of_mine = {"parent": "mine", "parent_sha": sha}
    child = load_model(put("child", images=1, painted_objects=3, taught_images=["a"], **of_mine))
    tissue = load_model(put("tissue", kind="classes", **of_mine))
    parent.rename(parent.with_stem("mine (2023)"))
    for _ in range(2):
        for found in (
            choose_parent(child, ["a"], 5, session_models=frozenset())[0],
            objects_parent(tissue),
        ):
            assert (found.path.stem, found.sha) == ("mine (2023)", sha)
        put("mine")  # another model takes the name


def test_which_model_learns_objects(tmp_path):
    root = load_model("nuclei")
    assert objects_parent(root) is root
    for name, sha in (("tissue", root.sha), ("orphan", "0" * 64)):
        parent = "nuclei" if name == "tissue" else "gone"
        changes = {"name": name, "kind": "classes", "parent": parent, "parent_sha": sha}
        put(**changes)
    assert objects_parent(load_model("tissue")).card.name == "nuclei"
    with pytest.raises(InputError, match="'orphan' finds classes"):
        objects_parent(load_model("orphan"))


def test_which_models_compete():
    bundled = [model.card.name for model in bundled_models()]
    assert len(bundled) > 1
    assert [model.card.name for model in competitors()] == bundled
    assert bundled[0] == DEFAULT
    last = load_model(bundled[-1])
    assert [model.card.name for model in competitors(last)] == [bundled[-1], *bundled[:-1]]
    own = load_model(put("own"))
    put("other")  # the person's other models do not
    assert [model.card.name for model in competitors(own)] == ["own", *bundled]


def test_only_models_for_the_same_channels_compete():
    root = load_model(DEFAULT)
    spec = replace(root.card.spec, in_channels=2)
    colour = replace(root, sha="1", card=root.card.model_copy(update={"spec": spec}))
    assert competitors(colour) == [colour]
