"""What a person painted: an object, background, or nothing yet.

A *painted* array ``(..., Y, X)`` of type uint32 holds it: `UNLABELLED`, `BACKGROUND`, or the id of
an object. It is what trains the network, what no run may change, and what the journal keeps.
*Marks* lie beside the labels (``(..., Y, X)`` of type uint8) and hold what labels alone cannot
say: strokes of the background brush, and objects and boxes that are right as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import Box, Plane

UNLABELLED = 0
BACKGROUND = 2**31 - 1  # no id: assembly would need gigabytes to count up to it
MARK_NONE, MARK_BACKGROUND, MARK_CONFIRMED = 0, 1, 2

CLASSES = 16  # of a class model, background among them, at most
ALONE = 5  # objects whose edges alone tell where objects end
FEWEST_TO_JUDGE = 4  # objects; with fewer, holding one out costs more than it tells
STRIPE = 2**22  # pixels looked at together, so that temporary arrays stay small

_ID, _X0, _Y1, _X1, _AREA = 0, 2, 3, 4, 5  # columns of a table of runs or of objects


def painted_of(
    shown: NDArray[Any], predicted: NDArray[Any], marks: NDArray[Any]
) -> NDArray[np.uint32]:
    """Return what the person painted in one window.

    A pixel counts where the result differs from what the model predicted, and where it is marked.

    Parameters
    ----------
    shown : ndarray of int
        ``(..., Y, X)``, the result layer, ids below `BACKGROUND`.
    predicted : ndarray of int
        ``(..., Y, X)``, what the model predicted, before the person disagreed.
    marks : ndarray of uint8
        ``(..., Y, X)``, the marks beside the labels. The background brush wins over what is shown.

    Returns
    -------
    ndarray of uint32
        ``(..., Y, X)``, a new painted array.
    """
    painted = np.zeros(shown.shape, np.uint32)
    chosen = shown != predicted
    chosen |= marks != MARK_NONE
    if chosen.any():  # most windows hold nothing, and this runs while a person paints
        np.multiply(shown, chosen, out=painted, casting="unsafe")
        background = shown <= 0
        background |= marks == MARK_BACKGROUND
        background &= chosen
        np.copyto(painted, np.uint32(BACKGROUND), where=background)
    return painted


def as_painted(array: NDArray[Any], *, background: int | None = None) -> NDArray[np.uint32]:
    """Check an array from a file or a script and return it as a painted array.

    Parameters
    ----------
    array : ndarray
        ``(..., Y, X)``, whole numbers of any type: 0 = unlabelled, `BACKGROUND` or -1 =
        background, else the id of an object, below `BACKGROUND`.
    background : int, optional
        Another value that means background, for files that cannot hold `BACKGROUND`: 65535 in a
        16-bit TIFF, say.

    Returns
    -------
    ndarray of uint32
        ``(..., Y, X)``, a new array.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, or values that are no ids.
    """
    array = np.asarray(array)
    if array.ndim < 2:
        raise InputError(
            f"The painted array has the shape {array.shape}; rows and columns are needed. Give an "
            "array of the image's height and width, with a stack's axes before them."
        )
    _check_whole_numbers(array)
    is_background = array == BACKGROUND
    is_background |= array == -1
    if background is not None:
        is_background |= array == background
    ids = np.where(is_background, 0, array)
    for value in (ids.min(initial=0), ids.max(initial=0)):
        if not 0 <= value < BACKGROUND:
            raise InputError(
                f"The painted array holds the value {value}; ids of objects from 1 to "
                f"{BACKGROUND - 1}, 0 for unlabelled and -1 for background are needed. Number the "
                "objects anew, or say which value means background."
            )
    painted: NDArray[np.uint32] = ids.astype(np.uint32)
    painted[is_background] = BACKGROUND
    return painted


def _check_whole_numbers(array: NDArray[Any]) -> None:
    """Raise `InputError` unless every value is a whole number; yes and no are no ids."""
    if array.dtype.kind in "iu":
        return
    if array.dtype.kind == "b":
        raise InputError(
            "The painted array is a mask of true and false; an id for each object is needed. "
            "Number the objects first, for example with skimage.measure.label."
        )
    if array.dtype.kind != "f" or not np.array_equal(array, np.rint(array)):
        raise InputError(
            f"The painted array holds values of type {array.dtype} that are not all whole numbers; "
            "the ids of objects are needed. Give the labels, not the image or a probability."
        )


def take_whole(labels: NDArray[Any]) -> NDArray[np.uint32]:
    """Take a label image ``(..., Y, X)`` as truth everywhere: every 0 becomes `BACKGROUND`.

    Raises `InputError` as `as_painted` does; the result is a new array.
    """
    painted = as_painted(labels)
    painted[painted == UNLABELLED] = BACKGROUND
    return painted


@dataclass(frozen=True, slots=True)
class PaintedObject:
    """The pixels of one id in one plane.

    Attributes
    ----------
    id : int
        Id in the painted array.
    box : Box
        Smallest box around it, in image pixels.
    area : int
        Painted pixels; the box can hold other objects too.
    plane : tuple of int
        Indices along the leading axes.
    """

    id: int
    box: Box
    area: int
    plane: Plane = ()


def painted_ids(painted: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the ids in a painted or label array of any shape ``(..., Y, X)``, ascending."""
    found = [np.unique(runs[:, _ID]) for _, runs in _object_runs(painted)]
    if not found:
        return np.zeros(0, np.uint32)
    return np.unique(np.concatenate(found)).astype(np.uint32)


def painted_objects(painted: NDArray[Any]) -> list[PaintedObject]:
    """List what is painted, by plane and id.

    An id in several planes is one object for each, as the network sees planes only; one in
    several pieces of a plane is one object. Takes time by pixels and runs of equal pixels,
    whatever the ids or their number.

    Parameters
    ----------
    painted : ndarray of uint32
        ``(..., Y, X)``, a painted array; only windows of it are read.
    """
    tables: dict[Plane, list[NDArray[np.int64]]] = {}
    for plane, runs in _object_runs(painted):
        tables.setdefault(plane, []).append(_gather(runs))
    objects = []
    for plane, parts in tables.items():
        for number, y0, x0, y1, x1, area in _gather(np.concatenate(parts)).tolist():
            objects.append(PaintedObject(number, Box((y0, x0), (y1, x1)), area, plane))
    return objects


def check_enough(painted: Sequence[NDArray[Any]], *, classes: bool = False) -> None:
    """Raise `InputError` if there is too little to learn from.

    Parameters
    ----------
    painted : sequence of ndarray
        Painted arrays of any shapes, which are learnt from together. One object and one pixel of
        background are enough, or some objects: a closed sheet of cells has no background.
    classes : bool, default False
        Whether ids are classes; then two classes, or one and background, are enough.
    """
    ids: set[int] = set()
    background = False
    for array in painted:
        ids.update(painted_ids(array).tolist())
        background |= any((stripe == BACKGROUND).any() for _, _, stripe in _stripes(array))
    thing = "class" if classes else "object"
    if not ids and not background:
        raise InputError(
            f"Nothing is painted yet; at least one {thing} and some background are needed. Paint "
            f"one {thing} and a stroke with the background brush."
        )
    if not ids:
        raise InputError(
            f"Only background is painted; at least one {thing} is needed too. Paint one, or "
            "confirm one that is right."
        )
    if not background and classes and len(ids) == 1:
        raise InputError(
            "Only one class is painted; at least two are needed, and background is one. Paint "
            "another class, or a stroke with the background brush."
        )
    if not background and not classes and len(ids) < ALONE:
        raise InputError(
            "Only objects are painted; some background is needed too. Paint a stroke with the "
            "background brush, or mark a box where all is correct. Where there is no background, "
            f"paint {ALONE} objects."
        )


def check_classes(painted: Sequence[NDArray[np.uint32]], names: Sequence[str]) -> None:
    """Raise `InputError` if painted arrays ``(..., Y, X)`` hold too little, or what is no class."""
    highest = max((int(i) for p in painted for i in painted_ids(p)), default=0)
    if highest >= len(names):
        raise InputError(
            f"Class {highest} is painted, and there are classes from 1 to {len(names) - 1} (at "
            f"most {CLASSES - 1}). Erase it, or paint one of the others over it."
        )
    check_enough(painted, classes=True)


def number_strokes(painted: NDArray[Any]) -> NDArray[np.uint32]:
    """Give every stroke of a painted class an id of its own, so that strokes can be held out.

    Parameters
    ----------
    painted : ndarray of uint32
        ``(..., Y, X)``, ids are classes below `CLASSES`.

    Returns
    -------
    ndarray of uint32
        ``(..., Y, X)``; ``id % CLASSES`` is the class, and connected pixels of one class in one
        plane share an id. `UNLABELLED` and `BACKGROUND` stay.
    """
    from scipy import ndimage  # noqa: PLC0415  the panel needs this module at once

    numbered = np.where(painted == BACKGROUND, np.uint32(BACKGROUND), np.uint32(UNLABELLED))
    for plane in np.ndindex(painted.shape[:-2]):
        for number in painted_ids(painted[plane]):
            if number >= CLASSES:
                raise InputError(
                    f"Class {number} is painted; classes from 1 to {CLASSES - 1} can be learned. "
                    "Paint classes with small ids, or retrain on objects instead."
                )
            strokes, count = ndimage.label(painted[plane] == number, np.ones((3, 3)))
            ids = (np.arange(count + 1) * CLASSES + number).astype(np.uint32)
            np.copyto(numbered[plane], ids[strokes], where=strokes > 0)
    return numbered


def hold_out(
    objects: Sequence[PaintedObject], share: float = 0.25, *, classes: bool = False
) -> tuple[list[PaintedObject], list[PaintedObject]]:
    """Divide painted objects into those to train on and those to judge with.

    The id alone decides. So an object stays on its side as more is painted: no model is judged
    with what its parents trained on. And a cell that has one id in many planes does not leak from
    one side to the other. Multiples of the golden ratio spread new ids, which follow each other,
    so evenly that the share holds for a handful too.

    Only where that goes far wrong (nothing to judge with, less than half the share or more than
    one and a half times of it) do the nearest objects change sides. Touching neighbours may fall
    on different sides.

    Parameters
    ----------
    objects : sequence of PaintedObject
        The objects of one image, or of several.
    share : float, default 0.25
        Part to judge with, between 0 and 1.
    classes : bool, default False
        Whether they are strokes of classes, as `number_strokes` numbers them: then the share is
        one of every class, rounded down, as each must be learned and judged. Strokes are numbered
        anew as more is painted, so they may change sides.

    Returns
    -------
    train, held : list of PaintedObject
        In the order given. `held` is empty below `FEWEST_TO_JUDGE` objects, and where no class has
        enough strokes; else neither is.
    """
    if len(objects) < FEWEST_TO_JUDGE or share <= 0:
        return list(objects), []
    wanted = share * len(objects)
    fewest, most = max(1, int(wanted / 2)), min(len(objects) - 1, int(1.5 * wanted + 1))
    places = [_place(item) for item in objects]
    order = sorted(range(len(objects)), key=places.__getitem__)
    count = sum(places[i][0] < share for i in order)
    chosen = set(order[: min(max(count, fewest), most)])
    if classes:
        chosen = _of_every_class(objects, order, share)
    train = [item for i, item in enumerate(objects) if i not in chosen]
    return train, [objects[i] for i in sorted(chosen)]


def _of_every_class(
    strokes: Sequence[PaintedObject], order: Sequence[int], share: float
) -> set[int]:
    """Choose a share of every class's strokes, but never its first one."""
    chosen: set[int] = set()
    for number in {one.id % CLASSES for one in strokes}:
        of_it = [i for i in order if strokes[i].id % CLASSES == number]
        first = min(of_it, key=lambda i: strokes[i].id)  # it stays first as more is painted
        chosen.update([i for i in of_it if i != first][: int(share * len(of_it))])
    return chosen


def _place(item: PaintedObject) -> tuple[float, bytes]:
    """Place of an id in [0, 1), and what decides among objects of one id."""
    tie = blake2b(repr((item.plane, item.box.start)).encode(), digest_size=8).digest()
    return (item.id * 2654435769 % 2**32) / 2**32, tie  # 2**32 / golden ratio


def _stripes(array: NDArray[Any]) -> Iterator[tuple[Plane, int, NDArray[Any]]]:
    """Read rows of each plane that together hold about `STRIPE` pixels, with the first row."""
    height, width = array.shape[-2:]
    rows = max(1, STRIPE // max(1, width))
    for plane in np.ndindex(array.shape[:-2]):
        for y in range(0, height, rows):
            stripe = np.asarray(array[(*plane, slice(y, y + rows))])
            if stripe.any():
                yield plane, y, stripe


def _object_runs(painted: NDArray[Any]) -> Iterator[tuple[Plane, NDArray[np.int64]]]:
    """Yield tables ``(runs, 6)`` of equal neighbours in a row that belong to an object."""
    for plane, y, stripe in _stripes(painted):
        width = stripe.shape[1]
        begins = np.ones(stripe.shape, bool)
        np.not_equal(stripe[:, 1:], stripe[:, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=stripe.size)
        ids = stripe.ravel()[starts].astype(np.int64)
        is_object = (ids != UNLABELLED) & (ids != BACKGROUND)
        ids, starts, lengths = ids[is_object], starts[is_object], lengths[is_object]
        if len(ids):
            rows, columns = np.divmod(starts, width)
            rows += y
            yield (
                plane,
                np.stack([ids, rows, columns, rows + 1, columns + lengths, lengths], axis=1),
            )


def _gather(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join the rows of each id: the box around them and the sum of their areas."""
    table = table[np.argsort(table[:, _ID], kind="stable")]
    first = np.flatnonzero(np.diff(table[:, _ID], prepend=-1))
    low = np.minimum.reduceat(table[:, : _X0 + 1], first)
    high = np.maximum.reduceat(table[:, _Y1 : _X1 + 1], first)
    return np.concatenate([low, high, np.add.reduceat(table[:, _AREA:], first)], axis=1)
