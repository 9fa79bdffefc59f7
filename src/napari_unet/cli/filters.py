"""Options of the command line that filter objects."""

from collections.abc import Sequence

from napari_unet.errors import InputError
from napari_unet.settings import FilterSettings, checked

RANGE_HELP = (
    "Leave out objects beyond a range of a column of the table, as COLUMN=LEAST:MOST, such as "
    "area_um2=30: or circularity=0.5:1; several count together."
)
EDGE_HELP = str(FilterSettings.model_fields["at_edge"].description)


def filters_of(ranges: Sequence[str], *, at_edge: bool) -> FilterSettings:
    """Return a filter from the texts of its ranges; `InputError` where one cannot be read."""
    found = FilterSettings(at_edge=at_edge)
    for text in ranges:
        column, _, limits = text.partition("=")
        least, colon, most = limits.partition(":")
        try:
            given = _number(least), _number(most)
        except ValueError:
            colon = ""
        if not (column and colon):
            raise InputError(
                f"The filter {text!r} was given; it must be COLUMN=LEAST:MOST with numbers, such "
                "as area_um2=30:500, and one of the two may be empty."
            )
        found = found.and_also(checked(FilterSettings, ranges={column.strip(): given}))
    return found


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None
