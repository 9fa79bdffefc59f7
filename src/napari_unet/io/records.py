"""How labels were made, as their file or folder says it."""

import json
from pathlib import Path
from typing import Any

from napari_unet.errors import InputError
from napari_unet.io.ome_zarr import RECORD
from napari_unet.io.tiff_header import read_header


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what `segment` kept with labels, None where nothing was.

    Parameters
    ----------
    path : Path
        Label image: TIFF, or OME-Zarr folder.

    Returns
    -------
    dict or None
        Settings, model, versions and more; see `napari_unet.segmentation.record`.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    if path.is_dir():
        file = next((f for name in (".zattrs", "zarr.json") if (f := path / name).is_file()), None)
        if file is None:
            return None
        try:
            attributes = json.loads(file.read_text(encoding="utf-8"))
            known = attributes.get("attributes", attributes).get(RECORD)
            return dict(known) if known else None
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{file} cannot be read: it is damaged ({error}).") from error
    header = read_header(path)
    return dict(header.description) or None if header is not None else None
