"""Units of pixel sizes, as people, napari, OME and ImageJ write them, and spacings in one unit."""

import math
from collections.abc import Mapping
from dataclasses import replace

from napari_unet.image import Image, Spacing

PIXEL = "pixel"
# name as in napari: (symbol in OME, name in ImageJ, length in micrometers)
UNITS: dict[str, tuple[str, str, float]] = {
    "angstrom": ("Å", "angstrom", 1e-4),
    "nanometer": ("nm", "nm", 1e-3),
    "micrometer": ("µm", "micron", 1.0),
    "millimeter": ("mm", "mm", 1e3),
    "centimeter": ("cm", "cm", 1e4),
    "meter": ("m", "m", 1e6),
    "inch": ("in", "inch", 25400.0),
}
# name as in napari: (symbol in OME, length in seconds)
TIMES: dict[str, tuple[str, float]] = {
    "millisecond": ("ms", 1e-3),
    "second": ("s", 1.0),
    "minute": ("min", 60.0),
    "hour": ("h", 3600.0),
}
_ALIASES = {
    "": PIXEL,
    "px": PIXEL,
    "pixels": PIXEL,
    "none": PIXEL,
    "å": "angstrom",
    "nm": "nanometer",
    "um": "micrometer",
    "\N{MICRO SIGN}m": "micrometer",
    "\N{GREEK SMALL LETTER MU}m": "micrometer",
    "\\u00b5m": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "in": "inch",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
}


def unit_name(unit: str) -> str:
    """Return the long name of a unit, such as ``micrometer`` for ``µm``; unknown ones are kept."""
    text = unit.strip().strip("\x00")
    name = text.lower().replace("metre", "meter")
    singular = name.removesuffix("s")
    known = next((n for n in (name, singular) if n in UNITS or n in TIMES), text)
    return _ALIASES.get(name, known)


def ome_symbol(unit: str) -> str:
    """Return the unit as OME names it; units OME does not know become its ``reference frame``."""
    name = unit_name(unit)
    return PIXEL if name == PIXEL else UNITS[name][0] if name in UNITS else "reference frame"


def imagej_name(unit: str) -> str:
    """Return the unit as ImageJ names it, in ASCII."""
    name = unit_name(unit)
    text = UNITS[name][1] if name in UNITS else name
    return "".join(c for c in text if c.isascii() and c.isprintable()) or PIXEL


def micrometers(unit: str) -> float | None:
    """Return the length of the unit in micrometers, None if it is no known length."""
    known = UNITS.get(unit_name(unit))
    return None if known is None else known[2]


def seconds(unit: str) -> float | None:
    """Return the length of the unit in seconds, None if it is no known time."""
    known = TIMES.get(unit_name(unit))
    return None if known is None else known[1]


def short_name(unit: str) -> str:
    """Return the unit as part of a column name, in ASCII: ``um``, ``nm``, ``s``, else ``unit``."""
    name = unit_name(unit)
    if name == "micrometer":
        return "um"
    if name in TIMES:
        return TIMES[name][0]
    return UNITS[name][1] if name in UNITS else "unit"


def approximate_length(pixels: float, image: Image) -> str:
    """Return how long some pixels of an image are, such as "≈ 12 µm"; empty if that is unknown.

    Parameters
    ----------
    pixels : float
        In the plane; where its pixels are no squares, of squares of the same area.
    image : Image
        Whose pixel size counts.
    """
    name, size = unit_name(image.unit), image.pixel_size
    if size is None or name not in UNITS or not pixels > 0:
        return ""
    length = pixels * math.sqrt(size[0] * size[1])
    told = f"{length:.0f}" if length >= 100 else f"{length:.2g}"
    return f"≈ {told} {UNITS[name][0]}"


def in_one_unit(stated: Mapping[str, Spacing]) -> dict[str, Spacing]:
    """Return how pixels lie along axes, with lengths in one unit and times in seconds.

    Lengths in several units become micrometers. A size of 1 without a unit says nothing where
    all others are 1 as well, nor does a size that no pixel has.

    Parameters
    ----------
    stated : dict
        By the letter of the axis, as the file says it; units may be short names.
    """
    named = {axis: _named(spacing) for axis, spacing in stated.items()}
    bare = {axis for axis, spacing in named.items() if spacing.unit == PIXEL}
    relative = any(named[axis].size not in (None, 1) for axis in bare & set("ZYX"))
    lengths = {s.unit for a, s in named.items() if a in "ZYX" and micrometers(s.unit)}
    unit = lengths.pop() if len(lengths) == 1 else "micrometer"
    found = {}
    for axis, spacing in named.items():
        own, wanted = micrometers(spacing.unit), micrometers(unit)
        if axis in bare and spacing.size == 1 and not (relative and axis in "ZYX"):
            spacing = replace(spacing, size=None)
        if axis == "T" and (second := seconds(spacing.unit)):
            spacing = _scaled(spacing, second, "second")
        elif axis in "ZYX" and own and wanted:
            spacing = _scaled(spacing, own / wanted, unit)
        if spacing.size is not None or spacing.offset:
            found[axis] = spacing
    return found


def _named(spacing: Spacing) -> Spacing:
    size = spacing.size
    believable = size is not None and math.isfinite(size) and size > 0
    offset = spacing.offset if math.isfinite(spacing.offset) else 0.0
    return Spacing(size if believable else None, unit_name(spacing.unit), offset)


def _scaled(spacing: Spacing, factor: float, unit: str) -> Spacing:
    size = None if spacing.size is None else spacing.size * factor
    return Spacing(size, unit, spacing.offset * factor)
