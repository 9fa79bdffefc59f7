"""Numbers, colours and hidden objects of results, for as long as a section needs them."""

import weakref
from typing import Any

from psygnal import Signal

from napari_unet.errors import InputError
from napari_unet.measure.filters import hidden_ids
from napari_unet.plugin.objects.colours import Colours
from napari_unet.plugin.objects.measurements import Measurements
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.session.session import Session
from napari_unet.settings import FilterSettings


class Objects:
    """The objects of one result: measured, coloured, and hidden by its filter.

    Parameters
    ----------
    result : Result
        Whose objects.
    """

    changed = Signal(object)  # ids of the objects that were measured anew; None = all
    hidden = Signal()  # others than before
    told = Signal(str)  # a sentence

    def __init__(self, result: Result) -> None:
        self.result = result
        self.measured = Measurements(result)
        self.colours = Colours(self.measured)
        self.measured.changed.connect(self._follow)
        self.measured.failed.connect(self.told.emit)
        self.colours.told.connect(self.told.emit)

    def filter_by(self, filters: FilterSettings) -> None:
        """Hide other objects."""
        self.result.filters = filters
        self._hide()

    def close(self) -> None:
        """Leave the layer as it was; the filter is kept, for files and for later."""
        self.colours.put_back()
        self.measured.close()
        self.result.hidden = frozenset()

    def _follow(self, ids: frozenset[int] | None) -> None:
        if ids is None:
            self.result.correcting.forget_cut()
        self._hide()
        self.changed.emit(ids)

    def _hide(self) -> None:
        result, columns = self.result, self.measured.columns
        if result.filters.active and not columns:
            return  # it follows when they are measured
        try:
            kept = result.correcting.changed_ids if result.filters.active else ()
            found = hidden_ids(columns, result.filters, kept)
        except InputError as error:  # the image got another unit, or other channels
            result.filters = FilterSettings()
            self.told.emit(f"{error} The filter was taken away.")
            found = hidden_ids(columns, result.filters)
        hidden = frozenset(found.tolist())
        if hidden != result.hidden:
            result.hidden = hidden
            self.colours.hide(hidden)
            self.hidden.emit()


class ObjectsOfResults:
    """Gives sections the objects of results, the same to all; what nobody needs is closed.

    Parameters
    ----------
    session : Session
        Whose results.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: weakref.WeakKeyDictionary[Result, Objects] = weakref.WeakKeyDictionary()
        self._users: weakref.WeakKeyDictionary[Result, set[str]] = weakref.WeakKeyDictionary()
        for end in (session.results.removed, session.results.lost):
            end.connect(self._close)

    def take(self, result: Result, user: str) -> Objects:
        """Return the objects of a result, and keep them for a user until it leaves them."""
        if result not in self._known:
            self._known[result] = found = Objects(result)
            found.told.connect(self._session.say)
        self._users.setdefault(result, set()).add(user)
        return self._known[result]

    def leave(self, result: Result, user: str) -> None:
        """Keep the objects of a result for a user no longer."""
        users = self._users.get(result, set())
        users.discard(user)
        if not users:
            self._close(result)

    def _close(self, result: Result) -> None:
        self._users.pop(result, None)
        known: Any = self._known.pop(result, None)
        if known is not None:
            known.close()
