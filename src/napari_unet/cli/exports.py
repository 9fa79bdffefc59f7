"""What is written beside label images for other programs, and what it is called."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from napari_unet.image import ArrayLike


@dataclass(frozen=True, slots=True)
class Export:
    """A kind of file: how its name ends, and the help of its option."""

    ending: str
    help: str


EXPORTS = {
    "csv": Export("_objects.csv", "Write a table of the objects beside the labels."),
    "roi": Export("_rois.zip", "Write outlines for the ROI Manager of ImageJ."),
    "geojson": Export("_objects.geojson", "Write outlines with measurements for QuPath."),
}


def chosen(**wanted: bool) -> tuple[str, ...]:
    """Return the kinds that were asked for."""
    return tuple(kind for kind in EXPORTS if wanted[kind])


def exports_of(labels: Path, kinds: Collection[str], folder: Path | None = None) -> dict[str, Path]:
    """Return the file of each kind that belongs to a label image.

    Parameters
    ----------
    labels : Path
        ``a_labels.tif`` has ``a_objects.csv``, and ``b.zarr`` has ``b_objects.csv``.
    kinds : collection of str
        Names in `EXPORTS`.
    folder : Path, optional
        Where they lie; default beside the labels.
    """
    stem = labels.name.removesuffix(labels.suffix).removesuffix(".ome").removesuffix("_labels")
    return {kind: (folder or labels.parent) / f"{stem}{EXPORTS[kind].ending}" for kind in kinds}


@contextmanager
def prepared(
    files: Mapping[str, Path],
    labels: "ArrayLike",
    axes: str,
    measured: "Callable[[], pd.DataFrame]",
) -> Iterator[None]:
    """Write exports beside their places, and put them there when the block ends without error.

    Parameters
    ----------
    files : mapping of str to Path
        The file of each kind.
    labels : array-like
        Whole numbers ``(..., Y, X)``.
    axes : str
        One letter for each axis.
    measured : callable
        Gives the table of the objects.
    """
    from napari_unet.io.atomic import replace  # noqa: PLC0415  quick --help

    waiting = {kind: path.with_name(f"{path.name}.partial") for kind, path in files.items()}
    try:
        for kind, path in waiting.items():
            _write(kind, path, labels, axes, measured)
        yield
        for kind, path in waiting.items():
            replace(path, files[kind])
    finally:
        for path in waiting.values():
            path.unlink(missing_ok=True)


def _write(
    kind: str,
    path: Path,
    labels: "ArrayLike",
    axes: str,
    measured: "Callable[[], pd.DataFrame]",
) -> None:
    from napari_unet.io import exports  # noqa: PLC0415  quick --help

    if kind == "csv":
        exports.save_table(path, measured())
    elif kind == "roi":
        exports.save_rois(path, labels, axes)
    else:
        exports.save_geojson(path, labels, axes, measured())
