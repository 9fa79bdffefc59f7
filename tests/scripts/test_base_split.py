"""The split of the further image sets: fixed, by patient, organ and preparation."""

from pathlib import Path

import pytest
from base_split import BESIDE, HELD_NUMBERS, cluster_of, further_images, part_of


@pytest.mark.parametrize(
    ("group", "name", "part"),
    [
        ("tnbc", "03_2", "val"),
        ("tnbc", "10_1", "val"),
        ("tnbc", "01_1", "train"),
        ("sbsst265", "Neuroblastoma_3", "val"),
        ("sbsst265", "Ganglioneuroblastoma_3", "train"),
        ("cell_aap", "cell_aap_1", "val"),
        ("cell_aap", "cell_aap_0", "train"),
        ("zo1_mdck", "MDCK_Myo1c_KO_Zo_1_1", "train"),
        ("zo1_mdck", "MDCK_Myo1c_KO_Zo_1_10", "val"),
        ("cellsium_bacteria", "cs_020_scatter_phase", "val"),
        ("cellsium_bacteria", "cs_021_scatter_phase", "train"),
    ],
)
def test_images_are_used_as_documented(group: str, name: str, part: str) -> None:
    assert part_of(group, name) == part


def test_organs_beside_a_held_out_one_are_used_for_neither() -> None:
    for low, high in HELD_NUMBERS:
        parts = {n: part_of("nuinsseg", f"nuinsseg_{n:03}") for n in range(low - 20, high + 20)}
        assert {parts[n] for n in range(low, high)} == {"val"}
        assert parts[low - 1] == parts[high] == "neither"
        assert parts[low - BESIDE - 1] == parts[high + BESIDE] == "train"


def test_clusters_are_patients_organs_and_preparations() -> None:
    assert cluster_of("tnbc", "03_2") == "03"
    assert cluster_of("nuinsseg", "nuinsseg_041") == cluster_of("nuinsseg", "nuinsseg_059")
    assert cluster_of("sbsst265", "normal_31") == "normal"
    assert cluster_of("cellsium_bacteria", "cs_069_colony_phase") == "colony_phase"


def test_no_image_is_both_trained_on_and_validated_on(tmp_path: Path) -> None:
    for name in ("01_1", "03_1", "08_2"):
        image = tmp_path / "tnbc" / "images" / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    (tmp_path / "isbi2012_em" / "images").mkdir(parents=True)
    (tmp_path / "isbi2012_em" / "images" / "slice_0.png").touch()
    train, val = (
        {row["image"].stem for row in further_images(tmp_path, part)} for part in ("train", "val")
    )
    assert train == {"01_1", "08_2"}
    assert val == {"03_1"}
