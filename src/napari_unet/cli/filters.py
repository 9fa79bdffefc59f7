"""Options of the command line that filter objects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import InputError
from napari_unet.settings import FilterSettings, Limits, checked

if TYPE_CHECKING:
    from napari_unet.image import Image

RANGE_HELP = (
    "Leave out objects beyond a range of a column of the table, as COLUMN=LEAST:MOST, such as "
    "area_um2=30: or circularity=0.5:1; several count together."
)
EDGE_HELP = str(FilterSettings.model_fields["at_edge"].description)


def filters_of(ranges: Sequence[str], *, at_edge: bool) -> FilterSettings:
    """Return a filter from the texts of its ranges; `InputError` where one cannot be read."""
    found: dict[str, Limits] = {}
    for text in ranges:
        column, _, limits = text.partition("=")
        least, colon, most = limits.partition(":")
        try:
            new = _number(least), _number(most)
        except ValueError:
            colon = ""
        if not (column and colon):
            raise InputError(
                f"The filter {text!r} was given; it must be COLUMN=LEAST:MOST with numbers, such "
                "as area_um2=30:500, and one of the two may be empty."
            )
        name = column.strip()
        found[name] = _both(found.get(name, (None, None)), new)
    return checked(FilterSettings, ranges=found, at_edge=at_edge)


def _both(one: Limits, other: Limits) -> Limits:
    """Return the limits that count where two ranges of a column count together."""
    least, most = ([v for v in pair if v is not None] for pair in zip(one, other, strict=True))
    return max(least, default=None), min(most, default=None)


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None


def check_columns(filters: FilterSettings, image: "Image", *, linked: bool) -> None:
    """Raise `InputError` before anything is computed where the table would lack a column."""
    from napari_unet.measure import ObjectTable  # noqa: PLC0415  quick --help
    from napari_unet.measure.filters import hidden_rows  # noqa: PLC0415
    from napari_unet.segmentation.files import is_large  # noqa: PLC0415

    if not filters.active:
        return
    if is_large(image):
        raise InputError(
            f"{image.name} is too large to be filtered: its labels go to the disk piece by piece. "
            "Segment it without a filter, and filter the rows of its table."
        )
    nothing = np.broadcast_to(np.uint8(0), image.labels_shape)
    hidden_rows(ObjectTable(nothing, image, linked=linked).columns(), filters)
