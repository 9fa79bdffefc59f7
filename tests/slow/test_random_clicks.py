"""Random actions in a real napari window, and napari alone; see `benchmarks/reliability`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.window.campaign import actions_of, run_window

pytestmark = pytest.mark.slow
ACTIONS, SEED = 60, 2


def test_random_actions_do_no_harm():
    outcome = run_window(actions_of(SEED, ACTIONS))
    assert outcome.kind == "in order", f"{outcome.log}\n{outcome.told}"


def test_napari_survives_removed_layers_where_its_own_context_is_current(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.reliability.napari_alone", "--guarded"]
    own = {"NAPARI_CONFIG": str(tmp_path / "napari.yaml"), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
