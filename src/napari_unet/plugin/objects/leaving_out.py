"""Labels for files without the objects that a filter hides."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.linking import without_ids
from napari_unet.labels.painted import painted_ids
from napari_unet.measure.filters import hidden_objects
from napari_unet.plugin.objects.words import counted
from napari_unet.plugin.result.result import Result
from napari_unet.segmentation.result import with_filter

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
            hidden = hidden_objects(shown, image, filters, kept)
            before = len(painted_ids(labels))
            if "link_ids" in told:
                told = {**told, "link_ids": without_ids(labels, told["link_ids"], hidden)}
            left = np.where(np.isin(shown, hidden), labels.dtype.type(0), labels)
            gone = before - len(painted_ids(left))
            return left, {**told, "filters": with_filter(record, filters, gone)["filters"]}

        return without_hidden

    return filtered


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
    there = counted(len(painted_ids(labels)))
    return f" {there} saved; {gone} filtered out {verb} not in the file."
