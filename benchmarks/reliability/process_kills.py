"""Processes that compute, killed: the engine at random tiles, and workers of a dask cluster.

What is finished stays, the rest is a sentence, and the next run finds what an undisturbed one does.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile
import zarr

from benchmarks.reliability.campaign import Asked, Tally
from napari_unet.engine.client import Engine
from napari_unet.errors import EngineError, UNetError
from napari_unet.execution.block_worker import ThreadExecutor
from napari_unet.execution.events import ObjectsFound
from napari_unet.execution.executors import Executor
from napari_unet.image import Image
from napari_unet.labels.live_labels import Assembly, empty_labels
from napari_unet.models.library import load_model
from napari_unet.plugin.samples import sample_folder
from napari_unet.segmentation import segment_events, segment_slide
from napari_unet.settings import SegmentSettings

COUNT = 200  # of each
SHAPE = (384, 384)
SETTINGS = SegmentSettings(diameter=30, tile=128)
TILES = 8  # at most before the kill
ENGINE, WORKERS = "engine killed at a random tile", "dask worker killed"


def image() -> Image:
    """Return a part of the sample."""
    whole = tifffile.imread(sample_folder() / "nuclei.tif")
    return Image(np.ascontiguousarray(whole[: SHAPE[0], : SHAPE[1]]), "YX")


def same_objects(one: Any, other: Any) -> bool:
    """Whether two label images hold the same objects, under any numbers."""
    pairs = np.unique(np.stack([np.ravel(one), np.ravel(other)]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


class Work:
    """One image, segmented again and again by an executor."""

    def __init__(self) -> None:
        self._image, self._model = image(), load_model("nuclei")
        self.expected = self.labels(ThreadExecutor())

    def found(self, executor: Executor, labels: Assembly) -> Iterator[int]:
        """Place what is found; yield how many blocks there are."""
        blocks = 0
        labels.begin(1)
        for event in segment_events(self._image, self._model, SETTINGS, executor):
            if isinstance(event, ObjectsFound):
                labels.place(event.plane, event.owned, event.patch, event.block)
                blocks += 1
                yield blocks

    def labels(self, executor: Executor) -> Any:
        """Return all labels."""
        assembly = Assembly(empty_labels(SHAPE))
        for _ in self.found(executor, assembly):
            pass
        return assembly.labels

    def killed(self, engine: Engine, chance: Random) -> str:
        """Kill the engine in the middle, then let the next one do all of it."""
        assembly, last = Assembly(empty_labels(SHAPE)), chance.randint(0, TILES)
        found = self.found(engine, assembly)
        engine.start()
        for blocks in found if last else ():
            if blocks == last:
                break
        time.sleep(chance.uniform(0, 0.05))
        before = assembly.labels.copy()
        os.kill(engine.pid or 0, signal.SIGKILL)
        end = "all was there already, or a new one began"
        try:
            for _ in found:
                pass
        except EngineError:
            end = "ended in a sentence"
        while engine.pid is not None:  # a run that begins before it is noticed ends as this one
            time.sleep(0.01)
        assert (assembly.labels[before > 0] > 0).all(), "objects that were there are gone"
        assert same_objects(self.labels(engine), self.expected), "the next run finds others"
        return f"{end}, and the next run found the same"


def kill_engines(asked: Asked, tally: Tally) -> None:
    """Kill engines until the count or the time is reached."""
    work, engine = Work(), Engine()
    try:
        for number in range(asked.count or COUNT):
            if asked.left < 0:
                break
            _try(tally, number, lambda n=number: work.killed(engine, Random(f"{asked.seed}/{n}")))
    finally:
        engine.close()


def kill_workers(asked: Asked, tally: Tally) -> None:
    """Kill workers of a cluster on this computer, until the count or the time is reached."""
    from distributed import Client, LocalCluster

    with (
        tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        slide = Path(temporary) / "slide.zarr"
        zarr.save_array(slide, np.asarray(image().data))
        first = Path(temporary) / "expected.zarr"
        expected = np.asarray(segment_slide(slide, first, settings=SETTINGS).labels[:])
        for number in range(asked.count or COUNT):
            if asked.left < 0:
                break
            output = Path(temporary) / f"{number}.zarr"
            chance = Random(f"{asked.seed}/worker/{number}")

            def attempt(output: Path = output, chance: Random = chance) -> str:
                found = _with_a_kill(slide, output, cluster, client, chance)
                assert (found == expected).all(), "other labels"
                return "the same labels"

            _try(tally, number, attempt)


def _with_a_kill(slide: Path, output: Path, cluster: Any, client: Any, chance: Random) -> Any:
    """Segment while a worker is killed; what ends in a sentence is begun again and goes on."""
    moment, killed = chance.randint(0, TILES), []

    def progress(done: int, _total: int) -> None:
        workers = [worker for worker in cluster.workers.values() if worker.pid]
        if done >= moment and not killed and workers:
            killed.append(chance.choice(workers).pid)
            os.kill(killed[0], signal.SIGKILL)

    options: dict[str, Any] = {"settings": SETTINGS, "client": client}
    try:
        result = segment_slide(slide, output, progress=progress, **options)
    except UNetError:
        client.wait_for_workers(1, timeout=60)
        result = segment_slide(slide, output, **options)
    assert killed, "no worker was killed"
    return np.asarray(result.labels[:])


def _try(tally: Tally, number: int, attempt: Any) -> None:
    try:
        tally.ends[attempt()] += 1
    except Exception as error:  # noqa: BLE001  that is what is looked for
        tally.ends["failed"] += 1
        tally.bad.append(f"{number}: {error!r:.500}")


def run(asked: Asked) -> Mapping[str, Tally]:
    """Kill both; each has half of the time."""
    tallies = {ENGINE: Tally(), WORKERS: Tally()}
    half = Asked(asked.seed, asked.count, time.monotonic() + asked.left / 2, asked.work)
    kill_engines(half, tallies[ENGINE])
    kill_workers(asked, tallies[WORKERS])
    return tallies
