"""The journal: every correction on the disk as soon as it is made.

The window hands over what changed and goes on; a thread encodes, appends and flushes to the disk
all that has come in meanwhile. The file is only ever appended to, and locked while its writer
lives, so that another window can tell a live journal from one left behind (see `recovery`).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError, SaveError
from napari_unet.image import Box
from napari_unet.journal.file import JournalFile, fallback_folder, journal_folder, make_private
from napari_unet.journal.records import (
    MOST_PIXELS,
    JournalHeader,
    Kind,
    encode_note,
    encode_record,
    encode_stroke,
)
from napari_unet.labels.change_tracker import cut

__all__ = [
    "Journal",
    "JournalHeader",
    "fallback_folder",
    "journal_folder",
]

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


class Journal:
    """Writes the corrections of one labels layer; all methods may be called from any thread.

    The file appears with the first change: an untouched result leaves none. Call `close` before
    the program ends; what `flush` has confirmed survives even without.

    Parameters
    ----------
    folder : Path
        Usually `journal_folder()`; made if absent.
    header : JournalHeader
        What the corrections belong to.

    Attributes
    ----------
    header : JournalHeader
        As given.
    """

    def __init__(self, folder: Path, header: JournalHeader) -> None:
        self.header = header
        self._folder = Path(folder)
        self._changed = threading.Condition()
        self._queue: deque[_Edit | _Ready] = deque()
        self._number = self._queued = self._stored = self._acknowledged = 0
        self._closing = self._abandoned = False
        self._problem: str | None = None
        self._moved: str | None = None  # the problem once the files are elsewhere
        self._parts: list[JournalFile] = []
        self._waiting: list[bytes] = []  # notes from before the first stroke
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    @property
    def problem(self) -> str | None:
        """A sentence for the person while corrections cannot be kept where they should."""
        return self._problem

    @property
    def acknowledged(self) -> int:
        """Number of the newest edit that is on the disk."""
        return self._acknowledged

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files so far: none before the first change, several after a full disk."""
        return tuple(part.path for part in self._parts)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return sum(part.size for part in self._parts)

    def append(
        self,
        plane: Sequence[int],
        box: Box,
        before: NDArray[np.uint32] | None,
        after: NDArray[np.uint32],
        *,
        owned: bool = False,
    ) -> int:
        """Hand over one edit of the painted array; returns at once.

        Parameters
        ----------
        plane : sequence of int
            Indices along the leading axes, empty for a single plane.
        box : Box
            In pixels of the plane; may be larger than what changed.
        before, after : ndarray of uint32
            The painted array in the box, before and after; None = nothing was painted before.
        owned : bool, default False
            True = the arrays are the journal's from now on and need not be copied.

        Returns
        -------
        int
            Number of the edit, from 1; it is on the disk once `acknowledged` has reached it.

        Raises
        ------
        InputError
            If the arrays do not fit the box or the box does not fit the image.
        SaveError
            If the journal is closed.
        """
        self._check(plane, box, [a for a in (before, after) if a is not None])
        if not owned:
            before, after = None if before is None else before.copy(), after.copy()
        where = tuple(int(i) for i in plane)
        with self._changed:
            self._number += 1
            self._put([_Edit(self._number, time.time(), where, box, before, after)])
            return self._number

    def note(self, event: str, **details: str) -> None:
        """Add a note, such as ``note("saved", path=...)`` or ``note("restored", path=...)``."""
        payload = encode_note({"event": event, **details})
        with self._changed:
            self._put([_Ready(Kind.NOTE, self._number, time.time(), payload)])

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until everything handed over so far is on the disk; False after `timeout` s."""
        with self._changed:
            target = self._queued
            return self._changed.wait_for(lambda: self._stored >= target, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is left and release the file; False if not all of it could be written."""
        complete = self.flush(timeout)
        with self._changed:
            self._closing = True
            self._abandoned = not complete
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return complete

    def _check(self, plane: Sequence[int], box: Box, arrays: Sequence[NDArray[Any]]) -> None:
        *leading, height, width = self.header.shape
        inside = len(plane) == len(leading) and all(
            0 <= i < n for i, n in zip(plane, leading, strict=True)
        )
        if not inside or min(box.start) < 0 or box.stop[0] > height or box.stop[1] > width:
            raise InputError(
                f"Plane {tuple(plane)}, {box} does not lie in a journal of shape "
                f"{self.header.shape}; give the plane and the box of the labels that changed."
            )
        if any(a.shape != box.shape or a.dtype != np.uint32 for a in arrays):
            raise InputError(
                f"The painted pixels of {box} must be uint32 arrays of shape {box.shape}; given "
                f"are {', '.join(f'{a.dtype} {a.shape}' for a in arrays)}."
            )

    def _put(self, items: Sequence["_Edit | _Ready"]) -> None:
        """Queue items; the caller holds the lock."""
        if self._closing:
            raise SaveError("The journal of these corrections is closed; open a new one.")
        if self._thread.ident is None:
            self._thread.start()
        self._queue.extend(items)
        self._queued += len(items)
        self._changed.notify_all()

    def _run(self) -> None:
        """Write until closed; the only code that touches the files."""
        try:
            while batch := self._next_batch():
                while not self._store(batch):
                    with self._changed:
                        if self._changed.wait_for(lambda: self._abandoned, RETRY_SECONDS):
                            return
                with self._changed:
                    self._stored += len(batch)
                    self._acknowledged = batch[-1].number
                    self._changed.notify_all()
        except Exception as error:
            logger.exception("The journal stopped")
            self._problem = (
                f"The journal of your corrections stopped: {error!r}. Save the labels now."
            )
            raise
        finally:
            for part in self._parts:
                part.close()

    def _next_batch(self) -> list["_Edit | _Ready"]:
        """Wait for work and take all there is; nothing once the journal is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            batch = list(self._queue)
            self._queue.clear()
            return batch

    def _store(self, batch: Sequence["_Edit | _Ready"]) -> bool:
        """Write a batch where it can be written; False if it cannot be at all."""
        try:
            records = [record for item in batch for record in item.encode()]
            content = b"".join([*self._waiting, *(encoded for _, encoded in records)])
        except MemoryError:
            self._problem = (
                "The memory is too full to keep your corrections on the disk. Close other programs "
                "or images; it is tried again by itself."
            )
            return False
        if not self._parts and all(kind == Kind.NOTE for kind, _ in records):
            self._waiting += [encoded for _, encoded in records]
            return True
        return not content or self._write(content)

    def _write(self, content: bytes) -> bool:
        try:
            if not self._parts:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._parts.append(JournalFile(self._folder, self.header))
            self._parts[-1].write(content)
        except OSError as error:
            return self._write_elsewhere(content, error)
        self._waiting = []
        self._problem = self._moved
        return True

    def _write_elsewhere(self, content: bytes, error: OSError) -> bool:
        """Go on in a file in the temporary folder; tell the person in either case."""
        place = self._parts[-1].path if self._parts else self._folder
        failed = f"Your corrections could not be written to {place}: {_reason(error)}."
        if self._problem is None:
            logger.warning(failed)
        folder = fallback_folder()
        try:
            part = self._part_elsewhere(folder, content)
        except OSError as second:
            self._problem = (
                f"{failed} Nor could they be written to {folder}: {_reason(second)}. What you "
                "paint now is only in memory. Free some space; it is tried again by itself. Or "
                "save the labels to another disk."
            )
            return False
        self._parts.append(part)
        self._waiting = []
        self._problem = self._moved = (
            f"{failed} They are now kept in {part.path}, which may not survive a restart of the "
            "computer. Free some space, then save the labels."
        )
        return True

    def _part_elsewhere(self, folder: Path, content: bytes) -> JournalFile:
        make_private(folder)
        part = JournalFile(folder, self.header)
        try:
            part.write((self._parts[-1].orphaned() if self._parts else b"") + content)
        except OSError:
            part.discard()
            raise
        return part


@dataclass(frozen=True, slots=True, eq=False)
class _Edit:
    """Changed pixels, not yet encoded."""

    number: int
    time: float
    plane: tuple[int, ...]
    box: Box
    before: NDArray[np.uint32] | None
    after: NDArray[np.uint32]

    def encode(self) -> Iterator[tuple[Kind, bytes]]:
        """Yield the records, one for each block if the edit is large."""
        for box in [self.box] if self.box.size <= MOST_PIXELS else cut(self.box):
            window = box.shift(self.box.start).slices
            before = None if self.before is None else self.before[window]
            payload = encode_stroke(self.plane, box, before, self.after[window])
            if payload is not None:
                yield Kind.STROKE, encode_record(Kind.STROKE, self.number, self.time, payload)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An encoded payload."""

    kind: Kind
    number: int
    time: float
    payload: bytes

    def encode(self) -> Iterator[tuple[Kind, bytes]]:
        """Yield the one record."""
        yield self.kind, encode_record(self.kind, self.number, self.time, self.payload)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
