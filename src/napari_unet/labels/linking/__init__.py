"""Linked labels: one id for an object through Z, and for a track through time.

The planes are read once, one after the other; what is kept of them is a table of their sections.
The result says which id each section gets, so that it can be applied to labels of any size: plane
by plane, or by windows of a view that reads what it is asked for.
"""

from napari_unet.labels.linking.copying import (
    LinkedCopy,
    linked_copy,
    packed,
    separable,
    separated,
    without_ids,
)
from napari_unet.labels.linking.planes import link, relink, unlinked
from napari_unet.labels.linking.result import LinkedLabels, Links, parents_among

__all__ = [
    "LinkedCopy",
    "LinkedLabels",
    "Links",
    "link",
    "linked_copy",
    "packed",
    "parents_among",
    "relink",
    "separable",
    "separated",
    "unlinked",
    "without_ids",
]
