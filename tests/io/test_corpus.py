"""Damaged files that once ended in something else than a sentence, or took too long or too much.

`benchmarks.reliability` found them; each lies in a folder of its number with the seed 20261130.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec

from napari_unet.errors import InputError
from napari_unet.image import Box
from napari_unet.io.images import read_image

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


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_that_is_cut_short_gives_no_pixels(tmp_path, version):
    """Noise is stored as it is; what lies behind the chunk in memory would be taken for pixels."""
    noise = np.random.default_rng(0).integers(0, 2**16, (60, 50), np.uint16)
    codec = BloscCodec() if version == 3 else Blosc()
    path, box = tmp_path / "noise.zarr", Box((0, 0), noise.shape)
    options = {"chunks": noise.shape, "compressors": [codec], "zarr_format": version}
    zarr.create_array(path, data=noise, **options)
    np.testing.assert_array_equal(read_image(path).read((), box)[0], noise)
    chunk = max(
        (file for file in path.rglob("*") if file.is_file()), key=lambda f: f.stat().st_size
    )
    chunk.write_bytes(chunk.read_bytes()[:-100])
    with pytest.raises(InputError, match="shorter than it says"):
        read_image(path).read((), box)
    codec_of_others = zarr.open_array(path, mode="r").metadata
    assert "Checked" not in repr(codec_of_others)
