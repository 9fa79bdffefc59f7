"""Microscopes' own formats: ND2, CZI and LIF, read plane by plane by the libraries of an extra."""

import itertools
import math
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.channels import COLOURS
from napari_unet.errors import InputError
from napari_unet.image import Spacing
from napari_unet.io.formats.arrays import full_index
from napari_unet.io.formats.facts import Facts, Scene, stem_of
from napari_unet.io.units import in_one_unit

PACKAGES = {".nd2": "nd2", ".czi": "pylibCZIrw.czi", ".lif": "liffile"}
SPARE = "KLMNOPQUVWABDEFGHJR"
UPRIGHT = "Its planes lie along Z and X; Z is called Y here, and its size is that of Z."

ReadFrame = Callable[[tuple[int, ...], Any], NDArray[Any]]
"""Gives the part at an index of the last axes of one frame, by its place along the others."""


class Frames:
    """An array over a file that is read frame by frame.

    Parameters
    ----------
    shape : tuple of int
        Of the whole.
    dtype : dtype
        Of the pixels.
    inner : int
        How many of the last axes a frame has.
    read : callable
        Reads a part of a frame.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, inner: int, read: ReadFrame) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._leading, self._read, self._one = len(shape) - inner, read, threading.Lock()

    def __getitem__(self, key: Any) -> Any:
        """Return a window as a NumPy array."""
        index = full_index(key, len(self.shape))
        leading, part = index[: self._leading], index[self._leading :]
        wanted = [np.arange(n)[i] for n, i in zip(self.shape, leading, strict=False)]
        places = itertools.product(*(np.atleast_1d(one).tolist() for one in wanted))
        with self._one:  # the libraries do not say that several threads may read at once
            frames = np.stack([self._read(place, part) for place in places])
        lengths = [one.size for one in wanted if one.ndim]
        return frames.reshape(*lengths, *frames.shape[1:])


def microscope_scenes(path: Path) -> list[Scene]:
    """Return the images in a file: positions of ND2, scenes of CZI, series of LIF."""
    names = _OPEN[path.suffix.lower()][0](path)
    stem = stem_of(path)
    if len(names) < 2:
        return [Scene(path, stem=stem)]
    return [
        Scene(path, i, name, f"{stem}_{name.replace('/', '_')}")
        for i, name in enumerate(_different(names))
    ]


def read_microscope(scene: Scene) -> Facts:
    """Open one image of a file without reading it; closed when nobody needs its pixels."""
    with ExitStack() as files:
        facts = _OPEN[scene.path.suffix.lower()][1](scene, files)
        weakref.finalize(facts.data, files.pop_all().close)
    return facts


def _different(names: list[str]) -> list[str]:
    return [n if names.count(n) == 1 else f"{n}_{i}".lstrip("_") for i, n in enumerate(names)]


def _library(path: Path) -> Any:
    module = PACKAGES[path.suffix.lower()]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path} is a file of a microscope; to read it the package {error.name} is needed, "
            "which is not installed. Install the plugin with its extra 'microscopes': pip install "
            '".[microscopes]" in a clone. Or convert the file to OME-TIFF, for example with Fiji.'
        ) from error


# ---- ND2 (Nikon) -------------------------------------------------------------------------------


def _nd2_names(path: Path) -> list[str]:
    with _library(path).ND2File(path) as file:
        count = int(file.sizes.get("P", 1))
        points = [p for loop in file.experiment for p in getattr(loop.parameters, "points", ())]
    given = [str(getattr(point, "name", None) or "") for point in points]
    return given if len(given) == count and all(given) else [f"P{i}" for i in range(count)]


def _nd2(scene: Scene, files: ExitStack) -> Facts:
    file = files.enter_context(_library(scene.path).ND2File(scene.path))
    sizes: dict[str, int] = dict(file.sizes)
    inside = [axis for axis in sizes if axis in "CYXS"]
    loops = {axis: length for axis, length in sizes.items() if axis not in inside}

    def read(place: tuple[int, ...], part: Any) -> NDArray[Any]:
        left = iter(place)
        where = [scene.index if axis == "P" else next(left) for axis in loops]
        number = np.ravel_multi_index(where, tuple(loops.values())) if loops else 0
        frame: NDArray[Any] = file.read_frame(int(number))
        return np.asarray(frame.reshape([sizes[axis] for axis in inside])[part])

    axes = "".join(axis for axis in [*loops, *inside] if axis != "P")
    shape = tuple(sizes[axis] for axis in axes)
    data = Frames(shape, file.dtype, len(inside), read)
    channels = file.metadata.channels or []
    names = tuple(str(one.channel.name) for one in channels)
    return _facts(data, axes, _nd2_spacing(file, sizes), names)


def _nd2_spacing(file: Any, sizes: Mapping[str, int]) -> dict[str, Spacing]:
    found, channels = {}, file.metadata.channels or []
    if channels:
        known = dict(zip("XYZ", channels[0].volume.axesCalibrated, strict=True))
        size = file.voxel_size()._asdict()
        found = {a: Spacing(size[a.lower()], "µm") for a in "ZYX" if known[a] and a in sizes}
    for loop in file.experiment:
        period = getattr(loop.parameters, "periodMs", None)
        if loop.type == "TimeLoop" and period:
            found["T"] = Spacing(period / 1000, "s")
    return found


# ---- CZI (Zeiss) -------------------------------------------------------------------------------


def _czi_names(path: Path) -> list[str]:
    with _library(path).open_czi(str(path)) as file:
        return [f"S{number}" for number in file.scenes_bounding_rectangle]


def _czi(scene: Scene, files: ExitStack) -> Facts:
    file = files.enter_context(_library(scene.path).open_czi(str(scene.path)))
    scenes = list(file.scenes_bounding_rectangle.items())
    number, box = scenes[scene.index] if scenes else (None, file.total_bounding_rectangle)
    ranges: dict[str, tuple[int, int]] = dict(file.total_bounding_box)
    loops = [a for a, (low, high) in ranges.items() if a not in "XY" and high - low > 1]
    further = [a for a in loops if a not in "TZC"]
    if further:
        raise InputError(
            f"{scene.path} has the dimensions {', '.join(further)} besides T, Z and C, such as "
            "views or phases. Process it in the microscope's program first, and save that."
        )
    colour = any(kind.startswith("Bgr") for kind in file.pixel_types.values())
    kinds = [_czi_type(kind) for kind in file.pixel_types.values()]

    def read(place: tuple[int, ...], part: Any) -> NDArray[Any]:
        plane = {a: low for a, (low, _) in ranges.items() if a in "TZC"}
        plane |= {a: ranges[a][0] + i for a, i in zip(loops, place, strict=True)}
        rows, columns = (_span(p, n) for p, n in zip(part[:2], (box.h, box.w), strict=True))
        roi = (box.x + columns[0], box.y + rows[0], columns[1], rows[1])
        pixels: NDArray[Any] = file.read(roi=roi, plane=plane, scene=number)
        found = pixels[..., ::-1] if colour else pixels[..., 0]
        steps = [p if isinstance(p, slice) else 0 for p in part]
        own = [slice(None, None, p.step) if isinstance(p, slice) else p for p in steps[:2]]
        return found.astype(np.result_type(*kinds))[(*own, *part[2:])]

    axes = "".join(loops) + ("YXS" if colour else "YX")
    shape = (*(ranges[a][1] - ranges[a][0] for a in loops), box.h, box.w, *((3,) if colour else ()))
    data = Frames(shape, np.result_type(*kinds), len(shape) - len(loops), read)
    spacing, names = _czi_metadata(file.metadata)
    return _facts(data, axes, spacing, names)


def _span(index: Any, length: int) -> tuple[int, int]:
    """Return first pixel and number of pixels of what an index takes of an axis."""
    taken = np.atleast_1d(np.arange(length)[index])
    return int(taken[0]), int(taken[-1] - taken[0] + 1)


def _czi_type(kind: str) -> np.dtype[Any]:
    types = {"8": np.uint8, "16": np.uint16, "24": np.uint8, "48": np.uint16}
    bits = "".join(filter(str.isdigit, kind))
    return np.dtype(np.float32 if kind.endswith("Float") else types.get(bits, np.float32))


def _czi_metadata(metadata: Mapping[str, Any]) -> tuple[dict[str, Spacing], tuple[str, ...]]:
    """Return how pixels lie, and names of channels; lengths are in metres, times in seconds."""
    inside = metadata.get("ImageDocument", {}).get("Metadata", {})
    found = {}
    for one in _several(_within(inside, "Scaling", "Items", "Distance")):
        found[str(one.get("@Id"))] = Spacing(1e6 * float(one.get("Value") or math.nan), "µm")
    dimensions = _within(inside, "Information", "Image", "Dimensions")
    step = _within(dimensions, "T", "Positions", "Interval", "Increment")
    if step:
        found["T"] = Spacing(float(step), "s")
    channels = _several(_within(dimensions, "Channels", "Channel"))
    return found, tuple(str(one.get("@Name") or "") for one in channels)


def _within(tree: Any, *names: str) -> Any:
    for name in names:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _several(found: Any) -> list[Any]:
    """Return a list of elements; of a single one the parser makes none."""
    every = found if isinstance(found, list) else [found]
    return [one for one in every if isinstance(one, Mapping)]


# ---- LIF (Leica) -------------------------------------------------------------------------------


def _lif_names(path: Path) -> list[str]:
    with _library(path).LifFile(path) as file:
        return [str(image.name) for image in file.images]


def _lif(scene: Scene, files: ExitStack) -> Facts:
    file = files.enter_context(_library(scene.path).LifFile(scene.path))
    image = file.images[scene.index]
    dims = tuple(image.dims)
    inner = 3 if dims[-1] == "S" else 2

    def read(place: tuple[int, ...], part: Any) -> NDArray[Any]:
        where = dict(zip(dims, place, strict=False))
        return np.asarray(image.frame(**where)[part])

    data = Frames(tuple(image.shape), image.dtype, inner, read)
    units = {"Z": (1e6, "µm"), "Y": (1e6, "µm"), "X": (1e6, "µm"), "T": (1.0, "s")}
    found = {}
    for axis, places in image.coords.items():
        if axis in units and len(places) > 1:
            factor, unit = units[axis]
            step = abs(float(places[-1] - places[0])) / (len(places) - 1)
            found[axis] = Spacing(factor * step, unit)
    return _facts(data, "".join(dims), found, ())


def _facts(
    data: Frames, axes: str, spacing: Mapping[str, Spacing], names: tuple[str, ...]
) -> Facts:
    """Return what was found, with a letter for each axis; one that is unknown gets a free one."""
    notices: tuple[str, ...] = ()
    if "Y" not in axes and axes.endswith("ZX"):
        axes, notices = axes.replace("Z", "Y"), (UPRIGHT,)
        spacing = {"Y" if axis == "Z" else axis: one for axis, one in spacing.items()}
    colours = "S" in axes and "C" not in axes
    axes, spare = axes.replace("S", "C") if colours else axes, iter(SPARE)
    letters = ""
    for axis in axes:
        known = axis in "TZCYX"
        letters += axis if known else next(a for a in spare if a not in axes + letters)
    return Facts(data, letters, in_one_unit(spacing), notices, COLOURS if colours else names)


_OPEN: dict[str, tuple[Callable[[Path], list[str]], Callable[[Scene, ExitStack], Facts]]] = {
    ".nd2": (_nd2_names, _nd2),
    ".czi": (_czi_names, _czi),
    ".lif": (_lif_names, _lif),
}
