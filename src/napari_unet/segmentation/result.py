"""What comes of a segmentation, and what a person should know of it."""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unet.execution.events import Event, Notice, ObjectsFound
from napari_unet.image import Image
from napari_unet.settings import SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result of `segment`.

    Attributes
    ----------
    labels : ndarray of uint32
        ``(..., Y, X)`` on the image's grid, 0 = background, one id for each object.
    plan : SegmentPlan
        How it was made: model, diameter, grey-value range.
    image : Image
        What it was made from.
    settings : SegmentSettings
        What was asked for.
    notices : tuple of str
        What the person should know.
    count : int
        Number of objects; 0 for classes.
    """

    labels: NDArray[np.uint32]
    plan: SegmentPlan
    image: Image
    settings: SegmentSettings
    notices: tuple[str, ...] = ()
    count: int = 0

    @cached_property
    def objects(self) -> "pd.DataFrame":
        """One row for each object: id, centroid, area, diameter, mean intensity."""
        from napari_unet.measure import measure  # noqa: PLC0415  loads pandas

        return measure(self.labels, self.image)

    @property
    def record(self) -> dict[str, Any]:
        """How the labels were made, as plain values for metadata and files."""
        return record(self.plan, self.settings, self.image)


def record(plan: SegmentPlan, settings: SegmentSettings, image: Image) -> dict[str, Any]:
    """Return settings, model, channels of the image and versions as plain values."""
    from importlib.metadata import version  # noqa: PLC0415  slow, and rarely needed

    return {
        "settings": settings.model_dump(mode="json"),
        "decode": plan.decoding(settings).model_dump(mode="json"),
        "model": plan.card.name,
        "model_sha256": plan.model_sha,
        "diameter": plan.diameter,
        "zoom": plan.zoom,
        "axes": image.axes,
        "spacing": {axis: asdict(spacing) for axis, spacing in image.spacing.items()},
        "channel_names": list(image.channel_names),
        "channel": image.channel,
        "nuclei": image.nuclei,
        "grey_values": plan.limits,
        "device": plan.device,
        "precision": plan.precision,
        "tile": plan.tile,
        **({} if plan.card.finds_objects else {"class_names": list(plan.card.class_names)}),
        "versions": {name: version(name) for name in ("napari-unet-interactive", "torch", "numpy")},
    }


@dataclass(slots=True)
class Notes:
    """What a person should know of a run that is followed to its end.

    Attributes
    ----------
    progress : callable or None
        Called with the number of blocks done and the number in all.
    texts : list of str
        Every notice, once.
    """

    progress: Callable[[int, int], None] | None = None
    texts: list[str] = field(default_factory=list)

    def follow(self, events: Generator[Event, None, Kind]) -> Kind:
        """Consume events; return what the generator returns."""
        with contextlib.closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    kept: Kind = end.value
                    return kept
                if isinstance(event, Notice) and event.text not in self.texts:
                    self.texts.append(event.text)
                if isinstance(event, ObjectsFound) and self.progress:
                    self.progress(event.done, event.total)
