"""Log files: one of the viewer's process and one of the engine, in the user's log folder.

They hold what went wrong, with tracebacks: names of files and numbers, never pixels.
"""

import contextlib
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs

from napari_unet.settings import APPLICATION

VIEWER, ENGINE = "viewer.log", "engine.log"
SIZE = 2**20  # bytes from which on a file is set aside; one older file is kept
FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
PACKAGE = "napari_unet"  # the logger above all others of the package


class _LogFile(RotatingFileHandler):
    """Goes on in a file that is too long where another process still has it open."""

    def doRollover(self) -> None:  # noqa: N802  named so by the standard library
        with contextlib.suppress(OSError):  # as on Windows
            super().doRollover()


def keep_log(name: str) -> None:
    """Write what the package logs in this process to a file from now on.

    Where no file can be made, nothing is kept: that must not stop anybody from working.

    Parameters
    ----------
    name : str
        `VIEWER` or `ENGINE`.
    """
    path = platformdirs.user_log_path(APPLICATION) / name
    if current_log() == path:
        return
    logger = logging.getLogger(PACKAGE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, maxBytes=SIZE, backupCount=1, encoding="utf-8")
    except OSError as error:
        logger.warning("no log is kept in %s: %s", path, error)
        return
    handler.setFormatter(logging.Formatter(FORMAT))
    logger.addHandler(handler)


def current_log() -> Path | None:
    """Return the file that this process writes to; None if there is none."""
    handlers = logging.getLogger(PACKAGE).handlers
    files = [Path(handler.baseFilename) for handler in handlers if isinstance(handler, _LogFile)]
    return files[-1] if files else None


def reason_in_log() -> str:
    """Return a sentence that names the file, to be put behind another one; empty without one."""
    path = current_log()
    return f" The reason is in {path}; add that file if you report this." if path else ""
