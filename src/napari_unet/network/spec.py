"""What a U-Net is, in integers: channels, depth, variant, and the halo that follows.

Nothing here knows torch, so that a panel can say "halo 96 px" before torch is loaded.

Coordinates along one axis: *level 0* is the grid of the input, and level ``l`` has one
pixel for each ``2**l`` input pixels. Intervals are half open, ``[start, stop)``.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from napari_unet.errors import ModelError
from napari_unet.intensity import Scaling
from napari_unet.network.outputs import Activation, Output, channels_of

Variant = Literal["padded", "paper"]
SMOOTHED = (1, 2)  # pixels between the weights of each kernel that a direct head smooths with
SMOOTHED_REACH = 2 * sum(SMOOTHED)  # pixels to each side
OCTAVES = (-4.0, 4.0)  # what a probability map holds of a diameter: 1/16 to 16 times the model's
Skip = Literal["concat", "sum", "none"]
Interval = tuple[int, int]

_LIMITS = {
    "in_channels": (1, 256),
    "classes": (2, 256),
    "base_filters": (1, 256),
    "depth": (1, 6),
    "up_kernel": (2, 3),
}


@dataclass(frozen=True, slots=True)
class UNetSpec:
    """One U-Net, described completely.

    Attributes
    ----------
    in_channels : int
        Channels of the image, C in ``(N, C, Y, X)``.
    classes : int
        Classes of the softmax, K; class 0 is the background.
    distance : bool
        Whether one more output channel predicts the normalised distance to the object's edge.
    base_filters : int
        Filters of the first level; each level down has twice as many (paper: 64).
    depth : int
        Number of 2×2 poolings (paper: 4).
    variant : {"padded", "paper"}
        "padded": zero-padded 3×3 convolution + BatchNorm + LeakyReLU(0.2), output as large as
        the input. "paper": valid 3×3 convolution + ReLU, copy and crop, 572 → 388 at depth 4.
    skip : {"concat", "sum", "none"}
        How the contracting path reaches the expanding one: the U-Net's concatenation, the sum
        of FCN and ResNet, or nothing, an autoencoder.
    up_kernel : {2, 3}
        Size of the stride-2 transposed convolution: 2 as in the paper, 3 as in the post.
    dropout : float
        Probability of dropping a channel at the end of the contracting path, training only.
    diameter : bool
        Whether the last output channel predicts how large each pixel's object is: the logarithm
        to base 2 of its diameter over the model's. It guides the search for the size only.
    direct : bool
        Whether the last convolution sees, beside the learned features, the image itself and
        smoothed copies of it; see `network.smoothing`. Models of classes have it.
    nuclei : bool
        Whether one more channel may be given after those of the image: stained nuclei, which tell
        touching cells apart. Where it is not given, it counts as empty.
    """

    in_channels: int = 1
    classes: int = 3
    distance: bool = True
    base_filters: int = 16
    depth: int = 4
    variant: Variant = "padded"
    skip: Skip = "concat"
    up_kernel: int = 2
    dropout: float = 0.0
    diameter: bool = False
    direct: bool = False
    nuclei: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ModelError(
                    f"The network's {name} is {value!r}; it must be a whole number from {low} to "
                    f"{high}. Use another model, or correct its specification."
                )
        if self.variant not in ("padded", "paper") or self.skip not in ("concat", "sum", "none"):
            raise ModelError(
                f"The network's variant is {self.variant!r} and its skip {self.skip!r}; known are "
                "'padded' or 'paper', and 'concat', 'sum' or 'none'. Use another model."
            )
        if self.variant == "paper" and self.up_kernel != 2:
            raise ModelError(
                f"The network's up_kernel is {self.up_kernel}; the 'paper' variant needs 2, "
                "because a 3×3 one lacks a neighbour at the tile's edge. Use 2, or the 'padded' "
                "variant."
            )
        for name in ("distance", "diameter", "direct", "nuclei"):
            if not isinstance(getattr(self, name), bool):
                raise ModelError(
                    f"The network's {name} is {getattr(self, name)!r}; it must be true or false."
                )
        if not isinstance(self.dropout, int | float) or not 0.0 <= self.dropout < 1.0:
            raise ModelError(f"The network's dropout is {self.dropout!r}; it must be in [0, 1).")

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "UNetSpec":
        """Build a spec from a card's JSON.

        Unknown fields raise `ModelError`, missing ones take their default.
        """
        try:
            return cls(**fields)
        except TypeError as error:
            raise ModelError(
                f"The model describes its network with fields this version does not know "
                f"({error}). Update the plugin or use another model."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON.

        What came later is left out where the network lacks it, so that older versions still read
        the file.
        """
        fields = asdict(self)
        for later in ("diameter", "direct", "nuclei"):
            if not fields[later]:
                del fields[later]
        return fields

    def for_classes(self, in_channels: int, classes: int) -> "UNetSpec":
        """Return the same network for painted classes: other channels, and a direct head.

        It has no further output.
        """
        return replace(
            self,
            in_channels=in_channels,
            classes=classes,
            distance=False,
            diameter=False,
            direct=True,
            nuclei=False,
        )

    @property
    def most_channels(self) -> int:
        """Channels that the first convolution sees, the nuclei among them."""
        return self.in_channels + int(self.nuclei)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the network predicts, in the order of its output channels; the classes first."""
        found = [Output("classes", self.classes, Activation.SOFTMAX)]
        if self.distance:
            found.append(Output("distance"))
        if self.diameter:
            found.append(Output("diameter", mapped=False, span=OCTAVES))
        return tuple(found)

    @property
    def out_channels(self) -> int:
        """Channels of all outputs together."""
        return len(channels_of(self.outputs))

    def slice_of(self, output: str) -> slice:
        """Return where the channels of an output lie, by its name."""
        return channels_of(self.outputs).slice_of(output)

    def index_of(self, output: str) -> int:
        """Return which channel is that of an output that has only one."""
        return channels_of(self.outputs).index(output)

    @property
    def head_channels(self) -> int:
        """Channels that the last convolution sees."""
        copies = 1 + len(SMOOTHED) if self.direct else 0
        return self.base_filters + copies * self.in_channels

    @property
    def scaling(self) -> Scaling:
        """Which grey values become 0 and 1."""
        return Scaling()

    @property
    def divisor(self) -> int:
        """The pooling grid in input pixels: cores and read boxes start on its multiples."""
        return 1 << self.depth

    def filters(self, level: int) -> int:
        """Filters of one level (0 is the input's resolution)."""
        return self.base_filters << level

    @property
    def shrink(self) -> int:
        """Pixels the output loses at each side (paper variant: 92 at depth 4; padded: 0)."""
        if self.variant == "padded":
            return 0
        lost = 4  # two valid 3x3 convolutions at the bottom lose two pixels a side, four in all
        for _ in range(self.depth):
            lost = 2 * lost + 4  # up-convolution doubles what is lost, two more convolutions
        for level in range(self.depth):
            lost += 4 * 2**level  # lost before the pooling of that level, in input pixels
        return lost // 2

    @property
    def halo(self) -> int:
        """Real image needed around a core, rounded up to the pooling grid.

        Derived by following one aligned output interval backwards through the network
        (see `required_input`); depth 4 gives 96 with the 2×2 up-convolution (94 are used) and
        112 with the 3×3 one (94 before and 110 after are used).
        """
        start, stop = required_input((0, self.divisor), self)
        reach = max(-start, stop - self.divisor)
        return -(-reach // self.divisor) * self.divisor

    def read_interval(self, core: Interval) -> Interval:
        """Input interval to compute so that the output is exact on `core`.

        Parameters
        ----------
        core : tuple of int
            Output interval in input pixels, both ends multiples of `divisor`.

        Returns
        -------
        tuple of int
            For the padded variant ``core`` grown by the halo; for the paper variant the right
            end is the one for which every pooling is even (572 for a core of 384).
        """
        start, stop = core
        if start % self.divisor or stop % self.divisor:
            raise ValueError(f"core {core} does not lie on the grid of {self.divisor} px")
        left = start - self.halo
        if self.variant == "padded":
            return left, stop + self.halo
        length = stop + self.shrink - left
        return left, left + self.next_valid_length(length)

    def next_valid_length(self, length: int) -> int:
        """Smallest input length >= `length` that the network takes without a remainder."""
        while not self.takes(length):
            length += 1
        return length

    def takes(self, length: int) -> bool:
        """Whether an input of `length` pixels along an axis pools evenly at every level."""
        if length <= 2 * self.shrink:
            return False  # no output would be left
        for _ in range(self.depth):
            length -= 4 if self.variant == "paper" else 0
            if length < 2 or length % 2:
                return False
            length //= 2
        return length > (4 if self.variant == "paper" else 0)


def required_input(output: Interval, spec: UNetSpec) -> Interval:
    """Input interval that one output interval depends on, by interval arithmetic.

    Walks the expanding path down and the contracting path up again. Works in the frame in which
    output pixel ``i`` lies over input pixel ``i`` (for the paper variant: after the shrink).

    Parameters
    ----------
    output : tuple of int
        Half-open interval of output pixels.
    spec : UNetSpec
        The network; only its depth, skip, up-convolution and head matter.

    Returns
    -------
    tuple of int
        Half-open interval of input pixels; may start below zero.
    """
    needed, skips = output, []
    for _ in range(spec.depth):
        needed = _before_two_convolutions(needed)
        skips.append(needed)  # of the contracting path's output at this level
        needed = _before_up_convolution(needed, spec.up_kernel)
    needed = _before_two_convolutions(needed)
    for skip in reversed(skips):
        needed = (2 * needed[0], 2 * needed[1])  # before the 2x2 pooling
        if spec.skip != "none":
            needed = (min(needed[0], skip[0]), max(needed[1], skip[1]))
        needed = _before_two_convolutions(needed)
    if spec.direct:
        start, stop = output[0] - SMOOTHED_REACH, output[1] + SMOOTHED_REACH
        needed = (min(needed[0], start), max(needed[1], stop))
    return needed


def _before_two_convolutions(interval: Interval) -> Interval:
    return interval[0] - 2, interval[1] + 2


def _before_up_convolution(interval: Interval, kernel: int) -> Interval:
    start, stop = interval[0] // 2, -(-interval[1] // 2)
    if kernel == 3:  # output pixel 2i+1 also sees input pixel i+1 (padding 1, output padding 1)
        stop = interval[1] // 2 + 1
    return start, stop


def expected_tensors(spec: UNetSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of the network, as its file must hold them.

    The same as the state of `network.unet.UNet`, without its integer counters; a test compares
    them.
    """
    found = _convolution("head", (spec.out_channels, spec.head_channels, 1, 1))
    found |= _block("bottom", spec.filters(spec.depth - 1), spec.filters(spec.depth), spec)
    joined = 2 if spec.skip == "concat" else 1
    for level in range(spec.depth):
        filters = spec.filters(level)
        above = spec.filters(level - 1) if level else spec.most_channels
        found |= _block(f"down.{level}", above, filters, spec)
        found |= _block(f"merge.{level}", joined * filters, filters, spec)
        up = (2 * filters, filters, spec.up_kernel, spec.up_kernel)
        if spec.variant == "paper":
            found |= _convolution(f"up.{level}", up)
        else:
            found |= _convolution(f"up.{level}.0", up) | _normalisation(f"up.{level}.1", filters)
    return found


def _block(name: str, before: int, after: int, spec: UNetSpec) -> dict[str, tuple[int, ...]]:
    """Two 3×3 convolutions; the padded ones have a BatchNorm in place of a bias."""
    found: dict[str, tuple[int, ...]] = {}
    for index, incoming in enumerate((before, after)):
        shape = (after, incoming, 3, 3)
        if spec.variant == "paper":
            found |= _convolution(f"{name}.{index}.0", shape)
        else:
            found[f"{name}.{index}.0.weight"] = shape
            found |= _normalisation(f"{name}.{index}.1", after)
    return found


def _convolution(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Weight and bias; only the transposed convolutions have twice as many inputs as outputs."""
    transposed = name.startswith("up.")
    return {f"{name}.weight": shape, f"{name}.bias": (shape[int(transposed)],)}


def _normalisation(name: str, filters: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (filters,) for part in parts}
