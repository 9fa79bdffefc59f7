"""A network that another program made, described by its inputs and outputs alone.

It stands where a `UNetSpec` does: tiles, grey values and probability maps are planned with it. How
it computes is TorchScript, which only the process that computes runs; see `network.torchscript`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from napari_unet.errors import ModelError
from napari_unet.intensity import Scaling
from napari_unet.network.outputs import Kind
from napari_unet.network.spec import UNetSpec

SCRIPT = "torchscript"  # the one tensor in such a model's file: the bytes of the TorchScript
FOREGROUND, BOUNDARY, BACKGROUND = "foreground", "boundary", "background"
DISTANCE, CLASS, IGNORED = "distance", "class", "ignored"
PARTS = (FOREGROUND, BOUNDARY, BACKGROUND, DISTANCE, CLASS, IGNORED)
UNSCALED = Scaling(kind="given", clip=None)
ORDERS = (list("xy"), list("bxy"), list("cxy"), list("bcxy"))  # letters of axes, sorted
NUMBERS = ("linear", "clip", "binarize")  # steps that have numbers
LONGEST_SIDE = 4096  # pixels of a tile that a network may need
LEAST_CORE = 16  # pixels that must be left of a tile of fixed size without its margins


@dataclass(frozen=True, slots=True)
class Step:
    """One step of computing before or after the network, on ``(N, C, Y, X)``.

    Attributes
    ----------
    name : {"linear", "clip", "binarize", "sigmoid", "softmax"}
        ``first·x + second``; limits; 1 where x exceeds `first`, else 0; or the function.
    first, second : tuple of float
        A value, or one for each channel.
    """

    name: Literal["linear", "clip", "binarize", "sigmoid", "softmax"]
    first: tuple[float, ...] = ()
    second: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedSpec(UNetSpec):
    """A network in TorchScript; what is said of levels and filters counts for memory only.

    Attributes
    ----------
    parts : tuple of str
        What each output channel is, of `PARTS`; several outputs follow one another.
    least, step : int
        Pixels; sizes the network takes are ``least + n·step``. A step of 0 = no other size.
    reach : int
        Pixels at each side of an output that are wrong, or that the network takes away.
    lost : int
        Those of them that it takes away.
    axes : str
        Letters ``bcyx`` in the order of the input's axes; b and c may be missing.
    output_axes : tuple of str
        The same for each output.
    before : tuple of Step
        What happens to scaled grey values.
    after : tuple of tuple of Step
        What happens to each output.
    scaling : Scaling
        Which grey values become 0 and 1.
    """

    parts: tuple[str, ...] = (FOREGROUND,)
    least: int = 1
    step: int = 1
    reach: int = 0
    lost: int = 0
    axes: str = "bcyx"
    output_axes: tuple[str, ...] = ("bcyx",)
    before: tuple[Step, ...] = ()
    after: tuple[tuple[Step, ...], ...] = ((),)
    scaling: Scaling = UNSCALED

    def __post_init__(self) -> None:
        UNetSpec.__post_init__(self)  # super() does not know a class with slots
        objects = kind_of(self.parts) == Kind.INSTANCES
        classes = 3 if objects else sum(part != IGNORED for part in self.parts)
        steps = [*self.before, *(step for one in self.after for step in one)]
        whole = (
            self.classes == classes
            and self.distance == objects
            and not (self.diameter or self.direct or self.nuclei)
            and self.variant == "padded"
            and len(self.output_axes) == len(self.after) > 0
            and all(sorted(axes) in ORDERS for axes in (self.axes, *self.output_axes))
            and all(len(step.first) and len(step.second) for step in steps if step.name in NUMBERS)
        )
        if not whole:
            raise ModelError(
                "The model's inputs, outputs and steps do not fit each other. Use another model."
            )
        fits = 0 <= self.lost <= self.reach and 1 <= self.least <= LONGEST_SIDE
        if not fits or not 0 <= self.step <= LONGEST_SIDE:
            raise ModelError(
                f"The network takes tiles of {self.least} px and steps of {self.step} px, with "
                f"margins of {self.reach} px; tiles of at most {LONGEST_SIDE} px are possible. Use "
                "another model."
            )
        if self.step == 0 and self.least - 2 * self.reach < LEAST_CORE:
            raise ModelError(
                f"The network takes tiles of {self.least} px only, of which margins of "
                f"{self.reach} px leave nothing. Use another model."
            )

    @property
    def divisor(self) -> int:
        """The grid that cores and read boxes start on, in pixels."""
        return max(1, self.step)

    @property
    def halo(self) -> int:
        """Real image needed around a core, rounded up to the grid."""
        return -(-self.reach // self.divisor) * self.divisor

    def takes(self, length: int) -> bool:
        """Whether the network can be given a length; any is brought to one that it takes."""
        return length > 2 * self.reach

    def fitting(self, length: int) -> int:
        """Smallest length of a tile that holds `length` pixels; the fixed one where it is fixed."""
        if self.step == 0:
            return self.least
        return self.least + max(0, -(-(length - self.least) // self.step)) * self.step

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)


def kind_of(parts: Sequence[str]) -> Kind:
    """Return what a network with such output channels tells.

    Raises
    ------
    ModelError
        If neither objects nor classes can be made of them.
    """
    used = [part for part in parts if part != IGNORED]
    if len(used) > 1 and set(used) <= {CLASS, BACKGROUND} and CLASS in used:
        return Kind.CLASSES
    single = len(used) == len(set(used)) and set(used) <= set(PARTS) - {CLASS}
    if single and (FOREGROUND in used or used == [BOUNDARY]):
        return Kind.INSTANCES
    raise ModelError(
        f"Outputs {', '.join(parts)} make neither objects nor classes. Objects need 'foreground' "
        "and may have 'boundary', 'distance' and 'background', each once, or 'boundary' alone; "
        "classes need 'class' for each of two or more."
    )


def spec_from_dict(given: dict[str, Any]) -> UNetSpec:
    """Build the spec of a U-Net of ours, or of an imported network, from a card's JSON.

    Raises
    ------
    ModelError
        If a field is unknown or its value cannot be.
    """
    if "parts" not in given:
        return UNetSpec.from_dict(given)
    unknown = set(given) - {field.name for field in fields(ImportedSpec)}
    if unknown:
        raise ModelError(
            f"The model describes its network with fields this version does not know "
            f"({', '.join(sorted(unknown))}). Update the plugin or use another model."
        )
    try:
        spec: ImportedSpec = TypeAdapter(ImportedSpec).validate_python(given)
    except ValidationError as error:
        if len(error.errors()) == 1 and isinstance(error.errors()[0].get("ctx"), dict):
            raise ModelError(f"{error.errors()[0]['ctx'].get('error', error)}") from error
        raise
    return spec
