"""Where the blocks' objects wait until the tiles around them are written."""

import secrets
import zipfile
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_unet.image import Box
from napari_unet.io.ome_zarr import UNFINISHED
from napari_unet.labels.watershed import Patch
from napari_unet.tiling.plan import Key


class Patches(Protocol):
    """A place for patches; several threads or machines may use it at once."""

    def put(self, key: Key, patch: Patch) -> None:
        """Keep the objects of a block, in place of what was kept before."""

    def get(self, key: Key) -> Patch:
        """Return what was kept."""

    def drop(self, key: Key) -> None:
        """Forget a block, whether it was kept or not."""


class PatchesInMemory:
    """Patches of threads of one process."""

    def __init__(self) -> None:
        self._kept: dict[Key, Patch] = {}

    def put(self, key: Key, patch: Patch) -> None:
        """Keep the objects of a block."""
        self._kept[key] = patch

    def get(self, key: Key) -> Patch:
        """Return what was kept."""
        return self._kept[key]

    def drop(self, key: Key) -> None:
        """Forget a block."""
        self._kept.pop(key, None)


class PatchesInFolder:
    """Patches as files, one for each block, seen by every process that sees the folder.

    Parameters
    ----------
    folder : Path
        It must be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, key: Key) -> Path:
        return self._folder / f"{key[0]}-{key[1]}.npz"

    def put(self, key: Key, patch: Patch) -> None:
        """Keep the objects of a block; a reader sees all of it or nothing."""
        target = self._file(key)
        part = target.with_suffix(f".{secrets.token_hex(8)}.part")  # a lost worker may still work
        small = patch.labels.astype(np.uint16) if patch.count < 2**16 else patch.labels
        try:
            with open(part, "wb") as file:
                np.savez(file, labels=small, start=np.array(patch.box.start))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def get(self, key: Key) -> Patch:
        """Return what was kept."""
        with open(self._file(key), "rb") as stream, np.load(stream, allow_pickle=False) as file:
            labels = file["labels"].astype(np.int32)
            y, x = file["start"].tolist()
        box = Box((y, x), (y + labels.shape[0], x + labels.shape[1]))
        return Patch(box, labels, int(labels.max(initial=0)))

    def intact(self, key: Key) -> bool:
        """Whether a block is kept, and whole."""
        try:
            self.get(key)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False
        return True

    def drop(self, key: Key) -> None:
        """Forget a block."""
        self._file(key).unlink(missing_ok=True)


def scratch_of(output: Path) -> Path:
    """Folder of an unfinished result that is deleted when it is whole."""
    return output / UNFINISHED


def maps_of(output: Path) -> Path:
    """Where probability maps of an unfinished result wait."""
    return scratch_of(output) / "maps"


def patches_of(output: Path) -> Path:
    """Where the objects of an unfinished result wait: on a disk with room for it."""
    return scratch_of(output) / "patches"
