"""Arrays over files: windows decoded on demand, palettes looked up, opacity left out."""

import contextlib
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.image import ArrayLike


class LazyTiff:
    """A TIFF series of which windows are decoded on demand; the file stays open meanwhile.

    Attributes
    ----------
    shape : tuple of int
        Of the finest level.
    dtype : numpy.dtype
        Of the pixels.
    """

    def __init__(self, path: Path, series: int = 0) -> None:
        import zarr  # noqa: PLC0415 -- takes a while to import and only large files need it

        files = contextlib.ExitStack()
        weakref.finalize(self, files.close)
        tif = files.enter_context(tifffile.TiffFile(path))
        store = files.enter_context(tif.series[series].aszarr(level=0))
        self._array: Any = zarr.open_array(store, mode="r")
        self.shape: tuple[int, ...] = tuple(self._array.shape)
        self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return a window as a NumPy array."""
        return self._array[key]


class FirstOf:
    """The first entries of one axis of an array; of one entry, without that axis.

    Parameters
    ----------
    array : array-like
        Read by windows.
    axis : int
        The axis.
    count : int
        How many entries.
    """

    def __init__(self, array: ArrayLike, axis: int, count: int) -> None:
        self._array, self._axis, self._count = array, axis, count
        shape = tuple(array.shape)
        kept = () if count == 1 else (count,)
        self.shape: tuple[int, ...] = (*shape[:axis], *kept, *shape[axis + 1 :])
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return a window as a NumPy array."""
        index = full_index(key, len(self.shape))
        own: Any = 0
        if self._count > 1:
            own, index = index[self._axis], index[: self._axis] + index[self._axis + 1 :]
            if isinstance(own, slice):
                own = slice(*own.indices(self._count))
        return np.asarray(self._array[(*index[: self._axis], own, *index[self._axis :])])


class LookedUp:
    """The colours behind an array of numbers, as one more axis at the end.

    Parameters
    ----------
    array : array-like
        Numbers of colours, read by windows.
    palette : ndarray
        ``(numbers, 3)``: the colours.
    """

    def __init__(self, array: ArrayLike, palette: NDArray[np.uint8]) -> None:
        self._array, self._palette = array, palette
        self.shape: tuple[int, ...] = (*array.shape, 3)
        self.dtype: np.dtype[Any] = palette.dtype

    def __getitem__(self, key: Any) -> Any:
        """Return a window as a NumPy array."""
        index = full_index(key, len(self.shape))
        return self._palette[np.asarray(self._array[index[:-1]])][..., index[-1]]


def full_index(key: Any, ndim: int) -> tuple[Any, ...]:
    """Return an index with one entry for each axis."""
    given = key if isinstance(key, tuple) else (key,)
    if any(one is Ellipsis for one in given):
        at = next(i for i, one in enumerate(given) if one is Ellipsis)
        missing = ndim - len(given) + 1
        return (*given[:at], *([slice(None)] * missing), *given[at + 1 :])
    return (*given, *([slice(None)] * (ndim - len(given))))
