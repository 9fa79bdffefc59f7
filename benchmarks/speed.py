"""Megapixels per second from end to end, against the bare network and against other programs.

    THP_MEM_ALLOC_ENABLE=1 python -m benchmarks.speed       8192² of real nuclei
    python -m benchmarks.speed --side 4096                  quicker, not written into docs

The variable gives torch memory in large pages, as the command line and the engine have it.

*Bare network*: forward passes of the same network on random tiles of its best size, by as many
threads as there are cores, in the fastest way there is. *Useful share*: the part of the computed
pixels that is written. *End to end* is `segment()` on an array: it looks for grey values, computes,
makes objects and puts them together, at the image's own size, so that the same pixels are compared.
Where the size of the objects is looked for, too, the image is resized; then megapixels are the
image's, and the fraction of the bare network is of the pixels that the network is given. Rows of
MONAI and Cellpose need those packages in the benchmark's environment, StarDist's another Python;
else they are left out. Everything runs one after the other, so that ratios can be compared.
"""

import argparse
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.slides import CHUNK, repeated
from benchmarks.common.tables import ROOT, markdown, write_table
from napari_unet import segment
from napari_unet.execution import block_worker
from napari_unet.image import Box
from napari_unet.inference.batchnorm_folding import folded, pick_precision
from napari_unet.inference.predict import Predictor
from napari_unet.intensity import grey_limits, normalise
from napari_unet.models.library import Model, load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import SegmentPlan
from napari_unet.tiling.schedule import shared_pixels

SIDE = 8192  # pixels
READ = (320, 448, 704, 1216, 2240)  # pixels; sides of the tiles that the bare network is given
REPEATS = 3
COMMAND = "THP_MEM_ALLOC_ENABLE=1 python -m benchmarks.speed --stardist PYTHON"
DOCUMENT = ROOT / "docs" / "performance.md"
Found = tuple[str, float, str]  # name, megapixels per second, what was measured
HEADER = ("what", "megapixels per s", "of the bare network", "note")


def bare(model: Model, threads: int) -> tuple[float, int]:
    """Return the best rate of forward passes, in megapixels per second, and its tile."""
    network, _ = load_network(model.path)
    precision = pick_precision("auto", torch.device("cpu"))
    lean = folded(network).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return max((_rate(lean, precision, side, threads), side) for side in READ)


def _rate(network: Any, precision: torch.dtype, side: int, threads: int) -> float:
    """Let every thread do whole tiles on a core of its own, as inference does."""
    tile = torch.rand(1, 1, side, side).to(precision, memory_format=torch.channels_last)
    count = max(2, round(6e6 / side**2))

    def work() -> None:
        with torch.inference_mode():
            for _ in range(count):
                network(tile)

    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        list(pool.map(lambda _: work(), range(threads)))  # the first run chooses kernels
        seconds = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            list(pool.map(lambda _: work(), range(threads)))
            seconds.append(time.perf_counter() - begun)
    torch.set_num_threads(threads)
    return threads * count * side**2 / 1e6 / min(seconds)


def useful_share(plan: SegmentPlan) -> float:
    """Pixels that are written, of those that the network computes."""
    blocks = list(plan.blocks())
    apart = sum(plan.covering(number).read.size for _, number in blocks)
    computed = min(apart, shared_pixels(plan, blocks))
    return plan.region.size * len(plan.planes) * plan.zoom**2 / computed


@contextmanager
def timed_decoding() -> Iterator[list[float]]:
    """Collect the seconds that making objects takes, all threads together."""
    spent: list[float] = []
    plain, lock = block_worker.patch_of, threading.Lock()

    def timed(*arguments: Any) -> Any:
        begun = time.thread_time()
        try:
            return plain(*arguments)
        finally:
            with lock:
                spent.append(time.thread_time() - begun)

    block_worker.patch_of = timed
    try:
        yield spent
    finally:
        block_worker.patch_of = plain


@contextmanager
def counted_even() -> Iterator[list[int]]:
    """Collect the network pixels of windows of one grey value, which are not computed."""
    skipped: list[int] = []
    plain = Predictor._even

    def counted(self: Predictor, given: Any, core: Box, *rest: Any) -> Any:
        skipped.append(core.size)
        return plain(self, given, core, *rest)

    Predictor._even = counted  # type: ignore[method-assign]
    try:
        yield skipped
    finally:
        Predictor._even = plain  # type: ignore[method-assign]


def end_to_end(
    image: NDArray[np.uint16], model: Model, threads: int, diameter: float | None
) -> tuple[float, str, Any]:
    """Return image megapixels per second, what else there is to say, and the result."""
    with timed_decoding() as spent, counted_even() as skipped:
        begun = time.perf_counter()
        result = segment(image, model, settings=SegmentSettings(diameter=diameter))
        seconds = time.perf_counter() - begun
    decoding = 100 * sum(spent) / (seconds * threads)
    note = (
        f"resized to {result.plan.zoom:.2f}; {result.count} objects, "
        f"decoding {decoding:.0f} % of the time; "
        f"{len(skipped)} windows of one grey value, {sum(skipped) / 1e6:.0f} megapixels"
    )
    return image.size / 1e6 / seconds, note, result


def image_of(side: int) -> NDArray[np.uint16]:
    """Real nuclei, turned and laid side by side."""
    chunk, count = repeated(CHUNK), -(-side // CHUNK)
    rows = [np.concatenate([chunk(r, c) for c in range(count)], 1) for r in range(count)]
    return np.concatenate(rows)[:side, :side]


# ---- other programs ------------------------------------------------------------------------------


def rate_of(work: Callable[[], Any], pixels: int) -> float:
    """Return the megapixels per second of one run, after one that is not counted."""
    work()
    begun = time.perf_counter()
    work()
    return pixels / 1e6 / (time.perf_counter() - begun)


def monai(image: NDArray[np.float32], network: Any, short: torch.dtype) -> Iterator[Found]:
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
                rates[size] = rate_of(partial(window, batch, given), image.size)
        size = max(rates, key=lambda s: rates[s])
        name = f"MONAI SlidingWindowInferer, {str(precision).removeprefix('torch.')}"
        yield name, rates[size], f"our weights, roi 512, overlap 0.25, gaussian, batch {size}"


def cellpose() -> Iterator[Found]:
    """Cellpose-SAM's network with random weights, on tiles of its own size, without overlap."""
    if not (find_spec("cellpose") and find_spec("segment_anything")):
        return
    from cellpose.vit import CPSAM

    for precision in (torch.float32, torch.bfloat16):
        network = CPSAM(dtype=precision).to(precision).eval()
        tile = torch.rand(1, 3, 256, 256).to(precision)
        with torch.inference_mode():
            rate = rate_of(partial(network, tile), 256**2)
        name = f"Cellpose-SAM's network, {str(precision).removeprefix('torch.')}"
        yield name, rate, "random weights, tiles of 256², no overlap"


def stardist(python: str) -> Iterator[Found]:
    """StarDist's network of its fluorescence model, asked of another Python.

    It needs TensorFlow, which does not live beside torch here.
    """
    command = [python, str(Path(__file__).parent / "common" / "peer_stardist.py"), "--rate"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    side, rate = done.stdout.split()[-2:]
    yield "StarDist's network, float32", float(rate), f"random weights, 32 rays, grid 2, {side}²"


def whole(image: NDArray[np.uint16], model: Model) -> Found:
    """One forward pass over a whole image, as a notebook does it; no halo, no objects."""
    network, _ = load_network(model.path)
    given = torch.from_numpy(normalise(image, grey_limits(image, bright_objects=False)))
    with torch.inference_mode():
        rate = rate_of(lambda: network(given[None, None]), image.size)
    return f"plain forward pass over {len(image)}², float32", rate, "network only, whole image"


def rivals(image: NDArray[np.uint16], model: Model, python: str | None) -> Iterator[Found]:
    """Rates of what else there is in this environment."""
    part = image[: CHUNK * 2, : CHUNK * 2]
    yield whole(part, model)
    given = normalise(part, grey_limits(part, bright_objects=False))
    network, _ = load_network(model.path)
    yield from monai(given, network, pick_precision("auto", torch.device("cpu")))
    yield from cellpose()
    if python:
        yield from stardist(python)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--model", type=Path, default="nuclei")
    parser.add_argument("--stardist", help="Python of an environment that has StarDist")
    arguments = parser.parse_args()
    model, threads = load_model(str(arguments.model)), torch.get_num_threads()
    image = image_of(arguments.side)
    raw, tile = bare(model, threads)
    usual = model.card.object_diameter  # as large as others compute it: not resized
    rate, note, result = end_to_end(image, model, threads, usual)
    share = useful_share(result.plan)
    found, found_note, resized = end_to_end(image, model, threads, None)
    of_found = found * resized.plan.zoom**2 / raw  # of the pixels that the network is given
    empty = image.copy()
    empty[:, arguments.side // 2 :] = image.min()
    half, half_note, _ = end_to_end(empty, model, threads, usual)
    rows = [
        ["bare network", f"{raw:.2f}", "1.00", f"tiles of {tile}², {threads} threads"],
        ["end to end", f"{rate:.2f}", f"{rate / raw:.2f}", note],
        ["end to end, size of objects found", f"{found:.2f}", f"{of_found:.2f}", found_note],
        ["end to end, one half empty", f"{half:.2f}", f"{half / raw:.2f}", half_note],
        ["possible: bare network × useful share", f"{raw * share:.2f}", f"{share:.2f}",
         f"end to end reaches {rate / (raw * share):.2f} of it"],
    ]  # fmt: skip
    for name, other, note in rivals(image, model, arguments.stardist):
        ratio = f"{note}; end to end is {rate / other:.1f} times as fast"
        rows.append([name, f"{other:.3g}", f"{other / raw:.2g}", ratio])
        print(rows[-1], flush=True)
    print(markdown(HEADER, rows))
    if arguments.side == SIDE:
        write_table(DOCUMENT, "speed", HEADER, rows, command=COMMAND)


if __name__ == "__main__":
    main()
