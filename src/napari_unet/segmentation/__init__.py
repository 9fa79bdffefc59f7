"""Use case: segment an image. Intent and facts → frozen plan → generator of events → result.

The same generator serves the panel (with the engine), the command line and library calls
(in this process): the consumer may stop at any time, and what is done stays.
"""

from napari_unet.segmentation.images import open_image, segment, segment_events
from napari_unet.segmentation.methods import methods_script, methods_text
from napari_unet.segmentation.result import (
    Notes,
    Segmentation,
    can_link,
    check_linking,
    has_several_planes,
    in_file,
    link_record,
    links_recorded,
    parents_recorded,
    plane_distance,
    record,
)
from napari_unet.segmentation.slides import put_in_place, run_slide, segment_slide, write_beside

__all__ = [
    "Notes",
    "Segmentation",
    "can_link",
    "check_linking",
    "has_several_planes",
    "in_file",
    "link_record",
    "links_recorded",
    "methods_script",
    "methods_text",
    "open_image",
    "parents_recorded",
    "plane_distance",
    "put_in_place",
    "record",
    "run_slide",
    "segment",
    "segment_events",
    "segment_slide",
    "write_beside",
]
