"""Command line: ``napari-unet export``, for label images that exist."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unet.cli.filters import EDGE_HELP, RANGE_HELP, filters_of
from napari_unet.cli.targets import FAILURES, complain
from napari_unet.errors import InputError
from napari_unet.io.results import EXPORTS, chosen, exports_of, prepared
from napari_unet.settings import FilterSettings

if TYPE_CHECKING:
    import pandas as pd

    from napari_unet.image import ArrayLike, Image


def export(  # noqa: PLR0913  one parameter for each option, as typer wants it
    labels: Annotated[Path, typer.Argument(help="Label image: TIFF, PNG or OME-Zarr folder.")],
    image: Annotated[
        Path | None, typer.Option(help="The image it belongs to, for grey values and sizes.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the files; default beside the labels.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help=EXPORTS["csv"].help)] = False,
    roi: Annotated[bool, typer.Option("--roi", help=EXPORTS["roi"].help)] = False,
    geojson: Annotated[bool, typer.Option("--geojson", help=EXPORTS["geojson"].help)] = False,
    into: Annotated[
        Path | None,
        typer.Option(help="OME-Zarr folder of the image; the labels go into its folder 'labels'."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the labels are called there.")] = "cells",
    filters: Annotated[list[str] | None, typer.Option("--filter", help=RANGE_HELP)] = None,
    no_edge: Annotated[bool, typer.Option("--no-edge", help=EDGE_HELP)] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist already.")
    ] = False,
) -> None:
    """Write a table, outlines or OME-Zarr labels of a label image."""
    try:
        files = exports_of(labels, chosen(csv=csv, roi=roi, geojson=geojson), output)
        if not files and into is None:
            raise InputError("Nothing was asked for. Give --csv, --roi, --geojson or --into.")
        existing = [str(path) for path in files.values() if path.exists()]
        if existing and not overwrite:
            raise InputError(
                f"{' and '.join(existing)} exists already; give --overwrite to replace, or "
                "another --output."
            )
        wanted = filters_of(filters or (), at_edge=no_edge)
        for path in _export(labels, image, files, into, name, wanted):
            typer.echo(path)
    except FAILURES as error:
        complain(str(error))
        raise typer.Exit(1) from error


def _export(
    labels: Path,
    image: Path | None,
    files: dict[str, Path],
    into: Path | None,
    name: str,
    filters: FilterSettings,
) -> list[Path]:
    """Write what is wanted; return the files and the folder."""
    from napari_unet.io.exports import save_into_image  # noqa: PLC0415  quick --help
    from napari_unet.io.images import read_image  # noqa: PLC0415

    grey = None if image is None else read_image(image)
    written = list(files.values())
    with exporting(labels, grey, files, filters) as (exported, record):
        if into is not None:
            known = grey or read_image(into)
            written.append(save_into_image(into, name, exported, known, record))
    return written


@contextmanager
def exporting(
    labels: Path,
    grey: "Image | None",
    files: dict[str, Path],
    filters: FilterSettings | None = None,
) -> "Iterator[tuple[ArrayLike, dict[str, Any]]]":
    """Open a label image; write exports of it when the block ends without error.

    Parameters
    ----------
    labels : Path
        The label image.
    grey : Image or None
        The image it belongs to.
    files : dict of str to Path
        The file of each kind.
    filters : FilterSettings, optional
        Which objects are left out; what a person painted never is.

    Yields
    ------
    labels : array-like
        ``(..., Y, X)``, as they are exported.
    record : dict
        How they were made.
    """
    from napari_unet.io.records import read_record  # noqa: PLC0415  quick --help

    opened, record = _opened(labels), read_record(labels)
    axes = (grey or opened).leading_axes + "YX"

    @cache
    def measured() -> "pd.DataFrame":
        return _measured(opened, grey, record)

    exported, told = opened.data, record or {}
    table: Callable[[], pd.DataFrame] = measured
    if filters is not None and filters.active:
        exported, told, left = _filtered(exported, axes, told, measured(), filters)
        table = left.copy
    with prepared(files, exported, axes, table):
        yield exported, told


def _filtered(
    labels: "ArrayLike",
    axes: str,
    record: dict[str, Any],
    table: "pd.DataFrame",
    filters: FilterSettings,
) -> "tuple[ArrayLike, dict[str, Any], pd.DataFrame]":
    """Return labels, their record and their table without what a filter leaves out."""
    from napari_unet.labels.linking import parents_among  # noqa: PLC0415  quick --help
    from napari_unet.measure.filters import LabelsWithoutRows, hidden_rows  # noqa: PLC0415
    from napari_unet.segmentation.result import parents_recorded, with_filter  # noqa: PLC0415

    if "class_names" in record:
        raise InputError("The labels are classes; only objects are filtered. Leave out the filter.")
    columns = {str(name): table[name].to_numpy() for name in table.columns}
    out = hidden_rows(columns, filters)
    if "corrected" in columns:
        out &= ~columns["corrected"]
    left = table[~out].reset_index(drop=True)
    if "parent" in columns:
        left["parent"] = left["parent"].where(left["parent"].isin(left["label"]), 0)
    gone = table["label"].nunique() - left["label"].nunique()
    # of ids of single planes nobody can tell any more which are left
    told = with_filter({k: v for k, v in record.items() if k != "link_ids"}, filters, gone)
    if "parents" in told:
        parents = parents_among(parents_recorded(told), left["label"].to_numpy())
        told["parents"] = {str(child): of for child, of in parents.items()}
    return LabelsWithoutRows(labels, axes[:-2], columns, out), told, left


def _opened(path: Path) -> "Image":
    """Open a label image; its channels would be no labels."""
    from napari_unet.io.images import read_image  # noqa: PLC0415  quick --help

    opened = read_image(path, colours=False)
    if "C" in opened.axes or not opened.axes.endswith("YX"):
        raise InputError(
            f"{path} has the axes {opened.axes}; a label image has one number for each pixel, and "
            "Y and X last. Save its labels by themselves."
        )
    return opened


def _measured(
    labels: "Image", grey: "Image | None", record: dict[str, Any] | None
) -> "pd.DataFrame":
    """Measure objects through all their planes, unless it is known that these are not linked."""
    from napari_unet.measure import measure, measure_linked  # noqa: PLC0415  loads pandas

    known: dict[str, Any] = {} if grey else {"pixel_size": labels.spacing, "axes": labels.axes}
    if record and "corrected" in record:
        known["corrected"] = record["corrected"]
    axes = (grey or labels).leading_axes
    linked = record is None or "link" in record
    if linked and ("Z" in axes or "T" in axes):
        from napari_unet.segmentation import parents_recorded  # noqa: PLC0415  quick --help

        table = measure_linked(labels.data, grey, parents_recorded(record or {}), **known)
        told = record is not None and "parents" in record  # labels alone do not tell it
        return table if told else table.drop(columns="parent", errors="ignore")
    return measure(labels.data, grey, **known)
