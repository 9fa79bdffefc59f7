"""Blosc chunks of zarr arrays whose length is looked at before they are decompressed.

numcodecs takes a chunk for as long as its header says. Of one that was cut short it reads what lies
behind it in memory: pixels that are wrong, or the end of the process. It is known there as #228.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numcodecs
import zarr.registry
from numcodecs.registry import codec_registry, register_codec
from zarr.codecs import BloscCodec

HEADER = struct.Struct("<4B3I")  # versions, flags, size of a value; bytes of pixels, block, chunk


class CheckedBlosc(numcodecs.Blosc):  # type: ignore[misc]
    """Blosc of zarr's version 2; raises `ValueError` for a chunk that is cut short."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress a chunk."""
        view = memoryview(buf).cast("B")
        if len(view) < HEADER.size or HEADER.unpack_from(view)[-1] > len(view):
            raise ValueError("a chunk is shorter than it says")
        return super().decode(buf, out)


class CheckedBloscCodec(BloscCodec):
    """The same of zarr's version 3."""

    @cached_property
    def _blosc_codec(self) -> Any:
        settings = super()._blosc_codec.get_config()
        return CheckedBlosc.from_config({k: v for k, v in settings.items() if k != "id"})


@contextmanager
def checked_blosc() -> Iterator[None]:
    """Let arrays that are opened meanwhile check their chunks; others of the process do not."""
    name = f"{CheckedBloscCodec.__module__}.{CheckedBloscCodec.__qualname__}"
    zarr.registry.register_codec("blosc", CheckedBloscCodec)
    before = codec_registry.get("blosc", numcodecs.Blosc)
    register_codec(CheckedBlosc)
    try:
        with zarr.config.set({"codecs.blosc": name}):
            yield
    finally:
        register_codec(before)
