"""How files are damaged: the same way for the same seed and number.

Bytes are flipped, cut off, taken out, doubled and spliced in from another file; integers become
those at which programs fail; values of JSON are replaced, left out and nested. Where a checksum or
a length would hide the damage from the reader, it is made to fit again.
"""

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from napari_unet.journal.records import Kind, encode_record, find_records
from napari_unet.models.card import CARD_KEY

INTEGERS = (0, 1, -1, 2, 3, 4, 7, 8, 9, 127, 128, 255, 256, 32767, 32768, 65535, 65536,
            2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, -(2**63), 2**64, 1e308, -1e-300, float("nan"),
    float("inf"), "", "0", "YX", "\u202e\x00", "x" * 5000, "../../outside", [], {}, [[]], [None],
    [0, 0], [1e9, 1e9], {"a": {}}, ["Y", "X"],
)  # fmt: skip
DEEP = 3000  # levels of lists
STEPS = (1, 1, 1, 2, 3, 6)  # changes of one file
PNG_MARK = 8  # bytes before the first chunk
SIZES = {1: "B", 2: "H", 4: "I", 8: "Q"}
HEADER = 2048  # bytes at the beginning, where most of what is said of a file is


def damaged(kind: str, content: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """Return the content of a file with a few changes.

    Parameters
    ----------
    kind : str
        As in `KINDS`; another is damaged as bytes.
    content : bytes
        A whole file.
    others : sequence of bytes
        Files of the same kind, to splice from.
    chance : Random
        Decides.
    """
    special = KINDS.get(kind)
    for _ in range(chance.choice(STEPS)):
        if special is not None and chance.random() < 0.6:
            content = special(content, chance)
        else:
            content = _bytes(content, others, chance)
    return content


def _bytes(content: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    size = len(content)
    if size < 4:
        return content + chance.randbytes(4)
    at = _place(size, chance)
    much = min(size - at, int(2 ** chance.uniform(0, 12)))
    match chance.randrange(8):
        case 0 | 1:
            return (
                content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
            )
        case 2 | 3:
            return _integer(content, at, chance)
        case 4:
            return content[: chance.randrange(size)]
        case 5:
            return content[:at] + content[at + much :]
        case 6:
            return content[:at] + content[at : at + much] + content[at:]
        case _:
            other = chance.choice(others)
            start = chance.randrange(max(1, len(other)))
            return content[:at] + other[start : start + much] + content[at + much :]


def _place(size: int, chance: Random) -> int:
    """Return a place in a file, mostly at its ends."""
    match chance.randrange(3):
        case 0:
            return chance.randrange(size)
        case 1:
            return chance.randrange(min(size, HEADER))
        case _:
            return size - 1 - chance.randrange(min(size, HEADER))


def _integer(content: bytes, at: int, chance: Random) -> bytes:
    width = chance.choice(tuple(SIZES))
    at -= at % min(width, 2) if chance.random() < 0.8 else 0
    number = chance.choice(INTEGERS) % 2 ** (8 * width)
    there = struct.pack(chance.choice("<>") + SIZES[width], number)
    return (content[:at] + there + content[at + width :])[: max(len(content), at + width)]


def _tiff(content: bytes, chance: Random) -> bytes:
    """Change one entry of a directory: its tag, type, count or value."""
    if len(content) < 16:
        return content
    order = ">" if content[:2] == b"MM" else "<"
    big = content[2:4] in (b"\x2b\0", b"\0\x2b")
    start = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)[0]
    head, width = (8, 20) if big else (2, 12)
    if start + head > len(content):
        return content
    number = struct.unpack_from(order + ("Q" if big else "H"), content, start)[0]
    entry = start + head + width * chance.randrange(max(1, min(number, 40)))
    fields = [(0, "H"), (2, "H"), (4, "Q"), (12, "Q")] if big else [
        (0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")]  # fmt: skip
    offset, letter = chance.choice([*fields, *fields[2:], *fields[2:]])  # mostly count and value
    size = struct.calcsize(letter)
    if entry + offset + size > len(content):
        return content
    old = struct.unpack_from(order + letter, content, entry + offset)[0]
    new = chance.choice((*INTEGERS, old + 1, old - 1, old * 2, old // 2)) % 2 ** (8 * size)
    there = struct.pack(order + letter, new)
    return content[: entry + offset] + there + content[entry + offset + size :]


def _png(content: bytes, chance: Random) -> bytes:
    """Change the inside of a chunk; its checksum fits."""
    chunks = _chunks(content)
    if not chunks:
        return content
    number = chance.randrange(len(chunks)) if chance.random() < 0.6 else 0
    name, inside = chunks[number]
    if chance.random() < 0.1:
        chunks.insert(chance.randrange(len(chunks)), (name, inside))
    elif inside:
        chunks[number] = (name, _integer(inside, chance.randrange(len(inside)), chance))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return content[:PNG_MARK] + body


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], PNG_MARK
    while at + 12 <= len(content):
        length = struct.unpack_from(">I", content, at)[0]
        if at + 12 + length > len(content):
            break
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _model(content: bytes, chance: Random) -> bytes:
    """Change the header or the card in it; the length of the header fits."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content):
        return content
    header = content[8 : 8 + length]
    try:
        told = json.loads(header)
        card = json.loads(told["__metadata__"][CARD_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        return content
    if chance.random() < 0.6:
        told["__metadata__"][CARD_KEY] = _told(_changed(card, chance), chance)
        anew = json.dumps(told)
    else:
        anew = _told(_changed(told, chance), chance)
    text = anew.encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _journal(content: bytes, chance: Random) -> bytes:
    """Change the inside of records; their checksums fit."""
    records, _ = find_records(content)
    if not records:
        return content
    chosen = records[chance.randrange(len(records)) if chance.random() < 0.6 else 0]
    draw, other_kind, changed = chance.random(), chance.random() < 0.05, b""
    for one in records:
        payload, kind = one.payload, one.kind
        # Both headers alike: the second would make the damage good.
        if payload and (one is chosen or kind == chosen.kind == Kind.HEADER):
            own = Random(draw)
            if kind == Kind.STROKE or own.random() < 0.2:
                payload = _integer(payload, own.randrange(len(payload)), own)
            else:
                payload = json_changed(payload, own)
            kind = own.randrange(256) if other_kind else kind
        changed += encode_record(kind, one.number, one.time, payload)
    return changed


def json_changed(content: bytes, chance: Random) -> bytes:
    """Return JSON text with another value somewhere; what is none stays as it is."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return _told(_changed(found, chance), chance).encode("utf-8", "surrogatepass")


def _told(value: Any, chance: Random) -> str:
    text = json.dumps(value)
    if chance.random() < 0.02:
        return text.replace("null", "[" * DEEP + "]" * DEEP)
    return text


def _changed(value: Any, chance: Random) -> Any:
    """Return a value of JSON with another one somewhere inside."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
        return _other(value, chance)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    anew: Any = value.copy()
    match chance.randrange(12):
        case 0:
            del anew[key]
        case 1 if isinstance(value, dict):
            anew[f"{key}{chance.choice('_ x')}"] = anew.pop(key)
        case 1:
            anew = anew + anew
        case _:
            anew[key] = _changed(value[key], chance)
    return anew


def _other(value: Any, chance: Random) -> Any:
    if isinstance(value, int | float) and chance.random() < 0.4:
        return chance.choice((value + 1, value - 1, -value, value * 1000, chance.choice(INTEGERS)))
    return chance.choice(VALUES)


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "tiff": _tiff,
    "png": _png,
    "model": _model,
    "journal": _journal,
    "json": json_changed,
}
