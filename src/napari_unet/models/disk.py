"""How a file comes into a folder: whole, flushed to the disk, never in the place of another."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_unet.errors import ModelError, SaveError
from napari_unet.models.files import check_copy, copy_model

STALE_SECONDS = 24 * 3600  # a temporary file this old belongs to a program that has died


@contextlib.contextmanager
def part_copy(source: Path, folder: Path, changes: Mapping[str, Any]) -> Iterator[Path]:
    """Write a checked copy to a temporary file in `folder`, removed at the end if still there."""
    sweep(folder)
    part = folder / f".napari-unet-model-{secrets.token_hex(8)}.part"
    try:
        with open(part, "xb") as stream:
            copy_model(source, stream, changes)
            stream.flush()
            os.fsync(stream.fileno())
        check_copy(source, part, changes)
        yield part
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove temporary files of programs that died."""
    for part in folder.glob(".napari-unet-model-*.part"):
        with contextlib.suppress(OSError):  # another program removes it in this moment
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def move_new(source: Path, target: Path) -> None:
    """Move a file; `FileExistsError` if there is one at `target`, also if it came just now."""
    if os.name == "nt":
        os.rename(source, target)  # there it never replaces
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: take the name with an empty file first
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(source, target)
        except OSError:
            target.unlink()
            raise
    else:
        source.unlink()


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
