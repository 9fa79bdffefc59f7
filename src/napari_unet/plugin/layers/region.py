"""A part of a large image that a layer of its own shows: where it comes from."""

import weakref
from dataclasses import dataclass
from typing import Any

from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.execution.label_edits import RegionSource
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
    taken : RegionSource
        What it has to do with labels of the whole.
    """

    source: "weakref.ref[ImageLayer]"
    plane: tuple[int, ...]
    number: int
    box: Box
    taken: RegionSource

    def __deepcopy__(self, _memo: Any) -> "Region":
        return self  # a copy of the layer shows the same part


def region_of(layer: Layer | None) -> Region | None:
    """Return where a layer's part comes from; None for a whole image."""
    found = layer.metadata.get(REGION) if layer is not None else None
    return found if isinstance(found, Region) else None


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
        axis_labels=tuple(axes.lower()),
        contrast_limits=None if layer.rgb else layer.contrast_limits,
        colormap=layer.colormap if not layer.rgb else None,
        metadata={REGION: region},
    )
