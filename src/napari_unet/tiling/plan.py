"""The frozen plan of one segmentation: every decision taken, nothing computed yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from pydantic import TypeAdapter

from napari_unet.image import Box, Image, Plane
from napari_unet.labels.watershed import overlap_of
from napari_unet.models.card import ModelCard
from napari_unet.settings import DecodeSettings, SegmentSettings
from napari_unet.tiling.tiles import Tile, TilePlan, cover, plan_tiles

Key = tuple[int, int]
"""A tile in a plan: number of the plane, number of the tile."""
BYTES = 160  # of memory that a pixel takes while the network computes it, at 16 filters


@dataclass(frozen=True)
class SegmentPlan:
    """What to compute, where, and with which model.

    Attributes
    ----------
    shape : tuple of int
        Height and width of a plane, image pixels.
    planes : tuple of tuple of int
        Indices along the iterated axes of every plane to segment.
    region : Box
        Image pixels whose objects are wanted.
    card : ModelCard
        The model.
    model_path : str
        Its file.
    model_sha : str
        sha256 of the file, for the record.
    channels : int
        Channels the network is given.
    limits : tuple of (low, high)
        Grey values that become 0 and 1, for each channel; of the image, never of a tile.
    diameter : float
        Typical diameter of the objects, image pixels.
    found : float or None
        The same as estimated from the image, where it was; `diameter` may be the model's own.
    tile : int
        Largest side of a write box, image pixels.
    device : str
        Where to compute.
    precision : str
        Type of the numbers to compute with; "auto" leaves it to the processor.
    anchored : bool
        Whether the tiles lie as the chunks of a file; see `plan_tiles`.
    further : tuple of str
        Outputs that the probability maps hold although they are not mapped.
    nuclei : bool
        Whether the network takes nuclei; they are the last of the channels where an image has them.
    """

    shape: tuple[int, int]
    planes: tuple[tuple[int, ...], ...]
    region: Box
    card: ModelCard
    model_path: str
    model_sha: str
    channels: int
    limits: tuple[tuple[float, float], ...]
    diameter: float
    found: float | None = None
    tile: int = 512
    device: str = "auto"
    precision: str = "auto"
    anchored: bool = False
    further: tuple[str, ...] = ()
    nuclei: bool = False

    @property
    def zoom(self) -> float:
        """Network pixels for each image pixel."""
        return self.card.zoom(self.diameter)

    @property
    def overlap(self) -> int:
        """Image pixels around a block that are decoded with it; larger than the objects."""
        return overlap_of(self.diameter) if self.card.finds_objects else 0

    @cached_property
    def tiles(self) -> TilePlan:
        """Tiles of a plane: the region, and the neighbourhood its objects reach into."""
        return plan_tiles(
            self.shape,
            self.card.spec,
            zoom=self.zoom,
            tile=max(1, int(self.tile / max(1.0, self.zoom))),  # bounds memory when enlarging
            area=self.region.grow(self.overlap),
            anchored=self.anchored,
        )

    def decoding(self, settings: SegmentSettings) -> DecodeSettings:
        """Return the thresholds to use: the person's, else the card's."""
        return settings.decode or self.card.decode_for(self.found or settings.diameter)

    @property
    def map_channels(self) -> int:
        """Number of channels of the probability map."""
        return len(self.card.channels_with(self.further))

    def owned(self, tile: Tile) -> Box:
        """Image pixels whose objects this tile's block is responsible for."""
        return tile.write.intersect(self.region)

    def window(self, tile: Tile) -> Box:
        """Image pixels of the probability map that the block is decoded from."""
        return self.owned(tile).grow(self.overlap).intersect(self.tiles.area)

    def covering(self, tile: int) -> Tile:
        """Return the one tile that writes all a block is decoded from, for a block by itself."""
        return cover(self.tiles, self.card.spec, self.window(self.tiles.tiles[tile]))

    def needs(self, tile: int) -> list[int]:
        """Tiles whose probability maps a block needs."""
        return self.tiles.touching(self.window(self.tiles.tiles[tile]))

    def read(self, image: Image, plane: int, tile: Tile) -> NDArray[Any]:
        """Return the pixels ``(C, Y, X)`` of a plane that a tile is computed from."""
        return image.read(self.planes[plane], tile.source, self.channels, nuclei=self.nuclei)

    def blocks(
        self, centre: tuple[float, float] | None = None, first: Plane | None = None
    ) -> Iterator[Key]:
        """Every block that has pixels in the region, plane by plane.

        Parameters
        ----------
        centre : tuple of float, optional
            Image pixel to begin at, going outwards; default row by row.
        first : tuple of int, optional
            Indices along the iterated axes of the plane to begin at, going outwards, along the
            last axis before the others; default in their order.
        """
        order = self.tiles.nearest_first(centre) if centre else range(len(self.tiles.tiles))
        wanted = [i for i in order if self.owned(self.tiles.tiles[i]).size]
        planes: Sequence[int] = range(len(self.planes))
        if first is not None:
            away = [[abs(a - b) for a, b in zip(p, first, strict=True)] for p in self.planes]
            planes = sorted(planes, key=away.__getitem__)
        for plane in planes:
            for tile in wanted:
                yield plane, tile

    @property
    def working_bytes(self) -> int:
        """Memory that a thread takes while it computes the largest block."""
        pixels = max(self.window(tile).size for tile in self.tiles.tiles) * max(1.0, self.zoom) ** 2
        return int(pixels * BYTES * self.card.spec.base_filters / 16)

    def tile_bytes(self, tile: int) -> int:
        """Uncompressed size of a tile's probability map."""
        return self.map_channels * self.tiles.tiles[tile].write.size

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is derived: tiles of a slide are large, and a plan travels often."""
        return {field.name: self.__dict__[field.name] for field in fields(self)}

    def to_json(self) -> bytes:
        """Serialise, to be sent to the engine."""
        return _adapter().dump_json(self)

    @classmethod
    def from_json(cls, content: bytes) -> "SegmentPlan":
        """Rebuild a plan."""
        plan: SegmentPlan = _adapter().validate_json(content)
        return plan


def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(SegmentPlan)
