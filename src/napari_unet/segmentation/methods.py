"""The record of a result as sentences for a paper, and as a script that makes it again."""

import json
import math
import pprint
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.io.units import UNITS, unit_name
from napari_unet.labels.numbering import landmarks
from napari_unet.measure.filters import left_out
from napari_unet.settings import FilterSettings
from napari_unet.wording import counted

NO_RECORD = (
    "These labels say nothing of how they were made: they hold no record of a model and its "
    "settings. Give labels that were saved here, or segment the image again."
)
SAME_CLASSES = "The classes are the same, where the versions and the kind of processor are."
SAME_IDS = "The ids are the same as well, where the versions and the kind of processor are."
OTHER_IDS = "The objects are the same, but not their ids: the script begins at 1."
UNCORRECTED = "\nWhat a person corrected is not among them."
SCRIPT = '''"""Makes labels as they were made before: same model, same settings.

{ids}
"""

import sys

from napari_unet import DecodeSettings, SegmentSettings, load_model, read_image
from napari_unet import save_labels, segment
{imports}
MADE_WITH = {versions}
IMAGE = {image}
LABELS = {labels}
MODEL = {model}
CHECKSUM = {checksum}
SETTINGS = {settings}
DECODE = {decode}
{numbers}
model = load_model(MODEL)
if model.sha != CHECKSUM:
    sys.exit(f"The model {{MODEL}} is another one: its SHA-256 is {{model.sha}}, not {{CHECKSUM}}.")
image = read_image(IMAGE, axes={axes}, channel={channel}, nuclei={nuclei})
settings = SegmentSettings(decode=DecodeSettings(**DECODE), **SETTINGS)
result = segment(image, model, settings=settings)
{link}{filter}{numbered}save_labels(
    LABELS,
    result.labels,
    pixel_size=image.spacing,
    axes=image.leading_axes + "YX",
    description=result.record,
)
'''


def methods_text(record: Mapping[str, Any], *, corrected: int | None = None) -> str:
    """Return two to five sentences for the methods of a paper.

    Parameters
    ----------
    record : mapping
        What `Segmentation.record` gave, or `read_record` found in a file.
    corrected : int, optional
        Number of objects that a person drew, changed or confirmed; default: as many as the record
        names under ``corrected``, and not told where it names none.

    Raises
    ------
    InputError
        If the record names no model.
    """
    if "model" not in record:
        raise InputError(NO_RECORD)
    sentences = [_tools(record), _settings(record)]
    if "link" in record:
        sentences.append(_linking(record["link"], record.get("axes", "")))
    known = "corrected" in record
    sentences += [_filter(told, corrected=known) for told in record.get("filters", ())]
    if corrected is None and "corrected" in record:
        corrected = len(record["corrected"])
    if corrected == 0:
        sentences.append("The labels were not corrected by hand.")
    elif corrected is not None:
        sentences.append(f"A person drew, corrected or confirmed {counted(corrected, 'object')}.")
    return " ".join(filter(None, sentences))


def methods_script(
    record: Mapping[str, Any],
    image: Path,
    labels: Path,
    *,
    made: NDArray[np.integer] | None = None,
) -> str:
    """Return a Python file that makes the labels again, to the id.

    Everything that was decided is written down: diameter, thresholds, tile, device, precision.

    Parameters
    ----------
    record : mapping
        See `methods_text`.
    image : Path
        The image that the labels were made from.
    labels : Path
        Where the script saves labels, ending in ``.tif``.
    made : ndarray of int, optional
        ``(..., Y, X)``, the labels themselves. Those of a window have ids of their own, which the
        script gives again to what nobody corrected; without this it numbers the objects from 1.

    Raises
    ------
    InputError
        If the record names no model, or the labels are of a part of the image.
    """
    if "model" not in record or "decode" not in record:
        raise InputError(NO_RECORD)
    if record.get("part"):
        raise InputError(
            "These labels are of a part of the image, which a script does not make again. Segment "
            "the whole image, and make the script of those labels."
        )
    decided = {"diameter": record["diameter"]} if "class_names" not in record else {}
    decided |= {name: record[name] for name in ("tile", "device", "precision")}
    link = record.get("link")
    filters = [_settings_of(told).model_dump(mode="json") for told in record.get("filters", ())]
    used = (("FilterSettings", filters), ("LinkSettings", link))
    names = ", ".join(name for name, there in used if there)
    marks = _landmarks(record, made)
    return SCRIPT.format(
        ids=_ids(record, known=made is not None),
        numbers=_numbers(marks),
        numbered="result = result.numbered(IDS)\n" if marks else "",
        versions=_literal(record.get("versions", {})),
        imports=f"from napari_unet.settings import {names}\n" if names else "",
        image=_literal(str(image)),
        labels=_literal(str(labels)),
        model=_literal(record["model"]),
        checksum=_literal(record["model_sha256"]),
        settings=_literal(decided),
        decode=_literal(record["decode"]),
        axes=_literal(record["axes"]),
        channel=_literal(record.get("channel")),
        nuclei=_literal(record.get("nuclei")),
        link=f"result = result.linked(LinkSettings(**{_literal(link)}))\n" if link else "",
        filter="".join(
            f"result = result.filtered(FilterSettings(**{_literal(one)}))\n" for one in filters
        ),
    )


def _ids(record: Mapping[str, Any], *, known: bool) -> str:
    """Say which ids a script gives; only a window notes what a person corrected."""
    if "class_names" in record:
        return SAME_CLASSES
    if "corrected" not in record:
        return SAME_IDS
    return (SAME_IDS if known else OTHER_IDS) + (UNCORRECTED if record["corrected"] else "")


def _landmarks(record: Mapping[str, Any], made: NDArray[np.integer] | None) -> list[int]:
    """Return where the objects of a window are, and what they are called."""
    if made is None or "corrected" not in record or "class_names" in record:
        return []
    return landmarks(made, record["corrected"])


def _numbers(marks: Sequence[int]) -> str:
    """Return the lines of a script that name the objects."""
    if not marks:
        return ""
    lines = textwrap.indent(textwrap.fill(", ".join(map(str, marks)), 88), "    ")
    return f"# In turns a pixel of each object, counted from 0, and its id.\nIDS = [\n{lines}\n]\n"


def _literal(value: Any) -> str:
    """Return Python text that means a value and can be nothing else: a stranger may have set it."""
    plain = json.loads(json.dumps(value))  # numbers, texts, lists and dicts, whatever it was
    return repr(plain) if isinstance(plain, str) else pprint.pformat(plain, width=90)


def _tools(record: Mapping[str, Any]) -> str:
    versions = record.get("versions", {})
    names = (("napari-unet-interactive",) * 2, ("torch", "PyTorch"), ("numpy", "NumPy"))
    known = [f"{shown} {versions[name]}" for name, shown in names if name in versions]
    tools = f" ({', '.join(known)})" if known else ""
    text = f"Images were segmented with the Interactive U-Net for napari{tools} and its model "
    text += f"{record['model']!r} (SHA-256 {record.get('model_sha256', 'unknown')})"
    taught = record.get("retrained")
    if taught:
        objects, images = taught["painted_objects"], taught["images"]
        text += f", retrained from {taught['parent']!r} with {counted(objects, 'painted object')} "
        text += f"in {counted(images, 'image')}"
    return text + "."


def _settings(record: Mapping[str, Any]) -> str:
    if "class_names" in record:
        return f"Each pixel was given one of the classes {', '.join(record['class_names'])}."
    decode = record.get("decode", {})
    if "diameter" not in record or not decode:
        return ""
    told = (record.get("settings") or {}).get("diameter") is not None
    threshold = round(1 - decode["sensitivity"], 4)
    return (
        f"The typical diameter of objects was {_length(record['diameter'], record)} "
        f"({'as set' if told else 'estimated'}); pixels whose probability exceeded {threshold:g} "
        f"belonged to objects, touching ones were split with a separation of "
        f"{decode['separation']:g}, and objects of less than "
        f"{_length(decode['minimum_diameter'], record)} in diameter were left out."
    )


def _length(pixels: float, record: Mapping[str, Any]) -> str:
    """Say a length in pixels, and in the unit where the size of pixels is known.

    Pixels that are no squares count as squares of the same area.
    """
    spacing = record.get("spacing") or {}
    y, x = (spacing.get(axis) or {} for axis in "YX")
    unit = unit_name(x.get("unit") or "")
    if unit not in UNITS or y.get("unit") != x["unit"] or not (y.get("size") and x.get("size")):
        return f"{pixels:.4g} px"
    length = pixels * math.sqrt(y["size"] * x["size"])
    return f"{pixels:.4g} px ({length:.3g} {UNITS[unit][0]})"


def _linking(link: Mapping[str, Any], axes: str) -> str:
    parts = []
    if "Z" in axes:
        share = round(100 * link["least_overlap"])
        parts.append(f"sections in neighbouring planes were one object from {share} % overlap on")
    if "T" in axes:
        most = counted(link["most_distance"], "diameter")
        parts.append(f"objects were tracked over time with LapTrack, moving at most {most}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _filter(told: Mapping[str, Any], *, corrected: bool) -> str:
    text = left_out(_settings_of(told))
    but = ", unless a person had drawn, changed or confirmed them" if corrected else ""
    count = counted(told.get("left_out", 0), "object")
    return f"{text[:1].upper()}{text[1:]} were left out{but} ({count})."


def _settings_of(told: Mapping[str, Any]) -> FilterSettings:
    return FilterSettings(**{k: v for k, v in told.items() if k in FilterSettings.model_fields})
