"""What is found in a file: its images, and of one image pixels, axes and spacings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.image import Spacing


@dataclass(frozen=True, slots=True)
class Facts:
    """An image as a file holds it.

    Attributes
    ----------
    data : array-like
        The finest level.
    axes : str
        One letter for each dimension, as `Image` wants them; empty = the file does not say.
    spacing : dict
        How the pixels lie along an axis, by its letter; see `Image`.
    notices : tuple of str
        What a person should know of the file.
    channels : tuple of str
        Names of channels, in their order; empty = the file does not say.
    """

    data: Any
    axes: str
    spacing: Mapping[str, Spacing] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """One of the images in a file: a series, a position, a field.

    Attributes
    ----------
    path : Path
        The file or folder to open.
    index : int
        Which of its images, from 0.
    name : str or None
        Its name in the file; None for the only image of a file.
    stem : str
        What its results are called.
    files : frozenset of Path
        All files that hold its planes.
    inside : str
        Of a zarr folder, the folder within that holds the image.
    notices : tuple of str
        What was left out beside it.
    companion : Path or None
        The file that describes it, where that holds no planes.
    """

    path: Path
    index: int = 0
    name: str | None = None
    stem: str = ""
    files: frozenset[Path] = frozenset()
    inside: str = ""
    notices: tuple[str, ...] = ()
    companion: Path | None = None

    @property
    def key(self) -> tuple[frozenset[Path], int]:
        """Equal for the same image, whichever of its files it was found by."""
        return self.files or frozenset({self.path.resolve()}), self.index


def stem_of(file: Path) -> str:
    """Return the name without its suffix, ``.ome.tif`` counting as one."""
    return file.stem[:-4] if file.stem.lower().endswith(".ome") else file.stem
