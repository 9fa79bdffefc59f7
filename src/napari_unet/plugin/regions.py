"""Parts of a large image that are shown, corrected and taught as images of their own."""

import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.blockwise.put_back import GRID, Renumbering
from napari_unet.image import Box, Image

REGION = "napari_unet_region"  # in the metadata of such a part's image layer


@dataclass(eq=False)
class Region:
    """Where a part comes from.

    Attributes
    ----------
    source : weakref to napari Image layer
        The large image.
    plane : tuple of int
        Indices along its iterated axes.
    number : int
        Number of that plane.
    box : Box
        Its pixels there.
    before : ndarray of uint32 or None
        ``(Y, X)``, the labels of the whole as they were taken; None if they were not taken.
    numbers : Renumbering
        Its ids in the whole.
    """

    source: "weakref.ref[ImageLayer]"
    plane: tuple[int, ...]
    number: int
    box: Box
    before: NDArray[np.uint32] | None = None
    numbers: Renumbering = field(init=False)

    def __post_init__(self) -> None:
        taken = np.zeros((1, 1), np.uint32) if self.before is None else self.before
        self.numbers = Renumbering(taken)

    def __deepcopy__(self, _memo: Any) -> "Region":
        return self  # a copy of the layer shows the same part


def region_of(layer: Layer | None) -> Region | None:
    """Return where a layer's part comes from; None for a whole image."""
    found = layer.metadata.get(REGION) if layer is not None else None
    return found if isinstance(found, Region) else None


def on_grid(box: Box, shape: tuple[int, int]) -> Box:
    """Grow a box so that it can be put back."""
    (y0, x0), (y1, x1) = box.start, box.stop
    start = y0 // GRID * GRID, x0 // GRID * GRID
    stop = -(-y1 // GRID) * GRID, -(-x1 // GRID) * GRID
    return Box(start, stop).intersect(Box((0, 0), shape))


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
    return np.array(image.data[tuple(index)])


def region_layer(
    layer: ImageLayer, image: Image, region: Region, pixels: NDArray[Any]
) -> ImageLayer:
    """Make an image layer of a part, which lies on the large image where it was."""
    leading = iter(region.plane)
    box = dict(zip("YX", region.box.start, strict=True))
    axes = image.axes[:-1] if layer.rgb else image.axes
    first = [box[a] if a in box else 0 if a == "C" else next(leading) for a in axes]
    grid = Affine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear
    )
    y, x = region.box.start
    return ImageLayer(
        pixels,
        rgb=layer.rgb,
        name=f"{layer.name} at {y}, {x}",
        scale=layer.scale,
        translate=grid(first),
        rotate=layer.rotate,
        shear=layer.shear,
        affine=layer.affine,
        units=layer.units,
        axis_labels=layer.axis_labels,
        contrast_limits=None if layer.rgb else layer.contrast_limits,
        colormap=layer.colormap if not layer.rgb else None,
        metadata={REGION: region},
    )
