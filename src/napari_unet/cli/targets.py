"""Which images a command line names, and what their results are called."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_unet.cli.exports import exports_of
from napari_unet.errors import InputError, UNetError

if TYPE_CHECKING:
    from napari_unet.io.formats.facts import Scene

FAILURES = (UNetError, OSError, MemoryError)


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

    def existing(self, kinds: Collection[str]) -> list[Path]:
        """Return what there is already of the result and its exports."""
        wanted = [self.path, *self.exports(kinds).values()]
        return [path for path in wanted if path.exists()]

    @property
    def label(self) -> str:
        """What the image is called on the screen."""
        name = self.scene.name
        return self.scene.path.name if name is None else f"{self.scene.path.name} {name}"

    def absolute(self) -> "Target":
        """Return the same for another working folder."""
        scene = replace(self.scene, path=self.scene.path.absolute())
        return Target(scene, self.path.absolute())


def complain(text: str) -> None:
    """Tell what went wrong, in one line."""
    typer.echo(f"Error: {text}", err=True)


def find_targets(inputs: list[Path], folder: Path, wanted: str | None) -> tuple[list[Target], bool]:
    """Return every image behind the names once, and whether every name could be used.

    Parameters
    ----------
    inputs : list of Path
        Files, and folders of files.
    folder : Path
        Where results go.
    wanted : str or None
        The image to use of files that hold several; None = all.
    """
    from napari_unet.io.images import image_files  # noqa: PLC0415  quick --help

    scenes: dict[object, Scene] = {}
    complete = True
    for given in inputs:
        try:
            for file in image_files([given]):
                for scene in _scenes(file, wanted):
                    scenes.setdefault(scene.key, scene)
        except UNetError as error:
            complete = False
            complain(str(error))
    return name_outputs(list(scenes.values()), folder), complete


def _scenes(file: Path, wanted: str | None) -> list["Scene"]:
    from napari_unet.io.formats.facts import Scene, stem_of  # noqa: PLC0415  quick --help
    from napari_unet.io.images import choose_scenes, scenes_in  # noqa: PLC0415

    try:
        found = scenes_in(file)
    except UNetError:  # it says so once more in its turn, and the other files go on
        return [Scene(file, stem=stem_of(file))]
    return choose_scenes(found, wanted, file)


def only_scene(file: Path, wanted: str | None) -> "Scene":
    """Return the image of a file, or the one that is wanted of several."""
    from napari_unet.io.images import choose_scenes, names_of, scenes_in  # noqa: PLC0415

    found = choose_scenes(scenes_in(file), wanted, file)
    if len(found) > 1:
        raise InputError(
            f"{file} holds {names_of(found)}; a .zarr result takes one. Choose it with --scene, or "
            "give a folder as --output for all of them."
        )
    return found[0]


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
