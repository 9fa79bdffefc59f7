"""A part of a large image that a layer of its own shows: where it and its labels come from."""

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_unet.image import Box, Image

REGION = "napari_unet_region"  # in the metadata of such a part's image layer


class IdMap:
    """Gives objects that were painted in a part of an image ids that are free in all of it.

    Parameters
    ----------
    before : ndarray of uint32
        ``(Y, X)``, the part as it was taken from the whole; its ids are the whole's.
    """

    def __init__(self, before: NDArray[np.uint32]) -> None:
        self._known = {int(i): int(i) for i in np.unique(before)} | {0: 0}

    def new_in(self, labels: NDArray[np.uint32]) -> list[int]:
        """Return ids that were painted and have no id of the whole yet."""
        return [i for i in np.unique(labels).tolist() if i not in self._known]

    def know(self, ids: list[int], first: int) -> None:
        """Give new ids those of the whole from `first` on."""
        self._known.update({painted: first + i for i, painted in enumerate(ids)})

    def whole_ids(self, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return labels of the part, all with ids that are known, in ids of the whole."""
        ids, places = np.unique(labels, return_inverse=True)
        known = np.array([self._known[i] for i in ids.tolist()], np.uint32)
        return known[places].reshape(labels.shape)


class RegionSource:
    """A part of certain labels of the whole: what they were, and what was put back into them.

    Parameters
    ----------
    labels : object or None
        Those labels; None if the part was not taken from any.
    shape : tuple of int
        Of the part, pixels.
    before : ndarray of uint32, optional
        ``(Y, X)``, the part as it was in them.

    Attributes
    ----------
    numbers : IdMap
        Ids of the part in the whole.
    put : ndarray of bool
        ``(Y, X)``, painted pixels that were put back, and not painted anew since.
    """

    def __init__(
        self,
        labels: object | None,
        shape: tuple[int, int],
        before: NDArray[np.uint32] | None = None,
    ) -> None:
        self.labels, self.before = labels, before
        self.numbers = IdMap(np.zeros((1, 1), np.uint32) if before is None else before)
        self.put = np.zeros(shape, bool)
        self.shown: NDArray[np.uint32] | None = None  # when it was put back last

    def changes(
        self, shown: NDArray[np.uint32], painted: NDArray[np.bool_], *, own: bool
    ) -> NDArray[np.bool_]:
        """Return which pixels ``(Y, X)`` a person changed and has not put back.

        Parameters
        ----------
        shown : ndarray of uint32
            ``(Y, X)``, the labels of the part now.
        painted : ndarray of bool
            ``(Y, X)``, what counts as painted.
        own : bool
            Whether the part was segmented by itself: then only what is painted counts, as all of
            it differs from the whole.
        """
        changed = painted & ~self.put
        if self.shown is not None:
            changed |= painted & (shown != self.shown)
        if self.before is not None and not own:
            changed |= shown != self.before
        return changed

    def note(self, shown: NDArray[np.uint32], changed: NDArray[np.bool_]) -> None:
        """Remember what was put back."""
        self.put |= changed
        self.shown = shown.copy()
        if self.before is not None:
            self.before[changed] = shown[changed]


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
