"""A napari layer with a result and its corrections, without a window and without a network."""

import numpy as np
from napari.components import ViewerModel

from napari_unet.image import Box
from napari_unet.journal.journal import Journal, JournalHeader
from napari_unet.journal.recovery import replay
from napari_unet.labels.live_labels import LiveLabels
from napari_unet.labels.watershed import Patch
from napari_unet.plugin.result.correcting import Correcting

SHAPE = (120, 160)
ALL = Box((0, 0), SHAPE)
A, B = Box((20, 20), (50, 50)), Box((70, 90), (100, 130))


class Scene:
    """An image with a result on which the model found two objects."""

    def __init__(self, folder, shape=SHAPE) -> None:
        self.viewer = ViewerModel()
        self.layer = self.viewer.add_labels(np.zeros(shape, np.uint32), name="cells objects")
        self.live = LiveLabels.empty(shape)
        self.says(A, B)
        self.correcting = Correcting(self.viewer, self.layer, self.live, name="cells")
        self.journal = Journal(folder, JournalHeader("0" * 32, shape, "TYX"[-len(shape) :]))
        self.correcting.keep_in(self.journal)
        self.viewer.layers.selection.active = self.layer

    def says(self, *boxes, painted=None) -> None:
        """Segment again."""
        self.live.begin(self.layer.data, painted=painted)
        for number, plane in enumerate(np.ndindex(self.layer.data.shape[:-2])):
            picture = np.zeros(SHAPE, np.int32)
            for i, box in enumerate(boxes, 1):
                picture[box.slices] = i
            patch = Patch(ALL, picture, len(boxes))
            self.live.update(self.layer.data, plane, ALL, patch, number)

    def settle(self) -> None:
        """Let the timers' work be done."""
        for _ in range(20):
            self.correcting._work()

    def kept(self) -> np.ndarray:
        """What is on the disk."""
        assert self.journal.flush(10)
        return replay(self.journal.paths)[0]
