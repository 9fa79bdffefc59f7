"""How the pixels of a TIFF lie: from OME, ImageJ or the resolution tags, in that order."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from napari_unet.image import Spacing
from napari_unet.io.units import PIXEL, in_one_unit, micrometers, unit_name

BELIEVABLE_MICROMETERS = 20.0  # per pixel; larger values in resolution tags are meant for printers
INCH, CENTIMETER = 2, 3  # in the tag ResolutionUnit


def tiff_spacing(
    tif: tifffile.TiffFile, index: int, companion: Path | None = None
) -> tuple[dict[str, Spacing], tuple[str, ...]]:
    """Return how the pixels of a series lie, by the letter of the axis, and notices.

    Parameters
    ----------
    tif : TiffFile
        The file.
    index : int
        The series.
    companion : Path, optional
        The file that describes it, where this is one of a set.
    """
    if companion is not None:
        text = companion.read_text(encoding="utf-8", errors="replace")
        return _ome([one for one in _images(text) if _names(one, tif.filename)])
    if ome_master(tif) is not None:
        return {}, ()  # the notice that its description is absent says all
    if tif.is_ome:
        return _ome(_images(tif.ome_metadata)[index:])
    stated = _imagej(tif) if tif.is_imagej else _tags(tif)
    return in_one_unit(stated), ()


def channel_names(tif: tifffile.TiffFile, index: int) -> tuple[str, ...]:
    """Return the names of the channels of a series, as its OME description or Fiji lists them."""
    if tif.is_imagej:
        return _slice_labels(tif)
    images = _images(tif.ome_metadata)[index : index + 1] if tif.is_ome else []
    found = [element for image in images for element in image.iter() if _tag(element) == "Channel"]
    return tuple(channel.get("Name", "") for channel in found)


def _slice_labels(tif: tifffile.TiffFile) -> tuple[str, ...]:
    """Return the labels of Fiji's slices, where all slices of a channel have the same one."""
    facts: Mapping[str, Any] = tif.imagej_metadata or {}
    labels, count = list(facts.get("Labels", ())), int(facts.get("channels", 1))
    if not labels or len(labels) % count:
        return ()
    found = [set(labels[number::count]) for number in range(count)]  # channels come first
    names = tuple(str(one.pop()) for one in found if len(one) == 1)
    return names if len(names) == len(set(names)) == count else ()


def ome_master(tif: tifffile.TiffFile) -> str | None:
    """Return the name of the file that describes this one, where it is only part of a set."""
    parts = [e for e in _elements(tif.ome_metadata) if _tag(e) == "BinaryOnly"]
    return parts[0].get("MetadataFile") if tif.is_ome and parts else None


def _elements(text: str | None) -> list[ElementTree.Element]:
    """Return what stands in an OME description; nothing where it is damaged."""
    try:
        return list(ElementTree.fromstring(text or ""))
    except ElementTree.ParseError:
        return []


def _images(text: str | None) -> list[ElementTree.Element]:
    return [element for element in _elements(text) if _tag(element) == "Image"]


def _names(image: ElementTree.Element, file: str) -> bool:
    """Whether an image has planes in a file."""
    return any(element.get("FileName") == file for element in image.iter())


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _ome(images: list[ElementTree.Element]) -> tuple[dict[str, Spacing], tuple[str, ...]]:
    """Return what is said of the first image."""
    pixels = [e for e in images[0] if _tag(e) == "Pixels"] if images else []
    if not pixels:
        return {}, ("Its OME description cannot be read; the size of a pixel is unknown.",)
    facts, wrong = pixels[0].attrib, list[str]()
    stated = {}
    for axis in "ZYX":
        size = _number(facts, f"PhysicalSize{axis}", wrong)
        if size is not None:
            stated[axis] = Spacing(size, facts.get(f"PhysicalSize{axis}Unit", "µm"))
    step = _number(facts, "TimeIncrement", wrong)
    if step is not None:
        stated["T"] = Spacing(step, facts.get("TimeIncrementUnit", "s"))
    if wrong:
        text = (
            f"Its OME description gives {', '.join(wrong)}, which is no number above 0 (with a "
            "decimal point): that size is unknown. Correct the description, or scale the results."
        )
        return in_one_unit(stated), (text,)
    return in_one_unit(stated), ()


def _number(facts: Mapping[str, str], name: str, wrong: list[str]) -> float | None:
    """Return a number above 0; what is none is noted as wrong."""
    text = facts.get(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and number > 0:
        return number
    wrong.append(f"{name} = {text!r}")
    return None


def _imagej(tif: tifffile.TiffFile) -> dict[str, Spacing]:
    facts: Mapping[str, Any] = tif.imagej_metadata or {}
    unit, size = str(facts.get("unit", PIXEL)), _resolution(tif)
    if "unit" not in facts and _resolution_unit(tif) == INCH:
        size = None  # dots per inch of a printer
    stated: dict[str, Spacing] = {}
    for axis, own in zip("YX", size or (), strict=False):
        name = str(facts.get(f"{axis.lower()}unit", unit))
        stated[axis] = Spacing(own, name, 0.0 - own * _float(facts.get(f"{axis.lower()}origin")))
    scaled = unit_name(unit) != PIXEL or (size is not None and size != (1.0, 1.0))
    step = _float(facts.get("spacing"))
    if step and scaled:
        name = str(facts.get("zunit", unit))
        stated["Z"] = Spacing(step, name, 0.0 - step * _float(facts.get("zorigin")))
    interval = _float(facts.get("finterval"))
    if interval:
        stated["T"] = Spacing(interval, str(facts.get("tunit", "s")))
    return stated


def _float(value: Any) -> float:
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if math.isfinite(number) else 0.0


def _tags(tif: tifffile.TiffFile) -> dict[str, Spacing]:
    length, size = micrometers("centimeter"), _resolution(tif)
    if _resolution_unit(tif) != CENTIMETER or size is None or length is None:
        return {}  # without a unit, or dots per inch: nothing a microscope writes
    y, x = size[0] * length, size[1] * length
    if max(y, x) >= BELIEVABLE_MICROMETERS:
        return {}
    return {"Y": Spacing(y, "micrometer"), "X": Spacing(x, "micrometer")}


def _resolution_unit(tif: tifffile.TiffFile) -> int:
    tag = tif.pages.first.tags.get("ResolutionUnit")
    return 0 if tag is None else int(tag.value)


def _resolution(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """Return the size of a pixel, ``(y, x)``, from the resolution tags."""
    values = []
    for name in ("YResolution", "XResolution"):
        tag = tif.pages.first.tags.get(name)
        over, under = (0, 1) if tag is None else tag.value
        if not over:
            return None
        values.append(under / over)
    return values[0], values[1]
