"""Whether many segmentations, retrainings and cancels leave anything behind, in both processes.

    python -m benchmarks.reliability.cycles             500 cycles; writes docs/reliability.md
    python -m benchmarks.reliability.cycles --cycles 15 --complete 5

A cycle segments an image in the engine, cancels a second segmentation, and retrains on a few of the
objects found. The retraining is cancelled after its first steps, but some are completed. Memory,
open files, threads, child processes and files in the folders are compared early and at the end.
What napari itself keeps is in `python -m benchmarks.responsiveness --cycles`.
"""

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.common.tables import ROOT, markdown, write_table

DOCUMENT = ROOT / "docs" / "reliability.md"
HEADER = ("what", "early", "in the end", "a cycle")
CYCLES, COMPLETE = 500, 50  # and every so many a retraining is completed
TOLD = 25  # cycles after which is told what there is
EARLY = 10  # cycles after which nothing should grow any more
SIDE, SEEN = 256, 128  # pixels; of the objects of a corner it is said that they are right
ROOM = 2 * 10**6  # bytes of probability maps that stay: full before the early look
TIME = 5.0  # seconds of a retraining, the shortest
Things = dict[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was there early and in the end, by name.

    Attributes
    ----------
    early, late : dict
        Values.
    cycles : int
        How many lie between the two.
    """

    early: Things
    late: Things
    cycles: int

    def rows(self) -> list[list[str]]:
        """Return the rows of the table."""
        rows = []
        for what, early in self.early.items():
            growth = (self.late[what] - early) / self.cycles
            rows.append([what, f"{early:.0f}", f"{self.late[what]:.0f}", f"{growth:+.3f}"])
        return rows


@contextmanager
def own_home() -> Iterator[Path]:
    """Give this process and its children folders of their own."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-cycles-") as temporary:
        home = Path(temporary)
        (home / "temporary").mkdir()
        for name in ("CONFIG", "CACHE", "DATA"):
            os.environ[f"XDG_{name}_HOME"] = str(home / name.lower())
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "temporary")
        try:
            yield home
        finally:
            tempfile.tempdir = None


def look(engine: int, home: Path) -> Things:
    """Count what is open and kept now."""
    gc.collect()
    found: Things = {}
    for name, one in (("viewer", psutil.Process()), ("engine", psutil.Process(engine))):
        found[f"memory of the {name}'s process, MB"] = one.memory_info().rss / 2**20
        found[f"open files of the {name}'s process"] = one.num_fds()
        found[f"threads of the {name}'s process"] = one.num_threads()
    found["child processes"] = len(psutil.Process().children(recursive=True))
    found["files in the folders"] = sum(path.is_file() for path in home.rglob("*"))
    return found


class Cycle:
    """An engine, an image, and what a person does again and again."""

    def __init__(self) -> None:
        from napari_unet.engine.client import Engine
        from napari_unet.execution.probability_maps import ProbabilityMapCache
        from napari_unet.image import Image
        from napari_unet.io.images import read_image
        from napari_unet.models.library import load_model
        from napari_unet.plugin.samples import sample_folder

        self.engine, self._cache = Engine(), ProbabilityMapCache(limit=ROOM)
        cells = np.asarray(read_image(sample_folder() / "nuclei.tif").data)[:SIDE, :SIDE]
        self._image, self._model = Image(cells, "YX"), load_model("nuclei")

    def segment(self, stop: Callable[[int], bool] = lambda _: False) -> NDArray[np.uint32]:
        """Segment the image, or until `stop` of the events so far; returns the labels."""
        from napari_unet.execution.events import ObjectsFound
        from napari_unet.labels.live_labels import Assembly
        from napari_unet.planning.planner import Where
        from napari_unet.segmentation import segment_events
        from napari_unet.settings import SegmentSettings

        found = Assembly(np.zeros((SIDE, SIDE), np.uint32), classes=False)
        events = segment_events(
            self._image, self._model, SegmentSettings(), self.engine,
            where=Where(cache=self._cache),
        )  # fmt: skip
        for number, event in enumerate(events):
            if isinstance(event, ObjectsFound):
                found.place(event.plane, event.owned, event.patch, event.block)
            if stop(number):
                events.close()
                self.engine.cancel()
                break
        return found.labels

    def retrain(self, labels: NDArray[np.uint32], *, complete: bool) -> bool:
        """Retrain on a corner; returns whether it came to its end."""
        from napari_unet.finetuning.in_engine import FinetuneResult, RetrainRequest, retrain
        from napari_unet.settings import FinetuneSettings
        from napari_unet.training.events import TrainingStep

        painted = np.zeros_like(labels)
        painted[:SEEN, :SEEN] = labels[:SEEN, :SEEN]
        settings = FinetuneSettings(time_limit=TIME)
        request = RetrainRequest([(self._image, painted)], "nuclei", frozenset(), settings)
        events = retrain(request, self.engine)
        for event in events:
            if isinstance(event, FinetuneResult):
                self._forget(event.model.path)
                return True
            if isinstance(event, TrainingStep) and event.steps > 2 and not complete:
                events.close()
                self.engine.cancel()
                return False
        return False

    def _forget(self, path: Path) -> None:
        """Remove the new model, as a person does who discards it."""
        from napari_unet.models.library import bundled_folder

        if path.parent != bundled_folder():
            path.unlink()
            if path.parent.name.startswith("candidate-"):
                path.parent.rmdir()

    def close(self) -> None:
        """End the engine."""
        self.engine.close()
        self._cache.close()


def measure(cycles: int, complete: int) -> Outcome:
    """Go through the cycles.

    Parameters
    ----------
    cycles : int
        How many.
    complete : int
        Every so many, a retraining is completed; the first one always.
    """
    early, late = Things(), Things()
    begin = min(EARLY, cycles // 2)
    with own_home() as home:
        cycle = Cycle()
        for number in range(cycles):
            labels = cycle.segment()
            cycle.segment(lambda seen, last=number % 4: seen >= last)
            cycle.retrain(labels, complete=number % complete == 0)
            if number + 1 in (begin, cycles) or not (number + 1) % TOLD:
                assert cycle.engine.pid is not None, "it has just worked"
                late = look(cycle.engine.pid, home)
                early = late if number + 1 == begin else early
                print(number + 1, *(f"{value:.0f}" for value in late.values()), flush=True)
        cycle.close()
    return Outcome(early, late, cycles - begin)


def main() -> int:
    """Measure, print and write; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=CYCLES, help="how many")
    parser.add_argument("--complete", type=int, default=COMPLETE, help="one of so many retrainings")
    asked = parser.parse_args()
    rows = measure(asked.cycles, asked.complete).rows()
    print(markdown(HEADER, rows))
    if asked.cycles == CYCLES:
        command = "python -m benchmarks.reliability.cycles"
        write_table(DOCUMENT, "cycles-engine", HEADER, rows, command=command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
