"""Kill -9 at random moments: no stroke whose record was confirmed may be missing.

``JOURNAL_KILLS=300 pytest -m slow tests/slow/test_journal_kill.py`` repeats it as often as wanted.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_unet.image import Box
from napari_unet.journal.recovery import Recovery, recoverable, replay

KILLS = int(os.environ.get("JOURNAL_KILLS", "25"))
IDENTITY = "ab" * 16
SHAPE = (2, 300, 400)


@dataclass(frozen=True)
class Painted:
    """One random stroke: what is painted, and where."""

    plane: tuple[int, ...]
    box: Box
    mask: np.ndarray
    value: int

    def apply(self, painted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Paint; return the box before and after."""
        index = (*self.plane, *self.box.slices)
        before = painted[index].copy()
        painted[index] = np.where(self.mask, np.uint32(self.value), before)
        return before, painted[index]


def strokes(seed: int) -> Iterator[Painted]:
    """Yield the same strokes for the same seed, without end: brush, eraser and background.

    The first one paints: a journal without painted pixels is rightly not offered.
    """
    rng = np.random.default_rng(seed)
    values = [2**31 - 1, *range(1, 20)]
    while True:
        y, x = int(rng.integers(SHAPE[1] - 80)), int(rng.integers(SHAPE[2] - 120))
        height, width = int(rng.integers(5, 80)), int(rng.integers(5, 120))
        yield Painted(
            plane=(int(rng.integers(SHAPE[0])),),
            box=Box((y, x), (y + height, x + width)),
            mask=rng.random((height, width)) < rng.choice([0.1, 1.0]),
            value=int(rng.choice(values)),
        )
        values = [0, 0, 2**31 - 1, *range(1, 20)]


def state_after(seed: int, count: int) -> np.ndarray:
    """Return what is painted after the first `count` strokes."""
    painted = np.zeros(SHAPE, np.uint32)
    for _, stroke in zip(range(count), strokes(seed), strict=False):
        stroke.apply(painted)
    return painted


def write_strokes(folder: Path, seed: int) -> None:
    """Paint without end; tell of each stroke that is on the disk. Runs in the child."""
    from napari_unet.journal.journal import Journal, JournalHeader

    journal = Journal(folder, JournalHeader(IDENTITY, SHAPE, "ZYX"))
    painted = np.zeros(SHAPE, np.uint32)
    chance = random.Random(seed)
    for stroke in strokes(seed):
        number = journal.append(stroke.plane, stroke.box, *stroke.apply(painted))
        if chance.random() < 0.6 and journal.flush(30):
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


def kill_after(child: "subprocess.Popen[str]", seconds: float) -> list[int]:
    """Kill the child `seconds` after its first acknowledgement; return all of them."""
    first = child.stdout.readline()
    timer = threading.Timer(seconds, child.send_signal, [signal.SIGKILL])
    timer.start()
    lines = [first, *child.stdout]
    timer.join()
    assert child.wait(30) == -signal.SIGKILL
    return [int(text) for text in lines if text.endswith("\n")]


def check_restored(found: list[Recovery], seed: int, acknowledged: int) -> int:
    """Assert that no acknowledged stroke is missing; return how many there are."""
    (recovery,) = found
    acknowledged_state, _ = replay(recovery.paths, until=acknowledged)
    np.testing.assert_array_equal(acknowledged_state, state_after(seed, acknowledged))
    whole, _ = replay(recovery.paths)
    # Strokes on their way when the process died may be there or not, in order and whole.
    for count in range(acknowledged, acknowledged + 2000):
        if np.array_equal(whole, state_after(seed, count)):
            return count
    raise AssertionError("what was restored is no state the person ever had")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_a_random_moment(tmp_path, seed):
    command = [sys.executable, __file__, str(tmp_path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        acknowledged = kill_after(child, random.Random(seed).uniform(0, 0.5))
    start = time.perf_counter()
    found = recoverable(tmp_path, IDENTITY, fallback=False)
    assert time.perf_counter() - start < 5
    assert acknowledged == sorted(acknowledged)
    check_restored(found, seed, acknowledged[-1])


if __name__ == "__main__":
    write_strokes(Path(sys.argv[1]), int(sys.argv[2]))
