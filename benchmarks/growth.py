"""How time and memory grow: larger images, a million objects, more than one worker.

    python -m benchmarks.growth                         all; writes docs/performance.md
    python -m benchmarks.growth --only memory           2.5k² to 20k², and 100k² in 2 GB
    python -m benchmarks.growth --only million          numbered without gaps, in flat memory
    python -m benchmarks.growth --only workers          dask clusters of one-thread workers
    python -m benchmarks.growth --sides 2560 5120 --chunks 3 --side 4096
                                                        a quick look; writes nothing

Slides are zarr arrays of real nuclei, those of a million objects of drawn ones. Memory is that of a
process of its own, `napari-unet segment`: the largest resident size that the system saw of it. All
are computed at the image's own size, or another size of objects might be found in each. The last
row of memory gives a program 2 GB of address space and asks for a corner of 100,000² pixels.
Workers are processes of one thread on this computer. The labels must be the same.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from distributed import Client, LocalCluster
from numpy.typing import NDArray

from benchmarks.common.slides import CHUNK, write_slide
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet.models.library import load_model
from napari_unet.segmentation import segment_slide
from napari_unet.settings import SegmentSettings

PARTS = {"memory": "memory", "million": "million", "workers": "scale-out"}  # and their tables
DOCUMENT = ROOT / "docs" / "performance.md"
SIDES = (2560, 5120, 10240, 20480)
HUGE, CORNER = 100_000, 2048  # pixels
LIMIT = 2 * 10**9  # bytes of address space
PAUSE = 0.05  # seconds between two looks at the memory
PROGRAM = "from napari_unet.cli.main import main; main()"
MEMORY = ("image", "megapixels", "s", "s per megapixel", "peak memory, MB")
CHUNKS = 26  # along each side of the slide of a million objects
PITCH, DIAMETER = 25.6, 19.0  # pixels, between the middles of two nuclei and of one; 40 a chunk
SHIFT = 2.0  # pixels; each lies a little beside its place
MILLION = ("slide", "drawn", "found", "largest id", "type", "minutes", "peak memory, MB")
SIDE = 8192  # pixels of the slide that workers share
WORKERS = ("workers", "megapixels", "s", "megapixels per s", "times one worker")
SETTINGS = SegmentSettings(diameter=27)


# ---- larger images -------------------------------------------------------------------------------


def run(words: Sequence[str], limit: int | None = None) -> tuple[float, float]:
    """Run the command line; return seconds and the peak of its memory in MB."""

    def bound() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    begun = time.perf_counter()
    own_size = str(load_model("nuclei").card.object_diameter)
    command = [sys.executable, "-c", PROGRAM, "segment", *words, "--diameter", own_size]
    process = subprocess.Popen(command, preexec_fn=bound)
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(PAUSE)
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")
    return time.perf_counter() - begun, peak / 2**20


def measure(side: int, folder: Path) -> list[str]:
    """Segment a whole slide."""
    slide = write_slide(folder / f"{side}.zarr", side)
    seconds, peak = run([str(slide), "--output", str(folder / f"{side}-labels.zarr")])
    area = side**2 / 1e6
    return [f"{side}²", f"{area:.1f}", f"{seconds:.0f}", f"{seconds / area:.3f}", f"{peak:.0f}"]


def corner(folder: Path) -> list[str]:
    """Segment a corner of a slide that is larger than any memory, in little address space."""
    slide = write_slide(folder / "huge.zarr", HUGE, CORNER)
    region = f"0,0,{CORNER},{CORNER}"
    words = [str(slide), "--output", str(folder / "corner.zarr"), "--region", region]
    seconds, peak = run(words, LIMIT)
    area = CORNER**2 / 1e6
    name = f"{CORNER}² of {HUGE:,}², 2 GB of address space"
    return [name, f"{area:.1f}", f"{seconds:.0f}", f"{seconds / area:.3f}", f"{peak:.0f}"]


def memory(sides: Sequence[int], folder: Path) -> list[list[str]]:
    """Rows of the table of sizes."""
    rows = []
    for side in sides:
        rows.append(measure(side, folder))
        print(rows[-1], flush=True)
    return [*rows, corner(folder)]


# ---- a million objects ---------------------------------------------------------------------------


def nuclei(seed: int) -> NDArray[np.uint16]:
    """Draw one chunk of dim and bright discs with soft edges."""
    random = np.random.default_rng(seed)
    count = round(CHUNK / PITCH)
    place = (np.arange(count) + 0.5) * PITCH
    ys, xs = np.meshgrid(place, place, indexing="ij")
    chunk = np.full((CHUNK, CHUNK), 200.0)
    line = np.arange(-16, 17)
    for y, x in zip(ys.ravel(), xs.ravel(), strict=True):
        y, x = (c + random.uniform(-SHIFT, SHIFT) for c in (y, x))
        top, left = round(y), round(x)
        rows = slice(max(0, top - 16), min(CHUNK, top + 17))
        columns = slice(max(0, left - 16), min(CHUNK, left + 17))
        away = np.hypot.outer(line + top - y, line + left - x)
        disc = random.uniform(800, 3000) / (1 + np.exp((away - DIAMETER / 2) / 0.7))
        part = (slice(rows.start - top + 16, rows.stop - top + 16),
                slice(columns.start - left + 16, columns.stop - left + 16))  # fmt: skip
        chunk[rows, columns] += disc[part]
    return (chunk + random.normal(0, 30, chunk.shape)).clip(0).astype(np.uint16)


def write_drawn(path: Path, chunks: int) -> int:
    """Write a slide of a few different chunks; returns how many nuclei were drawn."""
    shape = (chunks * CHUNK,) * 2
    array: Any = zarr.create_array(path, shape=shape, chunks=(CHUNK, CHUNK), dtype="uint16")
    different = [nuclei(seed) for seed in range(4)]
    for row in range(chunks):
        for column in range(chunks):
            y, x = row * CHUNK, column * CHUNK
            array[y : y + CHUNK, x : x + CHUNK] = different[(row * 3 + column) % 4]
    return int(chunks**2 * round(CHUNK / PITCH) ** 2)


def ids(labels: Path) -> tuple[int, int, str]:
    """Number of different ids, the largest one, and the type; row by row of chunks."""
    array: Any = zarr.open_group(labels, mode="r")["0"]
    present = np.zeros(1, bool)
    for start in range(0, array.shape[0], CHUNK):
        found = np.unique(array[start : start + CHUNK])
        if found[-1] >= present.size:
            present = np.pad(present, (0, int(found[-1]) + 1 - present.size))
        present[found[found > 0]] = True
    return int(present.sum()), present.size - 1, str(array.dtype)


def million(chunks: int, folder: Path) -> list[list[str]]:
    """Draw, segment, count; returns the one row of the table."""
    slide, labels = folder / "million.zarr", folder / "million-labels.zarr"
    drawn = write_drawn(slide, chunks)
    seconds, peak = run([str(slide), "--output", str(labels)])
    found, largest, kind = ids(labels)
    counts = [f"{drawn:,}", f"{found:,}", f"{largest:,}", kind]
    return [[f"{chunks * CHUNK}²", *counts, f"{seconds / 60:.1f}", f"{peak:.0f}"]]


# ---- more than one worker ------------------------------------------------------------------------


def clustered(slide: Path, output: Path, workers: int) -> float:
    """Segment a slide; return the seconds, without the start of the cluster."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        begun = time.perf_counter()
        segment_slide(slide, output, settings=SETTINGS, client=client)
        return time.perf_counter() - begun


def workers(side: int, counts: Sequence[int], folder: Path) -> list[list[str]]:
    """Rows of the table of workers; the first is what the others are compared with."""
    slide = write_slide(folder / "shared.zarr", side)
    rows: list[list[str]] = []
    area, first, labels = side**2 / 1e6, 0.0, None
    for count in counts:
        output = folder / f"labels{count}.zarr"
        seconds = clustered(slide, output, count)
        level: Any = zarr.open_array(output / "0", mode="r")
        found = np.asarray(level[:])
        if labels is not None and not np.array_equal(found, labels):
            raise RuntimeError(f"{count} workers found something else")
        labels, first = found, first or seconds
        cells = (f"{area:.1f}", f"{seconds:.1f}", f"{area / seconds:.2f}")
        rows.append([str(count), *cells, f"{first / seconds:.2f}"])
        print(rows[-1], flush=True)
    return rows


# ---- the command ---------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    add("--sides", type=int, nargs="+", default=list(SIDES), help="of the images, for memory")
    add("--chunks", type=int, default=CHUNKS, help="of 1024 px along each side, for the million")
    add("--side", type=int, default=SIDE, help="of the image that workers share")
    add("--workers", type=int, nargs="+", default=[1, 2], help="how many, one after the other")
    return parser.parse_args()


def _show(part: str, header: Sequence[str], rows: list[list[str]], *, write: bool) -> None:
    print(markdown(header, rows))
    if write:
        command = f"python -m benchmarks.growth --only {part}"
        write_table(DOCUMENT, PARTS[part], header, rows, command=command)


def main() -> None:
    """Measure the parts asked for; a part of another size is not written."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="napari-unet-growth-") as temporary:
        folder = Path(temporary)
        if "memory" in asked.only:
            rows = memory(asked.sides, folder)
            _show("memory", MEMORY, rows, write=tuple(asked.sides) == SIDES)
        if "million" in asked.only:
            rows = million(asked.chunks, folder)
            _show("million", MILLION, rows, write=asked.chunks == CHUNKS)
        if "workers" in asked.only:
            rows = workers(asked.side, asked.workers, folder)
            usual = (asked.side, asked.workers) == (SIDE, [1, 2])
            _show("workers", WORKERS, rows, write=usual)


if __name__ == "__main__":
    main()
