"""Reads damaged files as the program does, and tells how each attempt ended.

A process of its own, of which one may die: it writes the end of each attempt into a mapped file, a
byte for each. Five seconds of the processor's time, or a minute, end it. Address space is limited
to one gigabyte more than it has at its beginning.
"""

import argparse
import contextlib
import faulthandler
import logging
import mmap
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.reliability.files.mutations import damaged
from benchmarks.reliability.files.seeds import IDENTITY, Whole, whole_files
from napari_unet.errors import UNetError
from napari_unet.image import Box
from napari_unet.io.formats import tiff_images

SLOW, HANGS = 5.0, 60.0  # seconds: of the processor, of the clock
GIGABYTE = 10**9
SIDE = 64  # pixels of a window that is read
# Of ten attempts; folders take ten times as long to read as files.
ORDER = ("tiff", "png", "model", "journal", "tiff", "png", "journal", "tiff", "zarr", "png")
JSON_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


class End(IntEnum):
    """How an attempt ended."""

    NOT_TRIED = 0
    RESULT = 1
    SENTENCE = 2
    EXCEPTION = 3
    SLOW = 4
    MEMORY = 5
    DIED = 6
    MENDED = 7
    NOT_AGAIN = 8


Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged file: what it was, and its parts that differ."""

    whole: Whole
    part: str
    content: bytes

    def write(self, folder: Path) -> Path:
        """Write it into a folder; returns its path."""
        path = folder / self.whole.name
        for part, content in {**self.whole.parts, self.part: self.content}.items():
            file = path / part if part else path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return path


class Files:
    """All damaged files that a seed stands for, by their numbers."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.whole = whole_files()
        self._whole: dict[str, list[Whole]] = {}
        for one in self.whole:
            self._whole.setdefault(one.kind, []).append(one)

    def __getitem__(self, number: int) -> Damaged:
        """Make one."""
        chance = Random(f"{self._seed}/{number}")
        alike = self._whole[ORDER[number % len(ORDER)]]
        whole = chance.choice(alike)
        others = [content for one in alike for content in one.parts.values()]
        parts = sorted(whole.parts)
        told = [part for part in parts if part.endswith(JSON_FILES)]
        part = chance.choice(told if told and chance.random() < 0.7 else parts)
        kind = "json" if part in told else whole.kind
        return Damaged(whole, part, damaged(kind, whole.parts[part], others, chance))


def steps(kind: str, path: Path) -> Iterator[Step]:
    """Yield everything that the program does with a file of a kind."""
    match kind:
        case "model":
            yield from _model_steps(path)
        case "journal":
            yield from _journal_steps(path)
        case _:
            yield lambda: _read(path)
            yield lambda: _offered(path.parent)
            if kind != "png":
                yield lambda: _record(path)


def _read(path: Path) -> None:
    """Open an image, look at its names and sizes, and read windows of its first and last plane."""
    from napari_unet.io.images import read_image

    image = read_image(path)
    _ = image.choices, image.label_spacing, image.pixel_size
    height, width = image.shape
    first = tuple(0 for _ in image.leading_shape)
    last = tuple(n - 1 for n in image.leading_shape)
    image.read(first, Box((0, 0), (min(height, SIDE), min(width, SIDE))))
    image.read(last, Box((max(0, height - SIDE), max(0, width - SIDE)), (height, width)))


def _offered(folder: Path) -> None:
    """List the images of the folder; it may rightly have none."""
    from napari_unet.io.images import image_files

    with contextlib.suppress(UNetError):
        image_files([folder])


def _record(path: Path) -> None:
    from napari_unet.io.records import read_record
    from napari_unet.io.tiff import read_labels

    read_record(path)
    if path.name.startswith("labels") and path.is_file():
        read_labels(path)


def _model_steps(path: Path) -> Iterator[Step]:
    from napari_unet.models import card, files, weights

    yield lambda: card.describe(card.read_card(path))
    yield lambda: files.check_model(path)
    yield lambda: weights.load_model(path)


def _journal_steps(path: Path) -> Iterator[Step]:
    from napari_unet.journal.recovery import read_header, recoverable, replay

    yield lambda: read_header(path)
    yield lambda: recoverable(path.parent, IDENTITY, fallback=False)
    yield lambda: replay(path)


def attempt(kind: str, path: Path) -> tuple[End, str]:
    """Do all steps; return the worst end, and of a failure the traceback."""
    worst, told = End.RESULT, ""
    for step in steps(kind, path):
        try:
            step()
        except Exception as error:  # noqa: BLE001  that is what is looked for
            end = _end(error, kind)
            if end > worst:
                worst, told = end, _told(error) if end > End.SENTENCE else ""
    return worst, told


def _end(error: Exception, kind: str) -> End:
    if isinstance(error, UNetError):
        return End.MEMORY if _took_too_much(error, kind) else End.SENTENCE
    return End.MEMORY if isinstance(error, MemoryError) else End.EXCEPTION


def _told(error: Exception) -> str:
    """Return the last place in the package, the error, and the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "napari_unet/" in frame.filename]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else "?"
    return f"{place}: {error!r:.300}\n{''.join(traceback.format_exception(error))}"


def _took_too_much(error: BaseException | None, kind: str) -> bool:
    """Whether a sentence hides that memory was short; a journal says so itself."""
    while error is not None and kind != "journal":
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def limit() -> None:
    """Limit this process, and end it where an attempt takes too long."""
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + GIGABYTE, size + GIGABYTE))
    for one in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(one, signal.SIG_DFL)


def _clock(seconds: float, hangs: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, hangs)


def run(files: Files, numbers: range, ends: mmap.mmap, folder: Path, log: Path) -> None:
    """Try the files of some numbers; the end of each is written at once."""
    lazy, whole_limit = tiff_images.LAZY_BYTES, _memory() + GIGABYTE / 1024
    for place, number in enumerate(numbers):
        one = files[number]
        path = one.write(folder)
        tiff_images.LAZY_BYTES = lazy if number // 10 % 2 else 0  # large files are read by windows
        _clock(SLOW, HANGS)
        end, told = attempt(one.whole.kind, path)
        _clock(0, 0)
        if _memory() > whole_limit:
            end = End.MEMORY
        if end > End.SENTENCE:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"== {number} {end.name} {one.whole.name} {one.part}\n{told}\n")
        ends[place] = end
        if one.whole.kind == "zarr":
            shutil.rmtree(path)
        else:
            path.unlink()
        if end == End.MEMORY:
            return  # the peak never falls again: another process goes on


def read_file(path: Path) -> tuple[End, str]:
    """Read one file, as a whole and by windows; this process may end. See `limit`."""
    kinds = {".tif": "tiff", ".zarr": "zarr", ".safetensors": "model", ".journal": "journal"}
    ends, before = [], tiff_images.LAZY_BYTES
    for tiff_images.LAZY_BYTES in (before, 0):
        _clock(SLOW, HANGS)
        ends.append(attempt(kinds.get(path.suffix, "png"), path))
        _clock(0, 0)
    tiff_images.LAZY_BYTES = before
    return max(ends)


def _memory() -> float:
    """Return the peak of this process in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def quiet() -> None:
    """Let nothing be told of what is expected to be damaged."""
    warnings.simplefilter("ignore")
    logging.disable()


def main() -> None:
    """Try some numbers of a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    add: Any = parser.add_argument
    add("seed", type=int)
    add("start", type=int)
    add("ends", type=Path, help="file with a byte for each number")
    add("folder", type=Path, help="for the damaged files, in memory if possible")
    add("log", type=Path)
    asked = parser.parse_args()
    quiet()
    faulthandler.enable()
    files = Files(asked.seed)
    for whole in files.whole:
        part, content = next(iter(whole.parts.items()))
        _warm(Damaged(whole, part, content), asked.folder)
    limit()
    with asked.ends.open("r+b") as file, mmap.mmap(file.fileno(), 0) as ends:
        numbers = range(asked.start, asked.start + len(ends))
        run(files, numbers, ends, asked.folder, asked.log)


def _warm(one: Damaged, folder: Path) -> None:
    """Read a whole file: what is imported then counts neither as time nor as memory."""
    path = one.write(folder)
    end, told = attempt(one.whole.kind, path)
    if end > End.SENTENCE:
        sys.exit(told)
    shutil.rmtree(path) if path.is_dir() else os.unlink(path)


if __name__ == "__main__":
    main()
