"""The model file itself, without torch: check all of it, copy it with a changed card.

A safetensors file is eight bytes with the length of its header, the header in JSON (the card, and
type, shape and place of every tensor), and the bytes of the tensors.
"""

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from napari_unet.errors import ModelError, SaveError
from napari_unet.models.card import CARD_KEY, LARGEST_HEADER, SUFFIX, ModelCard, read_card
from napari_unet.network.imported import SCRIPT, ImportedSpec
from napari_unet.network.spec import expected_tensors

LARGEST_FILE = 600 * 10**6  # bytes; a network of 64 base filters takes 125 million
MOST_TENSORS = 2000
CHUNK = 2**22  # bytes that are read at once
PICKLES = frozenset((".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".tar"))
# Bits of the exponent, all of them set in infinities and what is no number, per type.
EXPONENTS = {
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F80_0000),
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the header describes it.

    Attributes
    ----------
    dtype : str
        As safetensors calls it, such as "F32".
    shape : tuple of int
        Its shape.
    start, stop : int
        Where its bytes are, counted from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def check_model(path: Path) -> ModelCard:
    """Check a model file completely, without loading it, and return its card.

    The kind of file, its size, header, card, the tensors' names, types and shapes against the
    card's network, and that every weight is a number.

    Raises
    ------
    ModelError
        Saying what is wrong with the file.
    """
    _check_kind(path)
    card = read_card(path)
    try:
        with open(path, "rb") as file:
            tensors = _tensors(read_header(file, path.name))
            _check_tensors(path, tensors, card)
            _check_numbers(file, path, tensors)
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error}). Check the file.") from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path.name} is damaged ({error}). Copy or export it again.") from error
    return card


def read_header(file: BinaryIO, name: str) -> dict[str, Any]:
    """Read a model file's header; the stream stands at the tensors afterwards.

    Parameters
    ----------
    file : binary file
        Open at its beginning.
    name : str
        Its name, for the message.

    Raises
    ------
    ModelError
        If the header is too long, or is not the header of a model file.
    """
    try:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(file.read(length), object_pairs_hook=_without_doubles)
        if not isinstance(header, dict) or not isinstance(header["__metadata__"], dict):
            raise ValueError("its header is not a model's")
    except (ValueError, KeyError, RecursionError) as error:
        raise ModelError(f"{name} is damaged ({error}). Copy or export it again.") from error
    return header


def copy_model(source: Path, target: BinaryIO, changes: Mapping[str, Any]) -> None:
    """Copy a model file into an open one, with other values in its card.

    The tensors are copied byte by byte, and so are fields of the card this version does not
    know. Without changes the copy is identical.
    """
    with open(source, "rb") as file:
        if changes:
            header = read_header(file, source.name)
            card = json.loads(header["__metadata__"][CARD_KEY])
            header["__metadata__"][CARD_KEY] = json.dumps({**card, **changes})
            text = json.dumps(header, separators=(",", ":")).encode()
            text += b" " * (-len(text) % 8)  # the format wants the tensors aligned
            if len(text) > LARGEST_HEADER:
                raise ModelError(
                    f"The card of {source.name} has grown to {len(text)} bytes; at most "
                    f"{LARGEST_HEADER} are read. Shorten its description or report."
                )
            target.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(file, target, CHUNK)


def check_copy(source: Path, copy: Path, changes: Mapping[str, Any]) -> None:
    """Read a copy back; `OSError` if it is not the source with `changes` in its card."""
    with open(source, "rb") as one, open(copy, "rb") as other:
        same = True
        if changes:
            header, again = read_header(one, source.name), read_header(other, copy.name)
            card = json.loads(again.pop("__metadata__")[CARD_KEY])
            del header["__metadata__"]
            same = header == again and all(card[key] == value for key, value in changes.items())
        if not same or _digest(one) != _digest(other):
            raise OSError("what was read back differs from what was written")


@contextlib.contextmanager
def explained(deed: str) -> Iterator[None]:
    """Turn what the system says into a sentence."""
    try:
        yield
    except (SaveError, ModelError):
        raise
    except OSError as error:
        raise SaveError(
            f"{deed} did not work: {error.strerror or error}. No model is lost. Free some space, "
            "or check that you may write to the folder."
        ) from error


def _digest(file: BinaryIO) -> str:
    """Return the sha256 of the rest of a file."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _check_kind(path: Path) -> None:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ModelError(f"There is no model file at {path}. Check the path.")
    if suffix in PICKLES:
        raise ModelError(
            f"{path.name} may run a program hidden in it when it is opened, as all {suffix} files "
            f"may, so it is not imported. Ask for the model as a {SUFFIX} file exported by this "
            "plugin, or retrain one of the models here on your images."
        )
    if suffix != SUFFIX:
        raise ModelError(
            f"{path.name} is not a model file of this plugin; theirs end in {SUFFIX}. Import a "
            "file that was exported here."
        )
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ModelError(
            f"{path.name} has {size / 1e6:.0f} MB; models have at most {LARGEST_FILE / 1e6:.0f} "
            "MB. Choose the right file."
        )


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return found


def _tensors(header: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(str(entry["dtype"]), tuple(entry["shape"]), *entry["data_offsets"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], card: ModelCard) -> None:
    if len(tensors) > MOST_TENSORS:
        raise ModelError(
            f"{path.name} holds {len(tensors)} tensors; models have at most {MOST_TENSORS}. Use "
            "another model."
        )
    if isinstance(card.spec, ImportedSpec):
        if list(tensors) != [SCRIPT] or tensors[SCRIPT].dtype != "U8":
            raise ModelError(
                f"{path.name} holds no TorchScript, and its card tells of nothing else. Use "
                "another model."
            )
        return
    weights = {k: t for k, t in tensors.items() if not k.endswith("num_batches_tracked")}
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    known = all(tensor.dtype in EXPONENTS for tensor in weights.values())
    if not known or shapes != expected_tensors(card.spec):
        raise ModelError(
            f"The weights of {path.name} do not fit the network its card describes. Use another "
            "model."
        )


def _check_numbers(file: BinaryIO, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Look at every weight, some megabytes at a time; the stream stands at the tensors."""
    import numpy as np  # noqa: PLC0415  quick --help

    start = file.tell()
    for tensor in tensors.values():
        if tensor.dtype not in EXPONENTS:
            continue
        kind, exponent = EXPONENTS[tensor.dtype]
        if tensor.stop - tensor.start != math.prod(tensor.shape) * np.dtype(kind).itemsize:
            raise ValueError("a tensor's size is not that of its shape")
        file.seek(start + tensor.start)
        left = tensor.stop - tensor.start
        while left:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                raise ValueError("it ends too early")
            if ((np.frombuffer(chunk, kind) & exponent) == exponent).any():
                raise ModelError(
                    f"{path.name} holds weights that are not numbers. Use another model."
                )
            left -= len(chunk)
