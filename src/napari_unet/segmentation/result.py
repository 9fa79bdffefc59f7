"""What comes of a segmentation, and what a person should know of it."""

import contextlib
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unet.errors import InputError
from napari_unet.execution.events import Event, Notice, ObjectsFound
from napari_unet.image import Box, Image, Spacing
from napari_unet.labels.linking import Links, link, unlinked
from napari_unet.labels.numbering import new_ids, renumbered
from napari_unet.models.card import ModelCard
from napari_unet.settings import FilterSettings, LinkSettings, SegmentSettings
from napari_unet.tiling.plan import SegmentPlan

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")
NO_DEPTH = (
    "How far the planes lie apart is not known; they count as one pixel apart. Sizes and distances "
    "through the planes are only as right as that."
)


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
    links : Links or None
        Which objects of the planes are one, if they were linked.
    filters : FilterSettings or None
        What objects were left out by.
    filtered_out : int
        How many were.
    """

    labels: NDArray[np.uint32]
    plan: SegmentPlan
    image: Image
    settings: SegmentSettings
    notices: tuple[str, ...] = ()
    count: int = 0
    links: Links | None = None
    filters: FilterSettings | None = None
    filtered_out: int = 0

    def linked(self, settings: LinkSettings | None = None) -> "Segmentation":
        """Return the result with one id for each object through Z, and for each track in time.

        Parameters
        ----------
        settings : LinkSettings, optional
            Overlap, gap, distance and others.

        Raises
        ------
        InputError
            If the model finds classes, or the image has neither Z nor T.
        """
        axes, chosen = self.image.leading_axes, settings or LinkSettings()
        check_linking(self.image, self.plan.card)
        depth = plane_distance(self.image)
        links = link(self.labels, axes + "YX", chosen, depth=depth or 1.0)
        in_memory = isinstance(self.labels, np.ndarray)
        labels: Any = links.applied(self.labels) if in_memory else links.view(self.labels)
        matters = "Z" in axes and ("T" in axes or chosen.smallest_diameter > 0)
        notices = (*self.notices, NO_DEPTH) if matters and depth is None else self.notices
        return replace(self, labels=labels, links=links, count=links.count, notices=notices)

    def filtered(self, filters: FilterSettings) -> "Segmentation":
        """Return the result without the objects that a filter leaves out.

        Linked objects are measured through all their planes, and at each time; link first.

        Parameters
        ----------
        filters : FilterSettings
            Ranges of columns of `objects`, and whether objects at the edge are left out.

        Raises
        ------
        InputError
            If the model finds classes, or the table has no column of a name.
        """
        from napari_unet.measure import ObjectTable  # noqa: PLC0415
        from napari_unet.measure import filters as measured  # noqa: PLC0415

        check_objects(self.plan.card)
        axes, links = self.image.leading_axes, self.links
        columns = ObjectTable(self.labels, self.image, linked=links is not None).columns()
        out = measured.hidden_rows(columns, filters)
        in_memory = isinstance(self.labels, np.ndarray)
        shorter = measured.without_rows if in_memory else measured.LabelsWithoutRows
        labels: Any = shorter(self.labels, axes, columns, out)
        left = len(np.unique(columns["label"][~out]))
        if links is not None:
            links = links.without(lambda plane: measured.ids_left_out(plane, axes, columns, out))
        return replace(
            self,
            labels=labels,
            links=links,
            count=left,
            filters=filters if self.filters is None else self.filters.and_also(filters),
            filtered_out=self.filtered_out + self.count - left,
        )

    def numbered(self, landmarks: Sequence[int]) -> "Segmentation":
        """Return the result with the ids of another one, for the objects that both have.

        Parameters
        ----------
        landmarks : sequence of int
            A pixel of each object of the other result, and its id; see
            `napari_unet.labels.numbering.landmarks`. Objects that it does not name get larger ids.

        Raises
        ------
        InputError
            If the labels are on disk, or the numbers are no pixels and ids.
        """
        if not isinstance(self.labels, np.ndarray):
            raise InputError("Labels on disk keep their ids. Give a result that is in memory.")
        try:
            names = new_ids(self.labels, landmarks)
        except ValueError as error:
            raise InputError(
                f"The ids that were given cannot be used: {error} Give a pixel and an id for each "
                "object, as a script does that was saved from the panel."
            ) from error
        links = self.links.renumbered(names) if self.links is not None else None
        return replace(self, labels=renumbered(self.labels, names), links=links)

    @cached_property
    def objects(self) -> "pd.DataFrame":
        """One row for each object: id, centroid, area, diameter, mean intensity.

        Where planes were linked one row for each object through Z, and for each time.
        """
        from napari_unet.measure import measure, measure_linked  # noqa: PLC0415  loads pandas

        if self.links is not None:
            return measure_linked(self.labels, self.image, self.links.parents)
        return measure(self.labels, self.image)

    @property
    def record(self) -> dict[str, Any]:
        """How the labels were made, as plain values for metadata and files."""
        made = record(self.plan, self.settings, self.image)
        if self.links is not None:
            made |= link_record(self.links)
        if self.filters is not None:
            made = with_filter(made, self.filters, self.filtered_out)
        return made


def link_record(links: Links, ids: str | None = None) -> dict[str, Any]:
    """Return how planes were linked as plain values, and what `packed` gave of their own ids."""
    parents = {str(child): parent for child, parent in sorted(links.parents.items())}
    told = {"link": links.settings.model_dump(mode="json"), "parents": parents, "link_ids": ids}
    return {name: value for name, value in told.items() if value is not None}


def links_recorded(record: Mapping[str, Any], labels: Any, image: Image) -> Links | None:
    """Return how the planes of labels ``(..., Y, X)`` were linked; None where nothing is told."""
    try:
        settings = LinkSettings.model_validate(record.get("link"))
    except ValidationError:
        return None
    depth = plane_distance(image) or 1.0
    links = unlinked(labels, image.leading_axes + "YX", settings, depth)
    return replace(links, parents=parents_recorded(record))


def parents_recorded(record: Mapping[str, Any]) -> dict[int, int]:
    """Return the id of the parent of each track that has one."""
    return {int(child): int(parent) for child, parent in record.get("parents", {}).items()}


def with_filter(record: Mapping[str, Any], filters: FilterSettings, count: int) -> dict[str, Any]:
    """Return a record that tells of a filter as well, and of how many objects it left out."""
    told = {**filters.model_dump(mode="json"), "left_out": count}
    return {**record, "filters": [*record.get("filters", ()), told]}


def can_link(image: Image, card: ModelCard) -> bool:
    """Whether a model finds objects, and an image has several planes along Z or T."""
    return has_several_planes(image) and card.finds_objects


def has_several_planes(image: Image) -> bool:
    """Whether an image has several planes along Z or T."""
    lengths = zip(image.leading_axes, image.leading_shape, strict=True)
    return any(axis in "ZT" and length > 1 for axis, length in lengths)


def check_objects(card: ModelCard) -> None:
    """Raise `InputError` where a model finds no objects that could be filtered."""
    if not card.finds_objects:
        raise InputError(f"The model {card.name} finds classes; only objects are filtered.")


def check_linking(image: Image, card: ModelCard) -> None:
    """Raise `InputError` where nothing can be linked; see `can_link`."""
    if not can_link(image, card):
        axes = ", ".join(image.leading_axes + "YX")
        raise InputError(
            f"{image.name} has the axes {axes}, and the model {card.name} finds "
            f"{'objects' if card.finds_objects else 'classes'}. Linking needs objects, and several "
            "planes along Z or T. Correct the axes, or leave linking out."
        )


def plane_distance(image: Image) -> float | None:
    """Return from plane to plane along Z in pixels, None where it is unknown."""
    z, y, x = (image.spacing.get(axis, Spacing()) for axis in "ZYX")
    if z.size is None or y.size is None or x.size is None or len({z.unit, y.unit, x.unit}) > 1:
        return None
    return z.size / math.sqrt(y.size * x.size)


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
        "channel_names": list(image.choices) if any(image.choices) else [],
        "channel": image.channel,
        "nuclei": image.nuclei,
        "grey_values": plan.limits,
        "device": plan.device,
        "precision": plan.precision,
        "tile": plan.tile,
        **_further(plan, image),
        "versions": {name: version(name) for name in ("napari-unet-interactive", "torch", "numpy")},
    }


def _further(plan: SegmentPlan, image: Image) -> dict[str, Any]:
    """Return what is said of some results only: classes, a retrained model, a part."""
    card, (height, width) = plan.card, image.shape
    found: dict[str, Any] = {}
    if not card.finds_objects:
        found["class_names"] = list(card.class_names)
    if card.images:
        names = ("parent", "images", "painted_objects")
        found["retrained"] = {name: getattr(card, name) for name in names}
    if plan.region != Box((0, 0), (height, width)) or len(plan.planes) < len([*image.planes()]):
        found["part"] = {"region": [*plan.region.start, *plan.region.stop], "planes": plan.planes}
    return found


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
                self.hear(event)
                if isinstance(event, ObjectsFound) and self.progress:
                    self.progress(event.done, event.total)

    def hear(self, event: Event) -> None:
        """Note what a person should know."""
        if isinstance(event, Notice) and event.text not in self.texts:
            self.texts.append(event.text)


def in_file(
    record: dict[str, Any], told: dict[str, Any], labels: NDArray[Any], shown: NDArray[Any]
) -> dict[str, Any]:
    """Return the record of labels that go into a file.

    Parameters
    ----------
    record : dict
        As the result told it.
    told : dict
        What is to be told besides.
    labels : ndarray of int
        ``(..., Y, X)``, the labels of the file; linked ones have other ids than what is shown.
    shown : ndarray of int
        ``(..., Y, X)``, what the layer showed.
    """
    if "corrected" not in record:
        return {**record, **told}
    ids = np.unique(labels[np.isin(shown, record["corrected"])])
    return {**record, **told, "corrected": ids[ids > 0].tolist()}
