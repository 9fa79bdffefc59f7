"""Messages between the viewer's process and the engine's, over two pipes.

A message is a JSON header and, if the header has a ``dtype`` and ``shape``, an array's bytes::

    uint32 length of the header │ uint64 length of the array │ header │ array

Nothing is pickled: a message can hold numbers, texts and arrays of numbers, never code.
"""

import json
import struct
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTHS = struct.Struct("<IQ")
Header = dict[str, Any]
Message = tuple[Header, NDArray[Any] | None]


def write_message(stream: IO[bytes], header: Header, array: NDArray[Any] | None = None) -> None:
    """Write one message and flush."""
    body: bytes | memoryview = b""
    if array is not None:
        array = np.ascontiguousarray(array)
        header = {**header, "dtype": array.dtype.str, "shape": array.shape}
        body = array.reshape(-1).view(np.uint8).data
    content = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(content), len(body)))
    stream.write(content)
    stream.write(body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Read one message; None at the end of the stream, also if it ends within a message."""
    lengths = _read(stream, _LENGTHS.size)
    if lengths is None:
        return None
    header_length, body_length = _LENGTHS.unpack(lengths)
    content, body = _read(stream, header_length), _read(stream, body_length)
    if content is None or body is None:
        return None
    header: Header = json.loads(bytes(content))
    if "dtype" not in header:
        return header, None
    return header, np.frombuffer(body, np.dtype(header["dtype"])).reshape(header["shape"])


def _read(stream: IO[bytes], length: int) -> bytearray | None:
    buffer = bytearray(length)
    view, have = memoryview(buffer), 0
    while have < length:
        got = stream.readinto(view[have:])  # type: ignore[attr-defined]
        if not got:
            return None
        have += got
    return buffer
