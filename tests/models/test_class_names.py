"""Names of classes: of any model, and however a person types them."""

from napari_unet.labels.painted import CLASSES
from napari_unet.models.class_names import names_of, tidy
from napari_unet.models.library import load_card


def test_names_of_any_model_can_be_shown():
    card = load_card("nuclei")
    spec = type(card.spec)(3, 4, distance=False)
    for given, shown in (
        (("a", "b", "c", "d"), ("a", "b", "c", "d")),
        (("a",), ("background", "class 1", "class 2", "class 3")),
    ):
        changed = card.model_copy(update={"kind": "classes", "spec": spec, "class_names": given})
        assert names_of(changed) == shown
    assert tidy(["", "a", "a", "x" * 90])[:3] == ("background", "a", "class 2")
    assert len(tidy(["x"] * 40)) == len(set(tidy(["x"] * 40))) == CLASSES
