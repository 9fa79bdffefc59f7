"""Short trainings that benchmarks compare; each is done once and found again."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.tables import ROOT

SCRIPT = ROOT / "scripts" / "train_base_model.py"
AVERAGING = 0.99  # of the weights; a short training has no time for a slow average


def trained(recipe: str, model: Path, change: Mapping[str, Any], data: Path) -> Path:
    """Train on one core, or find it trained; returns the model's file.

    Parameters
    ----------
    recipe : str
        Name of a recipe of `scripts/base_recipe.py`.
    model : Path
        The file, in a folder of its own for the run.
    change : mapping
        Knobs of the recipe that differ, with `minutes`, which count the processor's time.
    data : Path
        Folder of the image sets.
    """
    if not model.exists():
        knobs = json.dumps({**change, "averaging": AVERAGING})
        command = [sys.executable, str(SCRIPT), recipe, "--run", str(model.parent)]
        command += ["--change", knobs, "--threads", "1"]
        subprocess.run([*command, "--data", str(data)], check=True)
        subprocess.run([*command, "--export", str(model.parent)], check=True)
    return model
