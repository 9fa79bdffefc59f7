"""Which images a command line names."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_unet.errors import InputError, UNetError
from napari_unet.io.results import Target, find_scenes, name_outputs

if TYPE_CHECKING:
    from napari_unet.io.formats.facts import Scene

FAILURES = (UNetError, OSError, MemoryError)


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
    scenes, problems = find_scenes(inputs, wanted)
    for problem in problems:
        complain(problem)
    return name_outputs(scenes, folder), not problems


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
