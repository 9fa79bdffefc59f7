"""Room on disk for probability maps: bounded, oldest run out first, cleared at the end."""

import glob
import logging
import os
import platform
import shutil
import time
import uuid
from collections import OrderedDict
from pathlib import Path

import platformdirs
import psutil

from napari_unet.settings import APPLICATION
from napari_unet.tiling.plan import SegmentPlan

log = logging.getLogger(__name__)
_HOST = platform.node() or "host"  # a home folder may be shared by several computers
LIMIT = 2 * 10**9  # bytes, uncompressed; what is on disk is several times smaller


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


class ProbabilityMapCache(Scratch):
    """Folders for the probability maps of the runs of one process.

    Parameters
    ----------
    root : Path, optional
        Default: in the user's cache folder.
    limit : int
        Bytes that all runs together may keep.
    """

    def __init__(self, root: Path | None = None, limit: int = LIMIT) -> None:
        super().__init__(root or platformdirs.user_cache_path(APPLICATION) / "probability-maps")
        self.sweep()
        self._limit = limit
        self._kept: OrderedDict[Path, int] = OrderedDict()

    def budget(self, folder: Path, plan: SegmentPlan) -> int:
        """Bytes a run may keep, after older runs have made room for it."""
        wanted = len(plan.planes) * sum(plan.tile_bytes(t.index) for t in plan.tiles.tiles)
        allowed = min(wanted, self._limit)
        while self._kept and sum(self._kept.values()) + allowed > self._limit:
            self.release(next(iter(self._kept)))
        self._kept[folder] = allowed
        return allowed

    def release(self, folder: Path) -> None:
        """Forget a run and delete its probability maps."""
        self._kept.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete everything this process kept."""
        self._kept.clear()
        super().close()
