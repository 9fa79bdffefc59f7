"""Results of image files: what they are called, and what belongs to one.

Command line and panel name results alike. Nothing here is slow to import.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import InputError, UNetError
from napari_unet.io import atomic

if TYPE_CHECKING:
    import pandas as pd

    from napari_unet.image import ArrayLike
    from napari_unet.io.formats.facts import Scene


@dataclass(frozen=True, slots=True)
class Export:
    """A kind of file: how its name ends, and the help of its option."""

    ending: str
    help: str


EXPORTS = {
    "csv": Export("_objects.csv", "Write a table of the objects beside the labels."),
    "roi": Export("_rois.zip", "Write outlines for the ROI Manager of ImageJ."),
    "geojson": Export("_objects.geojson", "Write outlines with measurements for QuPath."),
}


def chosen(**wanted: bool) -> tuple[str, ...]:
    """Return the kinds that were asked for."""
    return tuple(kind for kind in EXPORTS if wanted[kind])


def exports_of(labels: Path, kinds: Collection[str], folder: Path | None = None) -> dict[str, Path]:
    """Return the file of each kind that belongs to a label image.

    Parameters
    ----------
    labels : Path
        ``a_labels.tif`` has ``a_objects.csv``, and ``b.zarr`` has ``b_objects.csv``.
    kinds : collection of str
        Names in `EXPORTS`.
    folder : Path, optional
        Where they lie; default beside the labels.
    """
    stem = labels.name.removesuffix(labels.suffix).removesuffix(".ome").removesuffix("_labels")
    return {kind: (folder or labels.parent) / f"{stem}{EXPORTS[kind].ending}" for kind in kinds}


@contextmanager
def prepared(
    files: Mapping[str, Path],
    labels: "ArrayLike",
    axes: str,
    measured: "Callable[[], pd.DataFrame]",
) -> Iterator[None]:
    """Write exports beside their places, and put them there when the block ends without error.

    What was there is set aside meanwhile and comes back on an error: exports of other labels never
    lie beside new ones, not even if the program is killed.

    Parameters
    ----------
    files : mapping of str to Path
        The file of each kind.
    labels : array-like
        Whole numbers ``(..., Y, X)``.
    axes : str
        One letter for each axis.
    measured : callable
        Gives the table of the objects.
    """
    waiting = {kind: path.with_name(f"{path.name}.partial") for kind, path in files.items()}
    try:
        for kind, path in waiting.items():
            _write(kind, path, labels, axes, measured)
        with _set_aside(files.values()):
            yield
            for kind, path in waiting.items():
                atomic.replace(path, files[kind])
    finally:
        for path in waiting.values():
            path.unlink(missing_ok=True)


@contextmanager
def _set_aside(files: Collection[Path]) -> Iterator[None]:
    """Take files away; on an error they come back, else they are deleted."""
    aside = {path: path.with_name(f"{path.name}.before") for path in files}
    for path, before in aside.items():
        before.unlink(missing_ok=True)  # of a run that was killed
        if path.exists():
            atomic.replace(path, before)
    try:
        yield
    except BaseException:
        for path, before in aside.items():
            if before.exists():
                atomic.replace(before, path)
        raise
    for before in aside.values():
        before.unlink(missing_ok=True)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, so that a whole one is there or none."""
    part = target.with_name(f"{target.name}.partial")
    shutil.copyfile(source, part)
    atomic.replace(part, target)


def _write(
    kind: str,
    path: Path,
    labels: "ArrayLike",
    axes: str,
    measured: "Callable[[], pd.DataFrame]",
) -> None:
    from napari_unet.io import exports  # noqa: PLC0415  quick --help

    if kind == "csv":
        exports.save_table(path, measured())
    elif kind == "roi":
        exports.save_rois(path, labels, axes)
    else:
        exports.save_geojson(path, labels, axes, measured())


@dataclass(frozen=True, slots=True)
class Target:
    """One image, and the file that its labels go to.

    Attributes
    ----------
    scene : Scene
        The image.
    path : Path
        The file of its labels.
    """

    scene: "Scene"
    path: Path

    def exports(self, kinds: Collection[str]) -> dict[str, Path]:
        """Return the files of other kinds that belong to the result; see `exports_of`."""
        return exports_of(self.path, kinds)

    @property
    def existing(self) -> list[Path]:
        """What there is already of labels and exports, which are one result."""
        return [path for path in (self.path, *self.exports(EXPORTS).values()) if path.exists()]

    def missing(self, kinds: Collection[str]) -> list[Path]:
        """Return what is not there yet of labels and the exports that are wanted."""
        wanted = (self.path, *self.exports(kinds).values())
        return [path for path in wanted if not path.exists()]

    def made(self, kinds: Collection[str]) -> dict[str, Path]:
        """Return the exports to make: those wanted, and those of older labels that are there."""
        return {
            kind: path
            for kind, path in self.exports(EXPORTS).items()
            if kind in kinds or path.exists()
        }

    def refuse(self, kinds: Collection[str]) -> None:
        """Raise `InputError` if something is there that would be replaced."""
        there, missing = self.existing, self.missing(kinds)
        if not there:
            return
        found = f"{' and '.join(map(str, there))} exists already and may hold corrections"
        advice = "give --overwrite to make it anew, --skip-existing to leave it"
        if missing:
            found += f", and {missing[0].name} is missing beside it"
            advice = "give --overwrite to make the whole result anew, move it elsewhere"
        raise InputError(f"{found}; {advice}, or choose another --output.")

    @property
    def label(self) -> str:
        """What the image is called on the screen."""
        name = self.scene.name
        return self.scene.path.name if name is None else f"{self.scene.path.name} {name}"

    def absolute(self) -> "Target":
        """Return the same for another working folder."""
        scene = replace(self.scene, path=self.scene.path.absolute())
        return Target(scene, self.path.absolute())


def find_scenes(
    inputs: Collection[Path], wanted: str | None = None
) -> tuple[list["Scene"], list[str]]:
    """Return every image behind some names once, and what is wrong with other names.

    Parameters
    ----------
    inputs : collection of Path
        Files, and folders of files.
    wanted : str, optional
        The image to use of files that hold several; default all.
    """
    from napari_unet.io.images import image_files  # noqa: PLC0415  quick --help

    scenes: dict[object, Scene] = {}
    problems: list[str] = []
    for given in inputs:
        try:
            for file in image_files([given]):
                for scene in _scenes_of(file, wanted):
                    scenes.setdefault(scene.key, scene)
        except UNetError as error:
            problems.append(str(error))
    return list(scenes.values()), problems


def _scenes_of(file: Path, wanted: str | None) -> list["Scene"]:
    """Return the images of a file, or the one that is wanted.

    A file that cannot be read counts as one image: it says why when it is opened, and others go on.
    """
    from napari_unet.io.formats.facts import Scene, stem_of  # noqa: PLC0415  quick --help
    from napari_unet.io.images import choose_scenes, scenes_in  # noqa: PLC0415

    try:
        found = scenes_in(file)
    except UNetError:
        return [Scene(file, stem=stem_of(file))]
    return choose_scenes(found, wanted, file)


def name_outputs(scenes: list["Scene"], folder: Path) -> list[Target]:
    """Give every image its result's path; two images of one name get the suffix into theirs."""
    stems = Counter(scene.stem for scene in scenes)
    targets: list[Target] = []
    taken: set[Path] = set()
    for scene in scenes:
        stem = scene.stem
        if stems[stem] > 1:
            stem = "_".join(filter(None, (scene.path.name.replace(".", "_"), scene.name)))
        target, number = folder / f"{stem}_labels.tif", 2
        while target in taken:
            target, number = folder / f"{stem}_{number}_labels.tif", number + 1
        taken.add(target)
        targets.append(Target(scene, target))
    return targets


def name_beside(scenes: list["Scene"]) -> list[Target]:
    """Give every image a result in its own folder; see `name_outputs`."""
    folders = dict.fromkeys(scene.path.parent for scene in scenes)
    named = [
        target
        for folder in folders
        for target in name_outputs([one for one in scenes if one.path.parent == folder], folder)
    ]
    return sorted(named, key=lambda target: scenes.index(target.scene))
