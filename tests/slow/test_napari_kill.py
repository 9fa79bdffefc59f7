"""Kill -9 on a real napari window at random moments: no stroke known to be kept may be missing.

``NAPARI_KILLS=210 pytest -m slow tests/slow/test_napari_kill.py`` repeats it as often as wanted; a
start takes seconds, on a busy machine most of a minute. The campaign
``python -m benchmarks.reliability --only kills`` does the same and counts.
"""

import logging
import os

import pytest

from benchmarks.reliability.kills.killed import KINDS, kill

KILLS = int(os.environ.get("NAPARI_KILLS", "6"))
EACH = 30  # kills; of as many, one of each kind is restored in another window

logger = logging.getLogger(__name__)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("seed", range(KILLS))
def test_napari_killed_at_a_random_moment(tmp_path, seed):
    kind = list(KINDS)[seed % len(KINDS)]
    told = kill(kind, seed, tmp_path / "home", restoring=seed % EACH < len(KINDS))
    logger.info("%d %s: %s", seed, kind, told)
