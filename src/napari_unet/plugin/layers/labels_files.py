"""Labels in files: the writer and the reader that the manifest names, and what they ask a layer."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.errors import InputError
from napari_unet.io.tiff import read_labels, save_labels
from napari_unet.io.tiff_header import read_header
from napari_unet.io.units import PIXEL, micrometers, unit_name

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
    pixel_size, unit = layer_pixel_size(meta, len(labels.shape))
    saved = save_labels(
        path,
        labels,
        pixel_size=pixel_size,
        unit=unit,
        axes=layer_axes(meta, len(labels.shape)),
        description=dict((meta.get("metadata") or {}).get(METADATA_KEY) or {}),
    )
    return [str(saved)]


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


def layer_pixel_size(meta: Mapping[str, Any], ndim: int) -> tuple[tuple[float, ...] | None, str]:
    """Return the size of a pixel along each axis and its unit, from a layer's attributes.

    Axes in another length than X are converted; axes that are no length keep their number.
    ``None`` where the layer has neither scale nor units.
    """
    scale = tuple(abs(float(s)) for s in meta.get("scale", (1.0,) * ndim))[-ndim:]
    names = [unit_name(str(u)) for u in meta.get("units") or (PIXEL,) * ndim][-ndim:]
    unit = names[-1]
    if unit == PIXEL and all(s == 1 for s in scale[-2:]):
        return None, PIXEL
    length = micrometers(unit)
    size = tuple(
        s if length is None else s * (micrometers(n) or length) / length
        for s, n in zip(scale, names, strict=True)
    )
    return (size, unit) if all(math.isfinite(s) and s > 0 for s in size) else (None, PIXEL)


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
        missing = labels.ndim - len(pixel_size)
        attributes["scale"] = (1.0,) * missing + tuple(pixel_size)
        known = unit if unit == PIXEL or micrometers(unit) is not None else PIXEL
        attributes["units"] = (PIXEL,) * missing + (known,) * len(pixel_size)
    if header is not None and header.description:
        attributes["metadata"] = {METADATA_KEY: dict(header.description)}
    return [(labels, attributes, "labels")]
