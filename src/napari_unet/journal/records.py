"""The records of a journal: how corrections become bytes, and bytes corrections again.

A journal is a row of records. Each has a head - mark, kind, number of the edit, length, time and
checksums - and a payload. A record is believed only if both checksums fit; after a damaged one,
reading goes on at the next record that does. Nothing is allocated on the word of the file alone.
"""

import json
import math
import os
import secrets
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.image import Box

FORMAT = 1
MARK = b"\xd5UJ\n"  # never in JSON text, which is ASCII here
HEAD = struct.Struct("<4sBIIdI")  # mark, kind, number, bytes of payload, time, CRC of payload
CHECK = struct.Struct("<I")  # CRC of the head
HEAD_BYTES = HEAD.size + CHECK.size
PLACE = struct.Struct("<B4Ii")  # leading axes, box, painted pixels more than before
MOST_PIXELS = 2**20  # in the box of one record; larger edits are split
MOST_TEXT = 2**16  # bytes of a header or a note
MOST_BYTES = 5 * 2**20  # of a payload: MOST_PIXELS values and their mask, not compressible
LAST_TIME = 253402300800.0  # seconds; the year 10000, where dates end
LONGEST_NAME = 200


class Kind(IntEnum):
    """What a record holds."""

    HEADER = 1
    STROKE = 2
    NOTE = 3


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What a journal belongs to.

    Attributes
    ----------
    identity : str
        Fingerprint of the image, hexadecimal digits.
    shape : tuple of int
        Of the painted array, ``(..., Y, X)``, in pixels.
    axes : str
        One letter for each dimension, ending in YX.
    image_name, model, layer : str
        Names the person knows: of the image, of the model and of the labels layer.
    image_path : str or None
        Where the image came from.
    created : float
        Seconds since 1970, now by default.
    pid : int
        The process that writes.
    token : str
        Random; files with the same token are parts of one journal.
    """

    identity: str
    shape: tuple[int, ...]
    axes: str
    image_name: str = ""
    image_path: str | None = None
    model: str = ""
    layer: str = ""
    created: float = field(default_factory=time.time)
    pid: int = field(default_factory=os.getpid)
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        shape = tuple(int(length) for length in self.shape)
        object.__setattr__(self, "shape", shape)
        if not 2 <= len(shape) <= 8 or min(shape) < 1 or math.prod(shape) > 2**48:
            raise InputError(
                f"A journal of shape {shape} was asked for; it needs 2 to 8 dimensions, ending in "
                "Y and X, none of them empty."
            )
        if not 8 <= len(self.identity) <= 64 or set(self.identity) - set("0123456789abcdef"):
            raise InputError(
                f"The image identity {self.identity!r} is not hexadecimal; use fingerprint()."
            )

    def encode(self) -> bytes:
        """Return the payload of the header record."""
        return _to_json({"version": FORMAT, **asdict(self)})

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read the payload back; raises `ValueError` if it is no header of this format."""
        found = _from_json(payload)
        if found.get("version") != FORMAT:
            raise InputError(
                f"The journal has format {str(found.get('version'))[:20]}, this version reads "
                f"format {FORMAT}. Update the plugin to read it."
            )
        path = found.get("image_path")
        try:
            return cls(
                identity=str(found["identity"]),
                shape=tuple(found["shape"]),
                axes=_name(found["axes"]),
                image_name=_name(found["image_name"]),
                image_path=None if path is None else str(path),
                model=_name(found["model"]),
                layer=_name(found["layer"]),
                created=float(found["created"]),
                pid=int(found["pid"]),
                token=_name(found["token"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"no journal header: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Record:
    """One undamaged record; `number` is that of the newest edit, `time` in seconds since 1970."""

    kind: int
    number: int
    time: float
    payload: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """Pixels painted in one plane: ``painted[plane][box][mask] = values``.

    Attributes
    ----------
    plane : tuple of int
        Indices along the leading axes.
    box : Box
        In pixels of the plane.
    mask : ndarray of bool
        Changed pixels, of the box's shape.
    values : ndarray of uint32
        Their new values, one for each changed pixel, or a single one for all.
    """

    plane: tuple[int, ...]
    box: Box
    mask: NDArray[np.bool_]
    values: NDArray[np.uint32]

    def apply(self, painted: Any) -> None:
        """Paint into an array of shape ``(..., Y, X)``."""
        index = (*self.plane, *self.box.slices)
        window = np.asarray(painted[index])
        window[self.mask] = self.values
        painted[index] = window


def encode_record(kind: Kind, number: int, when: float, payload: bytes) -> bytes:
    """Return head and payload of one record."""
    head = HEAD.pack(MARK, kind, number, len(payload), when, zlib.crc32(payload))
    return head + CHECK.pack(zlib.crc32(head)) + payload


def find_records(content: bytes) -> tuple[list[Record], int]:
    """Find all undamaged records in the content of a file.

    Returns
    -------
    records : list of Record
        In the order of the file.
    damaged : int
        Number of places that held something else.
    """
    records: list[Record] = []
    damaged, position, broken = 0, 0, False
    while position < len(content):
        record = _record_at(content, position)
        if record is not None:
            records.append(record)
            position += HEAD_BYTES + len(record.payload)
            broken = False
            continue
        damaged += not broken
        broken = True
        # From the next byte on, not after the stated length: bytes may be missing.
        following = content.find(MARK, position + 1)
        position = following if following >= 0 else len(content)
    return records, damaged


def _record_at(content: bytes, position: int) -> Record | None:
    """Return the record that begins at `position`, None if there is no undamaged one."""
    head = content[position : position + HEAD.size]
    start = position + HEAD_BYTES
    if len(head) < HEAD.size or start > len(content):
        return None
    if CHECK.unpack_from(content, position + HEAD.size)[0] != zlib.crc32(head):
        return None
    mark, kind, number, length, when, check = HEAD.unpack(head)
    allowed = MOST_BYTES if kind == Kind.STROKE else MOST_TEXT
    if mark != MARK or length > allowed or not 0 <= when < LAST_TIME:
        return None
    payload = content[start : start + length]
    if len(payload) < length or zlib.crc32(payload) != check:
        return None
    return Record(kind, number, when, payload)


def encode_stroke(
    plane: Sequence[int],
    box: Box,
    before: NDArray[np.uint32] | None,
    after: NDArray[np.uint32],
) -> bytes | None:
    """Return the payload for the pixels of a box that changed, None if none did.

    `before` and `after` have the shape of the box, which holds at most `MOST_PIXELS`;
    None = nothing was painted there.
    """
    changed = after != 0 if before is None else before != after
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    tight = Box((int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1))
    changed = changed[tight.slices]
    values = after[tight.slices][changed]
    more = int(np.count_nonzero(values))
    if before is not None:
        more -= int(np.count_nonzero(before[tight.slices][changed]))
    if (values == values[0]).all():
        values = values[:1]
    body = np.packbits(changed).tobytes() + values.astype("<u4").tobytes()
    there = tight.shift((-box.start[0], -box.start[1]))
    place = PLACE.pack(len(plane), *there.start, *there.stop, more)
    return place + struct.pack(f"<{len(plane)}I", *plane) + zlib.compress(body)


def painted_more(payload: bytes) -> int:
    """Return how many painted pixels more there are after the stroke, without unpacking it."""
    return int(PLACE.unpack_from(payload)[-1]) if len(payload) >= PLACE.size else 0


def decode_stroke(payload: bytes, shape: tuple[int, ...]) -> Stroke:
    """Read a stroke back.

    Parameters
    ----------
    payload : bytes
        From `encode_stroke`, or from a hostile file.
    shape : tuple of int
        Of the painted array, ``(..., Y, X)``.

    Raises
    ------
    ValueError
        If it does not lie in the shape or claims more than it holds.
    """
    try:
        leading, y0, x0, y1, x1, _ = PLACE.unpack_from(payload)
        plane = struct.unpack_from(f"<{leading}I", payload, PLACE.size)
    except struct.error as error:
        raise ValueError("a stroke is too short") from error
    box = Box((y0, x0), (y1, x1))
    inside = leading == len(shape) - 2 and all(i < n for i, n in zip(plane, shape, strict=False))
    if not inside or y1 > shape[-2] or x1 > shape[-1] or not 0 < box.size <= MOST_PIXELS:
        raise ValueError("a stroke lies outside the image")
    mask, values = _unpack(payload[PLACE.size + 4 * leading :], box.size)
    return Stroke(plane, box, mask.reshape(box.shape), values)


def _unpack(packed: bytes, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
    mask_bytes = -(-size // 8)
    try:
        body = zlib.decompressobj().decompress(packed, mask_bytes + 4 * size + 1)
    except zlib.error as error:
        raise ValueError("a stroke cannot be unpacked") from error
    if len(body) < mask_bytes or (len(body) - mask_bytes) % 4:
        raise ValueError("a stroke is incomplete")
    mask = np.unpackbits(np.frombuffer(body, np.uint8, mask_bytes), count=size).view(np.bool_)
    values = np.frombuffer(body, "<u4", offset=mask_bytes).astype(np.uint32)
    if values.size not in (1, np.count_nonzero(mask)):
        raise ValueError("a stroke has too few or too many values")
    return mask, values


def encode_note(fields: Mapping[str, str]) -> bytes:
    """Return the payload of a note; raises `InputError` if it is too long."""
    payload = _to_json(dict(fields))
    if len(payload) > MOST_TEXT:
        raise InputError(f"A note of {len(payload)} bytes does not fit; shorten it.")
    return payload


def decode_note(payload: bytes) -> dict[str, str]:
    """Read a note back; empty if it is none."""
    try:
        return {str(key): str(value) for key, value in _from_json(payload).items()}
    except ValueError:
        return {}


def _to_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=True).encode("ascii")


def _from_json(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except RecursionError as error:
        raise ValueError("the text is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("the text is no set of named fields")
    return found


def _name(text: object) -> str:
    """Return a name fit to be shown: one line, no control characters."""
    return "".join(c for c in str(text) if c.isprintable())[:LONGEST_NAME]
