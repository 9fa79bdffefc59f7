"""One file of a journal: its place and name, its lock, and bytes that reach the disk."""

import contextlib
import errno
import itertools
import logging
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import platformdirs

from napari_unet.io.atomic import lock, sync_folder
from napari_unet.journal.records import JournalHeader, Kind, encode_record
from napari_unet.settings import APPLICATION

logger = logging.getLogger(__name__)

SUFFIX = ".journal"
OLD_SUFFIX = ".journal.old"  # its corrections live on in a newer journal
NAME = re.compile(r"(?P<identity>[0-9a-f]{8,64})-\d{8}T\d{6}-\d+-\d+(?P<suffix>\.journal(\.old)?)")


def journal_folder() -> Path:
    """Folder of the journals; it may not exist yet."""
    return platformdirs.user_data_path(APPLICATION) / "journals"


def fallback_folder() -> Path:
    """Folder for journals while `journal_folder` cannot be written, in the temporary folder."""
    owner = f"-{os.getuid()}" if sys.platform != "win32" else ""
    return Path(tempfile.gettempdir()) / f"{APPLICATION}-journals{owner}"


def make_private(folder: Path) -> None:
    """Make a folder in a place that all users share; `OSError` if someone else made it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32" and folder.lstat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "the folder belongs to another user")


def is_free(path: Path) -> bool:
    """Whether no living window writes the file; False also if it cannot be opened."""
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError as error:
        logger.info("The journal %s cannot be opened: %s", path, error)
        return False
    try:
        return lock(handle)
    finally:
        os.close(handle)


class JournalFile:
    """A new file, locked and with its header on the disk.

    Parameters
    ----------
    folder : Path
        An existing folder.
    header : JournalHeader
        Written twice: without it, nothing else in the file could be used.

    Raises
    ------
    OSError
        If the file cannot be made; none stays behind.

    Attributes
    ----------
    path : Path
        ``<identity>-<date>T<time>-<process>-<counter>.journal``.
    size : int
        Bytes on the disk.
    """

    def __init__(self, folder: Path, header: JournalHeader) -> None:
        self.path, self._handle = _create(folder, header)
        self.size = 0
        try:
            lock(self._handle, wait=True)  # another window may be asking just now
            record = encode_record(Kind.HEADER, 0, header.created, header.encode())
            self.write(record + record)
            sync_folder(folder)
        except OSError:
            self.discard()
            raise

    def write(self, content: bytes) -> None:
        """Append and flush to the disk; after an `OSError` the file is as it was."""
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
            if self._is_removed():
                raise FileNotFoundError(errno.ENOENT, "the file was removed meanwhile")
        except OSError:
            with contextlib.suppress(OSError):  # a torn record is skipped by the reader
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(content)

    def orphaned(self) -> bytes:
        """Return the whole content if the file was removed meanwhile, else nothing."""
        if not self._is_removed():
            return b""
        os.lseek(self._handle, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._handle), "rb") as stream:
            return stream.read()

    def close(self) -> None:
        """Release the file."""
        os.close(self._handle)

    def discard(self) -> None:
        """Release the file and remove it."""
        self.close()
        with contextlib.suppress(OSError):  # it holds nothing that is not elsewhere
            self.path.unlink()

    def _is_removed(self) -> bool:
        return sys.platform != "win32" and os.fstat(self._handle).st_nlink == 0


def _create(folder: Path, header: JournalHeader) -> tuple[Path, int]:
    """Create a file of a name not yet taken, readable by its owner only."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for counter in itertools.count():
        path = folder / f"{header.identity}-{moment}-{header.pid}-{counter}{SUFFIX}"
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, flags, 0o600)
    raise AssertionError  # there is always another number
