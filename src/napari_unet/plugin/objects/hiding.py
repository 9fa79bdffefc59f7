"""Colours of a labels layer in which some objects are transparent."""

from collections.abc import Collection
from typing import Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap
from numpy.typing import NDArray
from pydantic import PrivateAttr

Marked = NDArray[np.bool_]


def marked(ids: Collection[int]) -> Marked:
    """Return an array that is True at some ids, and False behind the last one."""
    found = np.zeros(max(ids, default=-1) + 2, bool)
    found[[*ids]] = True
    return found


class _Hiding:
    """Colours that take hidden objects for background.

    napari asks its colours for all it draws with `_data_to_texture`, which is private. Public ones
    would name the colour of every object, and without the package numba of the first 65536 only.
    """

    _hidden: Marked

    def hide(self, hidden: Marked) -> None:
        """Hide objects by their ids; nothing is drawn by that."""
        self._hidden = hidden

    def _data_to_texture(self, values: Any) -> Any:
        return super()._data_to_texture(_background_for(values, self._hidden))  # type: ignore[misc]

    def map(self, values: Any) -> Any:
        """Return the colours of values, for thumbnails and the layer's controls."""
        return super().map(_background_for(values, self._hidden))  # type: ignore[misc]


class HidingCyclic(_Hiding, CyclicLabelColormap):  # type: ignore[misc]
    """napari's own colours."""

    _hidden: Marked = PrivateAttr(default_factory=lambda: marked(()))


class HidingDirect(_Hiding, DirectLabelColormap):  # type: ignore[misc]
    """A colour for each object."""

    _hidden: Marked = PrivateAttr(default_factory=lambda: marked(()))


def hiding(colours: Any) -> HidingCyclic | HidingDirect:
    """Return the same colours, in which objects can be hidden."""
    kind = HidingCyclic if isinstance(colours, CyclicLabelColormap) else HidingDirect
    return kind(**colours.model_dump())


def _background_for(values: Any, hidden: Marked) -> Any:
    """Return values with 0 for those that are hidden."""
    if len(hidden) < 2:
        return values
    places = np.clip(values, 0, len(hidden) - 1)
    if isinstance(values, np.ndarray):
        return np.where(hidden[places], values.dtype.type(0), values)
    return type(values)(0) if hidden[int(places)] else values
