"""Commands of the command line in a child process, for what loads torch."""

import logging
import os
import subprocess
import sys

from napari_unet.errors import EngineError
from napari_unet.settings import TORCH_ENVIRONMENT

log = logging.getLogger(__name__)
CODE = "from napari_unet.cli.main import main; main()"
STOPPED = "The process stopped unexpectedly{reason}. Try it again."
PREFIX = "Error: "


def environment() -> dict[str, str]:
    """Return the environment of a child that finds the modules that this process finds."""
    return {
        **TORCH_ENVIRONMENT,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


class Command:
    """``napari-unet`` with arguments, in a child process.

    Parameters
    ----------
    *arguments : str
        As on the command line.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self) -> str:
        """Run it to its end.

        Returns
        -------
        str
            What it wrote.

        Raises
        ------
        EngineError
            With the sentence that it ended with, if it failed.
        """
        with subprocess.Popen(
            [sys.executable, "-c", CODE, *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            env={**environment(), "PYTHONIOENCODING": "utf-8"},
        ) as child:
            self._child = child
            if self._stopped:
                child.kill()
            written, complaints = child.communicate()
        if child.returncode:
            raise EngineError(_reason(complaints))
        return written.strip()

    def stop(self) -> None:
        """End it, wherever it is."""
        self._stopped = True
        if self._child is not None and self._child.poll() is None:
            self._child.kill()


def _reason(complaints: str) -> str:
    """Return the sentence of a command that failed, or what is known where there is none."""
    lines = complaints.strip().splitlines()
    told = [line for line in lines if line.startswith(PREFIX)]
    if told:
        return told[-1].removeprefix(PREFIX)
    log.error("a command failed: %s", complaints)
    return STOPPED.format(reason=f" ({lines[-1]})" if lines else "")
