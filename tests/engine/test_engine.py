"""The engine: a real child process, its pipe, its death, and its results."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unet.engine.client import Engine
from napari_unet.engine.messages import from_message, to_message
from napari_unet.engine.protocol import read_message, write_message
from napari_unet.engine.worker import Worker
from napari_unet.errors import EngineError, ModelError
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import Event, ObjectsFound, Started
from napari_unet.execution.executors import Executor
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.execution.orders import (
    Answer,
    ComputeBlock,
    DecodeBlock,
    DropMaps,
    DropObjects,
    PredictTile,
    TilePredicted,
    TileStored,
    WriteTile,
)
from napari_unet.image import Box, Image
from napari_unet.inference.threads import WorkerThreads
from napari_unet.labels.live_labels import Assembly, empty_labels
from napari_unet.labels.watershed import Patch
from napari_unet.models.library import Model, load_model
from napari_unet.network.spec import UNetSpec
from napari_unet.segmentation import segment_events
from napari_unet.settings import TORCH_ENVIRONMENT, SegmentSettings
from tests.strategies import random_model, same_partition

PICTURE = np.random.default_rng(0).random((96, 110)).astype(np.float32)
IMAGE = Image(PICTURE, "YX")
SETTINGS = SegmentSettings(diameter=20, tile=48)
STOPPED = r"The process that computes stopped unexpectedly.*press Segment"

needs_signals = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(
        random_model(tmp_path_factory.mktemp("model"), UNetSpec(base_filters=2, depth=2))
    )


@pytest.fixture(scope="module")
def expected(model: Model) -> np.ndarray:
    return labels_of(events_of(ThreadExecutor(), model))


def events_of(engine: Executor, model: Model) -> Iterator[Event]:
    return segment_events(IMAGE, model, SETTINGS, engine)


def labels_of(events: Iterator[Event], *, classes: bool = False) -> np.ndarray:
    assembly = Assembly(empty_labels(PICTURE.shape), classes=classes)
    assembly.begin(1)
    for event in events:
        if isinstance(event, ObjectsFound):
            assembly.place(event.plane, event.owned, event.patch, event.block)
    return assembly.labels


# ---------------------------------------------------------------------------------- the messages

values = arrays.arrays(
    st.sampled_from(["?", "u1", "<u2", ">u2", "<i4", "<f2", ">f4", "<f8", "<u8"]),
    arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
)


@given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda t: t not in ("dtype", "shape")), st.integers() | st.text()
    ),
    st.none() | values,
)
def test_messages_come_back(header: dict, array: np.ndarray | None) -> None:
    pipe = io.BytesIO()
    write_message(pipe, header, array)
    write_message(pipe, {"next": 1})
    pipe.seek(0)
    message = read_message(pipe)
    assert message is not None
    assert {k: message[0][k] for k in header} == header
    if array is None:
        assert message[1] is None
    else:
        assert message[1].dtype == array.dtype
        assert message[1].tobytes() == array.tobytes()
        assert message[1].shape == array.shape
    assert read_message(pipe) == ({"next": 1}, None)
    assert read_message(pipe) is None


def test_a_stream_cut_anywhere_has_ended() -> None:
    pipe = io.BytesIO()
    write_message(pipe, {"op": "predict"}, np.arange(20, dtype=np.uint16).reshape(4, 5)[::2])
    content = pipe.getvalue()
    for length in range(len(content)):
        assert read_message(io.BytesIO(content[:length])) is None


def sent(item: Any) -> Any:
    """A request or reply after its way through the pipe."""
    header, array = to_message(item)
    return from_message((json.loads(json.dumps(header)), array))


def test_every_order_and_answer_survives_the_way() -> None:
    window = np.arange(12, dtype=">u2").reshape(1, 3, 4)
    for kind in (PredictTile, ComputeBlock):
        order = sent(kind((1, 2), window))
        assert type(order) is kind
        assert order.key == (1, 2)
        assert (order.array == window).all()
    tile = WritableTile((1, 2), (((1, 1), 0), ((1, 2), 7)), final=False)
    for simple in (
        DecodeBlock((1, 2)), DropMaps(((3, 4), (3, 5))), DropObjects(((3, 4),)), WriteTile(tile),
        TilePredicted((1, 2), ("Text: æ 日本",)), TileStored(tile),
    ):  # fmt: skip
        assert sent(simple) == simple
    bare = sent(BlockResult((1, 2), 5, ("One.",)))
    assert (bare.key, bare.ids, bare.notes, bare.objects) == ((1, 2), 5, ("One.",), None)
    patch = Patch(Box((3, 4), (5, 7)), np.arange(6, dtype=np.int32).reshape(2, 3), 5, 0.25)
    again = sent(BlockResult((1, 2), 5, (), patch)).objects
    assert (again.box, again.count, again.certainty) == (patch.box, 5, 0.25)
    assert (again.labels == patch.labels).all()


# ----------------------------------------------------------------------------------- the process


def test_the_engine_gives_the_labels_of_this_process(
    engine: Engine, model: Model, expected: np.ndarray
) -> None:
    assert same_partition(labels_of(events_of(engine, model)), expected)
    assert len(np.unique(expected)) > 1


def worker_with_threads(sink: io.BytesIO) -> Worker:
    worker = Worker(io.BytesIO(), sink)
    worker._job, worker._threads = 1, WorkerThreads(2)
    threading.Thread(target=worker._report, daemon=True).start()
    return worker


def test_results_are_told_in_the_order_of_the_tasks(qtbot: Any) -> None:
    sink, second = io.BytesIO(), threading.Event()
    worker = worker_with_threads(sink)

    def order(tile: int) -> Callable[[], Answer]:
        def work() -> Answer:
            if tile == 0:
                assert second.wait(20)  # the second task is done before the first
            else:
                second.set()
            return TilePredicted((0, tile))

        return work

    for tile in (0, 1):
        worker._hand_over(order(tile), PredictTile((0, tile)), 1)
    qtbot.waitUntil(lambda: sink.getvalue().count(b"TilePredicted") == 2)
    told = io.BytesIO(sink.getvalue())
    assert [read_message(told)[0]["key"][1] for _ in range(2)] == [0, 1]


def test_tiles_are_written_one_after_the_other(qtbot: Any) -> None:
    """Of a tile first what is known so far is written, then the rest, which must win."""
    sink, written = io.BytesIO(), list[int]()
    worker = worker_with_threads(sink)

    def order(tile: int) -> Callable[[], Answer]:
        def work() -> Answer:
            time.sleep(0.2 if tile == 0 else 0)
            written.append(tile)
            return TileStored(WritableTile((0, tile), ()))

        return work

    for tile in (0, 1, 2):
        worker._hand_over(order(tile), WriteTile(WritableTile((0, tile), ())), 1)
    qtbot.waitUntil(lambda: sink.getvalue().count(b"TileStored") == 3)
    assert written == [0, 1, 2]


def test_hands_that_are_not_needed_any_more_go(engine: Engine, model: Model) -> None:
    """Images of one tile and of many want different numbers of threads."""
    small = Image(PICTURE[:40, :40], "YX")
    threads = []
    for _ in range(12):
        for image in (small, IMAGE):
            for _ in segment_events(image, model, SETTINGS, engine):
                pass
        threads.append(psutil.Process(engine.pid).num_threads())
    assert max(threads[6:]) <= max(threads[:6])


def test_a_job_that_failed_computes_nothing_more(qtbot: Any) -> None:
    sink, begun = io.BytesIO(), list[int]()
    worker = worker_with_threads(sink)

    def order(tile: int) -> Callable[[], Answer]:
        def work() -> Answer:
            begun.append(tile)
            time.sleep(0.05)
            raise ModelError("No.")

        return work

    for tile in range(20):
        worker._hand_over(order(tile), PredictTile((0, tile)), 1)
    qtbot.waitUntil(lambda: b"ModelError" in sink.getvalue())
    time.sleep(0.3)
    assert len(begun) < 10
    assert sink.getvalue().count(b"ModelError") == 1  # told once


def test_a_block_by_itself_has_the_objects_that_it_has_among_others(
    engine: Engine, model: Model, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[ComputeBlock] = []
    monkeypatch.setattr(
        "napari_unet.execution.run.ComputeBlock",
        lambda *a: ahead.append(ComputeBlock(*a)) or ahead[-1],
    )
    for backend in (engine, ThreadExecutor()):
        for at_most in (0.0, np.inf):  # the first block always, or never
            monkeypatch.setattr("napari_unet.tiling.schedule.LONG", at_most)
            assert (labels_of(events_of(backend, model)) == expected).all()
    assert len(ahead) == 2


@pytest.mark.parametrize("tile", [0, 1, 3])
def test_killed_at_any_tile_it_says_so_and_the_next_job_works(
    engine: Engine, model: Model, expected: np.ndarray, tile: int
) -> None:
    done = []

    def kill_at_tile() -> None:
        for event in events_of(engine, model):
            if isinstance(event, ObjectsFound):
                done.append(event)
            if isinstance(event, Started | ObjectsFound) and len(done) == tile and engine.pid:
                psutil.Process(engine.pid).kill()

    with pytest.raises(EngineError, match=STOPPED):
        kill_at_tile()
    assert len(done) >= tile
    assert engine.pid is None
    assert same_partition(labels_of(events_of(engine, model)), expected)


def test_killed_between_jobs_the_next_one_works(
    engine: Engine, model: Model, expected: np.ndarray
) -> None:
    engine.start()
    psutil.Process(engine.pid).kill()
    while engine.pid is not None:  # a busy machine takes its time
        time.sleep(0.01)
    assert same_partition(labels_of(events_of(engine, model)), expected)


@needs_signals
def test_a_job_ends_though_another_process_was_started_before_it_noticed(
    engine: Engine, model: Model, expected: np.ndarray
) -> None:
    """The panel warms an engine up whenever a model is chosen, also while a job loses its own."""
    events = events_of(engine, model)
    next(e for e in events if isinstance(e, ObjectsFound))
    os.kill(engine.pid or 0, signal.SIGKILL)
    while engine.pid is not None:
        time.sleep(0.01)
    engine.warm_up(model.path, "cpu")
    second = engine.pid
    with pytest.raises(EngineError, match=STOPPED):
        list(events)
    assert engine.pid == second, "the new process has done nothing wrong"
    assert same_partition(labels_of(events_of(engine, model)), expected)


def test_cancelling_drops_the_rest_and_mixes_nothing(
    engine: Engine, model: Model, expected: np.ndarray
) -> None:
    for stop in (1, 2, 4, 7):
        events = events_of(engine, model)
        for _ in range(stop):
            next(e for e in events if isinstance(e, Started | ObjectsFound))
        engine.cancel()
        assert engine.collect(0.05) == []
        events.close()
    assert same_partition(labels_of(events_of(engine, model)), expected)


def test_a_replaced_job_in_another_thread_takes_nothing_from_the_new_one(
    engine: Engine, model: Model, expected: np.ndarray
) -> None:
    """The panel starts the next job before the old one's thread has noticed its end."""
    begun, hold, stop = (threading.Event() for _ in range(3))
    late: list[ObjectsFound] = []

    def old_job() -> None:
        with suppress(EngineError):  # after two seconds it is told
            for event in events_of(engine, model):
                if isinstance(event, Started):
                    begun.set()
                    hold.wait(20)  # replaced before it has sent anything
                if isinstance(event, ObjectsFound):
                    late.append(event)
                if stop.is_set():
                    return

    thread = threading.Thread(target=old_job)
    thread.start()
    assert begun.wait(20)
    events = events_of(engine, model)
    try:
        next(e for e in events if isinstance(e, Started))
        hold.set()
        assert same_partition(labels_of(events), expected)
    finally:
        hold.set()
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert late == []


def test_an_error_in_the_child_arrives_as_itself_and_the_next_job_works(
    engine: Engine, model: Model, expected: np.ndarray, tmp_path: Path
) -> None:
    path = random_model(tmp_path)
    broken = load_model(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"random.safetensors is damaged"):
        list(events_of(engine, broken))
    assert engine.pid is not None
    assert same_partition(labels_of(events_of(engine, model)), expected)


def test_a_model_replaced_under_its_name_is_loaded_anew(engine: Engine, tmp_path: Path) -> None:
    results, spec = [], UNetSpec(classes=4, distance=False, base_filters=2, depth=2)
    for seed in (1, 2):
        path = random_model(tmp_path, spec, seed=seed)
        os.utime(path, ns=(seed * 10**9, seed * 10**9))
        results.append(labels_of(events_of(engine, load_model(path)), classes=True))
        here = labels_of(events_of(ThreadExecutor(), load_model(path)), classes=True)
        assert (results[-1] == here).mean() > 0.999
    assert (results[0] != results[1]).any()


def gone(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_closing_ends_the_process(model: Model) -> None:
    engine = Engine()
    engine.warm_up(model.path, "cpu")
    pid = engine.pid
    assert pid is not None
    engine.close()
    assert not psutil.pid_exists(pid)
    assert engine.pid is None
    engine.close()


def test_a_closed_engine_never_starts_again(model: Model) -> None:
    engine = Engine()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up(model.path, "cpu")
    assert engine.pid is None


@needs_signals
def test_when_the_viewer_is_killed_its_engine_leaves(model: Model) -> None:
    code = f"""
import sys, time
from pathlib import Path
from napari_unet.engine.client import Engine
engine = Engine()
engine.warm_up(Path({str(model.path)!r}), "cpu")
print(engine.pid, "torch" in sys.modules, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as output:
        pid, torch = output.readline().split()
    assert torch == "False"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(int(pid), 2)


def test_the_viewers_process_never_imports_torch(model: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", PICTURE)
    code = f"""
import sys
import numpy as np
from napari_unet.engine.client import Engine
from napari_unet.image import Image
from napari_unet.models.library import load_model
from napari_unet.segmentation import segment_events
from napari_unet.settings import TORCH_ENVIRONMENT, SegmentSettings
image = Image(np.load({str(tmp_path / "image.npy")!r}), "YX")
engine = Engine()
events = segment_events(image, load_model({str(model.path)!r}), SegmentSettings(tile=48), engine)
print(sum(type(e).__name__ == "ObjectsFound" for e in events))
engine.close()
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1


def test_threads_of_the_engine_do_not_spin_while_they_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TORCH_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    engine.start()
    assert engine._process is not None
    variables = psutil.Process(engine._process.pid).environ()
    assert {name: variables.get(name) for name in TORCH_ENVIRONMENT} == TORCH_ENVIRONMENT
