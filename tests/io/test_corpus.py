"""Damaged files that once ended in something else than a sentence, or took too long or too much.

`benchmarks.reliability` found them; each lies in a folder of its number with the seed 20261130.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
NUMBERS = sorted((entry.name for entry in CORPUS.iterdir()), key=int)
READ = """
import json, shutil, sys
from pathlib import Path
import imageio.v3, tifffile, zarr
from benchmarks.reliability.files.reading import limit, quiet, read_file

quiet()
limit()
for number in sys.argv[2:]:
    (path,) = Path(sys.argv[1], number).iterdir()
    end, told = read_file(path)
    print(json.dumps([number, end.name, told]), flush=True)
"""


@pytest.fixture(scope="module")
def ends() -> dict[str, tuple[str, str]]:
    """How each file ended; one that took too long, or killed the process, is the last."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    run = subprocess.run(
        [sys.executable, "-c", READ, str(CORPUS), *NUMBERS],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [json.loads(line) for line in run.stdout.splitlines()]
    return {number: (end, told) for number, end, told in found}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space and time")
@pytest.mark.parametrize("number", NUMBERS)
def test_damaged_file_ends_in_a_result_or_a_sentence(ends, number):
    end, told = ends.get(number, ("DIED", ""))
    assert end in ("RESULT", "SENTENCE"), told
