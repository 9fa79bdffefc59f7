"""Tables as CSV."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.io.atomic import write_bytes

if TYPE_CHECKING:
    import pandas


def save_table(path: str | os.PathLike[str], table: "pandas.DataFrame") -> Path:
    """Save a table as CSV; the old file stays as it is if anything goes wrong.

    Parameters
    ----------
    path : path-like
        File to write or replace.
    table : pandas.DataFrame
        Its index is left out.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SaveError
        If it cannot be written.
    """
    return write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode("utf-8"))
