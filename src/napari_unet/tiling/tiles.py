"""Overlap-tile in pure integers (paper, section 2, figure 2): what to write, keep and read.

Two frames. *Image pixels*: the grid of the image and of the labels. *Network pixels*: the grid
the network works on, equal to the image's unless the image is rescaled.

::

    read box, network px        what the network is given; beyond the image it is mirrored
    ┌──────────────────────┐
    │ halo                 │
    │    ┌────────────┐    │
    │    │ core       │    │    on the pooling grid; the network is exact here
    │    │ ┌────────┐ │    │
    │    │ │ write  │ │    │    image px; the write boxes cover every pixel once
    │    │ └────────┘ │    │
    │    └────────────┘    │
    └──────────────────────┘
"""

import math
from dataclasses import dataclass
from functools import cached_property

from napari_unet.image import Box
from napari_unet.network.spec import Interval, UNetSpec
from napari_unet.tiling.resample import axis_taps

ANCHOR = 64  # px; anchored tiles are as long as a multiple of it, so halved six times they fit


@dataclass(frozen=True, slots=True)
class Tile:
    """What the network computes at once.

    Attributes
    ----------
    index : int
        Number in the plan, row by row.
    write : Box
        Image pixels this tile writes.
    core : Box
        Network pixels kept of the output, on the pooling grid; they cover `write`.
    read : Box
        Network pixels the network is given: the core and the halo around it.
    source : Box
        Image pixels to read; the rest of `read` is mirrored from them.
    """

    index: int
    write: Box
    core: Box
    read: Box
    source: Box


@dataclass(frozen=True)
class TilePlan:
    """Tiles of one plane.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the image, image pixels.
    network_shape : tuple of int
        Height and width of the network's grid over the whole image.
    area : Box
        Image pixels that are computed.
    step : tuple of int
        Height and width of the write boxes (the last ones may be smaller).
    tiles : tuple of Tile
        Row by row.
    """

    shape: tuple[int, int]
    network_shape: tuple[int, int]
    area: Box
    step: tuple[int, int]
    tiles: tuple[Tile, ...]

    @cached_property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.area.shape[1] // self.step[1])

    def touching(self, box: Box) -> list[int]:
        """Numbers of the tiles whose write boxes share pixels with `box`."""
        inner = box.intersect(self.area).shift(self.area.start)
        if not inner.size:
            return []
        rows = range(inner.start[0] // self.step[0], (inner.stop[0] - 1) // self.step[0] + 1)
        columns = range(inner.start[1] // self.step[1], (inner.stop[1] - 1) // self.step[1] + 1)
        return [row * self.columns + column for row in rows for column in columns]

    def nearest_first(self, centre: tuple[float, float]) -> list[int]:
        """Numbers of the tiles by the distance of their middle from `centre` (image px)."""

        def distance(tile: Tile) -> float:
            y, x = tile.write.centre
            return (y - centre[0]) ** 2 + (x - centre[1]) ** 2

        return [tile.index for tile in sorted(self.tiles, key=distance)]


@dataclass(frozen=True, slots=True)
class _AxisTile:
    write: Interval
    core: Interval
    read: Interval
    source: Interval


def plan_tiles(
    shape: tuple[int, int],
    spec: UNetSpec,
    *,
    zoom: float = 1.0,
    tile: int = 512,
    area: Box | None = None,
    anchored: bool = False,
) -> TilePlan:
    """Divide a plane, or an area of it, into tiles.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the plane, image pixels; 1 or more.
    spec : UNetSpec
        The network; gives halo and pooling grid.
    zoom : float
        Network pixels per image pixel.
    tile : int
        Largest side of a write box, image pixels.
    area : Box, optional
        Image pixels wanted, default all; grown to the pooling grid where there is no rescaling.
    anchored : bool
        Whether the tiles are those of the whole plane, as chunks of a file are, of which the area
        has some; else they are as many as suit the area.
    """
    network_shape = _round(shape[0] * zoom), _round(shape[1] * zoom)
    grid = spec.divisor if network_shape == shape else 1
    whole = Box((0, 0), shape)
    area = (area or whole).on_grid(grid).intersect(whole)
    if anchored:
        steps = tuple(_step(length, tile, max(grid, ANCHOR)) for length in shape)
        start, stop = zip(*(_chunks(area, steps, axis) for axis in (0, 1)), strict=True)
        area = Box(start, stop).intersect(whole)
    else:
        steps = tuple(_step(length, tile, grid) for length in area.shape)
    rows, columns = (
        _axis_tiles((area.start[i], area.stop[i]), steps[i], (shape[i], network_shape[i]), spec)
        for i in (0, 1)
    )
    tiles = tuple(
        Tile(index, *(_box(y, x, name) for name in ("write", "core", "read", "source")))
        for index, (y, x) in enumerate((y, x) for y in rows for x in columns)
    )
    return TilePlan(shape, network_shape, area, (steps[0], steps[1]), tiles)


def cover(plan: TilePlan, spec: UNetSpec, box: Box) -> Tile:
    """Return a tile that writes any box of the plane, with number -1: none of the plan's own."""
    y, x = (
        _axis_tile((box.start[i], box.stop[i]), (plan.shape[i], plan.network_shape[i]), spec)
        for i in (0, 1)
    )
    return Tile(-1, *(_box(y, x, name) for name in ("write", "core", "read", "source")))


def _axis_tiles(
    area: Interval, step: int, lengths: tuple[int, int], spec: UNetSpec
) -> list[_AxisTile]:
    starts = range(area[0], area[1], step)
    return [_axis_tile((start, min(start + step, area[1])), lengths, spec) for start in starts]


def _axis_tile(write: Interval, lengths: tuple[int, int], spec: UNetSpec) -> _AxisTile:
    length, network_length = lengths
    needed = axis_taps(write, length, network_length).support
    core = _down(needed[0], spec.divisor), _up(needed[1], spec.divisor)
    read = spec.read_interval(core)
    source = axis_taps(read, network_length, length).support
    return _AxisTile(write, core, read, source)


def _chunks(area: Box, steps: tuple[int, ...], axis: int) -> Interval:
    """Grow one side of a box to whole chunks that begin at 0."""
    step = steps[axis]
    return _down(area.start[axis], step), _up(area.stop[axis], step)


def _box(y: _AxisTile, x: _AxisTile, name: str) -> Box:
    (y0, y1), (x0, x1) = getattr(y, name), getattr(x, name)
    return Box((y0, x0), (y1, x1))


def _step(length: int, tile: int, grid: int) -> int:
    """Even out the tiles of an axis: as many as `tile` needs, all but the last of one length."""
    count = math.ceil(length / max(_down(tile, grid), grid))
    return _up(math.ceil(length / count), grid)


def _down(value: int, grid: int) -> int:
    return value // grid * grid


def _up(value: int, grid: int) -> int:
    return -(-value // grid) * grid


def _round(length: float) -> int:
    return max(1, round(length))
