"""Everything a hand needs to begin, in a form that can be sent to another machine."""

import platform
from dataclasses import dataclass, replace
from pathlib import Path

from napari_unet.errors import InputError
from napari_unet.execution.block_worker import Hand, Maker
from napari_unet.execution.patches import PatchesInFolder, patches_of, scratch_of
from napari_unet.image import Box, Image
from napari_unet.io.images import read_image
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import SegmentPlan


@dataclass(frozen=True, slots=True)
class Source:
    """An image that can be opened anywhere the path can be seen.

    Attributes
    ----------
    path : Path
        File or zarr folder.
    axes : str or None
        One letter for each dimension; None = as the file says.
    channel : int or None
        Channel to use; None = the average.
    region : Box or None
        Image pixels to segment; None = all.
    """

    path: Path
    axes: str | None = None
    channel: int | None = None
    region: Box | None = None

    def open(self) -> Image:
        """Open it."""
        return read_image(self.path, axes=self.axes, channel=self.channel)


@dataclass(frozen=True, slots=True)
class Job:
    """One image to be segmented into one folder.

    Attributes
    ----------
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    source : Source
        What to read.
    output : Path
        OME-Zarr folder of the labels.
    """

    plan: SegmentPlan
    decode: DecodeSettings
    source: Source
    output: Path

    @property
    def scratch(self) -> Path:
        """Where objects wait; inside the result, so that it is on a disk with room for it."""
        return scratch_of(self.output)

    @property
    def patches(self) -> PatchesInFolder:
        """Where objects wait."""
        return PatchesInFolder(patches_of(self.output))

    def with_model(self, path: Path) -> "Job":
        """Return the same job with the model in another place."""
        return replace(self, plan=replace(self.plan, model_path=str(path)))

    def hand(self, image: Image | None = None) -> Hand:
        """Open everything; `InputError` on a computer that does not see the files."""
        for path in (self.source.path, self.scratch):
            if not path.exists():
                raise InputError(
                    f"The computer {platform.node()} does not see {path}. Put image and output on "
                    "a disk that all workers see under the same path."
                )
        maker = Maker(self.plan, self.decode, self.patches, LabelPyramid(self.output))
        return Hand(image or self.source.open(), maker)
