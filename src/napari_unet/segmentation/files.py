"""Results of image files: linked where there is something to link, saved, and put into words."""

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.image import ArrayLike, Image
from napari_unet.inference.memory import free_memory
from napari_unet.io.results import Target, prepared
from napari_unet.io.tiff import save_labels
from napari_unet.labels.linking import separable
from napari_unet.models.card import ModelCard
from napari_unet.segmentation.result import Segmentation, can_link, check_objects, link_record
from napari_unet.settings import FilterSettings, LinkSettings
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


def check_finishing(
    image: Image, card: ModelCard, linking: LinkSettings | None, filters: FilterSettings
) -> None:
    """Raise `InputError` before anything is computed where `finished` would in the end."""
    from napari_unet.measure import ObjectTable  # noqa: PLC0415  quick --help
    from napari_unet.measure.filters import hidden_rows  # noqa: PLC0415

    if filters.active:
        check_objects(card)
        linked = linking is not None and can_link(image, card)
        lengths = zip(image.axes, image.data.shape, strict=True)
        shape = [length if axis == "C" else 1 for axis, length in lengths]
        one = replace(image, data=np.zeros(shape, image.data.dtype))  # its table has all columns
        nothing = np.zeros(one.labels_shape, np.uint8)
        hidden_rows(ObjectTable(nothing, one, linked=linked).columns(), filters)


def finished(
    result: Segmentation, linking: LinkSettings | None, filters: FilterSettings
) -> Segmentation:
    """Link planes where there are such planes, then filter; None, or no limits = neither."""
    made = result if linking is None else linked_if_possible(result, linking)
    return made.filtered(filters) if filters.active else made


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
    return result.record | link_record(result.links, separable(result.links))


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
