"""How long the network takes on one large tile, whole and in bands of several sizes; one core.

    python -m benchmarks.bands

A second table has small tiles, several at a time: what a batch is worth.

Results are the same to the last bit (tests/inference/test_bands.py). The middle size is best in
both types, so it is the one that is used.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.tables import ROOT, markdown, write_table
from napari_unet.inference.bands import Bands
from napari_unet.inference.batchnorm_folding import folded
from napari_unet.models.library import load_model
from napari_unet.models.weights import load_model as load_network

DOCUMENT = ROOT / "docs" / "performance.md"
BANDS = (3 * 2**20, 3 * 2**21, 3 * 2**22)  # numbers in a band of one level's features
SIDE = 2240  # pixels; a tile of 2048 and its halo
ROUNDS = 4
SMALL = (320, 448, 704)  # pixels; sides of the tiles of a batch
BATCHES = (1, 2, 4, 8)
BATCH_HEADER = ("megapixels per s, tiles of", *(f"batch of {n}" for n in BATCHES))
HEADER = ("network on one tile of 2240²", "megapixels per s", "of the whole tile at once")


def rates(ways: dict[str, Callable[[Tensor], Tensor]], image: Tensor) -> dict[str, float]:
    """Megapixels a second of each, taken in turn; the best of some rounds."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, network in ways.items():
            start = time.perf_counter()
            with torch.inference_mode():
                network(image)
            pixels = image.shape[0] * image.shape[-1] * image.shape[-2]
            rate = pixels / 1e6 / (time.perf_counter() - start)
            best[name] = max(best[name], rate)
    return best


def batches(network: Callable[[Tensor], Tensor]) -> list[list[str]]:
    """Rows of the table of batches."""
    rows = []
    for side in SMALL:
        images = [
            torch.rand(n, 1, side, side).to(torch.bfloat16, memory_format=torch.channels_last)
            for n in BATCHES
        ]
        best = [max(rates({"": network}, image).values()) for image in images]
        rows.append([f"{side}²", *(f"{rate:.2f}" for rate in best)])
    return rows


def main() -> None:
    """Measure and write the tables."""
    torch.set_num_threads(1)
    lean = folded(load_network(load_model("nuclei").path)[0])
    rows = []
    for dtype, kind in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32")):
        network = lean.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = torch.rand(1, 1, SIDE, SIDE).to(dtype, memory_format=torch.channels_last)
        ways: dict[str, Callable[[Tensor], Tensor]] = {f"{kind}, whole": network}
        for band in BANDS:
            ways[f"{kind}, bands of {band / 2**20:g} M numbers"] = Bands(network, band)
        found = rates(ways, image)
        whole = found[f"{kind}, whole"]
        rows += [[name, f"{rate:.2f}", f"{rate / whole:.2f}"] for name, rate in found.items()]
    print(markdown(HEADER, rows))
    write_table(DOCUMENT, "bands", HEADER, rows, command="python -m benchmarks.bands")
    short = lean.to(dtype=torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    several = batches(short)
    print(markdown(BATCH_HEADER, several))
    write_table(DOCUMENT, "batches", BATCH_HEADER, several, command="python -m benchmarks.bands")


if __name__ == "__main__":
    main()
