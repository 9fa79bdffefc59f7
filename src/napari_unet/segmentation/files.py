"""Results of image files: linked where there is something to link, saved, and put into words."""

import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from napari_unet.image import ArrayLike, Image
from napari_unet.inference.memory import free_memory
from napari_unet.io.results import Target, prepared
from napari_unet.io.tiff import save_labels
from napari_unet.labels.linking import separable
from napari_unet.segmentation.result import Segmentation, can_link, link_record
from napari_unet.settings import LinkSettings
from napari_unet.wording import counted

if TYPE_CHECKING:
    import pandas as pd

LARGE = 2 * 10**9  # bytes of labels from which on they go to the disk piece by piece


def is_large(image: Image) -> bool:
    """Whether the labels of an image would take much of the memory, or more than there is."""
    return 4 * math.prod(image.labels_shape) > min(LARGE, free_memory() / 4)


def linked_if_possible(result: Segmentation, settings: LinkSettings) -> Segmentation:
    """Return one id for each object through Z and time where there are such planes."""
    return result.linked(settings) if can_link(result.image, result.plan.card) else result


def save_result(result: Segmentation, target: Target, kinds: Collection[str]) -> None:
    """Save labels and exports, all or none; exports that are there are made anew as well.

    Parameters
    ----------
    result : Segmentation
        Labels ``(..., Y, X)`` in memory or on the disk.
    target : Target
        The file of the labels; the others are named after it.
    kinds : collection of str
        Names in `napari_unet.io.results.EXPORTS`.

    Raises
    ------
    SaveError
        If a file cannot be written; those that were there stay as they are.
    """
    image = result.image
    with prepared(target.made(kinds), *exported(result)):
        save_labels(
            target.path,
            result.labels,
            pixel_size=image.spacing,
            axes=image.leading_axes + "YX",
            description=_described(result),
        )


def _described(result: Segmentation) -> dict[str, Any]:
    """Return the record of labels; linked ones can be taken apart again into those of planes."""
    if result.links is None:
        return result.record
    ids = separable(result.links) if result.filters is None else None  # of all objects or none
    return result.record | link_record(result.links, ids)


def exported(result: Segmentation) -> "tuple[ArrayLike, str, Callable[[], pd.DataFrame]]":
    """Return labels, their axes, and what measures them when it is asked."""
    return result.labels, result.image.leading_axes + "YX", lambda: result.objects


def summary(result: Segmentation) -> str:
    """Return what was found, in a few words."""
    if not result.plan.card.finds_objects:
        return "classes"
    count = counted(result.count, "object")
    if result.filters is not None:
        return f"{count}; {result.filtered_out} filtered out"
    return count if result.links is None else result.links.summary
