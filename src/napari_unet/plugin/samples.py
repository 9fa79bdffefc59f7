"""The sample data that the manifest names; napari loads this module when a sample is opened."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.io.images import read_image
from napari_unet.plugin.layers.labels_files import LayerTuple

LARGE_SHAPE = (8192, 8192)  # pixels
LARGE_CHUNK, LARGE_LEVELS = 256, 5
LARGE_GREY = (200, 9000)  # display range, given so that napari need not compute the whole image


def sample_folder() -> Path:
    """Return the folder of sample files, of an installed package or of a working copy."""
    installed = Path(str(files("napari_unet") / "sample_data"))
    return installed if installed.is_dir() else Path(__file__).resolve().parents[3] / "sample_data"


def sample_nuclei() -> list[LayerTuple]:
    """Return real 16-bit nuclei and, hidden, their ground truth (npe2 sample)."""
    image = read_image(sample_folder() / "nuclei.tif")
    truth = read_image(sample_folder() / "nuclei_truth.tif")
    return [
        (image.data, {"name": "nuclei"}, "image"),
        (truth.data, {"name": "ground truth", "visible": False}, "labels"),
    ]


def sample_tissue() -> list[LayerTuple]:
    """Return the stained tissue that scikit-image ships in its wheel (npe2 sample)."""
    import skimage.data

    samples: Any = skimage.data  # lazy and without types
    return [(samples.immunohistochemistry(), {"name": "tissue", "rgb": True}, "image")]


def sample_large() -> list[LayerTuple]:
    """Return a large synthetic image and, hidden, its ground truth, both lazy (npe2 sample).

    ``(Y, X)``, 8192 × 8192 and smaller copies, uint16 and uint32 dask arrays; computed where they
    are looked at. Of a single array napari would compute all before it shows anything.
    """
    image, truth = large_arrays(LARGE_SHAPE, LARGE_CHUNK, LARGE_LEVELS)
    shown = {"name": "synthetic nuclei", "contrast_limits": LARGE_GREY, "multiscale": True}
    hidden = {"name": "ground truth", "visible": False, "multiscale": True}
    return [(image, shown, "image"), (truth, hidden, "labels")]


def large_arrays(shape: tuple[int, int], chunk: int, levels: int) -> tuple[list[Any], list[Any]]:
    """Return image and labels, and smaller copies of both, as dask arrays ``(Y, X)``.

    Parameters
    ----------
    shape : tuple of int
        Of the first level, pixels; each further one has half as many along each axis.
    chunk : int
        Side of what is computed at once, pixels.
    levels : int
        How many arrays of each kind.
    """
    import dask.array

    lazy: Any = dask.array  # without types
    found: tuple[list[Any], list[Any]] = [], []
    for step in (2**level for level in range(levels)):
        smaller = tuple(-(-n // step) for n in shape)
        chunks = lazy.core.normalize_chunks((chunk, chunk), shape=smaller)
        for which, dtype in enumerate((np.uint16, np.uint32)):
            what: dict[str, Any] = {"chunks": chunks, "dtype": dtype, "meta": np.empty(0, dtype)}
            array = lazy.map_blocks(_synthetic_block, which, shape[1], step, **what)
            found[which].append(array)
    return found


def _synthetic_block(which: int, columns: int, step: int, block_info: Any = None) -> Any:
    from napari_unet.plugin.synthetic_nuclei import nuclei_window

    (y0, y1), (x0, x1) = block_info[None]["array-location"]
    return nuclei_window((y0, x0), (y1 - y0, x1 - x0), columns, step)[which]
