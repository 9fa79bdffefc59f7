"""Labels in files: the writer and the reader that the manifest names, and what they ask a layer."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.errors import InputError
from napari_unet.image import Spacing
from napari_unet.io.tiff import default_axes, read_labels, save_labels
from napari_unet.io.tiff_header import read_header
from napari_unet.io.units import PIXEL, micrometers, seconds, unit_name
from napari_unet.plugin.layers.label_grid import grid_from

LayerTuple = tuple[Any, dict[str, Any], str]

TIFF = (".tif", ".tiff")
METADATA_KEY = "napari_unet"  # of layer.metadata, where a run leaves its settings


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save a labels layer with its ids, pixel size and settings (npe2 writer).

    Parameters
    ----------
    path : str
        Ends in ``.ome.tif`` or ``.tif``.
    data : array-like
        Whole numbers ``(..., Y, X)``; of a multiscale layer the finest level.
    meta : dict
        The layer's attributes as napari gives them.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    SaveError
        If it cannot be written; an older file of that name is untouched.
    """
    labels = data[0] if meta.get("multiscale") else data
    grid = grid_from(meta.get("metadata"), len(labels.shape))
    if grid is not None:
        labels, meta = grid.labels(labels), _along(meta, grid.order)
    axes = grid.letters if grid is not None else layer_axes(meta, len(labels.shape))
    axes = axes or default_axes(len(labels.shape))
    record = dict((meta.get("metadata") or {}).get(METADATA_KEY) or {})
    saved = save_labels(
        path,
        labels,
        pixel_size=_written_spacing(meta, axes) or _recorded_spacing(record, axes),
        axes=axes,
        description=record,
    )
    return [str(saved)]


def _along(meta: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """Return a layer's attributes with those of some axes, in their order."""
    picked = {n: [meta[n][i] for i in order] for n in ("scale", "translate", "units") if n in meta}
    return {**meta, **picked}


def _written_spacing(meta: Mapping[str, Any], axes: str) -> dict[str, Spacing]:
    """Return how the pixels of a labels layer lie, by the letter of the axis."""
    sizes, unit = layer_pixel_size(meta, len(axes))
    units = [name if seconds(name) else unit for name in _unit_names(meta, len(axes))]
    return {
        axis: Spacing(size, own, offset)
        for axis, size, own, offset in zip(
            axes, sizes or (), units, _offsets(meta, sizes or ()), strict=False
        )
    }


def _recorded_spacing(record: Mapping[str, Any], axes: str) -> dict[str, Spacing]:
    """Return how the pixels of the image lay, as the file of the image told it."""
    known = record.get("spacing") or {}
    return {axis: Spacing(**known[axis]) for axis in axes if axis in known}


def _offsets(meta: Mapping[str, Any], sizes: Sequence[float | None]) -> list[float]:
    """Return where the first pixel lies along each axis, in the unit of its size."""
    ndim = len(sizes)
    scale, translate = meta.get("scale", (1.0,) * ndim), meta.get("translate", (0.0,) * ndim)
    return [
        float(start) * (size / abs(float(own))) if size else 0.0
        for own, start, size in zip(scale, translate, sizes, strict=False)
    ]


def get_labels_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerTuple]] | None:
    """Return a reader for label files this plugin saved, None for any other file (npe2 reader)."""
    return _read_labels_layer if isinstance(path, str) and saved_here(path) else None


def saved_here(path: str) -> bool:
    """Whether a file holds labels that this plugin saved."""
    try:
        return read_header(path) is not None
    except InputError:  # missing or damaged: napari's own reader says so
        return False


def opens_as_labels(path: Path) -> bool:
    """Whether napari asks our reader for a file of that name, as the manifest says."""
    stem, endings = re.subn(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE)
    return not endings or stem.endswith(("_labels", "_classes"))


def _unit_names(meta: Mapping[str, Any], ndim: int) -> list[str]:
    return [unit_name(str(u)) for u in meta.get("units") or (PIXEL,) * ndim][-ndim:]


def layer_pixel_size(
    meta: Mapping[str, Any], ndim: int
) -> tuple[tuple[float | None, ...] | None, str]:
    """Return the size of a pixel along each axis and its unit, from a layer's attributes.

    Axes in another length than X are converted; axes that are no length keep their number, but
    where X has a unit, 1 without one is unknown. ``None`` where the layer has neither scale nor
    units.
    """
    scale = tuple(abs(float(s)) for s in meta.get("scale", (1.0,) * ndim))[-ndim:]
    names = _unit_names(meta, ndim)
    unit = names[-1]
    if unit == PIXEL and all(s == 1 for s in scale[-2:]):
        return None, PIXEL
    length = micrometers(unit)
    if not all(math.isfinite(s) and s > 0 for s in scale):
        return None, PIXEL
    size = (
        s if length is None else s * (micrometers(n) or length) / length
        for s, n in zip(scale, names, strict=True)
    )
    unknown = [unit != PIXEL == n and s == 1 for s, n in zip(scale, names, strict=True)]
    return tuple(None if u else s for s, u in zip(size, unknown, strict=True)), unit


def layer_spacing(meta: Mapping[str, Any], axes: str, ndim: int) -> dict[str, Spacing]:
    """Return how the pixels of a layer lie, by the letter of the axis.

    Lengths are in the unit of X. T is in seconds, and missing where its unit is no time.
    """
    own = axes[:ndim]  # the colours of an RGB image come last, and are no axis of the layer
    if len(own) != ndim or not {"Y", "X"} <= set(own):
        return {}
    letters = [*(axis for axis in own if axis not in "YX"), "Y", "X"]
    named = [name for name in ("scale", "units", "translate") if name in meta]
    along = {name: [meta[name][own.index(axis)] for axis in letters] for name in named}
    sizes, unit = layer_pixel_size(along, ndim)
    offsets = _offsets(along, sizes or ())
    known: dict[str, Spacing] = {}
    for axis, size, name, offset in zip(
        letters, sizes or (), _unit_names(along, ndim), offsets, strict=False
    ):
        factor = seconds(name) if axis == "T" else 1.0
        if size is not None and factor is not None and axis in "TZYX":
            named_unit = "second" if axis == "T" else unit
            known[axis] = Spacing(size * factor, named_unit, offset * factor)
    return known


def layer_axes(meta: Mapping[str, Any], ndim: int) -> str | None:
    """Return the axes as letters where the layer's axis labels are letters ending in Y and X."""
    letters = "".join(str(name).upper() for name in meta.get("axis_labels") or ())
    fits = len(letters) == len(set(letters)) == ndim and letters.isalpha()
    return letters if fits and letters.endswith("YX") else None


def _read_labels_layer(path: str) -> list[LayerTuple]:
    labels, pixel_size, unit, axes = read_labels(path)
    header = read_header(path)
    name = Path(path).name.split(".")[0]
    attributes: dict[str, Any] = {"name": name, "axis_labels": tuple(axes.lower())}
    if pixel_size is not None:
        sizes = (None,) * (labels.ndim - len(pixel_size)) + tuple(pixel_size)
        attributes["scale"] = tuple(size or 1.0 for size in sizes)
        known = unit if micrometers(unit) is not None else PIXEL
        named = {"T": header.time_unit if header else PIXEL} | dict.fromkeys("ZYX", known)
        attributes["units"] = tuple(
            named.get(axis, PIXEL) if size else PIXEL
            for axis, size in zip(axes, sizes, strict=True)
        )
        if header is not None and any(header.offset):
            attributes["translate"] = header.offset
    if header is not None and header.description:
        attributes["metadata"] = {METADATA_KEY: dict(header.description)}
    return [(labels, attributes, "labels")]
