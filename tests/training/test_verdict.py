"""What is seen beside the objects held out, and the verdict that follows from it."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.draw import disk

from napari_unet.labels.agreement import agreement, overlaps_of_same
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.training.competition.evaluation import Candidate
from napari_unet.training.competition.evidence import Evidence
from napari_unet.training.competition.verdict import Compared, certainty, verdict
from napari_unet.training.judge import Score


def disks(*centres: tuple[int, int], radius: int = 6) -> np.ndarray:
    labels = np.zeros((60, 60), np.int32)
    for number, centre in enumerate(centres, 1):
        labels[disk(centre, radius)] = number
    return labels


def test_the_same_objects_agree_whatever_their_numbers() -> None:
    one, other = disks((15, 15), (40, 40)), disks((40, 40), (15, 15))
    assert agreement([one], [other]) == 1


def test_agreement_is_the_panoptic_quality() -> None:
    one, other = disks((15, 15), (40, 40)), disks((15, 15), (40, 15), (15, 40))
    assert agreement([one], [other]) == pytest.approx(1 / (1 + 1 / 2 + 2 / 2))
    assert agreement([one, other], [one, other]) == 1


def test_objects_that_overlap_by_half_or_less_are_others() -> None:
    assert overlaps_of_same(disks((15, 15)), disks((15, 21))) == []
    [overlap] = overlaps_of_same(disks((15, 15)), disks((15, 16)))
    assert 0.5 < overlap < 1


def test_where_nothing_is_found_nothing_agrees() -> None:
    nothing = disks()
    assert agreement([nothing], [nothing]) == 0
    assert agreement([], []) == 0
    assert agreement([nothing], [disks((20, 20))]) == 0


def compared(
    certainty: float = 0.0,
    learned: tuple[float, float] = (0.5, 0.5),
    steady: tuple[float, float] = (0.5, 0.5),
    *,
    objects: int = 3,
) -> Compared:
    return Compared(objects, (0.2, 0.8), certainty, learned, steady)


@pytest.mark.parametrize("name", ["learned", "steady"])
def test_each_gain_speaks_for_the_new_model(name: str) -> None:
    better, worse = compared(**{name: (0.3, 0.8)}), compared(**{name: (0.8, 0.3)})
    assert better.expected > compared().expected > worse.expected
    assert compared(1.0).expected > compared().expected > compared(-1.0).expected


def test_a_gain_that_all_held_out_objects_share_is_certain() -> None:
    old = Score((0.3, 0.5, 0.7, 0.4))
    alike, mixed = Score((0.5, 0.7, 0.9, 0.6)), Score((1.0, 0.1, 1.0, 0.6))
    assert alike.value == pytest.approx(mixed.value, abs=0.01)
    assert certainty(old, alike) == 1
    assert 0 < certainty(old, mixed) < 0.5
    assert certainty(alike, old) == -1
    assert certainty(old, Score(old.overlaps, wrong=4)) < 0
    assert certainty(Score((0.1,)), Score((0.9,))) == 0


def test_what_is_better_in_all_is_accepted() -> None:
    outcome, sentence = verdict(compared(0.8, (0.3, 0.8), (0.4, 0.8)))
    assert outcome == "accepted"
    assert "surely better" in sentence
    assert "0.20 before, 0.80 after" in sentence


def test_what_is_worse_in_all_is_refused() -> None:
    outcome, sentence = verdict(compared(-0.8, (0.8, 0.3), (0.8, 0.4)))
    assert outcome == "refused"
    assert "not better" in sentence


def test_what_is_worse_where_it_was_set_aside_is_never_sure() -> None:
    better = compared(0.8, (0.3, 0.8), (0.4, 0.8))
    assert verdict(replace(better, held=(0.8, 0.5)))[0] == "preview"


def test_lucky_objects_do_not_outweigh_the_rest() -> None:
    assert verdict(compared(0.3, (0.8, 0.5), (0.9, 0.5)))[0] == "refused"


def test_with_nothing_to_judge_by_a_person_looks() -> None:
    for after in (0.55, 0.9):
        outcome, sentence = verdict(compared(0, (0.5, after), (0.5, after), objects=0))
        assert outcome == "preview"
        assert "12 in all" in sentence
        assert sentence.startswith("You painted too few objects to hold any out to judge. The old")
    one = verdict(compared(0, (0.5, 0.9), (0.5, 0.9), objects=1))[1]
    assert one.startswith("Only 1 of your objects could be held out to judge, too few to tell.")
    assert verdict(compared(0, (0.9, 0.2), (0.9, 0.2), objects=1))[0] == "refused"
    outcome, sentence = verdict(compared(0, (0.9, 0.2), (0.9, 0.2), objects=0))
    assert outcome == "refused"
    assert "too few objects to hold any out" in sentence
    assert "0 of your objects" not in sentence
    assert "12 in all" not in verdict(compared(0.5))[1]


def test_what_is_forgotten_is_said() -> None:
    one = compared(0.9, (0.1, 0.9), (0.2, 0.9))
    assert "0.90 before" in verdict(replace(one, base=(0.9, 0.5)))[1]
    assert "0.90 before" not in verdict(replace(one, base=(0.9, 0.88)))[1]


def test_without_learning_all_that_is_painted_judges() -> None:
    """Three lucky objects were held out; the seven others, which nobody learned, got worse."""
    network = UNet(UNetSpec(base_filters=2, depth=1))
    old, new = (
        Candidate(network, DecodeSettings(), Score(overlaps), 0.0)
        for overlaps in ((0.3, 0.4, 0.35), (0.55, 0.65, 0.6))
    )
    evidence = Evidence((0.83,) * 7, 0.8), Evidence((0.73,) * 7, 0.8)
    learned = Compared.of(old, new, evidence)
    assert learned.certainty == 1
    assert verdict(learned)[0] == "accepted"
    untaught = Compared.of(old, new, evidence, untaught=True)
    assert untaught.certainty < 0.1
    assert verdict(untaught)[0] == "refused"
    assert untaught.held == learned.held
