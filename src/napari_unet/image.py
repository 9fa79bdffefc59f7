"""An image: an array of any kind, its axes, and windows read from it.

Coordinates here are *image pixels*: integer indices ``(y, x)`` of the finest level, origin at the
first pixel. The array is only ever indexed with slices and integers; it is never loaded whole.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.channels import Channel, check_channels, find_channel, offered, stain
from napari_unet.errors import InputError
from napari_unet.intensity import average

LEADING_AXES = "FEDBATZ"  # names of dimensions before Y and X, the last ones first
# Pixels of a plane from which on those are so few that they may miss all objects.
SPARSE = 2 * 10**8

Plane = tuple[int, ...]
"""Indices along the axes before Y and X."""


class ArrayLike(Protocol):
    """What NumPy, dask and zarr arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every dimension."""

    @property
    def dtype(self) -> Any:
        """Type of the values."""

    def __getitem__(self, key: Any) -> Any:
        """Return a window."""


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open rectangle of pixels.

    Attributes
    ----------
    start, stop : tuple of int
        First row and column, and one past the last, ``(y, x)``; the frame is the caller's.
    """

    start: tuple[int, int]
    stop: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels, 0 where the box is empty."""
        (y0, x0), (y1, x1) = self.start, self.stop
        return max(0, y1 - y0), max(0, x1 - x0)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of its frame."""
        return slice(self.start[0], self.stop[0]), slice(self.start[1], self.stop[1])

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, ``(y, x)``."""
        return (self.start[0] + self.stop[0]) / 2, (self.start[1] + self.stop[1]) / 2

    def grow(self, margin: int) -> "Box":
        """Return the box with `margin` pixels more on each side."""
        (y0, x0), (y1, x1) = self.start, self.stop
        return Box((y0 - margin, x0 - margin), (y1 + margin, x1 + margin))

    def intersect(self, other: "Box") -> "Box":
        """Return the common part; its size is 0 where there is none."""
        start = max(self.start[0], other.start[0]), max(self.start[1], other.start[1])
        stop = min(self.stop[0], other.stop[0]), min(self.stop[1], other.stop[1])
        return Box(start, (max(start[0], stop[0]), max(start[1], stop[1])))

    def on_grid(self, grid: int) -> "Box":
        """Return the box grown to multiples of some pixels."""
        (y0, x0), (y1, x1) = self.start, self.stop
        start = y0 // grid * grid, x0 // grid * grid
        return Box(start, (-(-y1 // grid) * grid, -(-x1 // grid) * grid))

    def middle(self, most: int) -> "Box":
        """Return at most so many pixels around the middle; the proportions stay."""
        if self.size <= most:
            return self
        share = math.sqrt(most / self.size)
        sides = [max(1, int(side * share)) for side in self.shape]
        sides = [min(side, most // min(sides)) for side in sides]  # where the other was rounded up
        start = [a + (n - m) // 2 for a, n, m in zip(self.start, self.shape, sides, strict=True)]
        return Box((start[0], start[1]), (start[0] + sides[0], start[1] + sides[1]))

    def union(self, other: "Box") -> "Box":
        """Return the smallest box around both, neither of them empty."""
        start = min(self.start[0], other.start[0]), min(self.start[1], other.start[1])
        return Box(start, (max(self.stop[0], other.stop[0]), max(self.stop[1], other.stop[1])))

    def shift(self, origin: tuple[int, int]) -> "Box":
        """Return the same rectangle in the frame whose origin lies at `origin`."""
        (y0, x0), (y1, x1) = self.start, self.stop
        return Box((y0 - origin[0], x0 - origin[1]), (y1 - origin[0], x1 - origin[1]))


@dataclass(frozen=True, slots=True)
class Spacing:
    """How the pixels of an image lie along one axis.

    Attributes
    ----------
    size : float or None
        From one pixel to the next, in `unit`; None if unknown.
    unit : str
        As in napari: ``micrometer``, ``second``, ...; ``pixel`` where none is known.
    offset : float
        Where the first pixel lies, in `unit`.
    """

    size: float | None = None
    unit: str = "pixel"
    offset: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An array with named axes.

    Attributes
    ----------
    data : array-like
        NumPy, memory-mapped, dask or zarr array; only windows of it are read.
    axes : str
        One letter for each axis: ``Y`` and ``X``; ``C`` for channels; any other letter is an
        axis whose planes are segmented one after the other (``T``, ``Z``, ...).
    channel : int or None
        The channel to use, of `choices`; None = all stored, averaged if the model takes one.
    nuclei : int or None
        The channel of stained nuclei, of `choices`, for a model that takes them beside the image;
        it is no part of an average then.
    spacing : dict
        How the pixels lie along an axis, by its letter; axes of which nothing is known are left
        out. Lengths are in one unit, that of X.
    whole : Image or None
        The image that this is a part of: its grey values decide what is dark and bright.
    looks : dict
        Grey values that were found all over `data`. Another description of the same array takes
        them over, so that no large file is read twice.
    opacity : bool or None
        Whether the last of four channels at the end is opacity, which is no channel to segment;
        None = if the values are bytes.
    notices : tuple of str
        What a person should know of the file, such as images that were left out.
    channel_names : tuple of str
        One name for each stored channel; empty = unknown.
    """

    data: ArrayLike
    axes: str
    channel: int | None = None
    spacing: Mapping[str, Spacing] = field(default_factory=dict)
    name: str = field(default="image")
    whole: "Image | None" = None
    looks: dict[Any, Any] = field(default_factory=dict, repr=False)
    nuclei: int | None = None
    opacity: bool | None = None
    notices: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_dtype(self.data.dtype)
        shape = self.data.shape
        if len(self.axes) != len(shape) or len(set(self.axes)) != len(self.axes):
            raise InputError(
                f"The axes {self.axes!r} do not fit an image of shape {tuple(shape)}; one letter "
                "for each dimension is needed, such as YX, ZYX, TYX or CYX. Correct the axes."
            )
        if "Y" not in self.axes or "X" not in self.axes:
            raise InputError(
                f"The axes {self.axes!r} name no Y and X; the network works on planes of Y and X. "
                "Correct the axes, for example ZYX for a stack."
            )
        if not all(length > 0 for length in shape):  # also unknown lengths of a dask array
            raise InputError(f"The image of shape {tuple(shape)} holds no pixels.")
        check_channels(self.channel, self.nuclei, self.choices, self.channels)

    def _length(self, axis: str) -> int:
        return int(self.data.shape[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a plane in pixels."""
        return self._length("Y"), self._length("X")

    @property
    def channels(self) -> int:
        """Channels stored in the array, 1 without a channel axis."""
        return self._length("C")

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the channels that can be chosen; of a colour image also of its stains."""
        stored, dtype, at_end = self.channels, self.data.dtype, self.axes.endswith("C")
        return offered(self.channel_names, stored, dtype, at_end=at_end)

    def choosing(self, channel: Channel | None, nuclei: Channel | None = None) -> "Image":
        """Return the image with other channels to use, given by name or number from 0."""
        (used, told), (beside, more) = (
            find_channel(one, self.choices, self.channels) for one in (channel, nuclei)
        )
        return replace(self, channel=used, nuclei=beside, notices=(*self.notices, *told, *more))

    @property
    def has_alpha(self) -> bool:
        """Whether the channels are red, green, blue and opacity; four stains are not."""
        told = self.data.dtype == np.uint8 if self.opacity is None else self.opacity
        four = told and self.channels == 4 and self.axes.endswith("C")
        return four and self.channel is None and self.nuclei != 3

    @property
    def leading_axes(self) -> str:
        """The axes that are iterated, in the array's order."""
        return "".join(axis for axis in self.axes if axis not in "CYX")

    @property
    def leading_shape(self) -> tuple[int, ...]:
        """Lengths of the iterated axes."""
        return tuple(self._length(axis) for axis in self.leading_axes)

    @property
    def labels_shape(self) -> tuple[int, ...]:
        """Shape of the labels: the iterated axes, then Y and X."""
        return self.leading_shape + self.shape

    @property
    def label_spacing(self) -> tuple[Spacing, ...]:
        """How the pixels lie along each axis of the labels."""
        return tuple(self.spacing.get(axis, Spacing()) for axis in self.leading_axes + "YX")

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Height and width of a pixel in `unit`, None if unknown."""
        y, x = self.label_spacing[-2:]
        known = y.size is not None and x.size is not None and y.unit == x.unit
        return (y.size or 0.0, x.size or 0.0) if known else None

    @property
    def unit(self) -> str:
        """Unit of the `pixel_size`."""
        return self.label_spacing[-1].unit

    @property
    def label_sizes(self) -> tuple[float | None, ...]:
        """Size of a pixel along each axis of the labels, None where it is unknown."""
        return tuple(axis.size for axis in self.label_spacing)

    def planes(self) -> Iterator[tuple[int, ...]]:
        """Indices along the iterated axes of every plane."""
        return itertools.product(*(range(n) for n in self.leading_shape))

    def for_model(self, *, nuclei: bool) -> "Image":
        """Return the image as a model is given it that takes nuclei, or one that takes none."""
        if nuclei or self.nuclei is None:
            return self
        whole = self.whole.for_model(nuclei=False) if self.whole is not None else None
        return replace(self, nuclei=None, whole=whole)

    def used_channels(self, wanted: int, *, nuclei: bool = False) -> int:
        """Channels that a network is given; raises if it cannot be.

        Parameters
        ----------
        wanted : int
            Channels that it needs.
        nuclei : bool
            Whether it takes nuclei besides; they are given where the image has a channel of them.
        """
        offered = 1 if self.channel is not None else self.channels
        if wanted in (1, offered) or (wanted == 3 and self.has_alpha):
            return wanted + int(nuclei and self.nuclei is not None)
        raise InputError(
            f"The image offers {offered} channel(s); this model needs {wanted}. Choose other "
            "channels or another model."
        )

    def read(
        self, plane: tuple[int, ...], box: Box, channels: int = 1, *, nuclei: bool = False
    ) -> NDArray[Any]:
        """Read one window.

        Parameters
        ----------
        plane : tuple of int
            Indices along the iterated axes.
        box : Box
            Window in image pixels, inside the image.
        channels : int
            Channels wanted: 1 gives the chosen channel or the average. With nuclei one more.
        nuclei : bool
            Whether the last of these channels is that of the nuclei, where the image has one.

        Returns
        -------
        ndarray
            ``(channels, Y, X)``, C-ordered and writable, in the array's own type in native byte
            order (decimal numbers where channels were averaged).

        Raises
        ------
        InputError
            If the file cannot be read there.
        """
        paired = nuclei and self.nuclei is not None
        window = self._stored(plane, box, self.channel)
        if self.has_alpha and channels != len(window):
            window = window[:3]
        if channels - int(paired) == 1 and len(window) > 1:
            window = average(window[[i for i in range(len(window)) if i != self.nuclei]])[None]
        if paired:
            window = np.concatenate([window, self._stored(plane, box, self.nuclei)])
        native = window.dtype.newbyteorder("=")
        return np.array(window, dtype=native, order="C", copy=True)

    def _stored(self, plane: tuple[int, ...], box: Box, channel: int | None) -> NDArray[Any]:
        """Return a window ``(C, Y, X)`` of one channel, or of all, as it is stored."""
        if channel is not None and channel >= self.channels:
            return stain(self._stored(plane, box, None), channel - self.channels)[None]
        index: list[Any] = []
        leading = iter(plane)
        y, x = box.slices
        for axis in self.axes:
            if axis == "C":
                index.append(slice(None) if channel is None else channel)
            else:
                index.append({"Y": y, "X": x}[axis] if axis in "YX" else next(leading))
        window = self.values(tuple(index), box)
        axes = [a for a in self.axes if a in "YX" or (a == "C" and channel is None)]
        if "C" not in axes:
            window, axes = window[None], ["C", *axes]
        return window.transpose([axes.index(a) for a in "CYX"])

    def values(self, index: tuple[Any, ...], box: Box) -> NDArray[Any]:
        """Return what the array holds at an index, which is that of a box; see `read`."""
        try:
            return np.asarray(self.data[index])
        except MemoryError:
            raise
        except Exception as error:  # a damaged tile makes decoders raise whatever they like
            (top, left), (bottom, right) = box.start, box.stop
            raise InputError(
                f"Rows {top} to {bottom}, columns {left} to {right} of {self.name or 'the image'} "
                f"cannot be read ({error}). The file may be damaged or not copied to its end: copy "
                "it again, or segment a region that leaves this part out."
            ) from error


def read_region(image: Image, plane: tuple[int, ...], box: Box) -> NDArray[Any]:
    """Read a part with all axes and channels of the image; iterated axes have length 1."""
    leading = iter(plane)
    index: list[slice] = []
    for axis in image.axes:
        if axis in "YX":
            index.append(box.slices["YX".index(axis)])
        else:
            first = None if axis == "C" else next(leading)
            index.append(slice(None) if first is None else slice(first, first + 1))
    return np.array(image.values(tuple(index), box))


def check_dtype(dtype: Any) -> None:
    """Raise `InputError` for pixels that are not real numbers."""
    kind = np.dtype(dtype).kind
    if kind not in "biuf":
        raise InputError(
            f"The image holds values of type {dtype}; whole numbers, decimal numbers or true/false "
            "are needed. Convert it first, for example to its absolute value."
        )


def guess_axes(shape: tuple[int, ...], dtype: np.dtype[Any], *, rgb: bool | None = None) -> str:
    """Guess the axes of a shape: colour at the end if it looks so, else planes to iterate."""
    if rgb is None:
        rgb = len(shape) >= 3 and shape[-1] in (3, 4) and shape[-2] > 4 and dtype.kind in "uf"
    leading = len(shape) - (3 if rgb else 2)
    if leading < 0 or leading > len(LEADING_AXES):
        raise InputError(
            f"The image has shape {shape}; planes of Y and X with at most {len(LEADING_AXES)} more "
            "dimensions can be segmented. Select a plane or a stack of it."
        )
    return LEADING_AXES[len(LEADING_AXES) - leading :] + ("YXC" if rgb else "YX")
