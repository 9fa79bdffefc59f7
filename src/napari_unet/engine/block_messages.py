"""Orders to the engine about blocks, and its answers: how each is written as a message."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from napari_unet.engine.protocol import Header, Message
from napari_unet.execution.ledger import BlockResult, WritableTile
from napari_unet.tiling.plan import Key

if TYPE_CHECKING:
    from napari_unet.execution.block_worker import Maker

OPEN = "slide"  # begins a job of such orders
ORDERS = ("block", "compose", "forget")


@cache
def _closings() -> TypeAdapter[WritableTile]:
    return TypeAdapter(WritableTile)


@cache
def _found() -> TypeAdapter[BlockResult]:
    return TypeAdapter(BlockResult)


def order_block(key: Key, pixels: NDArray[np.generic]) -> Message:
    """Ask for the objects of a block in ``(C, Y, X)``."""
    return {"op": "block", "key": key}, pixels


def order_tile(closing: WritableTile) -> Message:
    """Ask for a tile to be written."""
    return {"op": "compose", "closing": _closings().dump_python(closing)}, None


def order_to_forget(keys: Iterable[Key]) -> Message:
    """Ask to forget blocks."""
    return {"op": "forget", "keys": list(keys)}, None


def obey(message: Message, maker: "Maker") -> list[Header]:
    """Carry an order out; return what to answer, if anything."""
    header, pixels = message
    match header["op"]:
        case "block":
            assert pixels is not None, "a block comes with its pixels"
            found = maker.find(_key(header["key"]), pixels)
            return [{"op": "found", "found": _found().dump_python(found)}]
        case "compose":
            maker.write(_closings().validate_python(header["closing"]))
            return [{"op": "composed", "closing": header["closing"]}]
        case "forget":
            maker.drop([_key(key) for key in header["keys"]])
            return []
        case other:
            raise ValueError(f"unknown order {other!r}")


def answer(message: Message) -> BlockResult | WritableTile:
    """Read what the engine has done."""
    header, _ = message
    match header["op"]:
        case "found":
            return _found().validate_python(header["found"])
        case "composed":
            return _closings().validate_python(header["closing"])
        case other:
            raise ValueError(f"unknown answer {other!r}")


def _key(value: Any) -> Key:
    plane, tile = value
    return int(plane), int(tile)
