"""Names of channels: those of a network's outputs, and those of the probability map in bytes.

No other module counts channels. A further output takes, in this order:

1. In `network.spec.UNetSpec` a true or false field, off by default, that `__post_init__` checks,
   `to_dict` leaves out where it is off, and `for_classes` turns off.
2. An `Output` in `network.spec.UNetSpec.outputs`, after those that are there.
3. Its target and loss in `training.targets.REGRESSIONS`.
4. What decoding makes of it in `labels.watershed.decode`, which finds it by name in `channels`.
   Models without the output are decoded there as well.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

BACKGROUND, CELL, BORDER = 0, 1, 2  # classes of a network that finds objects


class Kind(StrEnum):
    """What a model tells: which object a pixel belongs to, or which class it has."""

    INSTANCES = "instances"
    CLASSES = "classes"


class Activation(StrEnum):
    """What becomes of the numbers that the last convolution gives."""

    SOFTMAX = "softmax"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a network.

    Attributes
    ----------
    name : str
        What it is called everywhere.
    channels : int
        Number of its channels.
    activation : Activation
        Softmax for class logits, identity for a number that is learned as it is.
    mapped : bool
        Whether every probability map holds it. Inference drops an output that is not mapped,
        unless it is asked for by name.
    span : tuple of float
        Values that a probability map holds as 0 and as 255; what lies beyond is cut off.
    """

    name: str
    channels: int = 1
    activation: Activation = Activation.IDENTITY
    mapped: bool = True
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Channels:
    """Named channels of an array, in their order.

    Attributes
    ----------
    counts : tuple of (str, int)
        Name and number of channels of each part.
    """

    counts: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        """Return the number of channels of all parts."""
        return sum(count for _, count in self.counts)

    def __contains__(self, name: object) -> bool:
        return any(name == known for known, _ in self.counts)

    def slice_of(self, name: str) -> slice:
        """Return where the channels of a part lie."""
        start = 0
        for known, count in self.counts:
            if known == name:
                return slice(start, start + count)
            start += count
        raise KeyError(name)

    def index(self, name: str) -> int:
        """Return where the first channel of a part lies; most parts have no other."""
        start: int = self.slice_of(name).start
        return start


def channels_of(outputs: Iterable[Output]) -> Channels:
    """Return the channels of some outputs."""
    return Channels(tuple((output.name, output.channels) for output in outputs))


def map_channels(outputs: Iterable[Output], kind: Kind, further: Collection[str] = ()) -> Channels:
    """Return the channels of a probability map: the one place that names and orders them.

    A map of objects leaves out the probability of background, which is the rest to 1. A map of
    classes holds the number of the most probable class.

    Parameters
    ----------
    outputs : iterable of Output
        Of the network.
    kind : Kind
        What the network tells.
    further : collection of str
        Outputs that are held although they are not mapped.
    """
    if kind == Kind.CLASSES:
        return Channels((("class", 1),))
    measured = [o for o in held(outputs, further) if o.activation != Activation.SOFTMAX]
    return Channels((("cell", 1), ("border", 1), *channels_of(measured).counts))


def held(outputs: Iterable[Output], further: Collection[str] = ()) -> list[Output]:
    """Return what inference computes for a probability map."""
    return [output for output in outputs if output.mapped or output.name in further]


OBJECT_MAP = map_channels([Output("distance")], Kind.INSTANCES)
"""Channels of every map of objects; those of further outputs follow them."""
