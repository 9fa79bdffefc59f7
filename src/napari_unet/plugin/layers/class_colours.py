"""How a layer shows classes: their colours, and their names under the cursor."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# fmt: off
COLOURS = (  # of the classes from 1 on; none is the blue of background strokes
    "#e6194b", "#3cb44b", "#ffe119", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c",
    "#fabebe", "#008080", "#e6beff", "#9a6324", "#800000", "#aaffc3", "#808000",
)
# fmt: on
OTHERS = "#808080"  # ids that are no class


def features_of(names: Sequence[str]) -> dict[str, Any]:
    """Return a layer's features, from which napari tells the name under the cursor."""
    return {"index": np.arange(len(names)), "class": np.array(names, object)}


def colour_dict() -> dict[Any, str]:
    """Return the colour of every class, for a layer."""
    return {None: OTHERS, 0: "transparent", **dict(enumerate(COLOURS, 1))}
