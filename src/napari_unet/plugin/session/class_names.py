"""The classes that the person paints: one list of names for all open images, and their colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from psygnal import Signal

from napari_unet.errors import InputError
from napari_unet.labels.painted import CLASSES
from napari_unet.models.class_names import DEFAULT, default_name, tidy
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.result_registry import ResultRegistry

# fmt: off
COLOURS = (  # of the classes from 1 on; none is the blue of background strokes
    "#e6194b", "#3cb44b", "#ffe119", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c",
    "#fabebe", "#008080", "#e6beff", "#9a6324", "#800000", "#aaffc3", "#808000",
)
# fmt: on
OTHERS = "#808080"  # ids that are no class


class ClassNames:
    """Names of the classes, in the order of their numbers.

    Parameters
    ----------
    results : ResultRegistry
        The results whose layers and journals get the names.

    Attributes
    ----------
    names : tuple of str
        Background first.
    """

    changed = Signal()

    def __init__(self, results: ResultRegistry) -> None:
        self._results = results
        self.names: tuple[str, ...] = DEFAULT
        results.added.connect(self._dress)

    def _dress(self, result: Result) -> None:
        """Give a new result of classes its colours and names, and follow it."""
        if not result.classes:
            return
        layer = result.layer
        layer.colormap = DirectLabelColormap(color_dict=colour_dict())
        layer.selected_label = 1
        layer.features = features_of(self.names)
        result.correcting.changed.connect(self._add_painted)

    def set(self, names: Sequence[str]) -> None:
        """Use other names, made fit to be shown."""
        self.names = tidy(names)
        self.changed.emit()
        for result in self._results.all(classes=True):
            result.layer.features = features_of(self.names)
            self.note(result)

    def adopt(self, names: Sequence[str]) -> None:
        """Take names from a model or a journal, but none in place of what a person chose."""
        used = any(result.correcting.any for result in self._results.all(classes=True))
        if self.names == DEFAULT or not used:
            self.set(names)
        else:
            self.set([*self.names, *names[len(self.names) :]])

    def add(self) -> None:
        """Add a class."""
        self.set([*self.names, default_name(len(self.names))])

    def remove_last(self) -> None:
        """Remove the last class; `InputError` if it is painted."""
        for result in self._results.all(classes=True):
            result.correcting.look_everywhere()
        last = len(self.names) - 1
        if self._highest() >= last:
            raise InputError(f"{self.names[last]!r} is painted. Erase it, then remove the class.")
        self.set(self.names[:last])

    def note(self, result: Result) -> None:
        """Write the names to the journal of a result of classes."""
        journal = result.correcting.journal
        if result.classes and journal is not None and self._results.looks_after(result):
            journal.note("classes", **{str(i): name for i, name in enumerate(self.names)})

    def _highest(self) -> int:
        """Highest class that is painted, as far as was looked."""
        results = self._results.all(classes=True)
        return max((i for r in results for i in r.correcting.tracker.ids), default=0)

    def _add_painted(self) -> None:
        """List a class that was painted by its number alone."""
        missing = range(len(self.names), min(self._highest() + 1, CLASSES))
        if missing:
            self.set([*self.names, *map(default_name, missing)])


def features_of(names: Sequence[str]) -> dict[str, Any]:
    """Return a layer's features, from which napari tells the name under the cursor."""
    return {"index": np.arange(len(names)), "class": np.array(names, object)}


def colour_dict() -> dict[Any, str]:
    """Return the colour of every class, for a layer."""
    return {None: OTHERS, 0: "transparent", **dict(enumerate(COLOURS, 1))}
