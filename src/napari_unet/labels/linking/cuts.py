"""Where a row of sections is cut: two objects above each other overlap, too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Share of the smaller of two sections beside a plane without any, below which they are two objects:
# a section that one plane misses is as large as its neighbours, the end of an object is not.
BRIDGED = 0.8
# Overlap (IoU) of two sections in the greatest on either side, below which a row jumps: within an
# object it is great in the middle and falls to the ends, where two objects meet it falls between.
JUMP = 0.8
LEAST_PLANES = 2  # sections on either side of a jump


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Sections of one plane after the other, which may be those of several objects.

    Attributes
    ----------
    area : ndarray of float64
        ``(N,)``, pixels of the sections.
    overlap : ndarray of float64
        ``(N - 1, 2)``, of each section but the first with the one before, and with that before it.
    bridged, known : ndarray of bool
        ``(N - 1,)``, links over a plane without the object, and links that are not to be cut.
    """

    area: NDArray[np.float64]
    overlap: NDArray[np.float64]
    bridged: NDArray[np.bool_]
    known: NDArray[np.bool_]

    def part(self, start: int, stop: int) -> "Row":
        """Return some of the sections, and the links between them."""
        links = slice(start, stop - 1)
        bridged, known = self.bridged[links], self.known[links]
        return Row(self.area[start:stop], self.overlap[links], bridged, known)

    def cuts(self, waist: float) -> list[int]:
        """Return the links, numbered from 0, between two objects; see `LinkSettings.waist`."""
        if len(self.area) < 2:
            return []
        waists, jumps = (f & ~self.known for f in (self._waists(waist), self._jumps()))
        if waists.any():
            cut = int(np.argmin(np.where(waists, self.area[:-1] + self.area[1:], np.inf)))
        elif jumps.any():
            cut = int(np.argmin(np.where(jumps, self._steady(), np.inf)))
        else:
            return []
        first, last = self.part(0, cut + 1), self.part(cut + 1, len(self.area))
        return [*first.cuts(waist), cut, *(cut + 1 + link for link in last.cuts(waist))]

    def _waists(self, waist: float) -> NDArray[np.bool_]:
        """Whether the area falls and rises again around each link."""
        smooth = self.area.copy()  # one wrong plane is no waist
        if len(smooth) > 2:
            smooth[1:-1] = np.median(np.stack([smooth[:-2], smooth[1:-1], smooth[2:]]), axis=0)
        sides = _least_of_sides(smooth[:-1], smooth[1:])
        share = np.where(self.bridged, BRIDGED, waist)
        narrow: NDArray[np.bool_] = np.minimum(smooth[:-1], smooth[1:]) < share * sides
        return narrow

    def _jumps(self) -> NDArray[np.bool_]:
        """Whether the overlap falls and rises again around each link."""
        steady = self._steady()
        jumps = np.zeros(len(steady), bool)
        inner = slice(LEAST_PLANES - 1, len(steady) - LEAST_PLANES + 1)
        sides = _least_of_sides(np.concatenate([[0.0], steady[:-1]]), np.append(steady[1:], 0.0))
        jumps[inner] = (steady < JUMP * sides)[inner]
        return jumps

    def _steady(self) -> NDArray[np.float64]:
        """Return the overlap at each link, ``(N - 1,)``; one wrong plane between is left out."""
        steady = self.overlap[:, 0].copy()
        steady[1:] = np.maximum(steady[1:], self.overlap[1:, 1])
        steady[:-1] = np.maximum(steady[:-1], self.overlap[1:, 1])
        return steady


def _least_of_sides(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smaller one of the largest up to each place, and of the largest from it on."""
    up = np.maximum.accumulate(before)
    down = np.maximum.accumulate(after[::-1])[::-1]
    least: NDArray[np.float64] = np.minimum(up, down)
    return least
