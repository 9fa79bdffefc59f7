"""Names of the units of pixel sizes, as people, napari, OME and ImageJ write them."""

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
    """Return the unit as part of a column name, in ASCII: ``um``, ``nm``, else ``unit``."""
    name = unit_name(unit)
    if name == "micrometer":
        return "um"
    return UNITS[name][1] if name in UNITS else "unit"
