"""OME-Zarr and zarr folders: which images they hold, and how their pixels lie.

Versions 0.1 to 0.5 of the format (https://ngff.openmicroscopy.org). Axes go by their names, sizes
by the axis, and the transformations of an image are applied to those of its levels.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.channels import COLOURS
from napari_unet.errors import InputError
from napari_unet.image import Spacing
from napari_unet.io.formats.facts import Facts, Scene
from napari_unet.io.units import PIXEL, in_one_unit

logger = logging.getLogger(__name__)

FIRST_AXES = "TCZYX"  # of versions 0.1 and 0.2, which do not name them
NAMES = {"TIME": "T", "CHANNEL": "C", "DEPTH": "Z", "HEIGHT": "Y", "WIDTH": "X"}
KINDS = {"time": "T", "channel": "C", "space": "XYZ"}
SPARE = "KLMNOPQUVWABDEFGHIJRS"
SHOWN = ("FF0000", "00FF00", "0000FF")  # in these a viewer shows red, green and blue
NUMBERED = re.compile(r"(channel|c|ch)?[ _:]*\d+", re.IGNORECASE)  # what stands for no name
# What zarr raises for metadata that are damaged.
DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
CONVERT = "Convert it to version 0.4 or 0.5, for example with napari, Fiji or ome-zarr-py."


def is_zarr(path: Path) -> bool:
    """Whether a path is a zarr folder."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def holds_labels(path: Path) -> bool:
    """Whether a zarr folder says that its pixels are labels; a damaged one says nothing."""
    import zarr  # noqa: PLC0415  see zarr_scenes

    try:
        return "image-label" in _attributes(zarr.open(path, mode="r"))
    except DAMAGED as error:  # the person is told when it is read
        logger.info("%s says nothing of labels: %s", path, error)
        return False


def zarr_scenes(path: Path) -> list[Scene]:
    """Return the images in a folder: one, the series of a conversion, or the fields of a plate."""
    import zarr  # noqa: PLC0415  takes a while, and is needed for such folders only

    found: Any = zarr.open(path, mode="r")
    if isinstance(found, zarr.Array) or _multiscales(found):
        return [Scene(path, stem=path.stem)]
    plate = "plate" in _attributes(found)
    inside, notices = _fields(found) if plate else (_members(found), ())
    if len(inside) == 1:
        return [Scene(path, stem=path.stem, inside=inside[0], notices=notices)]
    return [
        Scene(path, i, name, f"{path.stem}_{name.replace('/', '_')}", inside=name, notices=notices)
        for i, name in enumerate(inside)
    ] or [Scene(path, stem=path.stem)]


def read_zarr(scene: Scene) -> Facts:
    """Open an image in a zarr folder without reading it."""
    from napari_unet.io.formats.blosc import checked_blosc  # noqa: PLC0415  see zarr_scenes

    with checked_blosc():
        return _read(scene)


def _read(scene: Scene) -> Facts:
    import zarr  # noqa: PLC0415  see zarr_scenes

    path = scene.path / scene.inside if scene.inside else scene.path
    found: Any = zarr.open(path, mode="r")
    if isinstance(found, zarr.Array):
        around = _around(path)
        return _plain(found) if around is None else _described(*around, path, scene.notices)
    scales = _multiscales(found)
    if not scales:
        inside = ", ".join(sorted(name for name, _ in found.members())[:5]) or "nothing"
        raise InputError(
            f"{path} is a zarr group without an OME-Zarr image; it holds {inside}. Give the folder "
            "of one array or image inside."
        )
    notices = scene.notices
    if len(scales) > 1:
        notices += (f"It holds {len(scales)} versions of the image; the first was read.",)
    return _described(found, scales[0], 0, path, notices)


def _around(path: Path) -> tuple[Any, Any, int] | None:
    """Return the group that describes an array as one of its levels, the image, and the level."""
    import zarr  # noqa: PLC0415  see zarr_scenes

    if not is_zarr(path.parent):
        return None
    group: Any = zarr.open(path.parent, mode="r")
    for image in _multiscales(group):
        for level, dataset in enumerate(image["datasets"]):
            if dataset["path"] == path.name:
                return group, image, level
    return None


def _described(
    group: Any, image: Mapping[str, Any], level: int, path: Path, notices: tuple[str, ...]
) -> Facts:
    """Return one level of an image as the metadata of its group describe it."""
    dataset = image["datasets"][level]
    data = group[dataset["path"]]
    axes = _axes(image, len(data.shape), path)
    changes = [dataset.get("coordinateTransformations"), image.get("coordinateTransformations")]
    spacing, more = _spacing(axes, [one for some in changes for one in some or ()])
    return Facts(data, "".join(axes), spacing, (*notices, *more), _channels(group))


def _plain(array: Any) -> Facts:
    """Return an array without a description; its dimensions may have names."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not named or len(named) != len(array.shape) or not all(named):
        return Facts(array, "")
    letters = "".join(_letters([{"name": str(name)} for name in named]))
    return Facts(array, letters if {"Y", "X"} <= set(letters) else "")


def _attributes(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    return {**attributes, **attributes.get("ome", {})}


def _multiscales(group: Any) -> list[Any]:
    return list(_attributes(group).get("multiscales") or ())


def _channels(group: Any) -> tuple[str, ...]:
    """Return the names of the channels that a viewer is to show."""
    stated = _attributes(group).get("omero", {}).get("channels", ())
    channels = [one for one in stated if isinstance(one, Mapping)]
    names = tuple(str(one.get("label") or "") for one in channels)
    shown = tuple(str(one.get("color", "")).upper()[:6] for one in channels)
    nameless = all(not name or NUMBERED.fullmatch(name) for name in names)
    return COLOURS if nameless and shown == SHOWN else names


def _members(group: Any) -> list[str]:
    """Return the images in a group, in the order that it gives, or of their numbers."""
    inside = dict(group.groups())
    series = _attributes(group).get("series")
    series = series or (_attributes(inside["OME"]).get("series") if "OME" in inside else None)
    names = [str(name) for name in series or sorted(inside, key=_by_number)]
    return [
        name
        for name in names
        if name not in ("OME", "labels") and name in group and _multiscales(group[name])
    ]


def _by_number(name: str) -> list[Any]:
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)
    ]


def _fields(group: Any) -> tuple[list[str], tuple[str, ...]]:
    """Return the fields of a plate, well by well, and a notice where some are not there."""
    found: list[str] = []
    absent: list[str] = []
    for path in (str(well["path"]) for well in _attributes(group)["plate"]["wells"]):
        images = _attributes(group[path])["well"]["images"] if path in group else ()
        fields = [f"{path}/{image['path']}" for image in images]
        found += [field for field in fields if field in group]
        absent += [field for field in fields or [path] if field not in group]
    told = f"The plate lists {', '.join(absent[:5])}, which is not there; it was left out."
    return found, (told,) if absent else ()


def _axes(image: Mapping[str, Any], ndim: int, path: Path) -> dict[str, str]:
    """Return the unit of each axis by its letter, in the array's order."""
    stated = image.get("axes")
    if stated is None:
        version = str(image.get("version", "without a number"))
        if version not in ("0.1", "0.2") or ndim > len(FIRST_AXES):
            raise InputError(
                f"{path} is OME-Zarr of version {version} and does not name its axes; versions 0.1 "
                f"to 0.5 can be read. {CONVERT}"
            )
        return dict.fromkeys(FIRST_AXES[-ndim:], PIXEL)
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in stated]
    letters = _letters(named)
    return {a: str(one.get("unit") or PIXEL) for a, one in zip(letters, named, strict=True)}


def _letters(axes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a letter for each axis: by its name, else by its kind, else one that is free."""
    names = [str(axis.get("name", "")).upper() for axis in axes]
    letters: list[str | None] = [NAMES.get(name, name) for name in names]
    letters = [
        one if one and len(one) == 1 and letters.count(one) == 1 else None for one in letters
    ]
    for number in reversed(range(len(axes))):
        wanted = KINDS.get(str(axes[number].get("type")), "") + names[number][:1] + SPARE
        if letters[number] is None:
            letters[number] = next(a for a in wanted if a.isalpha() and a not in letters)
    return [letter for letter in letters if letter]


def _spacing(
    axes: Mapping[str, str], changes: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Spacing], tuple[str, ...]]:
    """Apply transformations one after the other; the finest level's come first."""
    scale, offset, told = [1.0] * len(axes), [0.0] * len(axes), False
    try:
        for factors, moves in _steps(changes, len(axes)):
            told = told or factors is not None
            factors, moves = factors or [1.0] * len(axes), moves or [0.0] * len(axes)
            scale = [s * f for s, f in zip(scale, factors, strict=True)]
            offset = [o * f + m for o, f, m in zip(offset, factors, moves, strict=True)]
    except (KeyError, TypeError, ValueError):
        return {}, ("How its pixels lie is given in a form that is not read; it is unknown.",)
    stated = {
        axis: Spacing(size if told else None, unit if told else PIXEL, start)
        for (axis, unit), size, start in zip(axes.items(), scale, offset, strict=True)
        if axis != "C"
    }
    return in_one_unit(stated), ()


Step = tuple[list[float] | None, list[float] | None]
"""Factor and move along each axis; None where a transformation has none."""


def _steps(changes: Sequence[Mapping[str, Any]], ndim: int) -> Iterator[Step]:
    """Yield what transformations do; `ValueError` for one that is more than scale and move."""
    for change in changes:
        kind = change.get("type")
        if kind == "sequence":
            yield from _steps(change["transformations"], ndim)
        elif kind == "affine":
            matrix = np.array(change["affine"], float)
            turned = matrix[:ndim, :ndim] - np.diag(np.diag(matrix))[:ndim, :ndim]
            if matrix.shape[1] != ndim + 1 or turned.any():
                raise ValueError(kind)
            yield np.diag(matrix).tolist()[:ndim], matrix[:ndim, ndim].tolist()
        elif kind in ("scale", "translation"):
            values = [float(value) for value in change[kind]] if kind in change else [0.0]
            yield (values, None) if kind == "scale" else (None, values)
        elif kind != "identity":
            raise ValueError(kind)
