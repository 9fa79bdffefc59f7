"""One row of numbers for each object of a label image, read window by window."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import InputError
from napari_unet.image import ArrayLike, Box, Image, Plane, Spacing
from napari_unet.io.units import PIXEL, short_name
from napari_unet.measure.columns import (
    Columns,
    channel_endings,
    edge_column,
    flat_columns,
    flat_units,
    grey_columns,
    place_columns,
    volume_columns,
    volume_units,
)
from napari_unet.measure.sections import (
    Ids,
    Sections,
    all_channels,
    joined,
    merged,
    no_sections,
    plane_sections,
    shown_channels,
)

if TYPE_CHECKING:
    import pandas

PixelSize = Sequence[float | None] | Mapping[str, Spacing]


def measure(
    labels: ArrayLike,
    image: Image | None = None,
    *,
    pixel_size: PixelSize | None = None,
    unit: str = PIXEL,
    axes: str | None = None,
    corrected: Collection[int] | None = None,
) -> "pandas.DataFrame":
    """Measure the objects of a label image, in each plane by itself.

    Parameters
    ----------
    labels : array-like
        Whole numbers of shape ``(..., Y, X)``, 0 = background: NumPy, dask or zarr, read by
        windows only.
    image : Image, optional
        The image the labels belong to; gives the grey values of all its channels, and the spacing
        of its axes if `pixel_size` is not given.
    pixel_size : sequence of float, or dict, optional
        Its last two numbers are the height and width of a pixel in `unit`. Or the `Spacing` of
        each axis by its letter.
    unit : str, default "pixel"
        Unit of `pixel_size`.
    axes : str, optional
        One letter for each axis of the labels; default those of the image.
    corrected : collection of int, optional
        Ids that a person drew, changed or confirmed; they give the column ``corrected``.

    Returns
    -------
    pandas.DataFrame
        One row for each object in each plane, by plane and id. Columns: ``label``; the index
        along each leading axis, under its letter (``axis_0``, ... where nobody named it);
        ``centroid_y``, ``centroid_x``, ``area``, ``diameter`` (of the circle of that area),
        ``length`` and ``width`` (axes of the ellipse of the same second moments), ``perimeter``
        (Crofton's formula, four directions), in pixels; ``circularity``, 1 for a circle and never
        more; ``at_edge``, whether it touches the first or last row or column; ``mean_intensity``,
        ``min_intensity`` and ``max_intensity`` if there is an image, of several channels with the
        name or number of each. With a pixel size lengths and areas
        also as ``centroid_y_um``, ``area_um2``, ... with the short name of the unit, and of a
        leading axis of known spacing ``Z_um`` or ``T_s``. What is in units begins where the image
        says that its first pixel lies.

    Raises
    ------
    InputError
        If the labels are no whole numbers or do not fit the image.
    """
    table = ObjectTable(labels, image, pixel_size=pixel_size, unit=unit, axes=axes)
    return _frame(table.columns(corrected=corrected))


def measure_linked(
    labels: ArrayLike,
    image: Image | None,
    parents: Mapping[int, int] | None = None,
    *,
    pixel_size: PixelSize | None = None,
    axes: str | None = None,
    corrected: Collection[int] | None = None,
) -> "pandas.DataFrame":
    """Measure linked objects: each through all its planes, and at each time.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``, one id for each object through Z, and for each track.
    image : Image or None
        The image the labels belong to; gives axes, grey values and sizes.
    parents : mapping of int to int, optional
        Id of the parent of each track that comes of a division.
    pixel_size, axes, corrected
        As for `measure`.

    Returns
    -------
    pandas.DataFrame
        One row for each object, and time where there is a ``T``; by time and id. Columns:
        ``label``; the index along each leading axis but Z; ``parent`` with T, 0 = none; with Z
        ``centroid_z``, ``centroid_y``, ``centroid_x``, ``volume`` and ``planes``, in voxels;
        without Z those of `measure`; ``at_edge`` and grey values as there. Where sizes are known
        the same in units, ``diameter_um`` (of the ball of that volume), ``length_um`` and
        ``width_um`` (longest and shortest axis of the ellipsoid of the same second moments) and
        ``time_s``.

    Raises
    ------
    InputError
        If the labels are no whole numbers or do not fit the image.
    """
    table = ObjectTable(labels, image, pixel_size=pixel_size, axes=axes, linked=True)
    return _frame(table.columns(parents=parents, corrected=corrected))


class ObjectTable:
    """Measurements of all objects of a label image, kept right while it changes.

    Parameters
    ----------
    labels, image, pixel_size, unit, axes
        As for `measure`; the labels are read once, and not kept.
    linked : bool
        Whether an id is one object through Z and time; see `measure_linked`.

    Raises
    ------
    InputError
        If the labels are no whole numbers or do not fit the image.
    """

    def __init__(
        self,
        labels: ArrayLike,
        image: Image | None = None,
        *,
        pixel_size: PixelSize | None = None,
        unit: str = PIXEL,
        axes: str | None = None,
        linked: bool = False,
    ) -> None:
        _check(labels, image)
        self._image = None if image is None else all_channels(image)
        self._names = _leading_names(len(labels.shape) - 2, image, axes)
        self._spacing = _spacing(image, pixel_size, unit)
        self._linked, self._shape = linked, (int(labels.shape[-2]), int(labels.shape[-1]))
        channels = 0 if self._image is None else shown_channels(self._image)
        planes = np.ndindex(*labels.shape[:-2])
        parts = [plane_sections(labels, plane, self._image) for plane in planes]
        self._sections = joined([no_sections(len(self._names), channels), *parts])

    def update(
        self, labels: ArrayLike, plane: Plane, box: Box, changed: Collection[int] | None = None
    ) -> Ids:
        """Measure anew what may have changed, when only pixels in a box were painted.

        Only the surroundings of the objects there are read, and only these objects measured.

        Parameters
        ----------
        labels : array-like
            The labels as they are now, of the same shape.
        plane : tuple of int
            Index along each leading axis.
        box : Box
            Pixels ``(y, x)`` outside of which nothing changed in that plane.
        changed : collection of int, optional
            Every id that some of these pixels had before or have now, 0 does not matter. Default:
            all whose surroundings reach into the box, which takes longer where an object is large
            or lies in pieces far apart.

        Returns
        -------
        ndarray of int64
            Ids of the objects that were looked at, gone ones included; sorted.
        """
        known, (height, width) = self._sections, labels.shape[-2:]
        box = box.intersect(Box((0, 0), (height, width)))
        here = known.in_plane(plane)
        ids: Ids
        if changed is None:
            now = np.unique(np.asarray(labels[(*plane, *box.slices)])).astype(np.int64)
            ids = np.union1d(now, known.ids[here & known.overlapping(box)])
        else:
            ids = np.unique(np.array(list(changed), np.int64))
        ids = ids[ids != 0]
        stale = here & np.isin(known.ids, ids)
        region = box
        if stale.any():
            start, stop = known.start[stale].min(axis=0), known.stop[stale].max(axis=0)
            region = box.union(Box((int(start[0]), int(start[1])), (int(stop[0]), int(stop[1]))))
        fresh = plane_sections(labels, plane, self._image, region=region, only=ids)
        self._sections = merged(joined([known.taken(~stale), fresh]))
        return ids

    def columns(
        self,
        ids: Collection[int] | None = None,
        *,
        parents: Mapping[int, int] | None = None,
        corrected: Collection[int] | None = None,
    ) -> Columns:
        """Return the table as it is now, by the names of its columns.

        Parameters
        ----------
        ids : collection of int, optional
            Rows of these objects only; default all.
        parents : mapping of int to int, optional
            See `measure_linked`.
        corrected : collection of int, optional
            See `measure`.

        Returns
        -------
        dict of ndarray
            Arrays of one length; see `measure` and `measure_linked` for their names.
        """
        sections = self._sections
        if ids is not None:
            sections = sections.taken(np.isin(sections.ids, list(ids)))
        names = list(self._names)
        if self._linked and "Z" in names:
            sections = sections.through(names.index("Z"))
            names.remove("Z")
        columns: Columns = {"label": sections.ids}
        indices = {name: sections.keys[:, i] for i, name in enumerate(names)}
        columns |= indices
        if self._linked and "T" in names:
            columns["parent"] = _looked_up(parents or {}, sections.ids)
        if corrected is not None:
            columns["corrected"] = np.isin(sections.ids, list(corrected))
        return columns | self._numbers(sections, indices)

    def _numbers(self, sections: Sections, indices: Columns) -> Columns:
        """Return what was measured: in pixels, grey values, in units."""
        z, y, x = (self._spacing.get(axis, Spacing()) for axis in "ZYX")
        grey = grey_columns(sections, channel_endings(self._image))
        grey = edge_column(sections, self._shape) | grey
        if sections.centre.shape[1] == 3:
            units = volume_columns(sections) | grey | volume_units(sections, z, y, x)
        else:
            units = flat_columns(sections, y, x) | grey | flat_units(sections, y, x)
        places = place_columns(indices, self._spacing)
        if self._linked:
            time = self._spacing.get("T", Spacing())
            places = {
                f"time_{short_name(time.unit)}": values
                for name, values in places.items()
                if name.startswith("T_")
            }
        return units | places


def _frame(columns: Columns) -> "pandas.DataFrame":
    import pandas  # noqa: PLC0415 -- takes half a second to import

    return pandas.DataFrame(columns)


def _looked_up(known: Mapping[int, int], ids: Ids) -> Ids:
    return np.array([known.get(number, 0) for number in ids.tolist()], np.int64)


def _check(labels: ArrayLike, image: Image | None) -> None:
    shape = tuple(labels.shape)
    if np.dtype(labels.dtype).kind not in "biu" or len(shape) < 2:
        raise InputError(
            f"Labels of type {labels.dtype} and shape {shape} cannot be measured; whole numbers "
            "with at least rows and columns are needed."
        )
    if image is not None and shape != image.labels_shape:
        raise InputError(
            f"Labels of shape {shape} do not fit the image, whose labels have the shape "
            f"{image.labels_shape}. Choose the image they were made from."
        )


def _spacing(image: Image | None, pixel_size: PixelSize | None, unit: str) -> Mapping[str, Spacing]:
    """Return how the pixels lie along each axis, by its letter."""
    if pixel_size is None:
        return {} if image is None else image.spacing
    if isinstance(pixel_size, Mapping):
        return pixel_size
    y, x = pixel_size[-2:]
    return {"Y": Spacing(y, unit), "X": Spacing(x, unit)}


def _leading_names(count: int, image: Image | None, axes: str | None) -> list[str]:
    if axes is not None:
        return list(axes[:-2])
    return [f"axis_{i}" for i in range(count)] if image is None else list(image.leading_axes)
