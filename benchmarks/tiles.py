"""What the side of the tiles costs, while somebody watches and while nobody does.

    python -m benchmarks.tiles                  4096² of real nuclei
    python -m benchmarks.tiles --side 2048      a quick look, not written into docs

*Watched*: the engine, as the panel has it, from the middle outwards; what counts is when the first
objects are there, and how long everything takes. *Unwatched*: `segment()`, a thread for each core.
Objects are the same with any side (tests/test_equivalence.py). Sides are taken in turn, the best of
some rounds counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed import image_of, useful_share
from benchmarks.tables import ROOT, markdown, write_table
from napari_unet import segment
from napari_unet.engine.client import Engine
from napari_unet.execution.events import ObjectsFound, Started
from napari_unet.execution.probability_map_cache import ProbabilityMapCache
from napari_unet.image import Image
from napari_unet.models.library import Model, load_model
from napari_unet.planning.planner import Where
from napari_unet.segmentation import segment_events
from napari_unet.settings import SegmentSettings

SIDE = 4096  # pixels
WATCHED = (256, 512, 768, 1024, 2048)
UNWATCHED = (512, 1024, 2048, 3072, 4096)
ROUNDS = 3
DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("tiles", "useful share", "first objects, s", "all objects, s", "megapixels per s")


@dataclass(slots=True)
class Timed:
    """Seconds of one side, the best of the rounds."""

    share: float = 0.0
    first: float = np.inf
    last: float = np.inf

    def note(self, share: float, first: float, last: float) -> None:
        """Take a round into account."""
        self.share = share
        self.first, self.last = min(self.first, first), min(self.last, last)


def watched(engine: Engine, image: NDArray[np.uint16], model: Model, side: int) -> Any:
    """Seconds until the first objects and until all, in the process that the panel has, too."""
    settings = SegmentSettings(tile=side, diameter=model.card.object_diameter)
    height, width = image.shape
    with tempfile.TemporaryDirectory(prefix="napari-unet-tiles-") as folder:
        where = Where(centre=(height / 2, width / 2), cache=ProbabilityMapCache(Path(folder)))
        begun, first, share = time.perf_counter(), np.inf, 0.0
        for event in segment_events(Image(image, "YX"), model, settings, engine, where=where):
            if isinstance(event, Started):
                share = useful_share(event.plan)
            if isinstance(event, ObjectsFound):
                first = min(first, time.perf_counter() - begun)
        return share, first, time.perf_counter() - begun


def unwatched(image: NDArray[np.uint16], model: Model, side: int) -> Any:
    """Seconds of `segment()`; nobody sees the first objects."""
    settings = SegmentSettings(tile=side, diameter=model.card.object_diameter)
    begun = time.perf_counter()
    result = segment(image, model, settings=settings)
    return useful_share(result.plan), np.inf, time.perf_counter() - begun


def measure(
    ways: dict[str, Callable[[], tuple[float, float, float]]], megapixels: float
) -> list[list[str]]:
    """Rows of the table, each way in turn."""
    found = {name: Timed() for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found[name].note(*way())
    return [
        [
            name, f"{timed.share:.2f}", f"{timed.first:.2f}" if timed.first < np.inf else "–",
            f"{timed.last:.1f}", f"{megapixels / timed.last:.2f}",
        ]
        for name, timed in found.items()
    ]  # fmt: skip


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=SIDE)
    side = parser.parse_args().side
    image, model, engine = image_of(side), load_model("nuclei"), Engine()
    engine.warm_up(model.path, "auto")
    watched(engine, image[:512, :512], model, 512)  # torch is there
    ways: dict[str, Any] = {
        f"watched, {n}²": lambda n=n: watched(engine, image, model, n) for n in WATCHED
    } | {f"unwatched, {n}²": lambda n=n: unwatched(image, model, n) for n in UNWATCHED}
    rows = measure(ways, image.size / 1e6)
    engine.close()
    print(markdown(HEADER, rows))
    if side == SIDE:
        write_table(DOCUMENT, "tiles", HEADER, rows, command="python -m benchmarks.tiles")


if __name__ == "__main__":
    main()
