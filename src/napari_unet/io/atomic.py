"""The one place that replaces a file, flushes a folder or locks a file.

Either the old or the whole new content of a file is on the disk, never a part. The new content
goes to a temporary file in the same folder, is flushed to the disk, read back and compared, and
only then takes the place of the old file. A process that dies on the way leaves a temporary file,
whose name carries the process number; the next save in that folder removes it.
"""

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from napari_unet.errors import SaveError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

logger = logging.getLogger(__name__)

REPLACE_RETRIES = 5
FIRST_PAUSE = 0.05  # seconds; each further pause is twice as long
STALE_SECONDS = 24 * 3600  # where a process cannot be asked for, its file is left a day
LOCKED_BYTE = 2**40  # far behind the end: on Windows nobody can read a locked byte
PART_NAME = re.compile(r"\.napari-unet-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]+\.part")


def write_replacing(
    path: str | os.PathLike[str],
    write: Callable[[BinaryIO], object],
    check: Callable[[Path], None],
    *,
    needed: int = 0,
) -> Path:
    """Write `path` through a temporary file beside it.

    Parameters
    ----------
    path : path-like
        File to write or replace; a link is followed.
    write : callable
        Writes the content to an open binary file (readable and seekable).
    check : callable
        Reads the closed temporary file back and raises `OSError` if it is not what was written.
    needed : int, default 0
        Bytes the file may take, for the message; 0 = unknown.

    Returns
    -------
    Path
        `path`, as given.

    Raises
    ------
    SaveError
        If the file cannot be written; what was there before is untouched and no temporary file
        stays behind.
    """
    given = Path(path)
    target = Path(os.path.realpath(given))
    try:
        _check_target(target)
        sweep(target.parent)
        with part_file(target) as part:
            with part.open("r+b") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            check(part)
            replace(part, target)
    except SaveError:
        raise
    except OSError as error:
        raise SaveError(_explain(given, error, needed)) from error
    sync_folder(target.parent)
    return given


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a small file whole; see `write_replacing`."""

    def check(part: Path) -> None:
        if zlib.crc32(part.read_bytes()) != zlib.crc32(content):
            raise OSError("what was read back differs from what was written")

    return write_replacing(path, lambda f: f.write(content), check, needed=len(content))


def replace(part: Path, target: Path) -> None:
    """Put `part` in the place of `target`, waiting while another program holds it open."""
    pause = FIRST_PAUSE
    for _ in range(REPLACE_RETRIES):
        try:
            os.replace(part, target)
        except PermissionError:  # Windows, while a viewer or a virus scanner reads the file
            time.sleep(pause)
            pause *= 2
        else:
            return
    os.replace(part, target)


def replace_folder(new: Path, target: Path) -> None:
    """Put a whole folder in the place of another; what is killed on the way is lost to neither.

    No system replaces a folder in one step. Between the two steps there is none at `target`, and
    `restore_folder` brings the old one back.
    """
    old = _before(target)
    gone = old.with_name(f"{target.stem}.removed{target.suffix}")
    for left in (old, gone):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    sync_folder(target.parent)
    old.rename(gone)  # from here on it is not whole
    shutil.rmtree(gone)


def restore_folder(target: Path) -> None:
    """Bring back a folder that `replace_folder` took away before it was killed."""
    if not target.exists() and _before(target).is_dir():
        _before(target).rename(target)


def _before(target: Path) -> Path:
    return target.with_name(f"{target.stem}.before{target.suffix}")


def move_new(source: Path, target: Path) -> None:
    """Move a file; `FileExistsError` if there is one at `target`, also if it came just now."""
    if os.name == "nt":
        os.rename(source, target)  # there it never replaces
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: take the name with an empty file first
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(source, target)
        except OSError:
            target.unlink()
            raise
    else:
        source.unlink()


def sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where the system can."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:  # the file itself is complete and in place
        logger.info("The folder %s cannot be flushed: %s", folder, error)


def lock(handle: int, *, wait: bool = False) -> bool:
    """Take the lock of an open file, which lasts until it is closed; False if another has it."""
    try:
        if sys.platform == "win32":
            os.lseek(handle, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        # Some network disks know no locks: a file offered twice is better than one not offered.
        logger.info("A file cannot be locked: %s", error)
    return True


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Keep other runs away from a result while this one makes it.

    Raises
    ------
    SaveError
        If another run has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock")
    handle = os.open(file, os.O_RDWR | os.O_CREAT)
    mine = False
    try:
        # a file that its owner deleted before we had it is nobody's any more
        mine = lock(handle) and file.exists()
        mine = mine and os.fstat(handle).st_ino == file.stat().st_ino
        if not mine:
            raise SaveError(
                f"Another run is working on {path}. Wait for it, or choose another name."
            )
        yield
    finally:
        if mine:
            with contextlib.suppress(OSError):  # on Windows, where another run looks at it
                file.unlink()
        os.close(handle)


def sweep(folder: Path) -> list[Path]:
    """Remove temporary files of this machine's dead processes in `folder`; return them."""
    removed = []
    for entry in folder.glob(".napari-unet-*.part"):
        match = PART_NAME.fullmatch(entry.name)
        if match is None or match["host"] != _host() or not _is_stale(entry, int(match["pid"])):
            continue
        try:
            entry.unlink()
        except OSError as error:
            logger.info("The temporary file %s cannot be removed: %s", entry, error)
        else:
            removed.append(entry)
    return removed


@contextlib.contextmanager
def part_file(target: Path) -> Iterator[Path]:
    """Create a temporary file beside `target` with its permissions; remove it at the end."""
    part = target.with_name(f".napari-unet-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part")
    # Not mkstemp: that makes the file private, and the saved one would stay so for a whole lab.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    os.close(os.open(part, flags, 0o666))
    try:
        if target.exists():
            shutil.copymode(target, part)
        yield part
    finally:
        part.unlink(missing_ok=True)


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise SaveError(f"{target} is a folder; give the name of a file in it.")
    if not target.parent.is_dir():
        raise SaveError(
            f"The folder {target.parent} does not exist; make it first or choose another one."
        )
    if target.exists() and not os.access(target, os.W_OK):
        raise SaveError(f"{target} is write-protected; choose another name or lift the protection.")


def _is_stale(part: Path, pid: int) -> bool:
    if pid == os.getpid():
        return False
    if os.name == "nt":  # there, asking with os.kill would end the process
        return time.time() - part.stat().st_mtime > STALE_SECONDS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives and belongs to someone else
        return False
    return False


def _host() -> str:
    """Return eight hexadecimal digits for this machine: folders may be shared over a network."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _explain(path: Path, error: OSError, needed: int) -> str:
    reason = error.strerror or str(error)
    text = f"{path} could not be written: {reason}."
    if needed:
        text += f" It takes up to {needed:,} bytes ({needed / 2**20:.1f} MiB)"
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            text += f"; {free / 2**20:.0f} MiB are free on that disk"
        text += "."
    return (
        f"{text} Whatever was there before is unchanged. Free some space, close programs that use "
        "the file, or choose another folder."
    )
