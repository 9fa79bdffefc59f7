"""Which objects a filter leaves out, and how that is said."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import ArrayLike, Image, Plane
from napari_unet.measure.columns import AT_EDGE, Columns
from napari_unet.measure.sections import Ids
from napari_unet.measure.table import ObjectTable
from napari_unet.settings import FilterSettings
from napari_unet.wording import listed

SIZES = ("area", "volume", "diameter", "length", "width", "perimeter")
SHAPES = ("circularity",)
MEAN = "mean_intensity"
POWERS = {"2": "²", "3": "³"}


def hidden_rows(columns: Columns, filters: FilterSettings) -> NDArray[np.bool_]:
    """Tell which rows of a table a filter leaves out; a value that is missing leaves out none.

    Parameters
    ----------
    columns : dict of ndarray
        As `ObjectTable.columns` gives them, N rows.
    filters : FilterSettings
        Each of its ranges leaves out what lies outside of it.

    Returns
    -------
    ndarray of bool
        ``(N,)``.

    Raises
    ------
    InputError
        If the table has no column of a name.
    """
    out = np.zeros(len(columns["label"]), bool)
    for column, (least, most) in filters.ranges.items():
        if column not in columns:
            raise InputError(
                f"The filter asks for the column {column}, which the table does not have. It has "
                f"{', '.join(filterable(columns))}."
            )
        values = columns[column]
        out |= (values < (-np.inf if least is None else least)) | (
            values > (np.inf if most is None else most)
        )
    return out | columns[AT_EDGE] if filters.at_edge else out


def hidden_ids(columns: Columns, filters: FilterSettings, kept: Collection[int] = ()) -> Ids:
    """Return the ids of objects that a filter leaves out, sorted.

    An object with several rows stays if one of them stays.

    Parameters
    ----------
    columns : dict of ndarray
        As `ObjectTable.columns` gives them.
    filters : FilterSettings
        See `hidden_rows`.
    kept : collection of int
        Ids that stay in any case: what a person painted.

    Returns
    -------
    ndarray of int64
    """
    if not filters.active:
        return np.zeros(0, np.int64)
    return ids_of_rows(columns, hidden_rows(columns, filters), kept)


def ids_of_rows(columns: Columns, out: NDArray[np.bool_], kept: Collection[int] = ()) -> Ids:
    """Return the ids all of whose rows are left out, sorted; see `hidden_ids`."""
    ids = columns["label"]
    stay = np.concatenate([ids[~out], np.array([*kept], np.int64)])
    return np.setdiff1d(ids[out], stay).astype(np.int64)


def hidden_objects(
    labels: ArrayLike, image: Image | None, filters: FilterSettings, kept: Collection[int] = ()
) -> Ids:
    """Measure the objects of labels ``(..., Y, X)``; return the ids of `hidden_ids`."""
    if not filters.active:
        return np.zeros(0, np.int64)
    return hidden_ids(ObjectTable(labels, image).columns(), filters, kept)


def hidden_sections(
    sections: Columns, linked: NDArray[Any], volumes: Columns, out: NDArray[np.bool_], axes: str
) -> NDArray[np.bool_]:
    """Tell which sections belong to objects through Z that are left out.

    Parameters
    ----------
    sections : dict of ndarray
        A table of N sections.
    linked : ndarray of int64
        ``(N,)``, the id of each through Z; 0 = none yet.
    volumes : dict of ndarray
        A table of M objects through Z.
    out : ndarray of bool
        ``(M,)``, which of them are left out.
    axes : str
        One letter for each leading axis that both tables have.

    Returns
    -------
    ndarray of bool
        ``(N,)``.
    """
    mine, theirs = _rows(sections, linked, volumes, axes)
    found: NDArray[np.bool_] = np.isin(mine, theirs[out]) & (linked > 0)
    return found


def rows_without_sections(
    sections: Columns, linked: NDArray[Any], volumes: Columns, gone: NDArray[np.bool_], axes: str
) -> NDArray[np.bool_]:
    """Tell which linked objects are hidden because all of their sections are.

    Parameters
    ----------
    sections, linked, volumes, axes
        As for `hidden_sections`; `volumes` may be tracks as well.
    gone : ndarray of bool
        ``(N,)``, which sections are hidden.

    Returns
    -------
    ndarray of bool
        ``(M,)``.
    """
    mine, theirs = _rows(sections, linked, volumes, axes)
    found: NDArray[np.bool_] = np.isin(theirs, np.setdiff1d(mine[gone], mine[~gone]))
    return found


def _rows(sections: Columns, linked: NDArray[Any], volumes: Columns, axes: str) -> tuple[Ids, Ids]:
    """Return a number for the linked object of each section, and for each linked object."""
    mine, theirs = linked.astype(np.int64), volumes["label"].astype(np.int64)
    for axis in axes:
        count = 1 + max(int(table[axis].max(initial=0)) for table in (sections, volumes))
        mine, theirs = mine * count + sections[axis], theirs * count + volumes[axis]
    return mine, theirs


def ids_left_out(plane: Plane, axes: str, columns: Columns, out: NDArray[np.bool_]) -> Ids:
    """Return the ids of the rows that are left out and lie in a plane; see `without_rows`."""
    here = out.copy()
    for axis, place in zip(axes, plane, strict=True):
        if axis in columns:
            here &= columns[axis] == place
    ids: Ids = columns["label"][here]
    return ids


def without_rows(
    labels: NDArray[Any], axes: str, columns: Columns, out: NDArray[np.bool_]
) -> NDArray[Any]:
    """Return a copy of labels without the objects of some rows of their table.

    Parameters
    ----------
    labels : ndarray of int
        ``(..., Y, X)``.
    axes : str
        One letter for each leading axis.
    columns : dict of ndarray
        The table of N rows; of linked objects it has no column for Z.
    out : ndarray of bool
        ``(N,)``, which rows.
    """
    left = labels.copy()
    for plane in np.ndindex(*labels.shape[:-2]):
        gone = ids_left_out(plane, axes, columns, out)
        if len(gone):
            left[plane][np.isin(labels[plane], gone)] = 0
    return left


class LabelsWithoutRows:
    """The same of labels of any size: objects are left out where they are read.

    Parameters
    ----------
    labels : array-like
        ``(..., Y, X)``, in memory or on the disk.
    axes, columns, out
        As for `without_rows`.
    """

    def __init__(
        self, labels: ArrayLike, axes: str, columns: Columns, out: NDArray[np.bool_]
    ) -> None:
        self._labels, self._axes = labels, axes
        self._gone = {name: columns[name][out] for name in ("label", *axes) if name in columns}
        self.shape = tuple(int(n) for n in labels.shape)
        self.dtype = np.dtype(labels.dtype)
        if hasattr(labels, "chunks"):
            self.chunks = labels.chunks

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a window; the key is made of whole numbers and slices."""
        parts = key if isinstance(key, tuple) else (key,)
        leading = len(self._axes)
        places = [grid[parts[:leading]] for grid in np.indices(self.shape[:leading])]
        window, every = np.array(self._labels[parts]), np.ones(len(self._gone["label"]), bool)
        for index in np.ndindex(*np.shape(places[0]) if places else ()):
            plane = tuple(int(along[index]) for along in places)
            gone = ids_left_out(plane, self._axes, self._gone, every)
            if len(gone):
                window[index] = np.where(np.isin(window[index], gone), 0, window[index])
        return window


# ---- in words --------------------------------------------------------------------------------


def filterable(columns: Mapping[str, Any]) -> list[str]:
    """Return the columns that objects are filtered by: sizes in units where these are known."""
    found = []
    for base in (*SIZES, *SHAPES):
        known = [name for name in columns if name == base or name.startswith(f"{base}_")]
        found += known[-1:]  # the one in units comes last
    return found + [name for name in columns if name.startswith(MEAN)]


def noun_and_unit(column: str) -> tuple[str, str]:
    """Return what a column holds, and its unit: ``("area", "µm²")``; empty where it has none."""
    base, _, rest = column.partition("_")
    if base in SIZES:
        if not rest:
            return base, "voxels" if base == "volume" else "px"
        unit = rest.rstrip("23")
        power = POWERS.get(rest.removeprefix(unit), "")
        return base, ("µm" if unit == "um" else unit) + power
    if column.startswith(MEAN):
        channel = column.removeprefix(MEAN).removeprefix("_")
        return "mean intensity" + (f" of channel {channel}" if channel else ""), ""
    return column.replace("_", " "), ""


def title_of(column: str) -> str:
    """Return a column as a choice shows it: ``Area (µm²)``."""
    noun, unit = noun_and_unit(column)
    return noun[:1].upper() + noun[1:] + (f" ({unit})" if unit else "")


def reasons(filters: FilterSettings) -> list[str]:
    """Return which objects a filter leaves out, each to be read after *objects*."""
    found = []
    for column, limits in filters.ranges.items():
        noun, unit = noun_and_unit(column)
        sizes = noun in ("area", "volume", "diameter")
        words = ("smaller than", "larger than") if sizes else ("below", "above")
        for word, limit in zip(words, limits, strict=True):
            if limit is not None:
                value = f"{word} {limit:.6g}" + (f" {unit}" if unit else "")
                behind = " in diameter" if noun == "diameter" else ""
                found.append(value + behind if sizes else f"with a {noun} {value}")
    return found + (["at the image's edge"] if filters.at_edge else [])


def left_out(filters: FilterSettings) -> str:
    """Return the same as one text: ``objects smaller than 30 µm² or at the image's edge``."""
    return f"objects {listed(reasons(filters), 'or')}"
