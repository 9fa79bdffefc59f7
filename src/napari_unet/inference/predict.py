"""The network at work on one tile: from a window of the image to its probability map (torch)."""

import contextlib
import logging
import threading
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unet.errors import EngineError, InputError
from napari_unet.image import Box
from napari_unet.inference.bands import Bands
from napari_unet.inference.batchnorm_folding import folded, pick_precision
from napari_unet.intensity import has_contrast, normalise
from napari_unet.models.card import ModelCard
from napari_unet.models.weights import load_network
from napari_unet.network.outputs import BACKGROUND, held
from napari_unet.network.torchscript import ImportedNetwork
from napari_unet.network.unet import UNet, activated
from napari_unet.tiling.resample import axis_taps, resample
from napari_unet.tiling.tiles import Tile, TilePlan

log = logging.getLogger(__name__)
Limits = tuple[tuple[float, float], ...]
GAVE_UP = "The graphics card ran out of memory; the processor goes on."
STRIP = 128  # rows that are converted at once: what is made in between stays in the cache
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def pick_device(wanted: str = "auto") -> torch.device:
    """Return the device to compute on: a graphics card if there is one, else the processor."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available.get(wanted, False):
        raise InputError(
            f"The device {wanted!r} was asked for and is not available here; "
            f"{', '.join(n for n, there in available.items() if there)} can be used. "
            "Choose one of these, or auto."
        )
    return torch.device(wanted)


class Predictor:
    """A model on a device.

    Parameters
    ----------
    path : Path
        Model file.
    device : str
        "auto", "cpu", "cuda" or "mps".
    precision : str
        "auto", "float32" or "bfloat16".

    Attributes
    ----------
    card : ModelCard
        The model's card.
    device : torch.device
        Where it computes now; the processor after a graphics card ran out of memory.
    precision : torch.dtype
        What it computes in.
    gave_up : bool
        Whether a graphics card ran out of memory.
    """

    gave_up = False

    def __init__(self, path: Path, device: str = "auto", precision: str = "auto") -> None:
        network, card = load_network(path)
        self._take(network, card, device, precision)

    def _take(
        self, network: UNet | ImportedNetwork, card: ModelCard, device: str, precision: str
    ) -> None:
        self.card, self.device = card, pick_device(device)
        self.precision = pick_precision(precision, self.device)
        self._cells: dict[tuple[bytes, int], NDArray[np.float32]] = {}
        self._card_turn = threading.Lock()
        if isinstance(network, ImportedNetwork):
            self.precision = torch.float32  # what its makers tested
            self.network: nn.Module = network.to(self.device)
            return
        lean = folded(network)
        self.network = (Bands(lean) if card.spec.variant == "padded" else lean).to(
            self.device, self.precision, memory_format=torch.channels_last
        )  # type: ignore[call-overload]

    def probability_map(
        self,
        window: NDArray[np.generic],
        tile: Tile,
        plan: TilePlan,
        limits: Limits,
        further: Collection[str] = (),
    ) -> NDArray[np.uint8]:
        """Compute the probability map of one tile.

        Parameters
        ----------
        window : ndarray
            ``(C, Y, X)``, the pixels of ``tile.source`` as they are in the image.
        tile : Tile
            Where the window lies and what to write.
        plan : TilePlan
            The plan the tile belongs to.
        limits : tuple of (low, high)
            Grey values that become 0 and 1, for each channel.
        further : collection of str
            Outputs that the map holds although they are not mapped.

        Returns
        -------
        ndarray of uint8
            ``(M, Y, X)`` over ``tile.write``; see `encode`.
        """
        if not any(map(has_contrast, limits)):  # no contrast: nothing to find
            return np.zeros((len(self.card.channels_with(further)), *tile.write.shape), np.uint8)
        clip = self.card.spec.scaling.clip
        image = np.stack([normalise(c, k, clip) for c, k in zip(window, limits, strict=True)])
        (y0, x0), (y1, x1) = tile.read.start, tile.read.stop
        network_shape, shape = plan.network_shape, plan.shape
        rows = axis_taps((y0, y1), network_shape[0], shape[0])
        columns = axis_taps((x0, x1), network_shape[1], shape[1])
        given = resample(image, tile.source.start, rows, columns)
        even = (image == image[:, :1, :1]).all()
        names = [output.name for output in held(self.card.spec.outputs, further)]
        repeats = even and not isinstance(self.network, ImportedNetwork)
        compute = self._even if repeats else self.compute
        output = compute(given, tile.core, names)
        (y0, x0), (y1, x1) = tile.write.start, tile.write.stop
        rows = axis_taps((y0, y1), shape[0], network_shape[0])
        columns = axis_taps((x0, x1), shape[1], network_shape[1])
        maps = encode(resample(output, tile.core.start, rows, columns), self.card, further)
        maps[:, _holes(window[(..., *tile.write.shift(tile.source.start).slices)])] = 0
        return maps

    def _even(
        self, given: NDArray[np.float32], core: Box, names: Collection[str]
    ) -> NDArray[np.float32]:
        """Return what `compute` would of a window without structure, as outside a specimen.

        There the output repeats with the pooling grid, so one step of the grid says all.
        """
        grid = self.card.spec.divisor
        height, width = core.shape
        cell = Box((0, 0), (grid, grid))
        side = _read_box(cell, self.card).shape
        value = given[:, :1, :1]
        key = value.tobytes(), len(names)
        predicted = self._cells.get(key)
        if predicted is None:
            predicted = self.compute(np.broadcast_to(value, (len(given), *side)), cell, names)
            # the last one only; other threads have theirs
            self._cells = {key: predicted}
        output: NDArray[np.float32] = np.tile(predicted, (1, height // grid, width // grid))
        return output

    def compute(
        self, given: NDArray[np.float32], core: Box, names: Collection[str] | None = None
    ) -> NDArray[np.float32]:
        """Run the network, in halves where memory is short, on the processor in the end.

        Parameters
        ----------
        given : ndarray of float32
            ``(C, Y, X)``, normalised, over the read box that belongs to `core`.
        core : Box
            Network pixels wanted.
        names : collection of str, optional
            Outputs wanted; default those that the probability map holds.

        Returns
        -------
        ndarray of float32
            ``(M, Y, X)`` over `core`: the outputs in the network's order, the classes as
            probabilities.
        """
        device = self.device
        try:
            with self._turn():
                return self._forward(given, core, names)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            log.warning("out of memory on a tile of %s px: %s", core.shape, error)
        halves = _halves(core, self.card.spec.divisor)
        if halves:
            axis = 1 if halves[0].shape[0] != core.shape[0] else 2
            return np.concatenate(
                [self._part(given, core, half, names) for half in halves], axis=axis
            )
        if device.type != "cpu":
            with self._turn():  # another thread may compute on the card, or have given it up
                self.network.to(torch.device("cpu"))
                self.device, self.gave_up = torch.device("cpu"), True  # last: till then others wait
            return self.compute(given, core, names)
        raise EngineError(
            "There is not enough memory for even the smallest tile. Close other programs and "
            "press Segment again."
        )

    def _turn(self) -> contextlib.AbstractContextManager[object]:
        """Let one thread at a time use a graphics card; each core computes for itself."""
        return self._card_turn if self.device.type != "cpu" else contextlib.nullcontext()

    def _part(
        self, given: NDArray[np.float32], core: Box, half: Box, names: Collection[str] | None
    ) -> NDArray[np.float32]:
        whole, part = _read_box(core, self.card), _read_box(half, self.card)
        return self.compute(given[(slice(None), *part.shift(whole.start).slices)], half, names)

    def _forward(
        self, given: NDArray[np.float32], core: Box, names: Collection[str] | None = None
    ) -> NDArray[np.float32]:
        batch = torch.from_numpy(np.ascontiguousarray(given))[None].to(self.device, self.precision)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            margin = core.start[0] - _read_box(core, self.card).start[0] - self.card.spec.shrink
            height, width = core.shape
            wanted = Box((margin, margin), (margin + height, margin + width))
            if isinstance(self.network, Bands):
                output = self.network(batch, wanted)[0]
            else:
                output = self.network(batch)[0][:, *wanted.slices]
            rows = output.split(STRIP if batch.device.type == "cpu" else height, dim=1)
            parts = [activated(part.float(), self.card.spec, names).cpu() for part in rows]
            result: NDArray[np.float32] = torch.cat(parts, dim=1).numpy()
        return result


def settled(device: str, precision: str) -> tuple[str, str]:
    """Return the device and the precision that "auto" means on this computer, by name."""
    found = pick_device(device)
    return found.type, str(pick_precision(precision, found)).removeprefix("torch.")


def encode(
    output: NDArray[np.float32], card: ModelCard, further: Collection[str] = ()
) -> NDArray[np.uint8]:
    """Quantise what `Predictor.compute` returns to a probability map of bytes.

    Parameters
    ----------
    output : ndarray of float32
        ``(M, Y, X)``, the outputs that the map holds; the classes come first.
    card : ModelCard
        The model.
    further : collection of str
        Outputs that the map holds although they are not mapped.

    Returns
    -------
    ndarray of uint8
        ``(M, Y, X)``, the channels of the map. For objects 255 = 1, for classes the most probable
        one.
    """
    if not card.finds_objects:
        classes = output[card.spec.slice_of("classes")]
        best: NDArray[np.uint8] = classes.argmax(axis=0).astype(np.uint8)
        return best[None]
    kept = output[BACKGROUND + 1 :]  # all but the first class, which is the rest to 1
    channels = card.channels_with(further)
    scaled = [
        (channels.slice_of(one.name), *one.span)
        for one in held(card.spec.outputs, further)
        if tuple(one.span) != (0, 1)
    ]
    maps = np.empty(kept.shape, np.uint8)
    for first in range(0, kept.shape[1], STRIP):
        rows = slice(first, first + STRIP)
        part = kept[:, rows].copy() if scaled else kept[:, rows]
        for place, low, high in scaled:
            part[place] = (part[place] - low) / (high - low)
        maps[:, rows] = np.rint(np.clip(part, 0, 1) * 255)
    return maps


def _holes(window: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a channel of ``(C, Y, X)`` is not a number, or infinite."""
    if window.dtype.kind != "f":
        return np.zeros(window.shape[1:], bool)
    holes: NDArray[np.bool_] = ~np.isfinite(window).all(axis=0)
    return holes


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error).lower() for text in _OUT_OF_MEMORY)


def _read_box(core: Box, card: ModelCard) -> Box:
    y = card.spec.read_interval((core.start[0], core.stop[0]))
    x = card.spec.read_interval((core.start[1], core.stop[1]))
    return Box((y[0], x[0]), (y[1], x[1]))


def _halves(core: Box, grid: int) -> list[Box]:
    """Cut the longer side in two on the pooling grid; nothing if it is one grid step long."""
    height, width = core.shape
    if max(height, width) <= grid:
        return []
    (y0, x0), (y1, x1) = core.start, core.stop
    if height >= width:
        middle = y0 + max(grid, height // 2 // grid * grid)
        return [Box((y0, x0), (middle, x1)), Box((middle, x0), (y1, x1))]
    middle = x0 + max(grid, width // 2 // grid * grid)
    return [Box((y0, x0), (y1, middle)), Box((y0, middle), (y1, x1))]
