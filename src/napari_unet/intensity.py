"""Grey values: their range in an image, and the scale that a network is given."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.8
CLIP = (-0.5, 2.0)  # of normalised grey values: a hot pixel must not blind the network
LARGEST = 1e300  # of grey-value limits: their difference must be a number too
# Where the middle grey value is brighter than this share of the range, the objects are the dark
# minority. (Medians: fluorescence below 0.2, phase contrast 0.25 to 0.42, electron microscopy
# about 0.5, stained tissue and bright-field nuclei from 0.6 on.)
BRIGHT_GROUND = 0.57


def to_grey(image: NDArray[Any]) -> NDArray[Any]:
    """Average the channels of ``(Y, X, C)``, without an alpha channel; ``(Y, X)`` is kept."""
    if image.ndim == 2:
        return image
    if image.shape[-1] == 4:
        image = image[..., :3]
    return average(np.moveaxis(image, -1, 0))


def average(channels: NDArray[Any]) -> NDArray[Any]:
    """Average ``(C, Y, X)`` over C; in float64 where float32 would lose or overflow."""
    wide = channels.dtype.itemsize > 2
    with np.errstate(over="ignore", invalid="ignore"):
        grey: NDArray[Any] = channels.mean(axis=0, dtype=np.float64 if wide else np.float32)
    return grey


def percentiles(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 1st and 99.8th percentile of the finite values, equal if there is no contrast."""
    return _limits(_finite(values), (LOW_PERCENTILE, HIGH_PERCENTILE))


def grey_limits(values: NDArray[Any], *, bright_objects: bool) -> tuple[float, float]:
    """Return the grey values that become 0 and 1; in descending order where contrast is inverted.

    Parameters
    ----------
    values : ndarray
        Grey values from all over the image.
    bright_objects : bool
        Whether dark objects on a bright ground are to become bright ones, told by the median; else
        `percentiles` decides.
    """
    finite = _finite(values)
    low, high = _limits(finite, (LOW_PERCENTILE, HIGH_PERCENTILE))
    if not (bright_objects and has_contrast((low, high))):
        return low, high
    if np.median(finite) - low <= BRIGHT_GROUND * (high - low):
        return low, high
    low, high = _limits(finite, (100 - HIGH_PERCENTILE, 100 - LOW_PERCENTILE))
    return high, low


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        wide = np.asarray(values).ravel().astype(np.float64)
    return np.clip(wide[np.isfinite(wide)], -LARGEST, LARGEST)


def _limits(values: NDArray[np.float64], shares: tuple[float, float]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(values, shares)
    if low == high:  # nearly all pixels are equal: whatever stands out sets the range
        low, high = values.min(), values.max()
    return float(low), float(high)


def has_contrast(limits: tuple[float, float]) -> bool:
    """Whether the grey values that become 0 and 1 differ."""
    low, high = limits
    return high != low


@dataclass(frozen=True, slots=True)
class Scaling:
    """Which grey values of an image become 0 and 1 for a network.

    Attributes
    ----------
    kind : {"percentiles", "deviation", "given"}
        Two percentiles; the mean, and the mean plus the standard deviation; or 0 and 1 themselves.
    low, high : float
        The percentiles, in percent.
    clip : tuple of float or None
        Limits of the scaled values; None = they are kept as they are.
    joint : bool
        Whether all channels together decide, else each for itself.
    """

    kind: Literal["percentiles", "deviation", "given"] = "percentiles"
    low: float = LOW_PERCENTILE
    high: float = HIGH_PERCENTILE
    clip: tuple[float, float] | None = CLIP
    joint: bool = False

    def limits(
        self, values: NDArray[Any], *, bright_objects: bool
    ) -> tuple[tuple[float, float], ...]:
        """Return the grey values that become 0 and 1, for each channel of ``(C, N)``.

        Where `bright_objects` is true they may descend; see `grey_limits`.
        """
        if self == Scaling():
            return tuple(grey_limits(one, bright_objects=bright_objects) for one in values)
        if self.joint:
            return (self._limits(values),) * len(values)
        return tuple(self._limits(one) for one in values)

    def _limits(self, values: NDArray[Any]) -> tuple[float, float]:
        if self.kind == "given":
            return 0.0, 1.0
        finite = _finite(values)
        if self.kind == "percentiles":
            return _limits(finite, (self.low, self.high))
        if not finite.size:
            return 0.0, 0.0
        mean = float(finite.mean())
        return mean, mean + float(finite.std())


def normalise(
    window: NDArray[Any], limits: tuple[float, float], clip: tuple[float, float] | None = CLIP
) -> NDArray[np.float32]:
    """Map `limits` to 0 and 1 and clip; not-a-number and infinite pixels become 0 (background).

    Descending limits invert the contrast. Without `clip` values are kept as they are.
    """
    low, high = limits
    if not has_contrast(limits):
        return np.zeros(window.shape, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        values = window.astype(np.float64)
        scaled = (values - low) / (high - low)
        if clip is not None:
            scaled = np.clip(scaled, *clip)
    return np.where(np.isfinite(values), scaled, 0.0).astype(np.float32)
