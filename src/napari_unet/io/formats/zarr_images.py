"""OME-Zarr and zarr folders: which images they hold, and how their pixels lie.

Versions 0.1 to 0.5 of the format (https://ngff.openmicroscopy.org). Axes go by their names, sizes
by the axis, and the transformations of an image are applied to those of its levels.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.errors import InputError
from napari_unet.image import Spacing
from napari_unet.io.formats.facts import Facts, Scene
from napari_unet.io.units import PIXEL, in_one_unit

FIRST_AXES = "TCZYX"  # of versions 0.1 and 0.2, which do not name them
NAMES = {"TIME": "T", "CHANNEL": "C", "DEPTH": "Z", "HEIGHT": "Y", "WIDTH": "X"}
KINDS = {"time": "T", "channel": "C", "space": "XYZ"}
SPARE = "KLMNOPQUVWABDEFGHIJRS"
CONVERT = "Convert it to version 0.4 or 0.5, for example with napari, Fiji or ome-zarr-py."


def is_zarr(path: Path) -> bool:
    """Whether a path is a zarr folder."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def holds_labels(path: Path) -> bool:
    """Whether a zarr folder says that its pixels are labels; a damaged one says nothing."""
    import zarr  # noqa: PLC0415  see zarr_scenes

    try:
        return "image-label" in _attributes(zarr.open(path, mode="r"))
    except (OSError, ValueError, KeyError, TypeError):  # it is told in its turn
        return False


def zarr_scenes(path: Path) -> list[Scene]:
    """Return the images in a folder: one, the series of a conversion, or the fields of a plate."""
    import zarr  # noqa: PLC0415  takes a while, and is needed for such folders only

    found: Any = zarr.open(path, mode="r")
    if isinstance(found, zarr.Array) or _multiscales(found):
        return [Scene(path, stem=path.stem)]
    inside = _fields(found) if "plate" in _attributes(found) else _members(found)
    if len(inside) == 1:
        return [Scene(path, stem=path.stem, inside=inside[0])]
    return [
        Scene(path, i, name, f"{path.stem}_{name.replace('/', '_')}", inside=name)
        for i, name in enumerate(inside)
    ] or [Scene(path, stem=path.stem)]


def read_zarr(scene: Scene) -> Facts:
    """Open an image in a zarr folder without reading it."""
    import zarr  # noqa: PLC0415  see zarr_scenes

    path = scene.path
    found: Any = zarr.open(path / scene.inside if scene.inside else path, mode="r")
    if isinstance(found, zarr.Array):
        return Facts(found, "")
    scales = _multiscales(found)
    if not scales:
        inside = ", ".join(sorted(name for name, _ in found.members())[:5]) or "nothing"
        raise InputError(
            f"{path} is a zarr group without an OME-Zarr image; it holds {inside}. Give the folder "
            "of one array or image inside."
        )
    image = scales[0]
    finest = image["datasets"][0]
    data = found[finest["path"]]
    axes = _axes(image, len(data.shape), path)
    changes = [finest.get("coordinateTransformations"), image.get("coordinateTransformations")]
    spacing, notices = _spacing(axes, [one for some in changes for one in some or ()])
    if len(scales) > 1:
        notices += (f"It holds {len(scales)} versions of the image; the first was read.",)
    return Facts(data, "".join(axes), spacing, notices, _channels(found))


def _attributes(group: Any) -> dict[str, Any]:
    attributes = dict(group.attrs)
    return {**attributes, **attributes.get("ome", {})}


def _multiscales(group: Any) -> list[Any]:
    return list(_attributes(group).get("multiscales") or ())


def _channels(group: Any) -> tuple[str, ...]:
    """Return the names of the channels that a viewer is to show."""
    stated = _attributes(group).get("omero", {}).get("channels", ())
    return tuple(str(one.get("label", "")) for one in stated if isinstance(one, Mapping))


def _members(group: Any) -> list[str]:
    """Return the images in a group, in the order of their numbers."""
    series = _attributes(group).get("series")
    names = series or sorted((name for name, _ in group.groups()), key=_by_number)
    return [name for name in names if name not in ("OME", "labels") and _multiscales(group[name])]


def _by_number(name: str) -> list[Any]:
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)
    ]


def _fields(group: Any) -> list[str]:
    """Return the fields of a plate, well by well."""
    found = []
    for well in _attributes(group)["plate"]["wells"]:
        images = _attributes(group[well["path"]])["well"]["images"]
        found += [f"{well['path']}/{image['path']}" for image in images]
    return found


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
    scale, offset = [1.0] * len(axes), [0.0] * len(axes)
    notices: tuple[str, ...] = ()
    for kind, values in _steps(changes):
        if len(values) != len(axes):
            notices = ("How its pixels lie is given in a form that is not read; it is unknown.",)
            scale = [0.0] * len(axes)
        elif kind == "scale":
            scale = [s * v for s, v in zip(scale, values, strict=True)]
            offset = [o * v for o, v in zip(offset, values, strict=True)]
        else:
            offset = [o + v for o, v in zip(offset, values, strict=True)]
    told = any("scale" in change for change in changes)
    stated = {
        axis: Spacing(size if told else None, unit if told else PIXEL, start)
        for (axis, unit), size, start in zip(axes.items(), scale, offset, strict=True)
        if axis != "C"
    }
    return in_one_unit(stated), notices


def _steps(changes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    for change in changes:
        for kind in ("scale", "translation"):
            if change.get("type") == kind:
                yield kind, [float(value) for value in change.get(kind, ())]
