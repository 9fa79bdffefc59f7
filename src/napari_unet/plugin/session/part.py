"""What the parts of the panel that are no widgets have in common."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.plugin.segment_panel import SegmentPanel


class Part:
    """A part of the panel: it acts on the panel's chosen image and shows it in the viewer.

    Parameters
    ----------
    host : SegmentPanel
        The panel it is part of.
    """

    def __init__(self, host: "SegmentPanel") -> None:
        self._host, self._viewer = host, host._viewer
