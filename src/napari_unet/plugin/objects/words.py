"""Numbers as the panel shows them."""

from typing import Any

import numpy as np

DIGITS = 5  # significant ones that are shown; files have all


def in_words(value: Any) -> str:
    """Return a number as it is shown: nothing where there is none."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.{DIGITS}g}"
    return str(value)
