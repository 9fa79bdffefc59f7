"""What OpenVINO would gain on processors without bfloat16: the bare network on one core.

    python -m benchmarks.backends             writes the tables in docs/performance.md
    python -m benchmarks.backends --dry       only shows them
    python -m benchmarks.backends --limit 3   fewer images of each set; writes nothing

It needs the packages openvino and nncf in the benchmark's environment; the plugin has neither.
Newer instructions are masked in a process of its own for each row. There torch in bands, as the
plugin computes, OpenVINO, and OpenVINO with weights and features of 8 bits take turns. Seconds of
the processor count, the best of several, because other programs run beside.

For int8 the ranges of the features come from real nuclei of the sample data (nncf's defaults). Its
effect on AP is measured on the validation images: everything else is the same.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.common.evaluation import evaluate, options_for
from benchmarks.common.image_sets import Sample, samples
from benchmarks.common.matching import THRESHOLDS, bootstrap, count
from benchmarks.common.tables import ROOT, markdown, write_table
from benchmarks.speed import image_of
from napari_unet.inference.bands import Bands
from napari_unet.inference.batchnorm_folding import folded
from napari_unet.inference.predict import Predictor
from napari_unet.intensity import grey_limits, normalise
from napari_unet.models.library import load_model
from napari_unet.models.weights import load_model as load_network
from napari_unet.network.unet import UNet
from napari_unet.settings import SegmentSettings

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # would report to its makers

DOCUMENT = ROOT / "docs" / "performance.md"
MASKS = ("AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
SIDE, WINDOW, ROUNDS = 448, 256, 8  # pixels; times that each is run
ONE_CORE = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
}
NAMES = ("torch", "OpenVINO", "OpenVINO int8")
HEADER = (
    "instructions", *(f"{name}, megapixels per s" for name in NAMES),
    "OpenVINO / torch", "int8 / torch", "flips of int8",
)  # fmt: skip
COMMAND = "python -m benchmarks.backends"


class Compiled(nn.Module):
    """A network that OpenVINO computes, with a request of its own for each thread."""

    def __init__(self, model: Any) -> None:
        super().__init__()  # a model, or its file
        self._model, self._own = model, threading.local()

    def forward(self, image: Tensor) -> Tensor:
        """Compute the outputs ``(1, O, H, W)`` of ``(1, C, H, W)``."""
        import openvino

        if not hasattr(self._own, "request"):
            compiled = openvino.Core().compile_model(self._model, "CPU", ONE_CORE)
            self._own.request = compiled.create_infer_request()
        found = self._own.request.infer({0: image.contiguous().numpy()})
        return torch.from_numpy(found[0].copy())


def converted(network: UNet) -> Any:
    """Return the network as OpenVINO's model."""
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks of the shape are not traced
        traced = torch.jit.trace(network, torch.zeros(1, 1, 64, 64), check_trace=False)
    return openvino.convert_model(traced)


def quantised(model: Any, image: NDArray[np.float32]) -> Any:
    """Return the model in 8 bits, with the ranges of its features over windows of an image."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    starts = range(0, len(image), WINDOW)
    windows = [
        np.ascontiguousarray(image[None, None, y : y + WINDOW, x : x + WINDOW])
        for y in starts
        for x in starts
    ]
    preset = nncf.QuantizationPreset.MIXED  # LeakyReLU has negative values, too
    return nncf.quantize(model, nncf.Dataset(windows), preset=preset, subset_size=len(windows))


def nuclei() -> NDArray[np.float32]:
    """Return real nuclei ``(Y, X)``, scaled."""
    image = image_of(4 * WINDOW)
    return normalise(image, grey_limits(image, bright_objects=False))


def networks(short: Path) -> dict[str, nn.Module]:
    """Return the network as each backend has it; `short` is a file with that in 8 bits."""
    lean = folded(load_network(load_model("nuclei").path)[0])
    other = Compiled(converted(lean))
    plain = Bands(lean.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    return dict(zip(NAMES, (plain, other, Compiled(short)), strict=True))


def rates(short: Path) -> dict[str, float]:
    """Return megapixels per second of one core, and the share of pixels that int8 changes."""
    torch.set_num_threads(1)
    backends = networks(short)
    tile = torch.from_numpy(nuclei()[:SIDE, :SIDE].copy())[None, None]
    tile = tile.contiguous(memory_format=torch.channels_last)
    seconds, outputs = dict.fromkeys(NAMES, np.inf), {}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, network in backends.items():
                begun = time.process_time()
                outputs[name] = network(tile)[0, :3].argmax(dim=0)
                seconds[name] = min(seconds[name], time.process_time() - begun)
    flips = (outputs[NAMES[2]] != outputs[NAMES[0]]).float().mean()
    return {name: SIDE**2 / 1e6 / seconds[name] for name in NAMES} | {"flips": float(flips)}


def masked(mask: str, short: Path) -> list[str]:
    """Return the row of one set of instructions."""
    environment = {"ONEDNN_MAX_CPU_ISA": mask, "THP_MEM_ALLOC_ENABLE": "1"}
    command = [sys.executable, "-m", "benchmarks.backends", "--rates", str(short)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = json.loads(done.stdout.splitlines()[-1])
    plain, other, short = (found[name] for name in NAMES)
    return [
        mask, *(f"{rate:.2f}" for rate in (plain, other, short)),
        f"{other / plain:.2f}", f"{short / plain:.2f}", f"{found['flips']:.4%}",
    ]  # fmt: skip


def changes(found: list[Sample], short: Path) -> list[list[str]]:
    """Return what int8 changes of AP, for each group of images."""
    model, settings = load_model("nuclei"), SegmentSettings(device="cpu", precision="float32")
    before = evaluate(found, model, settings)
    network, plain = Compiled(short), Predictor._take

    def take(self: Predictor, *loaded: Any) -> None:
        plain(self, *loaded)
        self.network = network

    Predictor._take = take  # type: ignore[method-assign]
    try:
        after = evaluate(found, model, settings)
    finally:
        Predictor._take = plain  # type: ignore[method-assign]
    rows = []
    for group in ("all", *dict.fromkeys(sample.group for sample in found)):
        members = [s for s in found if group in ("all", s.group)]
        one, two = (
            bootstrap(count([o.matching for o in run if o.sample in members]), pooled=True).value
            for run in (before, after)
        )
        change = [f"{b - a:+.4f}" for a, b in zip(one, two, strict=True)]
        rows.append([group, str(len(members)), *change])
    return rows


def main() -> None:
    """Measure and write the tables."""
    parser: argparse.ArgumentParser = options_for(__doc__)
    parser.add_argument("--rates", type=Path, help="only this process, with a file in 8 bits")
    arguments = parser.parse_args()
    if arguments.rates:
        print(json.dumps(rates(arguments.rates)))
        return
    import openvino

    header = ("set", "images", *(f"change of AP {t}" for t in THRESHOLDS))
    with TemporaryDirectory() as folder:
        short = Path(folder) / "int8.xml"
        lean = folded(load_network(load_model("nuclei").path)[0])
        openvino.save_model(quantised(converted(lean), nuclei()), short, compress_to_fp16=False)
        rows = [masked(mask, short) for mask in MASKS]
        print(markdown(HEADER, rows), flush=True)
        if not (arguments.dry or arguments.limit):
            write_table(DOCUMENT, "backends", HEADER, rows, command=COMMAND)
        effect = changes(samples(arguments.data, "val", arguments.limit), short)
    print(markdown(header, effect))
    if not (arguments.dry or arguments.limit):
        write_table(DOCUMENT, "int8", header, effect, command=COMMAND)


if __name__ == "__main__":
    main()
