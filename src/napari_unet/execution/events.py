"""What a run tells while it goes on."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from napari_unet.image import Box, Image
from napari_unet.io.units import approximate_length
from napari_unet.labels.watershed import Patch
from napari_unet.tiling.plan import Key, SegmentPlan
from napari_unet.wording import counted

HEARTBEAT = 0.05  # seconds; how long a consumer that wants to cancel waits at most for an event
KEEP_ALL = 2**63
NOT_NUMBERS = "Some pixels are not numbers (NaN or infinite); they count as background."
TOO_LARGE = (
    "Some objects are much larger than the {:.0f} px that were expected, and may be cut. If they "
    "matter, set the object diameter to theirs."
)

NOTHING = "No objects were found."


@dataclass(frozen=True, slots=True)
class Started:
    """The plan is made; nothing is computed yet.

    Attributes
    ----------
    plan : SegmentPlan
        What will be computed.
    folder : Path
        Where the probability maps are kept, or the labels if those are written to a folder.
    budget : int
        Bytes of probability maps that may stay there.
    cached_tiles : set of Key
        Tiles whose probability maps are there; it changes as the run goes on.
    """

    plan: SegmentPlan
    folder: Path
    budget: int
    cached_tiles: set[Key] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectsFound:
    """The objects of one block are found.

    Attributes
    ----------
    key : Key
        The block: number of its plane, and of its tile.
    plane : tuple of int
        Indices along the iterated axes.
    owned : Box
        The block, image pixels.
    block : int
        Number of the block, unique in the run.
    ids : int
        How many ids its objects need.
    done, total : int
        Blocks finished so far, and in all.
    objects : Patch or None
        The objects; None where the executor writes them itself.
    """

    key: Key
    plane: tuple[int, ...]
    owned: Box
    block: int
    ids: int
    done: int
    total: int
    objects: Patch | None = None

    @property
    def patch(self) -> Patch:
        """The objects, of a run that hands them over; they may reach beyond the block."""
        assert self.objects is not None, "only a run without a sink hands objects over"
        return self.objects


@dataclass(frozen=True, slots=True)
class TileWritten:
    """A tile of the result is written.

    Attributes
    ----------
    key : Key
        The tile.
    final : bool
        Whether it will not change any more.
    """

    key: Key
    final: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing new; gives the consumer the chance to stop."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know, in one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Every block is done.

    Attributes
    ----------
    objects : int
        Ids that were given; 0 for classes, and where nothing was written.
    """

    objects: int = 0


Event = Started | ObjectsFound | TileWritten | Waiting | Notice | Finished
Events = Generator[Event, None, None]


def objects_found(count: int, plan: SegmentPlan | None = None, image: Image | None = None) -> str:
    """Return how many objects there are, and how large they are where that is known.

    Parameters
    ----------
    count : int
        The objects.
    plan : SegmentPlan, optional
        Of the run that found them.
    image : Image, optional
        Whose pixel size tells their length.
    """
    if not count:
        return NOTHING
    objects = counted(count, "object")
    if plan is not None and len(plan.planes) > 1:
        objects += " in single planes"  # one that several planes show is counted in each
    if plan is None or not (plan.found or plan.diameter != _expected(plan)):
        return f"{objects}."
    length = approximate_length(plan.diameter, image) if image is not None else ""
    size = f"{plan.diameter:.0f} px ({length})" if length else f"{plan.diameter:.0f} px"
    return f"{objects}, about {size} in diameter."


def _expected(plan: SegmentPlan) -> float:
    """Return the diameter that a model takes where it found nothing to measure."""
    return plan.card.usual_diameter or plan.card.object_diameter
