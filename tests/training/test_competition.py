"""Parents compete for what is painted: the one that suits goes on, in time, and says so."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_unet.errors import TrainingError
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.card import read_card
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.spec import UNetSpec
from napari_unet.settings import FinetuneSettings
from napari_unet.training.competition import choice as competition
from napari_unet.training.competition.attempt import Attempt
from napari_unet.training.competition.choice import SHARE, error
from napari_unet.training.competition.evaluation import Evaluation
from napari_unet.training.events import (
    Control,
    FinetunePlan,
    Finished,
    PlannedTraining,
    TrainingStep,
)
from napari_unet.training.finetune import finetune_events
from napari_unet.training.learner import Learner
from napari_unet.training.windows import TrainingWindow
from tests.strategies import random_model

HELD = (1, 6, 11, 16)
LIMIT = 5.0
TICK = 0.2  # seconds that a step takes


@pytest.fixture(autouse=True)
def _steps_take_equally_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else takes time, and no trial chooses numbers: nothing depends on the machine."""
    monkeypatch.setattr("napari_unet.training.learner.computes_bfloat16", lambda: False)
    step = Learner.step

    def counted(learner: Learner, progress: float) -> float:
        Clock.now += TICK
        return step(learner, progress)

    monkeypatch.setattr(Learner, "step", counted)


class Clock:
    """Time as this file counts it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def after(steps: int) -> Callable[[], bool]:
    """Press Stop after so many steps of all parents together."""
    asked = iter(range(10**9))
    return lambda: next(asked) > steps


def discs(*, dark: bool = False) -> TrainingWindow:
    """Sixteen discs, all painted; four are held out."""
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(y % 32 - 16, x % 32 - 16) < 9
    number = (y // 32 * 4 + x // 32 + 1).astype(np.uint32)
    noise = np.random.default_rng(0).normal(0, 0.1, disc.shape)
    image = np.clip(disc + noise, -0.5, 1.5).astype(np.float32)[None]
    return TrainingWindow(image, np.where(disc, number, np.uint32(BACKGROUND)), HELD, HELD, 1, dark)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> dict[str, Path]:
    """Two tiny models: one knows nothing, the other knows discs."""
    folder = tmp_path_factory.mktemp("models")
    spec = UNetSpec(base_filters=4, depth=2)
    path = random_model(folder, spec, diameter_range=(15, 25))
    network, card = load_model(path)
    named = {name: card.model_copy(update={"name": name}) for name in ("blank", "discs")}
    blank = save_model(folder / "blank.safetensors", network, named["blank"])
    trained = Attempt.load(plan(blank, folder), [replace(discs(), held=(), judged=())])
    for number in range(50):
        trained.step(number / 50)
    known = save_model(folder / "discs.safetensors", trained.learner.average, named["discs"])
    return {"blank": blank, "discs": known}


def plan(parent: Path, folder: Path, **fields: object) -> FinetunePlan:
    settings = FinetuneSettings(time_limit=LIMIT)
    card = {"name": "new", "parent": parent.stem}
    made = FinetunePlan(parent, folder / "new.safetensors", settings, card)
    return replace(made, **fields)


def trainings(models: dict[str, Path], folder: Path, *names: str) -> list[PlannedTraining]:
    return [(plan(models[name], folder), [discs()]) for name in names]


def events(given: list[PlannedTraining], **control: object) -> Iterator[TrainingStep | Finished]:
    (first, windows), *others = given
    Clock.now = 0.0
    return finetune_events(first, windows, others=others, clock=Clock(), **control)


@pytest.mark.parametrize("names", [("blank", "discs"), ("discs", "blank")])
def test_the_parent_that_suits_goes_on(models, tmp_path: Path, names: tuple[str, str]) -> None:
    *steps, last = events(trainings(models, tmp_path, *names))
    assert isinstance(last, Finished)
    report = last.report
    assert report.parent == "discs"
    assert list(report.tried) == list(names)
    assert report.tried["discs"] > report.tried["blank"] + 0.1
    assert "It began with 'discs', which learned it best of 2." in report.sentence
    card = read_card(last.path)
    assert card.parent == "discs"
    assert card.report["tried"] == report.tried
    notes = list(dict.fromkeys(step.note for step in steps))
    assert notes == [
        f"Trying out whether {names[0]!r} or {names[1]!r} learns it best.",
        "'discs' learned it best, so it begins with that.",
    ]


def test_each_has_its_share_and_the_limit_holds(models, tmp_path: Path) -> None:
    *steps, last = events(trainings(models, tmp_path, "blank", "discs"))
    assert last.report.seconds == pytest.approx(LIMIT, abs=TICK)
    counts = [step.steps for step in steps]
    assert counts == sorted(counts)
    each = sum("Trying" in step.note for step in steps) / 2
    assert each == pytest.approx(SHARE * LIMIT / TICK, abs=1)
    assert last.report.steps == counts[-1] == pytest.approx(LIMIT / TICK - each, abs=2)
    alone = list(events(trainings(models, tmp_path, "discs")))
    assert not any(step.note for step in alone[:-1])
    assert alone[-1].report.tried == {}
    assert "best of" not in alone[-1].report.sentence


def test_the_same_seed_gives_the_same(models, tmp_path: Path) -> None:
    both = [list(events(trainings(models, tmp_path, "blank", "discs")))[-1] for _ in range(2)]
    assert both[0].report == both[1].report


def test_cancelled_in_the_middle_nothing_is_written(models, tmp_path: Path) -> None:
    class CancelledError(Exception):
        pass

    cancelled = []

    def check() -> None:
        if cancelled:
            raise CancelledError

    running = events(trainings(models, tmp_path, "blank", "discs"), check=check)
    assert "Trying" in next(running).note
    cancelled.append(True)
    with pytest.raises(CancelledError):
        list(running)
    assert not (tmp_path / "new.safetensors").exists()


def test_stopped_in_the_middle_one_is_chosen_and_judged(models, tmp_path: Path) -> None:
    stopped = []
    running = events(trainings(models, tmp_path, "blank", "discs"), stop=lambda: bool(stopped))
    for _ in range(4):
        assert "Trying" in next(running).note
    stopped.append(True)
    last = list(running)[-1]
    assert last.report.parent == "discs"
    assert last.report.steps == 2
    assert last.report.seconds < LIMIT


def test_one_that_cannot_be_used_is_left_out(models, tmp_path: Path, monkeypatch) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    given = trainings({**models, "broken": broken}, tmp_path, "discs", "broken", "blank")
    assert set(list(events(given))[-1].report.tried) == {"discs", "blank"}
    step = Attempt.step

    def lost(attempt: Attempt, progress: float) -> None:
        if attempt.parent.name == "blank":
            raise TrainingError("not a number")
        step(attempt, progress)

    monkeypatch.setattr(Attempt, "step", lost)
    assert list(events(trainings(models, tmp_path, "blank", "discs")))[-1].report.parent == "discs"
    with pytest.raises(TrainingError, match="not a number"):
        list(events(trainings(models, tmp_path, "blank")))


def test_without_time_for_two_the_first_learns(models, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(competition, "PREPARING", 0.0)
    last = list(events(trainings(models, tmp_path, "blank", "discs")))[-1]
    assert (last.report.parent, last.report.tried) == ("blank", {})


def test_of_equal_ones_the_error_decides_and_then_the_order(models, tmp_path: Path) -> None:
    copied = tmp_path / "copied.safetensors"
    network, card = load_model(models["discs"])
    save_model(copied, network, card.model_copy(update={"name": "copied"}))
    given = trainings({**models, "copied": copied}, tmp_path, "discs", "copied")
    assert list(events(given, stop=after(3)))[-1].report.parent == "discs"
    painted = discs().painted
    sure, unsure = (np.zeros((3, 128, 128), np.uint8) for _ in range(2))
    sure[0] = np.where(painted == BACKGROUND, 20, 200)
    unsure[0] = np.where(painted == BACKGROUND, 90, 100)
    assert error(sure, painted) < error(unsure, painted)
    assert error(sure, np.zeros_like(painted)) == 0


def test_a_model_in_use_is_judged_as_it_sees_the_image(models) -> None:
    """A dark image is inverted for one model, and its windows were cut for the other."""
    network, card = load_model(models["discs"])
    bright, dark = card.model_copy(update={"polarity": "bright"}), discs(dark=True)
    inverted = replace(dark, image=1 - dark.image)
    for own, cut_for, window, finds in (
        (bright, card, inverted, True),
        (card, bright, inverted, True),
        (card, card, inverted, False),
        (bright, card, replace(inverted, dark=False), False),
    ):
        evaluation = Evaluation(cut_for, 0, [window], Control())
        score = evaluation.as_it_segments(network, own).score.value
        assert (score > 0.5) is finds


def test_the_new_model_must_beat_the_model_in_use_too(models, tmp_path: Path) -> None:
    """Another parent wins, but what is in use is better than what came of it."""
    given = trainings(models, tmp_path, "blank")
    in_use = [(replace(one, in_use=models["discs"]), windows) for one, windows in given]
    report = list(events(in_use, stop=lambda: True))[-1].report
    alone = list(events(given, stop=lambda: True))[-1].report
    assert report.old > alone.old + 0.3
    assert report.outcome == "refused"
    assert "the old one stays" in report.sentence
    assert "is new" not in report.sentence
    assert "What 'blank' learned made it no better." in report.sentence
    assert "The new model is 'blank'" not in report.sentence


def test_a_parent_that_is_good_as_it_is_is_kept_as_it_is(models, tmp_path: Path) -> None:
    """Something poor is in use: a new model could beat that and be worse than its parent."""
    given = [
        (replace(one, in_use=models["blank"]), windows)
        for one, windows in trainings(models, tmp_path, "discs")
    ]
    *_, last = events(given)
    report = last.report
    assert (report.outcome, report.trained) == ("accepted", False)
    assert "The new model is 'discs' as it is, in the size of" in report.sentence
    kept, new = load_model(models["discs"])[0], load_model(last.path)[0]
    for name, value in kept.state_dict().items():
        assert (new.state_dict()[name] == value).all()


def test_what_a_parent_knew_counts_as_much_as_what_it_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A parent that remembers ten cells best may find fewer of the others."""
    marks: dict[str, tuple[float, float]] = {}
    monkeypatch.setattr(competition, "_marks", lambda _attempt, maps: marks[maps[0]])
    evaluation = SimpleNamespace(maps=lambda *_: ["now"])
    learner = SimpleNamespace(average=None)
    attempt: Any = SimpleNamespace(
        opinions=["before"], evaluation=evaluation, learner=learner, shown=[]
    )
    marks.update(before=(0.54, -0.9), now=(0.80, -0.2))
    learns = competition.standing(attempt)
    marks.update(before=(0.75, -0.4), now=(0.77, -0.3))
    knows = competition.standing(attempt)
    assert knows > learns
    marks.update(before=(0.75, -0.4), now=(0.6, -0.5))
    assert competition.standing(attempt) == (0.75, -0.4)
