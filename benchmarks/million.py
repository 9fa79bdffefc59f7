"""More than a million objects in one slide: found, numbered without gaps, in flat memory.

python -m benchmarks.million                 writes the table in docs/performance.md
python -m benchmarks.million --chunks 3      a quick look
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.common.slides import CHUNK
from benchmarks.common.tables import markdown, write_table
from benchmarks.memory import DOCUMENT, run

CHUNKS = 26  # along each side
PITCH, DIAMETER = 25.6, 19.0  # pixels, between the middles of two nuclei and of one; 40 a chunk
SHIFT = 2.0  # pixels; each lies a little beside its place
HEADER = ("slide", "drawn", "found", "largest id", "type", "minutes", "peak memory, MB")


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


def write(path: Path, chunks: int) -> int:
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


def main() -> None:
    """Draw, segment, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="of 1024 px along each side")
    chunks = parser.parse_args().chunks
    with tempfile.TemporaryDirectory(prefix="napari-unet-million-") as temporary:
        slide, labels = Path(temporary) / "slide.zarr", Path(temporary) / "labels.zarr"
        drawn = write(slide, chunks)
        seconds, peak = run([str(slide), "--output", str(labels)])
        found, largest, kind = ids(labels)
    counts = [f"{drawn:,}", f"{found:,}", f"{largest:,}", kind]
    row = [f"{chunks * CHUNK}²", *counts, f"{seconds / 60:.1f}", f"{peak:.0f}"]
    print(markdown(HEADER, [row]))
    if chunks == CHUNKS:
        write_table(DOCUMENT, "million", HEADER, [row], command="python -m benchmarks.million")


if __name__ == "__main__":
    main()
