"""The fastest of several ways that give the same result: found while working, and remembered.

The first pieces of work are done in turn in each way; from then on, and after the next start, the
way that was fastest is used.
"""

import json
import logging
import platform
import threading
from functools import cache
from pathlib import Path

import platformdirs

from napari_unet.errors import SaveError
from napari_unet.io.atomic import write_bytes
from napari_unet.settings import APPLICATION

log = logging.getLogger(__name__)
ROUNDS = 3  # pieces of work for each way; the best counts: a computer has other work, too


class Fastest:
    """Chooses one of several numbers by the time that work takes with each.

    Parameters
    ----------
    ways : tuple of int
        To choose from, the one that is likely best first.
    key : str
        What the choice depends on: the computer, what computes.
    file : Path
        Where choices are remembered, a JSON object of key to number.
    rounds : int
        Pieces of work for each way.
    """

    def __init__(self, ways: tuple[int, ...], key: str, file: Path, rounds: int = ROUNDS) -> None:
        self._ways, self._key, self._file, self._rounds = ways, key, file, rounds
        self._lock = threading.Lock()
        self._given = 0
        self._times: dict[int, list[float]] = {way: [] for way in ways}
        self.chosen: int | None = ways[0]
        if len(ways) > 1:
            known = _read(file).get(key)
            self.chosen = known if known in ways else None

    @property
    def likely(self) -> int:
        """What is fastest, or what is likely to be as long as that is not known."""
        return self._ways[0] if self.chosen is None else self.chosen

    def pick(self) -> int:
        """Return the way to do the next piece of work."""
        with self._lock:
            if self.chosen is not None:
                return self.chosen
            turn, piece = divmod(self._given, len(self._ways))
            self._given += 1
            return self._ways[(piece + turn) % len(self._ways)]  # not always the same columns

    def took(self, way: int, seconds: float) -> None:
        """Say how long a piece of work took, for each of its pixels; infinite if it failed."""
        with self._lock:
            if self.chosen is not None:
                return
            self._times[way].append(seconds)
            if min(map(len, self._times.values())) < self._rounds:
                return
            self.chosen = min(self._ways, key=lambda way: min(self._times[way]))
        log.info("%s: %d is the fastest of %s", self._key, self.chosen, self._ways)
        _remember(self._file, self._key, self.chosen)


@cache
def fastest(ways: tuple[int, ...], key: str, rounds: int = ROUNDS) -> Fastest:
    """Return the choice that all threads of this process share; `key` need not name the processor.

    A home folder may be shared by computers of several kinds, so each kind has its own.
    """
    file = platformdirs.user_cache_path(APPLICATION) / "fastest.json"
    return Fastest(ways, f"{processor_name()}, {key}, of {ways}", file, rounds)


def processor_name() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def _read(file: Path) -> dict[str, int]:
    """Choices that are remembered; a file that is missing or damaged remembers none."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(file: Path, key: str, way: int) -> None:
    """Write a choice beside the others; without room for it the next start measures again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, json.dumps({**_read(file), key: way}, indent=1).encode())
    except (OSError, SaveError) as error:
        log.info("what is fastest cannot be remembered in %s: %s", file, error)
