"""All that the two processes say to each other: one class for each kind of message.

`to_message` and `from_message` write and read any of them: the fields as plain values, and the
field that is called ``array``, if there is one, as the message's array.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from pydantic import TypeAdapter

from napari_unet.engine.protocol import Message
from napari_unet.execution.ledger import BlockResult
from napari_unet.execution.orders import Answer, Array, Order, Ranked, TilePredicted, TileStored
from napari_unet.image import Box
from napari_unet.labels.watershed import Patch
from napari_unet.settings import DecodeSettings
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.training.events import FinetunePlan, Finished, TrainingEvent, TrainingStep

if TYPE_CHECKING:
    from napari_unet.training.events import FinetuneInputs


@dataclass(frozen=True, slots=True)
class Warm:
    """Load a model ahead of the first job."""

    model: Path
    device: str


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a job of orders; see `execution.orders.Job`.

    Attributes
    ----------
    plan : SegmentPlan
        What to compute.
    decode : DecodeSettings
        Thresholds.
    maps : Path or None
        Where probability maps are kept.
    labels : Path or None
        OME-Zarr folder to write; None = objects come back.
    """

    plan: SegmentPlan
    decode: DecodeSettings
    maps: Path | None
    labels: Path | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Drop what is queued; the number of the job says so already."""


@dataclass(frozen=True, slots=True)
class BeginTraining:
    """Begin a retraining; its windows follow.

    Attributes
    ----------
    plan : FinetunePlan
        Parent, target, time.
    another : bool
        Whether it is one more parent, which competes with those before.
    """

    plan: FinetunePlan
    another: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Pixels ``(C, Y, X)`` of a training window; what is painted there follows."""

    array: Array


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """What is painted ``(Y, X)`` in the window before; see `training.windows.TrainingWindow`."""

    held: tuple[int, ...]
    judged: tuple[int, ...]
    zoom: float
    dark: bool
    seen: float | None
    array: Array


@dataclass(frozen=True, slots=True)
class Train:
    """Retrain with all windows that came."""


@dataclass(frozen=True, slots=True)
class StopTraining:
    """End the retraining that runs, and keep the best of it so far."""


Request = Order | Warm | Open | Cancel | BeginTraining | Window | Paint | Train | StopTraining


@dataclass(frozen=True, slots=True)
class Failed:
    """A job cannot go on.

    Attributes
    ----------
    kind : str
        Name of a class in `napari_unet.errors`.
    text : str
        What the person should know.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """A `BlockResult`; the labels of its objects, if they come back, are the array."""

    key: Key
    ids: int
    notes: tuple[str, ...]
    box: Box | None = None
    count: int = 0
    certainty: float = 1.0
    array: Array | None = None

    @classmethod
    def of(cls, result: BlockResult) -> "FoundObjects":
        """Take a result apart."""
        key, ids, notes, patch = result.key, result.ids, result.notes, result.objects
        if patch is None:
            return cls(key, ids, notes)
        return cls(key, ids, notes, patch.box, patch.count, patch.certainty, patch.labels)

    @property
    def result(self) -> BlockResult:
        """The result."""
        patch = None
        if self.box is not None and self.array is not None:
            labels = self.array.astype(np.int32, copy=False)
            patch = Patch(self.box, labels, self.count, self.certainty)
        return BlockResult(self.key, self.ids, self.notes, patch)


Reply = Answer | TrainingEvent | Failed
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (*get_args(Request), TilePredicted, TileStored, Ranked)
} | {kind.__name__: kind for kind in (Failed, FoundObjects, TrainingStep, Finished)}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_message(item: Request | Reply) -> Message:
    """Write a request or a reply."""
    written: Any = FoundObjects.of(item) if isinstance(item, BlockResult) else item
    kind: Any = type(written)
    fields = _adapter(kind).dump_python(written, mode="json", exclude={"array"})
    return {"op": kind.__name__, **fields}, getattr(written, "array", None)


def from_message(message: Message) -> Request | Reply:
    """Read a request or a reply."""
    header, array = message
    kind: Any = _KINDS[header["op"]]
    given = header if array is None else {**header, "array": array}
    item: Any = _adapter(kind).validate_python(given)
    found: Request | Reply = item.result if isinstance(item, FoundObjects) else item
    return found


def training_requests(inputs: "FinetuneInputs", target: Path) -> Iterator[Request]:
    """Say everything one retraining needs: for each parent the plan and the windows; `Train`."""
    for number, (plan, windows) in enumerate(inputs.trainings(target)):
        yield BeginTraining(plan, another=number > 0)
        for window in windows:
            yield Window(window.image)
            held, judged = tuple(window.held), tuple(window.judged)
            yield Paint(held, judged, window.zoom, window.dark, window.seen, window.painted)
    yield Train()
