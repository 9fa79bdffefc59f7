"""Retraining from end to end on small images: what it yields, keeps, and refuses."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet import finetune, segment
from napari_unet.errors import InputError, ModelError, TrainingError
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.library import find_model, load_model, model_files, user_folder
from napari_unet.models.weights import load_model as load_network
from napari_unet.models.weights import save_model
from napari_unet.network.outputs import Kind
from napari_unet.plugin.synthetic_nuclei import nuclei_window
from napari_unet.settings import DecodeSettings, FinetuneSettings, SegmentSettings
from napari_unet.training.competition.attempt import Attempt
from napari_unet.training.events import FinetunePlan, Finished, TrainingStep
from napari_unet.training.finetune import finetune_events
from napari_unet.training.judge import at_zoom, judge
from napari_unet.training.windows import TrainingWindow, shown_diameter
from tests.library import put

SIDE = 192


@pytest.fixture(autouse=True)
def _own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def image_and_truth() -> tuple[np.ndarray, np.ndarray]:
    image, labels = nuclei_window((0, 0), (SIDE, SIDE), SIDE)
    return np.asarray(image), np.asarray(labels).astype(np.uint32)


def painted_from(truth: np.ndarray, count: int) -> np.ndarray:
    """Paint the first whole objects, and a stroke of background."""
    painted = np.zeros_like(truth)
    rim = np.unique(np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]]))
    whole = [i for i in np.unique(truth) if i and i not in rim]
    for number in whole[:count]:
        painted[truth == number] = number
    stroke = (truth == 0) & (np.indices(truth.shape)[0] // 8 % 4 == 0)
    painted[stroke] = BACKGROUND
    return painted


def plan(folder: Path, *, in_use: Path | None = None, time_limit: float = 60) -> FinetunePlan:
    settings = FinetuneSettings(time_limit=time_limit)
    target = folder / "new.safetensors"
    return FinetunePlan(find_model("nuclei"), target, settings, in_use=in_use)


def test_a_few_cells_give_a_model_with_a_report() -> None:
    image, truth = image_and_truth()
    seen: list[TrainingStep] = []
    made = finetune(
        "nuclei",
        [(image, painted_from(truth, 8))],
        name="mine",
        time_limit=5,
        progress=seen.append,
    )
    report = made.report
    assert report is not None
    assert report.objects == 8
    assert report.held >= 1
    assert report.steps >= 1
    assert seen[-1].steps == report.steps
    assert report.outcome in ("accepted", "refused", "preview")
    assert segment(image, made).labels.shape == image.shape
    if report.outcome == "accepted":
        assert "mine" in model_files()
        assert made.card.parent == "nuclei"
    else:
        assert "mine" not in model_files()


def test_the_parent_is_untouched() -> None:
    image, truth = image_and_truth()
    before = find_model("nuclei").read_bytes()
    finetune("nuclei", [(image, painted_from(truth, 3))], name="mine", time_limit=5)
    assert find_model("nuclei").read_bytes() == before


def test_nothing_is_left_beside_the_library() -> None:
    image, truth = image_and_truth()
    made = finetune("nuclei", [(image, painted_from(truth, 8))], name="mine", time_limit=5)
    left = list(user_folder().parent.glob("candidate-*"))
    assert bool(left) == (made.report is not None and made.report.outcome == "preview")


def test_stop_ends_the_training_and_judges(tmp_path: Path) -> None:
    image, truth = image_and_truth()
    grey = (image / image.max()).astype(np.float32)
    windows = [TrainingWindow(grey[None], painted_from(truth, 8), (1,), (1,))]
    events = finetune_events(plan(tmp_path, time_limit=600), windows, stop=lambda: True)
    last = list(events)[-1]
    assert isinstance(last, Finished)
    assert last.report.steps == 0
    assert last.report.seconds < 60


def test_batch_normalisation_keeps_its_statistics(tmp_path: Path) -> None:
    image, truth = image_and_truth()
    grey = (image / image.max()).astype(np.float32)
    made = plan(tmp_path, time_limit=6)
    window = TrainingWindow(grey[None], painted_from(truth, 8))
    list(finetune_events(made, [window]))
    old, new = load_network(find_model("nuclei"))[0], load_network(made.target)[0]
    for name, value in old.state_dict().items():
        if "running" in name:
            assert (new.state_dict()[name] == value).all()


def test_too_little_paint_is_a_sentence() -> None:
    image, truth = image_and_truth()
    nothing = np.zeros_like(truth)
    with pytest.raises(InputError, match="Nothing is painted"):
        finetune("nuclei", [(image, nothing)], name="mine")
    with pytest.raises(InputError, match="shape"):
        finetune("nuclei", [(image, nothing[:-1])], name="mine")
    with pytest.raises(ModelError, match=r"called 'nuclei'|name"):
        finetune("nuclei", [(image, painted_from(truth, 3))], name="nuclei")
    put("mine")
    with pytest.raises(ModelError, match="called 'Mine' already"):
        finetune("nuclei", [(image, nothing)], name="Mine")


def test_only_cut_objects_are_a_sentence(tmp_path: Path) -> None:
    blank = TrainingWindow(np.zeros((1, 64, 64), np.float32), np.zeros((64, 64), np.uint32))
    with pytest.raises(TrainingError, match="whole"):
        list(finetune_events(plan(tmp_path), [blank]))


def test_a_parent_that_is_loaded_can_be_given() -> None:
    image, truth = image_and_truth()
    made = finetune(
        load_model("nuclei"), [(image, painted_from(truth, 2))], name="two", time_limit=5
    )
    assert made.report is not None
    assert made.report.outcome in ("preview", "refused")  # two objects are too few to judge
    assert "two" not in model_files()


def test_three_classes_of_a_colour_image() -> None:
    """K classes from any channels: here hue decides, which grey values cannot tell apart."""
    random = np.random.default_rng(0)
    truth = np.zeros((128, 128), np.uint32)
    truth[:, 40:80], truth[:, 80:] = 1, 2
    colours = np.array([[40, 40, 40], [200, 40, 40], [40, 40, 200]])
    image = np.clip(colours[truth] + random.normal(0, 8, (128, 128, 3)), 0, 255).astype(np.uint8)
    painted = np.zeros_like(truth)
    for row in range(8, 120, 14):
        for column, value in ((10, BACKGROUND), (50, 1), (100, 2)):
            painted[row : row + 6, column : column + 20] = value
    names = ("background", "nucleus", "cytoplasm")
    made = finetune("nuclei", [(image, painted)], name="tissue", time_limit=20, class_names=names)
    assert made.report is not None
    assert made.report.outcome == "accepted"
    assert "of your strokes" in made.report.sentence
    assert made.card.class_names == names
    assert made.card.spec.in_channels == 3
    labels = segment(image, made).labels
    assert (labels == truth).mean() > 0.8


def test_a_class_without_a_name_is_a_sentence() -> None:
    image, truth = image_and_truth()
    with pytest.raises(InputError, match="Name every class"):
        finetune("nuclei", [(image, painted_from(truth, 8))], name="x", class_names=("a", "b"))


def test_the_smallest_object_is_measured_in_the_images_pixels() -> None:
    settings = DecodeSettings(minimum_diameter=10)
    assert at_zoom(settings, 0.5).minimum_diameter == 5
    assert at_zoom(settings, 1.0) == settings
    assert at_zoom(settings, 100.0).minimum_diameter == 200  # the most there can be


def disc_example(radius: int = 9) -> TrainingWindow:
    """Sixteen discs, all painted; four are held out."""
    pitch = 32 * radius // 9
    y, x = np.mgrid[: 4 * pitch, : 4 * pitch]
    disc = np.hypot(y % pitch - pitch // 2, x % pitch - pitch // 2) < radius
    number = (y // pitch * 4 + x // pitch + 1).astype(np.uint32)
    noise = np.random.default_rng(0).normal(0, 0.1, disc.shape)
    held = (1, 6, 11, 16)
    painted = np.where(disc, number, np.uint32(BACKGROUND))
    return TrainingWindow((disc + noise).astype(np.float32)[None], painted, held, held)


@pytest.mark.parametrize("zoom", [0.5, 1.0])
def test_the_parent_is_judged_with_the_thresholds_it_segments_with(
    tmp_path: Path, zoom: float
) -> None:
    """Else debris that it leaves out of such an image would count against it."""
    window = replace(disc_example(), zoom=zoom)
    assert shown_diameter([window]) == pytest.approx(18 / zoom, rel=0.03)
    blank = replace(window, painted=np.full_like(window.painted, BACKGROUND), held=(), judged=())
    assert shown_diameter([blank, blank]) is None
    before = Attempt.load(plan(tmp_path), [window, blank]).unchanged().decode
    wanted = load_model("nuclei").card.decode_for(18 / zoom)
    assert before.minimum_diameter == pytest.approx(wanted.minimum_diameter, rel=0.03)


@pytest.mark.parametrize("radius", [9, 20, 45])
def test_the_parent_is_judged_in_the_size_it_segments_with(tmp_path: Path, radius: int) -> None:
    """A retrained model may take objects as they are that its parent resizes."""
    window = disc_example(radius)
    settings = SegmentSettings(diameter=2 * radius)
    found = segment(window.image[0], load_model("nuclei"), settings=settings).labels
    expected = judge(found, window.painted, window.judged).value
    assert expected > 0.5
    work = Attempt.load(plan(tmp_path), [window])
    assert work.unchanged().score.value == pytest.approx(expected, abs=0.03)


def test_the_model_in_use_is_judged_in_the_size_that_it_found(tmp_path: Path) -> None:
    """What it would do in the right size is not what the person sees."""
    window = disc_example(20)
    wrong = replace(window, seen=6.0)  # as if it had taken them for specks
    right = Attempt.load(plan(tmp_path), [window]).unchanged().score.value
    assert Attempt.load(plan(tmp_path), [wrong]).unchanged().score.value < right - 0.2
    other = save_model(tmp_path / "other.safetensors", *load_network(find_model("nuclei")))
    work = Attempt.load(plan(tmp_path, in_use=other), [wrong])
    in_use = work.in_use()
    assert in_use is not None
    assert in_use.score.value < right - 0.2
    assert work.unchanged().score.value == pytest.approx(right)  # another parent has found none


def finished(made: FinetunePlan) -> Finished:
    last = list(finetune_events(made, [disc_example()], stop=lambda: True))[-1]
    assert isinstance(last, Finished)
    return last


def test_the_new_model_must_beat_the_one_in_use(tmp_path: Path) -> None:
    """A retraining begins with the parent again, but it replaces what was in use meanwhile."""
    network, card = load_network(find_model("nuclei"))
    blind = card.model_copy(update={"decode": DecodeSettings(minimum_diameter=100)})
    worse = save_model(tmp_path / "worse.safetensors", network, blind)
    against_parent = finished(plan(tmp_path)).report
    assert against_parent.old > 0.5
    assert against_parent.outcome != "accepted"
    assert "as it is" not in against_parent.sentence
    against_worse = finished(plan(tmp_path, in_use=worse)).report
    assert against_worse.old == 0
    better = replace(plan(tmp_path, in_use=find_model("nuclei")), parent=worse)
    assert finished(better).report.old == pytest.approx(against_parent.old)


def test_stopped_early_the_best_so_far_is_kept_and_not_the_last(tmp_path: Path) -> None:
    work = Attempt.load(plan(tmp_path), [disc_example()])
    good = copy.deepcopy(work.learner.average)
    assert work._score_so_far() > 0.5
    with torch.no_grad():
        for weights in work.learner.average.parameters():
            weights.zero_()
    assert work._score_so_far() < 0.2  # nothing but chance
    assert work.best is not None
    assert work.trained().score.value > 0.5
    pairs = zip(work.trained().network.parameters(), good.parameters(), strict=True)
    assert all((one == other).all() for one, other in pairs)
    work.best = None  # as at the end of the time
    assert work.trained().score.value < 0.2


def test_a_time_that_cannot_be_used_is_a_sentence() -> None:
    with pytest.raises(InputError, match="time_limit"):
        finetune("nuclei", [], name="mine", time_limit=1)


def test_a_model_of_classes_is_not_trained_on_objects(tmp_path: Path) -> None:
    image, truth = image_and_truth()
    network, card = load_network(find_model("nuclei"))
    card = card.model_copy(update={"kind": Kind.CLASSES, "class_names": ("a", "b", "c")})
    parent = load_model(save_model(tmp_path / "classes.safetensors", network, card))
    with pytest.raises(InputError, match="tells classes apart, and objects were painted"):
        finetune(parent, [(image, painted_from(truth, 5))], name="mine")


def test_an_object_of_thousands_of_pixels_is_a_sentence() -> None:
    painted = np.ones((4100, 4100), np.uint32)
    painted[:2] = painted[-2:] = BACKGROUND
    image = np.zeros(painted.shape, np.uint8)
    with pytest.raises(InputError, match="at most 4000 px can be learned"):
        finetune("nuclei", [(image, painted)], name="mine")


@pytest.mark.parametrize(("parent", "knows"), [("nuclei", True), ("cells-phase", False)])
def test_what_the_parent_never_knew_is_not_forgotten(
    tmp_path: Path, parent: str, knows: bool
) -> None:
    made = replace(plan(tmp_path), parent=find_model(parent))
    work = Attempt.load(made, [disc_example()])
    assert (work.unchanged().base > 0.5) == knows
    assert bool(work.evaluation.replay_judged) == knows
