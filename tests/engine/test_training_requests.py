"""Retraining in a real engine process: its events, Stop, Cancel, and its death."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_unet.engine.client import Engine
from napari_unet.engine.messages import (
    BeginTraining,
    Paint,
    Train,
    Window,
    from_message,
    to_message,
    training_requests,
)
from napari_unet.engine.worker import FinetuneSamples
from napari_unet.errors import EngineError, ModelError, TrainingError
from napari_unet.execution.events import Waiting
from napari_unet.labels.painted import BACKGROUND
from napari_unet.models.card import read_card
from napari_unet.models.library import Model, load_model
from napari_unet.models.report import Report
from napari_unet.models.weights import load_model as load_network
from napari_unet.models.weights import save_model
from napari_unet.network.spec import UNetSpec
from napari_unet.settings import FinetuneSettings
from napari_unet.training.events import FinetuneInputs, Finished, TrainingStep
from napari_unet.training.windows import TrainingWindow
from tests.strategies import random_model

REPORT = Report(
    outcome="accepted", sentence="Better.", objects=5, held=2, old=0.4, new=0.7, base_old=0.8,
    base_new=0.8, trained=True, steps=9, seconds=5.5,
)  # fmt: skip


HELD = (1, 6, 11, 16)  # of sixteen discs


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    return load_model(random_model(folder, UNetSpec(base_filters=2, depth=2)))


def inputs(parent: Model, *, time_limit: float = 5.0, painted: bool = True) -> FinetuneInputs:
    """Sixteen discs, all painted; four are held out."""
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(y % 32 - 16, x % 32 - 16) < 9
    number = (y // 32 * 4 + x // 32 + 1).astype(np.uint32)
    paint = np.where(disc, number, np.uint32(BACKGROUND))
    noise = np.random.default_rng(0).normal(0, 0.1, disc.shape)
    image = (disc + noise).astype(np.float32)[None]
    windows = [
        TrainingWindow(
            image, paint if painted else np.zeros_like(paint), HELD, HELD, zoom=0.5, dark=True
        )
    ]
    card = {"name": "new", "parent": parent.card.name, "painted_objects": 16}
    return FinetuneInputs(parent, windows, card, FinetuneSettings(time_limit=time_limit))


def test_inputs_and_events_survive_the_way(parent: Model, tmp_path: Path) -> None:
    other = replace(inputs(parent), card={"name": "other"})
    given = replace(inputs(parent), in_use=parent, others=(other,))
    requests = list(training_requests(given, tmp_path / "new.safetensors"))
    assert [type(request) for request in requests] == [*[BeginTraining, Window, Paint] * 2, Train]
    begin, window, paint, another, *_ = (from_message(to_message(request)) for request in requests)
    assert begin.plan == given.plan(tmp_path / "new.safetensors")
    assert (begin.another, another.another) == (False, True)
    assert another.plan == replace(begin.plan, card={"name": "other"})  # in use is what it was
    samples = FinetuneSamples(begin.plan)
    for request in (window, paint):
        samples.note(request)
    [arrived], [sent] = samples.windows, given.windows
    assert (arrived.image == sent.image).all()
    assert (arrived.painted == sent.painted).all()
    assert (arrived.held, arrived.judged, arrived.zoom) == (HELD, HELD, 0.5)
    assert arrived.dark
    for event in (
        TrainingStep(3, 1.5, 60, 0.4, 0.5, "Trying."),
        Finished(REPORT, tmp_path / "new.safetensors"),
    ):
        assert from_message(to_message(event)) == event


def test_events_then_a_model(engine: Engine, parent: Model, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    began, waits, moments, events = time.monotonic(), [], [time.monotonic()], []
    for event in engine.finetune(inputs(parent), target):
        waits.append(time.monotonic() - moments[-1])
        moments.append(time.monotonic())
        if not isinstance(event, Waiting):
            events.append(event)
    *learning, finished = events
    assert all(isinstance(event, TrainingStep) for event in learning)
    assert isinstance(finished, Finished)
    assert np.median(waits) < 0.1  # or nobody could cancel
    assert len(learning) < 15 * (time.monotonic() - began)  # told at a pace that a panel can follow
    steps = [event.steps for event in learning]
    assert steps == sorted(steps)
    assert steps[-1] <= finished.report.steps
    assert learning[0].score == pytest.approx(finished.report.old)
    assert finished.path == target
    assert read_card(target).name == "new"


def test_parents_compete_in_the_engine(engine: Engine, parent: Model, tmp_path: Path) -> None:
    network, card = load_network(parent.path)
    card = card.model_copy(update={"name": "other"})
    other = load_model(save_model(tmp_path / "other.safetensors", network, card))
    given = inputs(parent)
    rival = replace(given, parent=other, card={**given.card, "parent": "other"})
    events = list(engine.finetune(replace(given, others=(rival,)), tmp_path / "new.safetensors"))
    notes = list(dict.fromkeys(e.note for e in events if isinstance(e, TrainingStep)))
    assert "Trying out" in notes[0]
    assert "learned it best" in notes[-1]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert set(finished.report.tried) == {"random", "other"}
    assert read_card(finished.path).parent == finished.report.parent
    assert f"began with {finished.report.parent!r}" in finished.report.sentence


def test_stop_keeps_the_best_so_far(engine: Engine, parent: Model, tmp_path: Path) -> None:
    target, finished = tmp_path / "new.safetensors", None
    stopped = 0.0
    for event in engine.finetune(inputs(parent, time_limit=300), target):
        if isinstance(event, TrainingStep) and event.steps and not stopped:
            threading.Thread(target=engine.stop).start()  # as the panel does, from another thread
            stopped = time.monotonic()
        if isinstance(event, Finished):
            finished = event
    assert finished is not None
    assert time.monotonic() - stopped < 20
    assert finished.report.steps >= 1
    assert target.exists()


def test_cancel_ends_at_once_and_the_next_job_begins(
    engine: Engine, parent: Model, tmp_path: Path
) -> None:
    events = engine.finetune(inputs(parent, time_limit=300), tmp_path / "new.safetensors")
    next(e for e in events if isinstance(e, TrainingStep) and e.steps)
    began = time.monotonic()
    engine.cancel()
    assert [e for e in events if not isinstance(e, Waiting)] == []
    assert time.monotonic() - began < 0.5
    assert not (tmp_path / "new.safetensors").exists()
    events = engine.finetune(inputs(parent, time_limit=300), tmp_path / "new.safetensors")
    assert next(e for e in events if isinstance(e, TrainingStep)).steps == 0
    assert time.monotonic() - began < 10
    events.close()  # which cancels, too
    assert engine.pid is not None


def test_an_error_of_the_training_arrives_as_itself(
    engine: Engine, parent: Model, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="Nothing painted lies whole"):
        list(engine.finetune(inputs(parent, painted=False), tmp_path / "new.safetensors"))
    missing = Model(tmp_path / "missing.safetensors", parent.card, "")
    with pytest.raises(ModelError, match="There is no model file"):
        list(engine.finetune(inputs(missing), tmp_path / "new.safetensors"))
    assert engine.pid is not None


def test_killed_it_says_so_and_the_next_one_works(
    engine: Engine, parent: Model, tmp_path: Path
) -> None:
    before = parent.path.read_bytes()
    for steps in (1, 0):
        events = engine.finetune(inputs(parent, time_limit=300), tmp_path / "new.safetensors")
        next(e for e in events if isinstance(e, TrainingStep) and e.steps >= steps)
        psutil.Process(engine.pid).kill()
        with pytest.raises(EngineError, match=r"stopped unexpectedly.*The model stays.*Retrain"):
            list(events)
        assert engine.pid is None
    assert parent.path.read_bytes() == before
