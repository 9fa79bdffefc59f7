"""Folders for what one process needs while it runs; cleared when the process has ended."""

import glob
import logging
import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

log = logging.getLogger(__name__)
_HOST = platform.node() or "host"  # a home folder may be shared by several computers


class Scratch:
    """Folders of one process in the user's cache folder, cleared when the process has ended.

    Parameters
    ----------
    root : Path
        Where those of all processes are.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._mine = self._root / f"{os.getpid()}-{_HOST}-{uuid.uuid4().hex[:8]}"

    def reserve(self) -> Path:
        """Return a new folder; it does not exist yet."""
        self._mine.mkdir(parents=True, exist_ok=True)
        return self._mine / uuid.uuid4().hex

    def close(self) -> None:
        """Delete everything this process kept."""
        shutil.rmtree(self._mine, ignore_errors=True)

    def sweep(self, days: float = 0) -> list[Path]:
        """Delete what processes that no longer run have left behind.

        Parameters
        ----------
        days : float
            That it is kept before; default not at all.

        Returns
        -------
        list of Path
            What is kept, the oldest first.
        """
        kept: dict[Path, float] = {}
        for folder in self._root.glob(f"*-{glob.escape(_HOST)}-*"):
            pid = folder.name.partition("-")[0]
            if not pid.isdigit() or psutil.pid_exists(int(pid)):
                continue
            within = {inner: inner.stat().st_mtime for inner in folder.iterdir()}
            if within and time.time() - max(within.values()) < days * 86_400:
                kept.update(within)
            else:
                log.info("removing what was left behind in %s", folder)
                shutil.rmtree(folder, ignore_errors=True)
        return sorted(kept, key=kept.__getitem__)


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Give a folder that is deleted in the end.

    A run that was stopped does not wait for the engine, which may still be writing its last tile.
    What cannot be deleted therefore stays: in `Scratch` until the process ends.

    Parameters
    ----------
    prefix : str
        Its name begins so.
    parent : Path, optional
        Where it is; by default among the temporary files.

    Yields
    ------
    Path
        The folder, empty.
    """
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
