"""Journals that were left behind: find them, replay them, and clear away what is not needed."""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.io.atomic import replace
from napari_unet.journal.file import NAME, OLD_SUFFIX, SUFFIX, fallback_folder, is_free
from napari_unet.journal.records import (
    JournalHeader,
    Kind,
    Record,
    Stroke,
    decode_note,
    decode_stroke,
    find_records,
    painted_more,
)
from napari_unet.labels.painted import CLASSES
from napari_unet.labels.reopen import belongs

logger = logging.getLogger(__name__)

DAY = 24 * 3600.0  # seconds
UNSAVED_DAYS = 365


@dataclass(frozen=True, slots=True)
class Recovery:
    """A journal that can be restored.

    Attributes
    ----------
    paths : tuple of Path
        Its files in order; more than one if a disk was full on the way.
    header : JournalHeader
        What it belongs to.
    changed : datetime
        Time of the last stroke, in UTC.
    strokes : int
        Edits; the numbers of some may be missing.
    pixels : int
        Painted pixels at the end; an estimate if something is damaged.
    damaged : int
        Places in the files that cannot be read.
    saved : str or None
        Where the labels were saved, if nothing was painted afterwards.
    class_names : tuple of str
        Names of the classes that were painted, background first; empty for objects.
    files : tuple of str
        Everywhere the labels were saved, also before the last stroke.
    """

    paths: tuple[Path, ...]
    header: JournalHeader
    changed: datetime
    strokes: int
    pixels: int
    damaged: int
    saved: str | None
    class_names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


Found = tuple[Recovery, NDArray[np.uint32]]
"""A journal, and what was painted."""


@dataclass(frozen=True, slots=True)
class _Content:
    """What one file holds."""

    path: Path
    header: JournalHeader
    records: list[Record]
    damaged: int

    @property
    def strokes(self) -> list[Record]:
        return [record for record in self.records if record.kind == Kind.STROKE]


def read_header(path: Path) -> JournalHeader:
    """Return what a journal belongs to.

    Raises
    ------
    InputError
        If the file cannot be read or has no undamaged header.
    """
    return _read(path).header


def recoverable(
    folder: Path, identity: str, *, fallback: bool = True, own: Collection[Path] = ()
) -> list[Recovery]:
    """Find the journals of an image that hold painted pixels and that no window writes any more.

    Parameters
    ----------
    folder : Path
        Usually `journal_folder()`; it need not exist.
    identity : str
        Fingerprint of the image.
    fallback : bool, default True
        Whether to look in `fallback_folder()` too.
    own : collection of Path
        Files that this window writes, which are found all the same.

    Returns
    -------
    list of Recovery
        The most recently changed first.
    """
    journals: dict[str, list[_Content]] = {}
    for place in [folder, fallback_folder()] if fallback else [folder]:
        for path in _files(place, SUFFIX):
            if path.name.startswith(f"{identity}-"):
                try:
                    content = _read(path)
                except InputError as error:
                    logger.warning("%s", error)
                    continue
                journals.setdefault(content.header.token, []).append(content)
    found = [
        _recovery(parts)
        for parts in journals.values()
        if parts[0].header.identity == identity
        and any(part.strokes for part in parts)
        and all(part.path in own or is_free(part.path) for part in parts)
    ]
    # Where something is damaged the count of pixels is no proof that there are none.
    worth = [recovery for recovery in found if recovery.pixels > 0 or recovery.damaged]
    return sorted(worth, key=lambda recovery: recovery.changed, reverse=True)


def recoverable_regions(folder: Path, identity: str) -> list[Recovery]:
    """Find the journals of every part of an image that was edited by itself, as `recoverable`.

    Parameters
    ----------
    folder : Path
        Usually `journal_folder()`.
    identity : str
        Fingerprint of the whole image.
    """
    places = (folder, fallback_folder())
    named = (NAME.fullmatch(path.name) for place in places for path in _files(place, SUFFIX))
    parts = {found["identity"] for found in named if found}
    inside = sorted(p for p in parts if p.startswith(identity) and p != identity)
    return [found for part in inside for found in recoverable(folder, part)]


def replay(
    paths: Path | Sequence[Path], until: int | None = None
) -> tuple[NDArray[np.uint32], JournalHeader]:
    """Paint again what a journal holds.

    Parameters
    ----------
    paths : Path or sequence of Path
        The journal's file or files, as in `Recovery.paths`.
    until : int, optional
        Number of the last edit to apply; all by default.

    Returns
    -------
    painted : ndarray
        ``(..., Y, X)``, uint32; only painted parts of it take memory.
    header : JournalHeader
        What the journal belongs to.

    Raises
    ------
    InputError
        If there is no undamaged header, or no memory for the array. Damaged records are skipped.
    """
    contents = _in_order([_read(path) for path in ([paths] if isinstance(paths, Path) else paths)])
    header = contents[0].header
    painted = _zeros(header)
    for content in contents:
        for stroke in _strokes(content, header.shape, until):
            stroke.apply(painted)
    return painted, header


def supersede(paths: Path | Sequence[Path]) -> list[Path]:
    """Mark files as taken over by a newer journal: renamed, not removed; return the new names.

    Call it once the new journal has confirmed with `flush` that it holds all. Files that a living
    window writes, that are gone or cannot be renamed stay as they are.
    """
    renamed = []
    for path in [paths] if isinstance(paths, Path) else paths:
        if not NAME.fullmatch(path.name) or not path.name.endswith(SUFFIX) or not is_free(path):
            continue
        old = path.with_name(path.name.removesuffix(SUFFIX) + OLD_SUFFIX)
        try:
            replace(path, old)
        except OSError as error:
            logger.warning("The journal %s cannot be renamed: %s", path, error)
        else:
            renamed.append(old)
    return renamed


def clean(folder: Path, now: float | None = None, days: float = 60) -> list[Path]:
    """Remove journals that are not needed any more; return them.

    Parameters
    ----------
    folder : Path
        Usually `journal_folder()`; other files in it are left alone.
    now : float, optional
        Seconds since 1970; the clock by default.
    days : float, default 60
        Age from which journals go that are superseded, saved or without strokes. All others, and
        damaged ones, go after at least 365 days. A living window's journal never goes.
    """
    moment = time.time() if now is None else now
    removed = []
    for path in [*_files(folder, SUFFIX), *_files(folder, OLD_SUFFIX)]:
        try:
            age = (moment - path.stat().st_mtime) / DAY
            # The cheap question first: nearly all journals are young.
            if age <= days or not is_free(path):
                continue
            if age > max(days, UNSAVED_DAYS) or _is_settled(path):
                path.unlink()
                removed.append(path)
        except OSError as error:
            logger.info("The journal %s cannot be removed: %s", path, error)
    return removed


def _files(folder: Path, suffix: str) -> list[Path]:
    """Return the journals in a folder by name, those that end in `suffix`."""
    if not folder.is_dir():
        return []
    named = ((path, NAME.fullmatch(path.name)) for path in sorted(folder.iterdir()))
    return [p for p, m in named if m and m["suffix"] == suffix and p.is_file()]


def _read(path: Path) -> _Content:
    try:
        records, damaged = find_records(path.read_bytes())
    except (OSError, MemoryError) as error:
        raise InputError(f"The journal {path} cannot be read: {error}.") from error
    for record in records:
        if record.kind == Kind.HEADER:
            try:
                header = JournalHeader.decode(record.payload)
            except ValueError as error:  # our own errors are among them
                raise InputError(f"The journal {path} cannot be used. {error}") from error
            return _Content(path, header, records, damaged)
    raise InputError(
        f"{path} holds no undamaged header, so it is no journal or cannot be tied to an image; "
        "it stays where it is."
    )


def _in_order(parts: Sequence[_Content]) -> list[_Content]:
    """Sort the files of one journal by what they begin with."""
    return sorted(parts, key=lambda part: min((s.number for s in part.strokes), default=0))


def _recovery(parts: Sequence[_Content]) -> Recovery:
    parts = _in_order(parts)
    strokes = [stroke for part in parts for stroke in part.strokes]
    records = [record for part in parts for record in part.records]
    return Recovery(
        paths=tuple(part.path for part in parts),
        header=parts[0].header,
        changed=datetime.fromtimestamp(strokes[-1].time, UTC),
        strokes=len({stroke.number for stroke in strokes}),
        pixels=max(0, sum(painted_more(stroke.payload) for stroke in strokes)),
        damaged=sum(part.damaged for part in parts),
        saved=_saved(records),
        class_names=_class_names(records),
        files=_files_saved(records),
    )


def _saved(records: Sequence[Record]) -> str | None:
    """Return where the labels were saved, None if something was painted since."""
    place: str | None = None
    for record in records:
        if record.kind == Kind.STROKE:
            place = None
        elif record.kind == Kind.NOTE:
            note = decode_note(record.payload)
            if note.get("event") == "saved":
                place = note.get("path", "")
    return place


def _files_saved(records: Sequence[Record]) -> tuple[str, ...]:
    notes = [decode_note(record.payload) for record in records if record.kind == Kind.NOTE]
    return tuple(note.get("path", "") for note in notes if note.get("event") == "saved")


def _class_names(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the names noted last, each under its number."""
    names: tuple[str, ...] = ()
    for record in records:
        if record.kind == Kind.NOTE:
            note = decode_note(record.payload)
            if note.get("event") == "classes":
                numbers = takewhile(note.__contains__, map(str, range(CLASSES)))
                names = tuple(note[number] for number in numbers)
    return names


def _strokes(
    content: _Content, shape: tuple[int, ...], until: int | None = None
) -> Iterator[Stroke]:
    for record in content.strokes:
        if until is not None and record.number > until:
            continue
        try:
            yield decode_stroke(record.payload, shape)
        except ValueError as error:
            logger.warning("A stroke in %s is skipped: %s", content.path, error)


def _zeros(header: JournalHeader) -> NDArray[np.uint32]:
    try:
        return np.zeros(header.shape, np.uint32)
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"The journal was written for labels of shape {header.shape}, for which the memory "
            "does not suffice. Restore it on a larger computer."
        ) from error


def _is_settled(path: Path) -> bool:
    """Whether what the file holds is kept elsewhere, or it holds nothing."""
    if path.name.endswith(OLD_SUFFIX):
        return True
    try:
        content = _read(path)
    except InputError:
        return False
    return not content.damaged and (not content.strokes or _saved(content.records) is not None)


def find_painted(
    folder: Path,
    identity: str,
    labels: NDArray[np.uint32],
    path: str,
    own: Collection[Path] = (),
) -> Found | None:
    """Find what was painted on labels: in the journal that they agree with, or were saved from.

    Parameters
    ----------
    folder : Path
        Where the journals are.
    identity : str
        Fingerprint of the image.
    labels : ndarray of uint32
        ``(..., Y, X)``.
    path : str
        File of the labels; empty if there is none.
    own : collection of Path
        As for `recoverable`.
    """
    saved_from: Found | None = None
    for recovery in recoverable(folder, identity, own=own):
        if recovery.header.shape != labels.shape:
            continue
        painted: Any = replay(recovery.paths)[0]
        if belongs(painted, labels):
            return recovery, painted
        if path and path in recovery.files and saved_from is None:
            saved_from = recovery, painted
    return saved_from
