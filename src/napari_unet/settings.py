"""What a person can set: default, range, unit, label and help, each defined once.

The panel, the command line and the record kept with a result are all made from these fields.
"""

import math
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_unet.errors import InputError, UNetError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]
Limits = tuple[float | None, float | None]  # least and most; None = no limit

APPLICATION = "napari-unet-interactive"  # folders of the user are named so
# Environment for torch, before it is loaded. Memory in large pages takes less time where tiles are
# large. Threads that wait for each other (GNU's and LLVM's OpenMP) soon sleep: by default they
# spin, and where another program has one of the cores, a retraining takes hardly a step.
TORCH_ENVIRONMENT = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "GOMP_SPINCOUNT": "2000",
    "KMP_BLOCKTIME": "1",
}
NONE_BETWEEN = (
    "The least {0} was given as {1:g} and the most as {2:g}: no object lies between. Give a most "
    "that is not less, or leave one empty for no limit."
)
NOT_FINITE = (
    "A limit of {} was given as {}, which is no number to compare with. Give a finite number, or "
    "nothing for no limit."
)
MOST_DIAMETER = 4000  # pixels that an object may be large
LARGEST_SMALLEST = 200.0  # pixels that the smallest object may be set to


class Settings(BaseModel):
    """Base: frozen, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Kind = TypeVar("Kind", bound=Settings)


def explain(error: Exception) -> str:
    """Return what is wrong in one line; pydantic's own text takes several."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems = (
        ".".join(str(part) for part in one["loc"]) + f": {one['msg']}" for one in error.errors()
    )
    return "; ".join(problem.removeprefix(": ") for problem in problems)


class DecodeSettings(Settings):
    """How objects are made from the probability map; changing them needs no network."""

    sensitivity: Annotated[
        float,
        Field(
            ge=0.05,
            le=0.95,
            title="Sensitivity",
            description="Higher finds fainter objects and wider outlines: a pixel belongs to an "
            "object where its probability exceeds 1 − sensitivity.",
        ),
    ] = 0.5
    separation: Annotated[
        float,
        Field(
            ge=0.05,
            le=0.95,
            title="Separation",
            description="Higher splits touching objects more eagerly.",
        ),
    ] = 0.5
    minimum_diameter: Annotated[
        float,
        Field(
            ge=0,
            le=LARGEST_SMALLEST,
            title="Smallest object",
            description="Objects with a smaller diameter are left out.",
            json_schema_extra={"unit": "px"},
        ),
    ] = 4.0

    def with_smallest(self, diameter: float) -> "DecodeSettings":
        """Return the same settings with another smallest diameter, in pixels.

        Parameters
        ----------
        diameter : float
            Computed from objects, it may exceed what a person can set; that much is taken then.
        """
        return self.model_copy(update={"minimum_diameter": min(LARGEST_SMALLEST, diameter)})


class SegmentSettings(Settings):
    """Everything that decides the labels of one image."""

    model: Annotated[
        str, Field(title="Model", description="Name in the library, or path of a model file.")
    ] = "nuclei"
    diameter: Annotated[
        float | None,
        Field(
            ge=1,
            le=MOST_DIAMETER,
            title="Object diameter",
            description="Typical diameter of the objects; estimated from the image if not given.",
            json_schema_extra={"unit": "px"},
        ),
    ] = None
    decode: Annotated[
        DecodeSettings | None,
        Field(title="Decoding", description="Empty = what the model's card recommends."),
    ] = None
    tile: Annotated[
        int | None,
        Field(
            ge=32,
            le=8192,
            title="Tile size",
            description="Largest side of what is written at once; objects do not depend on it, but "
            "their numbers do. Empty = small while somebody watches, large otherwise.",
            json_schema_extra={"unit": "px"},
        ),
    ] = None
    device: Annotated[
        Device,
        Field(title="Device", description="Where to compute; auto takes a graphics card if any."),
    ] = "auto"
    precision: Annotated[
        Precision,
        Field(
            title="Precision",
            description="Type of the network's numbers; auto takes the short bfloat16 on a "
            "processor that computes with it: twice as fast, and outlines may move by a pixel. On "
            "others bfloat16 is some ten times slower than float32.",
        ),
    ] = "auto"


class LinkSettings(Settings):
    """How the objects of single planes become objects through Z, and tracks through time.

    Each setting tells the axes along which it acts.
    """

    least_overlap: Annotated[
        float,
        Field(
            ge=0.05,
            le=1,
            title="Least overlap",
            description="Objects of neighbouring planes are one if this share of the smaller one "
            "lies on the other.",
            json_schema_extra={"axes": "Z"},
        ),
    ] = 0.5
    waist: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            title="Waist",
            description="Objects above each other are two if the area between them falls below "
            "this share of the largest on either side, or jumps to the side. 0 = never.",
            json_schema_extra={"axes": "Z"},
        ),
    ] = 0.5
    gap: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            title="Gap",
            description="Planes or time points in a row that may miss an object.",
            json_schema_extra={"axes": "ZT"},
        ),
    ] = 1
    most_distance: Annotated[
        float,
        Field(
            ge=0.05,
            le=20,
            title="Most distance",
            description="How far an object may move from one time point to the next.",
            json_schema_extra={"unit": "diameters", "axes": "T"},
        ),
    ] = 1.0
    divisions: Annotated[
        bool,
        Field(
            title="Divisions",
            description="Whether objects may divide in the course of time.",
            json_schema_extra={"axes": "T"},
        ),
    ] = True
    smallest_diameter: Annotated[
        float,
        Field(
            ge=0,
            le=LARGEST_SMALLEST,
            title="Smallest object",
            description="Objects of a stack with less volume than a ball of this diameter are left "
            "out.",
            json_schema_extra={"unit": "px", "axes": "Z"},
        ),
    ] = 0.0


class FilterSettings(Settings):
    """Which objects are left out because of what was measured of them."""

    ranges: Annotated[
        dict[str, Limits],
        Field(
            title="Ranges",
            description="Least and most of columns of the table of objects, such as area_um2. "
            "Objects beyond are left out; empty = no limit.",
        ),
    ] = {}
    at_edge: Annotated[
        bool,
        Field(
            title="Hide objects at the image's edge",
            description="Leave out objects that touch the first or last row or column of the "
            "image: a part of them may be missing.",
        ),
    ] = False

    @field_validator("ranges")
    @classmethod
    def _check_ranges(cls, given: dict[str, Limits]) -> dict[str, Limits]:
        for column, (least, most) in given.items():
            for limit in (least, most):
                if limit is not None and not math.isfinite(limit):
                    raise InputError(NOT_FINITE.format(column, limit))
            if least is not None and most is not None and least > most:
                raise InputError(NONE_BETWEEN.format(column, least, most))
        return {column: limits for column, limits in given.items() if limits != (None, None)}

    @property
    def active(self) -> bool:
        """Whether it can leave out anything at all."""
        return bool(self.ranges) or self.at_edge

    def limits(self, column: str) -> Limits:
        """Return the least and the most of a column; None = no limit."""
        return self.ranges.get(column, (None, None))

    def with_limits(self, column: str, least: float | None, most: float | None) -> "FilterSettings":
        """Return the same filter with other limits of one column."""
        ranges = {**self.ranges, column: (least, most)}
        return checked(FilterSettings, ranges=ranges, at_edge=self.at_edge)

    def and_also(self, other: "FilterSettings") -> "FilterSettings":
        """Return the filter that leaves out what either of two does."""
        ranges = dict(self.ranges)
        for column, limits in other.ranges.items():
            pairs = zip(self.limits(column), limits, strict=True)
            least, most = ([limit for limit in pair if limit is not None] for pair in pairs)
            ranges[column] = max(least, default=None), min(most, default=None)
        return checked(FilterSettings, ranges=ranges, at_edge=self.at_edge or other.at_edge)


class FinetuneSettings(Settings):
    """Everything that decides one retraining."""

    time_limit: Annotated[
        float,
        Field(
            ge=5,
            le=3600,
            title="Time",
            description="How long retraining may take, judging included.",
            json_schema_extra={"unit": "s"},
        ),
    ] = 60.0
    seed: Annotated[
        int, Field(ge=0, title="Seed", description="Decides which crops are drawn.")
    ] = 0


def validated_settings(**values: Any) -> SegmentSettings:
    """Make settings from values by name; what cannot be used raises `InputError` in a sentence."""
    return checked(SegmentSettings, **values)


def checked(kind: type[Kind], **values: Any) -> Kind:
    """Make settings of a kind; what cannot be used raises `InputError` in a sentence."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, UNetError):  # a sentence already
            raise own from error
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"The setting {name!r} was given as {first['input']!r}, which cannot be used: "
            f"{first['msg']}. Known settings are {', '.join(kind.model_fields)}."
        ) from error
