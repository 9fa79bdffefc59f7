"""Time and memory as images grow: `napari-unet segment` on zarr slides of real nuclei.

    python -m benchmarks.memory                         2.5k² to 20k², and 100k² in 2 GB
    python -m benchmarks.memory --sides 2560 5120       a quick look

Each size is a process of its own; peak memory is the largest resident size that the system saw of
it. All are computed at the image's own size, or another size of objects might be found in each. The
last row gives a program 2 GB of address space and asks for a corner of 100,000² pixels.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.common.slides import write_slide
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet.models.library import load_model

SIDES = (2560, 5120, 10240, 20480)
HUGE, CORNER = 100_000, 2048  # pixels
LIMIT = 2 * 10**9  # bytes of address space
DOCUMENT = ROOT / "docs" / "performance.md"
HEADER = ("image", "megapixels", "s", "s per megapixel", "peak memory, MB")
PAUSE = 0.05  # seconds between two looks at the memory
PROGRAM = "from napari_unet.cli.main import main; main()"


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


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=list(SIDES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="napari-unet-memory-") as temporary:
        rows = []
        for side in arguments.sides:
            rows.append(measure(side, Path(temporary)))
            print(rows[-1], flush=True)
        rows.append(corner(Path(temporary)))
    print(markdown(HEADER, rows))
    if tuple(arguments.sides) == SIDES:
        write_table(DOCUMENT, "memory", HEADER, rows, command="python -m benchmarks.memory")


if __name__ == "__main__":
    main()
