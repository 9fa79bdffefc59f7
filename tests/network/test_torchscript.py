"""Imported networks without BioImage.IO: tiles, axes, and what their outputs mean."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_unet.errors import ModelError
from napari_unet.labels.watershed import decode
from napari_unet.network.imported import ImportedSpec, Step, spec_from_dict
from napari_unet.network.torchscript import ImportedNetwork, apply, objects
from napari_unet.settings import DecodeSettings
from tests.bioimage_packages import Edges, blobs, scaled

PARTS = ("foreground", "boundary")


def squares(*, rim: bool) -> tuple[Tensor, np.ndarray]:
    """Two squares that touch: foreground and boundary, and what belongs to them."""
    maps, inside = torch.zeros(1, 2, 40, 60), np.zeros((40, 60), bool)
    inside[8:32, 5:53] = True
    maps[0, 0, 8:32, 5:53] = 1
    maps[0, 1, 8:32, 28:30] = 1
    if rim:  # most networks draw it around whole objects
        maps[0, 1, [8, 9, 30, 31], 5:53] = 1
        maps[0, 1, 8:32, [5, 6, 51, 52]] = 1
    return maps, inside


@pytest.mark.parametrize("rim", [True, False])
@pytest.mark.parametrize("background", [True, False])
def test_boundaries_part_what_touches(rim: bool, background: bool) -> None:
    maps, inside = squares(rim=rim)
    parts = PARTS
    if background:  # then the three exclude one another
        maps[:, 0] *= 1 - maps[:, 1]
        maps = torch.cat([1 - maps.sum(dim=1, keepdim=True), maps], dim=1)
        parts = ("background", *PARTS)
    found = objects(maps, parts)[0]
    shown = torch.cat([found[:3].softmax(dim=0)[1:], found[3:]])
    labels = decode((shown * 255).round().byte().numpy(), DecodeSettings())
    assert len(np.unique(labels)) == 3
    np.testing.assert_array_equal(labels > 0, inside)
    assert len(np.unique(labels[:, :28])) == len(np.unique(labels[:, 30:])) == 2


def test_boundaries_alone_leave_what_lies_between() -> None:
    maps, _ = squares(rim=True)
    found = objects(maps[:, 1:], ("boundary",))[0]
    shown = torch.cat([found[:3].softmax(dim=0)[1:], found[3:]])
    labels = decode((shown * 255).round().byte().numpy(), DecodeSettings())
    assert len(np.unique(labels)) == 4  # both squares, and what is around them


@pytest.mark.parametrize("shape", [(100, 130), (64, 64), (40, 90), (333, 65)])
def test_tiles_of_one_size_give_what_one_large_tile_does(shape: tuple[int, int]) -> None:
    image = torch.from_numpy(scaled(blobs(shape)[0][None, None]))
    free = ImportedNetwork(ImportedSpec(parts=PARTS, reach=4), Edges()).maps(image)
    fixed = ImportedSpec(parts=PARTS, least=64, step=0, reach=4)
    tiles = ImportedNetwork(fixed, Edges()).maps(image)
    assert tiles.shape == free.shape == (1, 2, *shape)
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(tiles[inner], free[inner])


@pytest.mark.parametrize("shape", [(6, 130), (130, 8), (3, 3)])
def test_images_narrower_than_both_margins_fit_into_tiles_of_one_size(shape) -> None:
    fixed = ImportedSpec(parts=PARTS, least=64, step=0, reach=4)
    maps = ImportedNetwork(fixed, Edges()).maps(torch.rand(1, 1, *shape))
    assert maps.shape == (1, 2, *shape)


class Other(nn.Module):
    """Gives no image."""

    def __init__(self, found: object) -> None:
        super().__init__()
        self.found = found

    def forward(self, _: Tensor) -> object:
        return self.found


@pytest.mark.parametrize("found", [{"maps": torch.zeros(1, 2, 8, 8)}, 1.0, [1.0], None])
def test_outputs_that_are_no_images_are_a_sentence(found: object) -> None:
    with pytest.raises(ModelError, match="The imported network gave"):
        ImportedNetwork(ImportedSpec(parts=PARTS), Other(found)).maps(torch.zeros(1, 1, 8, 8))


class Turned(nn.Module):
    """Takes and gives ``(Y, X, C)``, and nothing but multiples of 16 from 32 on."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        assert all(n >= 32 and n % 16 == 0 for n in image.shape[:2])
        maps = Edges()(image.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        return maps[..., 0], maps[..., 1:]


def test_axes_go_in_and_come_out_in_their_order() -> None:
    image = torch.from_numpy(scaled(blobs((50, 77))[0][None, None]))
    spec = ImportedSpec(
        parts=PARTS, least=32, step=16, reach=4, axes="yxc", output_axes=("yx", "yxc"),
        after=((), ()),
    )  # fmt: skip
    found = ImportedNetwork(spec, Turned()).maps(image)
    wanted = ImportedNetwork(ImportedSpec(parts=PARTS), Edges()).maps(image)
    torch.testing.assert_close(found[..., :-2, :-2], wanted[..., :-2, :-2])


def test_steps() -> None:
    x = torch.tensor([-2.0, 0.5, 3.0])[None, None, None]
    for step, wanted in (
        (Step("linear", (2,), (1,)), [-3, 2, 7]),
        (Step("clip", (0,), (1,)), [0, 0.5, 1]),
        (Step("binarize", (0.5,), (0,)), [0, 0, 1]),
        (Step("sigmoid"), torch.sigmoid(x).flatten().tolist()),
        (Step("softmax"), [1, 1, 1]),
    ):
        assert apply(x, step).flatten().tolist() == pytest.approx(wanted)


def test_a_spec_is_the_same_after_it_was_json() -> None:
    spec = ImportedSpec(parts=PARTS, before=(Step("linear", (2.0,), (1.0,)),), least=32, step=16)
    assert spec_from_dict(spec.to_dict()) == spec
    assert (spec.divisor, spec.halo, spec.fitting(33)) == (16, 0, 48)
    with pytest.raises(ModelError, match="tiles of 64 px only"):
        ImportedSpec(parts=PARTS, least=64, step=0, reach=30)


@pytest.mark.parametrize("parts", [("distance",), ("class",), ("boundary", "distance")])
def test_outputs_of_which_nothing_can_be_made(parts: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="make neither objects nor classes"):
        ImportedSpec(parts=parts)
