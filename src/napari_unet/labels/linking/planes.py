"""Link labels of any axes, plane by plane: along Z first, then through time."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import ArrayLike
from napari_unet.labels.linking.naming import Rows, named_parents, names_of, tracks_of
from napari_unet.labels.linking.result import DEPTH, TIME, Links, mean_places
from napari_unet.labels.linking.stitching import Given, Ids, Sections, stitch
from napari_unet.labels.linking.tracks import Edge, Frame, known_divisions, track
from napari_unet.settings import LinkSettings


def link(
    labels: ArrayLike,
    axes: str,
    settings: LinkSettings | None = None,
    *,
    depth: float = 1.0,
    locked: Collection[int] = (),
) -> Links:
    """Find out which objects of the planes of labels are one.

    Parameters
    ----------
    labels : array-like
        Whole numbers ``(..., Y, X)``, 0 = background: NumPy, dask or zarr. Each plane is read
        once, and `gap` + 2 are in memory at a time.
    axes : str
        One letter for each axis, ending in YX. Along ``Z`` sections that overlap become one
        object, along ``T`` objects become tracks; of any other axis each part is by itself.
    settings : LinkSettings, optional
        Overlap, gap, distance and others.
    depth : float, default 1
        From plane to plane along Z, in pixels.
    locked : collection of int
        Ids that a person gave; they stay, and each is one object.

    Returns
    -------
    Links
        New ids count from 1 in the order of the planes.

    Raises
    ------
    InputError
        If axes and labels do not fit, or the labels are no whole numbers.
    """
    given = Given(locked=frozenset(int(i) for i in locked))
    return _linked(labels, unlinked(labels, axes, settings or LinkSettings(), depth), given)


def unlinked(labels: ArrayLike, axes: str, settings: LinkSettings, depth: float) -> Links:
    """Return what is known of labels before they are linked; arguments as for `link`."""
    return Links(_leading(labels, axes), tuple(labels.shape[:-2]), settings, depth, *_nothing())


def relink(
    labels: ArrayLike, before: Links, changed: Collection[int], *, locked: Collection[int] = ()
) -> Links:
    """Link anew after some planes were corrected; what did not change keeps its ids.

    Parameters
    ----------
    labels : array-like
        Linked labels ``(..., Y, X)`` with the corrections.
    before : Links
        How they were linked; says axes, settings and parents.
    changed : collection of int
        Numbers of the planes with corrections; see `Links.plane`.
    locked : collection of int
        Ids that a person gave; they stay, and each is one object.
    """
    _leading(labels, before.axes + "YX")
    if tuple(labels.shape[:-2]) != before.shape:
        raise InputError(
            f"Labels of shape {tuple(labels.shape)} were given to link anew; those linked before "
            f"have {math.prod(before.shape)} planes of the axes {before.axes}. Link all of them."
        )
    given = Given(frozenset(int(i) for i in changed), frozenset(int(i) for i in locked))
    return _linked(labels, before, given)


def _leading(labels: ArrayLike, axes: str) -> str:
    """Return the axes before Y and X."""
    if len(axes) != len(labels.shape) or not axes.endswith("YX") or len(set(axes)) != len(axes):
        raise InputError(
            f"The axes {axes!r} do not fit labels of shape {tuple(labels.shape)}; one letter for "
            "each dimension is needed, ending in YX, such as ZYX or TYX. Correct the axes."
        )
    if np.dtype(labels.dtype).kind not in "biu":
        raise InputError(
            f"Labels of type {labels.dtype} cannot be linked; whole numbers are needed. Convert "
            "them first, for example with labels.astype('uint32')."
        )
    if 0 in labels.shape:
        raise InputError(
            f"Labels of shape {tuple(labels.shape)} hold no planes to link. Choose others."
        )
    return axes[:-2]


def _nothing() -> tuple[Ids, Sections, Ids]:
    none = np.zeros(0, np.int64)
    return none, Sections(none, none, np.zeros((0, 2))), none


def _linked(labels: ArrayLike, before: Links, given: Given) -> Links:
    """Link, and give ids: those before, where there are any, to what holds most of them."""
    stacks = _stacks(before.axes, before.shape)
    rows = _stitched(labels, [s for part in stacks for s in part], before, given)
    objects, edges, divisions = rows.objects, list[Edge](), set[Edge]()
    if TIME in before.axes:
        first = 0
        for part in stacks:
            found, divided = _tracked(rows, range(first, first + len(part)), before, given)
            edges += found
            divisions.update(divided)
            first += len(part)
    tracks, parents = tracks_of(int(objects.max(initial=-1)) + 1, edges, divisions)
    groups = tracks[objects]
    names = names_of(groups, rows, given)
    kept = _large_enough(rows, before, given)
    ids = np.where(kept, names[groups], 0)
    order = np.lexsort((rows.sections.ids, rows.plane))
    return Links(
        before.axes,
        tuple(before.shape),
        before.settings,
        before.depth,
        rows.plane[order],
        _picked(rows.sections, order),
        ids[order],
        named_parents(parents, names, frozenset(ids.tolist())),
    )


def _picked(sections: Sections, rows: Ids) -> Sections:
    return Sections(sections.ids[rows], sections.area[rows], sections.centre[rows])


def _stacks(axes: str, shape: Sequence[int]) -> list[list[Ids]]:
    """Return the numbers of the planes of each stack, the stacks of one movie together."""
    numbers = np.arange(math.prod(shape)).reshape(shape)
    order = [i for i, a in enumerate(axes) if a not in DEPTH + TIME]
    order += [axes.index(a) for a in TIME + DEPTH if a in axes]
    planes = shape[axes.index(DEPTH)] if DEPTH in axes else 1
    frames = shape[axes.index(TIME)] if TIME in axes else 1
    sorted_ = numbers.transpose(order).reshape(-1, frames, planes)
    return [[sorted_[part, t] for t in range(frames)] for part in range(len(sorted_))]


def _stitched(labels: ArrayLike, stacks: Sequence[Ids], before: Links, given: Given) -> Rows:
    """Link along Z, stack after stack."""
    found, planes, objects, slices = list[Sections](), list[Ids](), list[Ids](), list[slice]()
    row = count = 0
    for numbers in stacks:
        part = _within(given, numbers)
        sections, own = stitch(_planes(labels, numbers, before.shape), before.settings, part)
        found += sections
        planes += [np.full(len(s.ids), n) for s, n in zip(sections, numbers, strict=True)]
        objects.append(own + count)
        slices.append(slice(row, row + len(own)))
        row, count = row + len(own), count + int(own.max(initial=-1)) + 1
    joined = Sections(
        np.concatenate([s.ids for s in found]),
        np.concatenate([s.area for s in found]),
        np.concatenate([s.centre for s in found]),
    )
    return Rows(np.concatenate(planes), joined, np.concatenate(objects), slices)


def _planes(labels: ArrayLike, numbers: Ids, shape: Sequence[int]) -> Iterator[NDArray[np.integer]]:
    for number in numbers.tolist():
        index = np.unravel_index(number, shape) if shape else ()
        yield np.asarray(labels[tuple(int(i) for i in index)])


def _within(given: Given, numbers: Ids) -> Given:
    """Return what is known of a stack, by the number of a plane within it."""
    if given.changed is None:
        return given
    changed = np.flatnonzero(np.isin(numbers, list(given.changed)))
    return Given(frozenset(changed.tolist()), given.locked)


def _tracked(
    rows: Rows, stacks: range, before: Links, given: Given
) -> tuple[list[Edge], list[Edge]]:
    """Link the objects of one movie through time; edges join numbers of objects, as (0, object).

    Returns all links, and those of divisions that were known before.
    """
    frames, first = list[Frame](), list[int]()
    diameter = _typical_diameter(rows, before)
    for stack in stacks:
        part = rows.stacks[stack]
        start = int(rows.objects[part].min(initial=len(rows.objects)))
        frames.append(_frame(rows, part, start, (before, given, diameter)))
        first.append(start)
    found = track(frames, before.settings, before.parents)
    divided = known_divisions(frames, before.parents, before.settings.gap)

    def numbered(edges: Iterable[Edge]) -> list[Edge]:
        return [((0, first[a] + i), (0, first[b] + j)) for (a, i), (b, j) in edges]

    return numbered(found), numbered(divided)


def _frame(rows: Rows, part: slice, start: int, context: tuple[Links, Given, float]) -> Frame:
    """Describe the objects of one time point, which are numbered from `start`."""
    before, given, diameter = context
    area, own, plane = rows.sections.area[part], rows.objects[part] - start, rows.plane[part]
    count = int(own.max(initial=-1)) + 1
    places = rows.sections.centre[part]
    if DEPTH in before.axes:
        z = np.unravel_index(plane, before.shape)[before.axes.index(DEPTH)] * before.depth
        places = np.concatenate([z[:, None], places], axis=1)
    ids = rows.sections.ids[part]
    largest = np.lexsort((area, given.is_locked(ids), own))  # the last of each object names it
    last = np.searchsorted(own[largest], np.arange(count), side="right") - 1
    named = ids[largest[last]]
    changed = given.changed is None or bool(np.isin(plane, list(given.changed)).any())
    centre = mean_places(places, area, own, count) / diameter
    size = np.bincount(own, area, count).astype(np.float64)
    return Frame(centre, size, named, given.is_locked(named), changed)


def _typical_diameter(rows: Rows, before: Links) -> float:
    """Return the median diameter of the objects in pixels: of circles, of balls in stacks.

    Each time point counts once: one that is noise may hold more objects than all others.
    """
    found = []
    for part in rows.stacks:
        own = rows.objects[part]
        if len(own):
            size = np.bincount(own - own.min(), rows.sections.area[part])
            found.append(np.median(size[size > 0]))
    if not found:
        return 1.0
    if DEPTH in before.axes:
        return float(np.cbrt(np.median(found) * before.depth * 6 / math.pi))
    return float(np.sqrt(np.median(found) * 4 / math.pi))


def _large_enough(rows: Rows, before: Links, given: Given) -> NDArray[np.bool_]:
    """Whether the object of each section has the volume asked for, or a locked id."""
    smallest = before.settings.smallest_diameter
    if DEPTH not in before.axes or not smallest:
        return np.ones(len(rows.objects), bool)
    volume = np.bincount(rows.objects, rows.sections.area) * before.depth
    kept = volume >= math.pi / 6 * smallest**3
    kept[rows.objects[given.is_locked(rows.sections.ids)]] = True
    found: NDArray[np.bool_] = kept[rows.objects]
    return found
