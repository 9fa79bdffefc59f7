"""Full disks: what is saved, exported and journalled on a disk that has too little room.

The disk is a tmpfs of a few megabytes where one can be mounted, which needs root; else the length
of files is limited. Whatever was there must be as it was, with a sentence and no temporary file.
"""

import contextlib
import hashlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.reliability.campaign import Asked, Tally
from benchmarks.reliability.files.seeds import IDENTITY
from napari_unet.errors import SaveError
from napari_unet.image import Box
from napari_unet.io.exports.geojson import save_geojson
from napari_unet.io.exports.rois import save_rois
from napari_unet.io.exports.tables import save_table
from napari_unet.io.ome_zarr import LabelPyramid, copy_labels
from napari_unet.io.tiff import save_labels
from napari_unet.journal.journal import Journal, JournalHeader
from napari_unet.journal.recovery import replay

COUNT = 200
MEGABYTES = 8
SHAPE = (300, 300)
STROKES = 6
WAITS = 20.0  # seconds until strokes are on a disk
Write = Callable[[Path], object]


class Disk:
    """A folder on a disk that can be filled.

    Parameters
    ----------
    folder : Path
        On a disk of its own.
    own : bool
        Whether it is; else the length of files is limited instead.
    """

    def __init__(self, folder: Path, *, own: bool) -> None:
        self.folder, self._own = folder, own
        self._filling = folder / "filling"

    @contextlib.contextmanager
    def with_room(self, left: int) -> Iterator[None]:
        """Leave so many bytes."""
        if not self._own:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (left, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            return
        there = os.statvfs(self.folder)
        self._filling.write_bytes(bytes(max(0, there.f_bavail * there.f_frsize - left)))
        try:
            yield
        finally:
            self._filling.unlink()

    def names(self) -> list[str]:
        """Return what is in the folder."""
        return sorted(entry.name for entry in self.folder.iterdir() if entry != self._filling)


@contextlib.contextmanager
def small_disk() -> Iterator[Disk]:
    """Mount one, or limit files."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-disk-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", folder]
        own = os.name != "nt" and os.getuid() == 0
        own = own and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            yield Disk(Path(folder), own=own)
        finally:
            if own:
                subprocess.run(["umount", folder], check=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is written: the name of the file, and how."""

    name: str
    write: Write


def labels(seed: int) -> Any:
    """Return objects of four pixels with random numbers, which no compression makes small."""
    random = np.random.default_rng(seed)
    return np.kron(random.integers(1, 2**20, (SHAPE[0] // 2, SHAPE[1] // 2)), np.ones((2, 2), int))


def kinds(folder: Path) -> list[Kind]:
    """Return everything that is written; sources lie in a folder of another disk."""
    import pandas as pd

    new, few = labels(1), labels(2)[:80, :80]
    table = pd.DataFrame(np.random.default_rng(3).random((5000, 5)), columns=list("abcde"))
    pyramid = LabelPyramid.create(folder / "source.zarr", SHAPE, (64, 64), axes="YX")
    for y in range(0, SHAPE[0], 64):
        for x in range(0, SHAPE[1], 64):
            box = Box((y, x), (min(y + 64, SHAPE[0]), min(x + 64, SHAPE[1])))
            pyramid.write((), box, new[box.slices].astype("u4"))
    return [
        Kind("a.ome.tif", lambda path: save_labels(path, new)),
        Kind("a.tif", lambda path: save_labels(path, new)),
        Kind("a.csv", lambda path: save_table(path, table)),
        Kind("a.zip", lambda path: save_rois(path, few, "YX")),
        Kind("a.geojson", lambda path: save_geojson(path, few, "YX")),
        Kind("a.safetensors", _save_model),
        Kind("a.zarr", lambda path: copy_labels(folder / "source.zarr", path)),
    ]


def _save_model(path: Path) -> None:
    from napari_unet.models.card import ModelCard
    from napari_unet.models.weights import save_model
    from napari_unet.network.spec import UNetSpec
    from napari_unet.network.unet import UNet

    spec = UNetSpec(base_filters=8, depth=3)
    save_model(path, UNet(spec), ModelCard(name="a", spec=spec))


def needed(kind: Kind, folder: Path) -> int:
    """Return how many bytes a kind takes on a disk with room."""
    path = folder / kind.name
    kind.write(path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def save(kind: Kind, size: int, disk: Disk, chance: Random) -> str:
    """Save where the room does not suffice; return how it ended."""
    path, folder = disk.folder / kind.name, kind.name.endswith(".zarr")
    old = b"" if folder else chance.randbytes(1000)
    if not folder:
        path.write_bytes(old)
    before = disk.names()
    said = ""
    try:
        with disk.with_room(int(size * chance.uniform(0, 0.9))):
            kind.write(path)
    except SaveError as error:
        said = str(error)
    assert kind.name in said, said or f"{kind.name} was saved where it cannot be"
    assert disk.names() == before, f"{disk.names()} were {before}"
    if not folder:
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(old).digest()
        path.unlink()
    return "refused with a sentence, the old file as it was"


def journal(disk: Disk, chance: Random) -> str:
    """Paint on while the disk gets full; every stroke must be in one of the files."""
    painted, random = np.zeros(SHAPE, np.uint32), np.random.default_rng(chance.randrange(2**32))
    own = Journal(disk.folder / "journals", JournalHeader(IDENTITY, SHAPE, "YX"))

    def paint() -> None:
        y, x = (int(n) for n in random.integers(0, SHAPE[0] - 60, 2))
        box = Box((y, x), (y + 60, x + 60))
        before = painted[box.slices].copy()
        painted[box.slices] = random.integers(1, 2**31, box.shape)
        own.append((), box, before, painted[box.slices])

    paint()
    assert own.flush(WAITS), "the first stroke is not on the disk"
    with disk.with_room(chance.randrange(40_000)):
        for _ in range(STROKES):
            paint()
        kept = own.flush(WAITS)
        assert kept or own.problem, "strokes are lost without a word"
        if kept:
            np.testing.assert_array_equal(replay(own.paths)[0], painted)
    assert own.flush(WAITS), "strokes are not kept though there is room again"
    paths = own.paths
    own.close()
    np.testing.assert_array_equal(replay(paths)[0], painted)
    moved = len(paths) > 1
    for path in paths:
        path.unlink()
    return "strokes kept in another folder" if moved else "strokes kept"


def run(asked: Asked) -> Mapping[str, Tally]:
    """Fill the disk again and again, for each kind in turn."""
    tallies = {"full disk, files": Tally(), "full disk, journal": Tally()}
    former = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as temporary, small_disk() as disk:
        tempfile.tempdir = temporary  # where a journal goes that has no room
        try:
            _fill_again_and_again(asked, disk, Path(temporary), tallies)
        finally:
            tempfile.tempdir = former
    return tallies


def _fill_again_and_again(
    asked: Asked, disk: Disk, folder: Path, tallies: Mapping[str, Tally]
) -> None:
    every = kinds(folder)
    sizes = [needed(kind, folder) for kind in every]
    for number in range(asked.count or COUNT):
        if asked.left < 0:
            break
        chance, at = Random(f"{asked.seed}/{number}"), number % (len(every) + 1)
        files = at < len(every)
        tally = tallies["full disk, files" if files else "full disk, journal"]
        try:
            end = save(every[at], sizes[at], disk, chance) if files else journal(disk, chance)
        except Exception as error:  # noqa: BLE001  that is what is looked for
            end = "failed"
            tally.bad.append(f"{number}: {every[at].name if files else 'journal'}: {error!r:.500}")
        tally.ends[end] += 1
