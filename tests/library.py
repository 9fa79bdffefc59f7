"""Models in the person's library, for tests that need some."""

from pathlib import Path

from napari_unet.models.card import SUFFIX
from napari_unet.models.library import bundled_folder, user_folder
from napari_unet.models.store import part_copy


def put(name: str, folder: Path | None = None, **changes: object) -> Path:
    """Put a copy of the bundled model into the person's folder, or another one."""
    bundled = bundled_folder() / f"nuclei{SUFFIX}"
    folder = folder or user_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}{SUFFIX}"
    with part_copy(bundled, folder, {"name": name, **changes}) as part:
        part.replace(target)
    return target
