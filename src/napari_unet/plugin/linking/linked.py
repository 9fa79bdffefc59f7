"""What links the planes of a result: of labels in memory, and of those on the disk."""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.execution.patches import scratch_of
from napari_unet.io.ome_zarr import LabelPyramid, PyramidPlanes
from napari_unet.labels.linking import LinkedCopy, linked_copy, packed
from napari_unet.plugin.result.incremental import on_disk
from napari_unet.plugin.result.result import Result
from napari_unet.plugin.result.slide_result import SlideResult
from napari_unet.segmentation import has_several_planes, link_record, plane_distance
from napari_unet.settings import LinkSettings

Linkable = Result | SlideResult
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """Linked labels.

    Attributes
    ----------
    copy : LinkedCopy
        To make the next ones from.
    levels : list of array-like
        ``(..., Y, X)``, and smaller copies where the result has them.
    folder : Path or None
        Where they lie on the disk.
    """

    copy: LinkedCopy
    levels: list[Any]
    folder: Path | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What a file's record tells of them; with the ids of each plane it can be gone on with."""
        ids = packed(self.copy.own) if self.copy.own else None
        return link_record(self.copy.links, ids)

    def remove(self) -> None:
        """Delete what lies on the disk."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def can_link(target: Linkable) -> bool:
    """Whether a result holds objects in several planes along Z or T, and fits its image."""
    if target.classes or not has_several_planes(target.image):
        return False
    return isinstance(target, SlideResult) or target.correcting.fits


def edits_on_disk(target: Linkable) -> int:
    """Return how often something was put back into labels on disk; others are watched."""
    return target.incremental.edits if isinstance(target, SlideResult) else 0


def linking_of(
    target: Linkable,
    labels: Any,
    before: LinkedCopy | None,
    settings: LinkSettings,
    progress: Progress,
) -> Callable[[], Linked]:
    """Return what links the planes of a result, in another thread.

    Parameters
    ----------
    target : Result or SlideResult
        The result.
    labels : array-like or None
        Its labels ``(..., Y, X)``; None = those on disk.
    before : LinkedCopy or None
        What is known of the last time.
    settings : LinkSettings
        How.
    progress : callable
        See `linked_copy`.
    """
    image = target.image
    axes, depth = image.leading_axes + "YX", plane_distance(image) or 1.0

    def known(array: Any) -> LinkedCopy:
        if before is not None:
            return before.with_settings(settings)
        return LinkedCopy.empty(array, axes, settings, depth)

    if isinstance(target, SlideResult):
        return lambda: _linked_on_disk(target, known, progress)
    given = frozenset(target.correcting.tracker.given)

    def linked() -> Linked:
        copy, array = linked_copy(labels, known(labels), given, progress)
        return Linked(copy, [array])

    return linked


def _linked_on_disk(
    slide: SlideResult, known: Callable[[Any], LinkedCopy], progress: Progress
) -> Linked:
    """Link labels on disk into a folder beside them, plane by plane.

    What was put back has an id of its own in each plane, so no id counts as one object.
    """
    output = slide.incremental.output
    folder = scratch_of(output) / f"linked-{uuid.uuid4().hex}.zarr"
    labels = LabelPyramid(output)
    source = PyramidPlanes(labels)
    try:
        with on_disk(folder):
            pyramid = LabelPyramid.create_for(slide.image, folder, labels.levels[0].chunks[-2:])
            copy, _ = linked_copy(source, known(source), (), progress, PyramidPlanes(pyramid))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Linked(copy, pyramid.levels, folder)
