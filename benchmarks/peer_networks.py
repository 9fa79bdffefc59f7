"""The networks of other programs, as fast as they go on this processor; for `benchmarks.speed`.

StarDist needs TensorFlow, which does not live beside torch here: its Python is asked for the rate.

    python -m benchmarks.peer_networks stardist      prints megapixels per second
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SIDE = 1024  # pixels; of what StarDist's network is given
REPEATS = 3
Found = tuple[str, float, str]  # name, megapixels per second, what was measured


def best(work: Callable[[], Any], pixels: int, repeats: int = REPEATS) -> float:
    """Return the best rate of a few runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return pixels / 1e6 / min(seconds)


def monai(image: NDArray[np.float32], network: Any, short: Any) -> Iterator[Found]:
    """MONAI's sliding window with our weights: as people use it, and in our numbers.

    Parameters
    ----------
    image : ndarray of float32
        ``(Y, X)``, normalised.
    network : UNet
        As it is loaded.
    short : torch.dtype
        The type that we compute in.
    """
    if not find_spec("monai"):
        return
    import torch
    from monai.inferers import SlidingWindowInferer

    for precision in (torch.float32, short):
        given = network.to(precision, memory_format=torch.channels_last)
        batch = torch.from_numpy(image)[None, None].to(precision)
        rates = {}
        for size in (1, 4):
            window = SlidingWindowInferer(
                (512, 512), sw_batch_size=size, overlap=0.25, mode="gaussian"
            )
            with torch.inference_mode():
                rates[size] = best(partial(window, batch, given), image.size, 1)
        size = max(rates, key=lambda s: rates[s])
        name = f"MONAI SlidingWindowInferer, {str(precision).removeprefix('torch.')}"
        yield name, rates[size], f"our weights, roi 512, overlap 0.25, gaussian, batch {size}"


def cellpose() -> Iterator[Found]:
    """Cellpose-SAM's network with random weights, on tiles of its own size, without overlap."""
    if not (find_spec("cellpose") and find_spec("segment_anything")):
        return
    import torch
    from cellpose.vit import CPSAM

    for precision in (torch.float32, torch.bfloat16):
        network = CPSAM(dtype=precision).to(precision).eval()
        tile = torch.rand(1, 3, 256, 256).to(precision)
        with torch.inference_mode():
            rate = best(partial(network, tile), 256**2, 1)
        name = f"Cellpose-SAM's network, {str(precision).removeprefix('torch.')}"
        yield name, rate, "random weights, tiles of 256², no overlap"


def stardist(python: str) -> Iterator[Found]:
    """StarDist's network of its fluorescence model, asked of another Python."""
    command = [python, "-m", "benchmarks.peer_networks", "stardist"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rate = float(done.stdout.split()[-1])
    yield "StarDist's network, float32", rate, f"random weights, 32 rays, grid 2, {SIDE}²"


def _stardist_here() -> float:
    from stardist.models import Config2D, StarDist2D

    model = StarDist2D(Config2D(n_rays=32, grid=(2, 2)), name=None, basedir=None)
    image = np.random.default_rng(0).random((1, SIDE, SIDE, 1)).astype(np.float32)
    network = model.keras_model
    return best(lambda: network(image, training=False), SIDE**2)


if __name__ == "__main__":
    print(_stardist_here() if sys.argv[1] == "stardist" else "")
