"""A screen for real windows, also on a computer that has none."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTS = 30.0  # seconds that a screen may take
SCREEN = ("Xvfb", "-screen", "0", "1600x1000x24", "-nolisten", "tcp", "-displayfd")
NONE = "There is no screen. Install xvfb and xauth, or set DISPLAY."


@contextmanager
def screen() -> Iterator[None]:
    """Give this process and its children a screen, unless there is one.

    Raises
    ------
    SystemExit
        If there is none, and no Xvfb.
    """
    if sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        yield
        return
    if shutil.which(SCREEN[0]) is None:
        raise SystemExit(NONE)
    read, write = os.pipe()
    server = subprocess.Popen([*SCREEN, str(write)], pass_fds=[write], stderr=subprocess.DEVNULL)
    try:
        os.environ["DISPLAY"] = f":{os.read(read, 16).decode().strip()}"
        os.environ["QT_QPA_PLATFORM"] = "xcb"
        time.sleep(1)
        yield
    finally:
        del os.environ["DISPLAY"]
        server.terminate()
        server.wait(STARTS)
