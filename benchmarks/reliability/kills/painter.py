"""Paints stroke after stroke in a real window, and knows what must be painted.

What happens is told on standard output, one line each:

- ``begin K VALUE Y0 X0 Y1 X1``: stroke K begins, pixels of the box will hold the value;
- ``painted K STATE``: this is what a person sees painted after K strokes;
- ``kept K NUMBER``: the journal's files were read back, and up to this record hold that state;
- ``armed``: from now on it is worth being killed;
- ``saving N LABELS``, ``saved N``: the labels as they are handed over, and that they are saved;
- ``exporting N NAME``, ``exported N NAME``: a file is written beside FILE, and is there;
- ``linking``: planes begin to be linked;
- ``folder Y0 X0 Y1 X1 PATH``: the part, and where the labels of the large image are;
- ``putting N STATE``, ``put N``: what is painted is put back into them, and is there;
- ``does SENTENCE``: what the panel says.
"""

import base64
import random
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.reliability.kills.by_hand import Window, wait_until

FIRST_ID = 2**26  # of strokes: from here on no model numbers its objects
MARGIN = 12  # pixels


def encode(array: Any) -> str:
    """Return labels as one word."""
    shape = "x".join(map(str, array.shape))
    return f"{shape}:{base64.b64encode(zlib.compress(array.astype('<u4').tobytes(), 1)).decode()}"


def decode(word: str) -> np.ndarray:
    """Return the labels from a word."""
    shape, _, packed = word.partition(":")
    content = zlib.decompress(base64.b64decode(packed))
    return np.frombuffer(content, "<u4").reshape([int(n) for n in shape.split("x")])


def tell(*words: object) -> None:
    """Write one line that whoever listens has at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Painter:
    """Paints stroke after stroke, and knows what must be painted without asking the journal.

    Parameters
    ----------
    window : Window
        With a result.
    seed : int
        The same strokes for the same seed.
    runs : bool
        Whether the model may run meanwhile. Then nothing is erased or undone: what that means
        depends on what the model says below.
    between : callable
        Called while the painter waits.
    """

    def __init__(self, window: Window, seed: int, *, runs: bool, between: Callable[[], None]):
        result = window.panel.session.results.current
        self._window, self._between, self._runs = window, between, runs
        self._layer, self._correcting = result.layer, result.correcting
        self._chance = random.Random(seed)
        self._said = self._layer.data.copy()
        self._shape = self._layer.data.shape
        self._brushed = np.zeros(self._shape, bool)  # with the background brush
        self._path = [(128.0, 128.0)]
        self._state = np.zeros(self._shape, np.uint32)
        self.count = 0

    def paint(self) -> None:
        """Paint a few strokes, and wait until the journal holds them."""
        deeds = [self._object] * 3 + [self._background]
        if not self._runs:
            deeds += [self._erase, self._undo]
        deed = self._chance.choice(deeds) if self.count else self._object
        many = deed == self._object and self._chance.random() < 0.3
        for _ in range(self._chance.randint(2, 4) if many else 1):
            deed()
        self._wait_kept()

    # ---- strokes ---------------------------------------------------------------------------

    def _object(self) -> None:
        value = FIRST_ID + self.count
        self._use(self._layer, "paint")
        self._layer.selected_label = value
        self._drag(self._new_path(), value)
        mask = self._layer.data == value
        if not mask.any():
            raise RuntimeError("a stroke has painted nothing")
        self._now(mask, value)

    def _background(self) -> None:
        from napari_unet.labels.painted import BACKGROUND, MARK_BACKGROUND

        panel, marks = self._window.panel, self._correcting.marks.array
        self._use(self._layer, "paint")
        self._window.click(panel.correct.brush)
        before = marks == MARK_BACKGROUND
        self._drag(self._new_path(), BACKGROUND)
        fresh = (marks == MARK_BACKGROUND) & ~before
        self._brushed |= fresh
        self._now(fresh, BACKGROUND)
        self._window.click(panel.correct.brush)

    def _erase(self) -> None:
        from napari_unet.labels.painted import BACKGROUND

        self._use(self._layer, "erase")
        before = self._layer.data.copy()
        self._drag(self._path, BACKGROUND)  # over the stroke before
        erased = (before != 0) & (self._layer.data == 0)
        # Where the model found nothing either, nothing is said any more.
        values = np.where((self._said > 0) | self._brushed, np.uint32(BACKGROUND), np.uint32(0))
        self._now(erased, values[erased])

    def _undo(self) -> None:
        before = self._state
        self._object()
        self._wait_kept()
        painted = self._state
        for again in (False, True)[: self._chance.randint(1, 2)]:
            self._tell_begin((0, 0, 0, 0), 0)
            self._state = painted if again else before
            tell("painted", self.count, encode(self._state))
            self._window.press_undo(again=again)
            self._wait_kept()

    def _use(self, layer, mode: str) -> None:
        self._window.viewer.layers.selection.active = layer
        layer.brush_size, layer.mode = self._chance.randint(3, 14), mode

    def _new_path(self) -> list[tuple[float, float]]:
        low, high = MARGIN, min(self._shape[-2:]) - MARGIN
        y, x = self._chance.uniform(low, high), self._chance.uniform(low, high)
        self._path = [(y, x)]
        for _ in range(self._chance.randint(1, 4)):
            y, x = (min(max(i + self._chance.uniform(-25, 25), low), high) for i in self._path[-1])
            self._path.append((y, x))
        return self._path

    def _drag(self, path: list[tuple[float, float]], value: int) -> None:
        corners = np.array(path)
        start = np.maximum(corners.min(0).astype(int) - MARGIN, 0)
        stop = corners.max(0).astype(int) + MARGIN
        self._tell_begin((*start.tolist(), *stop.tolist()), value)
        self._window.drag(path)

    def _tell_begin(self, box: tuple[int, ...], value: int) -> None:
        self.count += 1
        tell("begin", self.count, value, *box)

    def _now(self, mask: np.ndarray, values) -> None:
        self._state = self._state.copy()
        self._state[mask] = values
        tell("painted", self.count, encode(self._state))

    # ---- what is on the disk ---------------------------------------------------------------

    def _wait_kept(self) -> None:
        number: list[int] = []

        def kept() -> bool:
            self._between()
            found = self._kept()
            number[:] = [] if found is None else [found]
            return bool(number)

        wait_until(kept, f"stroke {self.count} is not kept")
        tell("kept", self.count, *number)

    def _kept(self) -> int | None:
        """Return the last record's number if the files hold what is painted."""
        from napari_unet.journal.records import find_records
        from napari_unet.journal.recovery import replay

        journal = self._correcting.journal
        if journal is None or not journal.paths:
            return None
        flushed = journal.acknowledged  # before the files are read
        records = [r for path in journal.paths for r in find_records(path.read_bytes())[0]]
        number = max(record.number for record in records)
        # Up to that record: another may be written between the two looks at the files.
        found, _ = replay(journal.paths, until=number)
        if number > flushed or not np.array_equal(found, self._state):
            return None
        return number
