"""A million damaged files: each gives a result or a sentence, in time and in little memory.

Files are tried in chunks, each in a process of its own. What was done is kept, so that a campaign
that was stopped goes on; what fails is kept as a file, with the traceback.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.tables import ROOT
from benchmarks.reliability.campaign import Asked, Tally
from benchmarks.reliability.files.reading import ORDER, End, Files

COUNT = 1_000_000
CHUNK, SMALL = 5_000, 500  # files a process reads, and where little time is left
HURRY = 600.0  # seconds
MEMORY = Path("/dev/shm")  # a folder in memory, where there is one
NAMES = {
    "tiff": "TIFF", "png": "PNG, JPEG, BMP", "zarr": "OME-Zarr", "model": "models (safetensors)",
    "journal": "journals",
}  # fmt: skip
WORDS = {
    End.RESULT: "results", End.SENTENCE: "sentences", End.EXCEPTION: "other exceptions",
    End.SLOW: "over 5 s", End.MEMORY: "over 1 GB", End.DIED: "processes died",
    End.MENDED: "failed and were mended", End.NOT_AGAIN: "process died once, not again",
}  # fmt: skip


class State:
    """What was done of a seed so far, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done = 0
        self.counts: dict[str, Counter[End]] = {kind: Counter() for kind in NAMES}
        self.failed: dict[int, End] = {}
        if path.exists():
            told = json.loads(path.read_text(encoding="utf-8"))
            self.done = told["done"]
            self.failed = {int(number): End[name] for number, name in told["failed"].items()}
            for kind, counts in told["counts"].items():
                self.counts[kind] = Counter({End[name]: n for name, n in counts.items()})

    def add(self, ends: bytes) -> None:
        """Add the ends of the numbers that follow."""
        for number, end in enumerate(ends, self.done):
            self._of(number)[End(end)] += 1
            if end > End.SENTENCE:
                self.failed[number] = End(end)
        self.done += len(ends)
        self._write()

    def mend(self, number: int) -> None:
        """Note that a number that failed does no longer; what died may only have been lucky."""
        counts, end = self._of(number), self.failed.pop(number)
        counts[end] -= 1
        counts[End.NOT_AGAIN if end == End.DIED else End.MENDED] += 1
        self._write()

    def _of(self, number: int) -> Counter[End]:
        return self.counts[ORDER[number % len(ORDER)]]

    def _write(self) -> None:
        counts = {kind: {e.name: n for e, n in c.items()} for kind, c in self.counts.items()}
        failed = {number: end.name for number, end in self.failed.items()}
        told: dict[str, Any] = {"done": self.done, "failed": failed, "counts": counts}
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(told), encoding="utf-8")
        part.replace(self._path)


def try_chunk(seed: int, numbers: range, folder: Path, log: Path) -> bytes:
    """Try a chunk in a process; return the ends, up to the attempt with which it died."""
    start, ends = numbers.start, folder / "ends"
    ends.write_bytes(bytes(len(numbers)))
    inside = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "benchmarks.reliability.files.reading", str(seed)]
    command += [str(start), str(ends), str(inside), str(log)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = ends.read_bytes().rstrip(b"\0")
    if process.returncode > 0:
        raise RuntimeError(process.stderr[-2000:])
    if process.returncode < 0:
        slow = -process.returncode in (14, 27)  # SIGALRM, SIGPROF
        found += bytes([End.SLOW if slow else End.DIED])
        with log.open("a", encoding="utf-8") as file:
            number = start + len(found) - 1
            file.write(f"== {number} ended by signal {-process.returncode}\n{process.stderr}\n")
    return found


def save_failed(state: State, seed: int, folder: Path) -> None:
    """Write the files that failed, each into a folder of its number."""
    files = Files(seed)
    for number in state.failed:
        place = folder / str(number)
        if not place.exists():
            files[number].write(place)


def run(asked: Asked) -> Mapping[str, Tally]:
    """Go on with the numbers of the seed."""
    asked.work.mkdir(parents=True, exist_ok=True)
    state = State(asked.work / f"files-{asked.seed}.json")
    log = asked.work / f"files-{asked.seed}.log"
    memory = MEMORY if MEMORY.is_dir() else None
    count = asked.count or COUNT
    with tempfile.TemporaryDirectory(prefix="napari-unet-files-", dir=memory) as temporary:
        folder = Path(temporary)
        for number in list(state.failed):
            if max(try_chunk(asked.seed, range(number, number + 1), folder, log)) <= End.SENTENCE:
                state.mend(number)
        while state.done < count and asked.left > 0:
            size = CHUNK if asked.left > HURRY else SMALL
            chunk = range(state.done, min(count, state.done + size))
            state.add(try_chunk(asked.seed, chunk, folder, log))
    save_failed(state, asked.seed, asked.work / "failed")
    return {NAMES[kind]: tally(counts) for kind, counts in state.counts.items()}


def tally(counts: Counter[End]) -> Tally:
    """Say how the attempts of a kind ended."""
    ends = {end: number for end, number in counts.items() if number}
    bad = [
        WORDS[end]
        for end in ends
        if end not in (End.RESULT, End.SENTENCE, End.MENDED, End.NOT_AGAIN)
    ]
    return Tally(Counter({WORDS[end]: number for end, number in ends.items()}), bad)
