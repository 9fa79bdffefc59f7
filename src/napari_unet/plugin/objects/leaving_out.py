"""Labels for files without the objects that a filter hides."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.image import Image
from napari_unet.labels.linking import parents_among, without_ids
from napari_unet.labels.painted import painted_ids
from napari_unet.measure import ObjectTable
from napari_unet.measure.filters import hidden_objects, hidden_rows, without_rows
from napari_unet.plugin.result.result import Result
from napari_unet.segmentation.result import parents_recorded, with_filter
from napari_unet.settings import FilterSettings
from napari_unet.wording import counted

ForFile = Callable[[Result, Any], Callable[[], tuple[Any, dict[str, Any]]]]


def leaving_out(for_file: ForFile) -> ForFile:
    """Return the same way of making labels ready for a file, without what a filter hides.

    What is hidden is measured on the very labels that go into the file: on the screen it may be a
    moment late.

    Parameters
    ----------
    for_file : callable
        Takes a result, and a copy of its labels ``(..., Y, X)``. What it returns is called in a
        thread, and returns the labels as they go into a file, and what their record tells more.
    """

    def filtered(result: Result, shown: NDArray[Any]) -> Callable[[], tuple[Any, dict[str, Any]]]:
        finish, filters, image = for_file(result, shown), result.filters, result.image
        if not filters.active:
            return finish
        result.correcting.forget_cut()
        kept, record = result.correcting.changed_ids, result.record

        def without_hidden() -> tuple[Any, dict[str, Any]]:
            labels, told = finish()
            if "link" in told and "Z" in image.leading_axes:
                left = _without_volumes(labels, shown, image, filters, kept)
            else:
                hidden = hidden_objects(shown, image, filters, kept)
                left = np.where(np.isin(shown, hidden), labels.dtype.type(0), labels)
            if "link_ids" in told:
                gone = np.unique(shown[(labels > 0) & (left == 0)])
                told = {**told, "link_ids": without_ids(labels, told["link_ids"], gone)}
            there = painted_ids(left)
            if "parents" in told:
                parents = parents_among(parents_recorded(told), there)
                told = {**told, "parents": {str(child): of for child, of in parents.items()}}
            count = len(painted_ids(labels)) - len(there)
            return left, {**told, "filters": with_filter(record, filters, count)["filters"]}

        return without_hidden

    return filtered


def _without_volumes(
    labels: NDArray[Any],
    shown: NDArray[Any],
    image: Image,
    filters: FilterSettings,
    kept: Collection[int],
) -> NDArray[Any]:
    """Return linked labels without objects through Z; those that hold a kept id of `shown` stay."""
    columns = ObjectTable(labels, image, linked=True).columns()
    stay = np.unique(labels[np.isin(shown, [*kept])])
    out = hidden_rows(columns, filters) & ~np.isin(columns["label"], stay)
    return without_rows(labels, image.leading_axes, columns, out)


def in_the_file(labels: NDArray[Any], told: dict[str, Any]) -> str:
    """Return what a person should know of a file whose objects were filtered; empty if not.

    Parameters
    ----------
    labels : ndarray of int
        ``(..., Y, X)``, as they are in the file.
    told : dict
        What came with them from the way that `leaving_out` returned.
    """
    if "filters" not in told:
        return ""
    gone = told["filters"][-1]["left_out"]
    verb = "is" if gone == 1 else "are"
    there = counted(len(painted_ids(labels)), "object")
    return f" {there} saved; {gone} filtered out {verb} not in the file."
