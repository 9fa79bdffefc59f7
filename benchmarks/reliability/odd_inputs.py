"""Odd inputs: every type, layout, content, axes and container that an array can have.

Each cell of the matrix is segmented by a small network. It must give labels of the right shape, or
a sentence, within five seconds and without a warning that nobody understands.
"""

import itertools
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.reliability.campaign import Asked, Tally
from napari_unet.errors import UNetError

DTYPES = (
    "bool", "i1", "u1", "i2", "u2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8",
    "longdouble", "c8", "O", "U3", "M8[s]", "V4",
)  # fmt: skip
LAYOUTS = ("C", "F", "reversed", "every other", "read-only", "broadcast", "one reversed")
CONTENTS = (
    "noise", "constant", "zeros", "some NaN", "all NaN", "infinite", "tiny", "largest", "negative",
    "one hot pixel", "empty", "one pixel", "one row",
)  # fmt: skip
AXES = ("", "YX", "YXC", "CYX", "ZYX", "TCZYX", "XY", "Y", "YY", "ZYXC", "yx")
CONTAINERS = ("numpy", "dask", "zarr", "memmap", "list", "levels")
SLOW = 5.0  # seconds of the processor
SIDES = {"Y": 33, "X": 40, "C": 3, "Z": 2, "T": 2}
Part = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix."""

    dtype: str
    layout: str
    content: str
    axes: str
    container: str

    def __str__(self) -> str:
        return " / ".join((self.dtype, self.layout, self.content, self.axes, self.container))

    def array(self, folder: Path) -> Any:
        """Return the input."""
        return _contained(_laid_out(_filled(self), self.layout), self.container, folder)


class Matrix:
    """All cells; a seed puts them into an order."""

    def __init__(self, seed: int) -> None:
        self._sides = (DTYPES, LAYOUTS, CONTENTS, AXES, CONTAINERS)
        self.count = math.prod(map(len, self._sides))
        self._order = list(range(self.count))
        Random(seed).shuffle(self._order)

    def __getitem__(self, number: int) -> Cell:
        """Return a cell by its number in the order."""
        rest, parts = self._order[number], []
        for side in self._sides:
            rest, index = divmod(rest, len(side))
            parts.append(side[index])
        return Cell(*parts)


def _shape(cell: Cell) -> tuple[int, ...]:
    axes = cell.axes.upper() or "YX"
    shape = [SIDES[axis] for axis in axes]
    match cell.content:
        case "empty":
            shape[-1] = 0
        case "one pixel":
            shape = [1] * len(shape)
        case "one row":
            shape = [1 if axis == "Y" else n for axis, n in zip(axes, shape, strict=True)]
    return tuple(shape)


def _filled(cell: Cell) -> Any:
    """Return an array of the type with the content, as far as the type can hold it."""
    shape = _shape(cell)
    if cell.dtype in ("O", "U3", "M8[s]", "V4"):
        return np.zeros(shape, cell.dtype)
    dtype = np.dtype(cell.dtype)
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    limits = (
        np.finfo(dtype) if dtype.kind in "fc" else np.iinfo(dtype) if dtype.kind in "iu" else None
    )
    decimal = dtype.kind in "fc"
    special: dict[str, Callable[[], Any]] = {
        "constant": lambda: np.full_like(values, 7),
        "zeros": lambda: np.zeros_like(values),
        "some NaN": lambda: _with(values, np.nan) if decimal else values,
        "all NaN": lambda: np.full_like(values, np.nan) if decimal else values,
        "infinite": lambda: _with(_with(values, np.inf), -np.inf, 1) if decimal else values,
        "tiny": lambda: values * limits.smallest_subnormal if decimal else values,
        "largest": lambda: _with(values, limits.max) if limits is not None else values,
        "negative": lambda: -values if dtype.kind in "ifc" else values,
        "one hot pixel": lambda: _with(np.zeros_like(values), 100),
    }
    return special.get(cell.content, lambda: values)().astype(dtype)


def _with(values: Any, value: Any, start: int = 0) -> Any:
    changed = values.copy()
    changed.reshape(-1)[start : start + max(1, changed.size // 50)] = value
    return changed


def _laid_out(values: Any, layout: str) -> Any:
    match layout:
        case "F":
            return np.asfortranarray(values)
        case "reversed":
            return values[tuple(slice(None, None, -1) for _ in values.shape)]
        case "every other":
            return np.repeat(values, 2, axis=-1)[..., ::2]
        case "read-only":
            values.flags.writeable = False
            return values
        case "broadcast" if values.size:
            return np.broadcast_to(values[:1], values.shape)
        case "one reversed" if values.size:  # of length 1, which no copy puts right
            return values[:1][::-1]
    return values


def _contained(values: Any, container: str, folder: Path) -> Any:
    match container:
        case "dask":
            import dask.array

            return dask.array.from_array(values, chunks=16)
        case "zarr":
            import zarr

            array = zarr.create_array(
                {}, shape=values.shape, dtype=values.dtype, chunks=_chunks(values)
            )
            array[...] = values
            return array
        case "memmap" if values.size and values.dtype != object:
            mapped = np.memmap(folder / "mapped", values.dtype, "w+", shape=values.shape)
            mapped[...] = values
            return mapped
        case "list":
            return values.tolist()
        case "levels":  # of a pyramid, which is no array
            return [values, values[..., ::2]]
    return values


def _chunks(values: Any) -> tuple[int, ...]:
    return tuple(max(1, min(16, length)) for length in values.shape)


def attempt(cell: Cell, model: Path, folder: Path) -> str:
    """Segment one cell; return how it ended.

    Raises
    ------
    Exception
        If it is neither labels of the right shape nor a sentence.
    """
    from napari_unet import SegmentSettings, segment

    try:
        array = cell.array(folder)
    except (ValueError, TypeError, NotImplementedError, OverflowError):
        return "cells that cannot be made"  # such as a zarr array of objects
    begun = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            settings = SegmentSettings(diameter=20, model=str(model))
            result = segment(array, axes=cell.axes or None, settings=settings)
    except UNetError as error:
        text = str(error)
        assert text.endswith((".", "?", ")")), f"no sentence: {text}"
        assert len(text) > 20, f"no sentence: {text}"
        end = "sentences"
    else:
        _check(result, array, cell)
        end = "results"
    seconds = time.process_time() - begun
    assert seconds < SLOW, f"{seconds:.1f} s"
    return end


def _check(result: Any, array: Any, cell: Cell) -> None:
    """Assert that labels and table fit the input."""
    labels = result.labels
    shape = np.shape(array)
    if cell.axes:
        shape = tuple(n for n, axis in zip(shape, cell.axes, strict=True) if axis not in "C")
        order = [axis for axis in cell.axes if axis != "C"]
        shape = (*(n for n, a in zip(shape, order, strict=True) if a not in "YX"),
                 *(shape[order.index(a)] for a in "YX"))  # fmt: skip
        assert labels.shape == shape, f"{labels.shape} for {shape}"
    assert labels.dtype == np.uint32
    assert len(result.objects) == len(np.unique(labels[labels > 0])) or labels.ndim > 2


def small_model(folder: Path) -> Path:
    """Return a network that takes little time; it finds what random weights find."""
    import torch

    from napari_unet.models.card import ModelCard
    from napari_unet.models.weights import save_model
    from napari_unet.network.spec import UNetSpec
    from napari_unet.network.unet import UNet

    torch.manual_seed(0)
    spec = UNetSpec(base_filters=2, depth=2)
    card = ModelCard(name="small", spec=spec)
    return save_model(folder / "small.safetensors", UNet(spec), card)


def _warm_up(model: Path) -> None:
    """Segment once: what is imported then counts for no cell."""
    import dask.array

    from napari_unet import SegmentSettings, segment

    image = dask.array.zeros((40, 40), "u2")
    segment(image, settings=SegmentSettings(diameter=20, model=str(model)))


def run(asked: Asked) -> Mapping[str, Tally]:
    """Try cells in the order of the seed."""
    tally, matrix = Tally(), Matrix(asked.seed)
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary:
        folder = Path(temporary)
        model = small_model(folder)
        _warm_up(model)
        for number in itertools.islice(range(matrix.count), asked.count):
            if asked.left < 0:
                break
            try:
                end = attempt(matrix[number], model, folder)
            except Exception as error:  # noqa: BLE001  that is what is looked for
                end = "failed"
                tally.bad.append(f"{matrix[number]}: {error!r:.300}")
            tally.ends[end] += 1
    logging.disable(logging.NOTSET)
    tally.more = f"of {matrix.count:,} cells"
    return {"odd inputs": tally}
