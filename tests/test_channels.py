"""Channels by name, and the stains that colours tell."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.color import rgb2hed

from napari_unet.channels import STAINS
from napari_unet.errors import InputError
from napari_unet.image import Box, Image
from napari_unet.io.formats import tiff_images
from napari_unet.io.images import read_image
from napari_unet.segmentation import open_image

RANDOM = np.random.default_rng(0)
TISSUE = RANDOM.integers(20, 255, (130, 150, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 900, (3, 40, 50), dtype=np.uint16)
WHOLE = Box((0, 0), (130, 150))


def named(*names: str, path: Path) -> Path:
    facts = {"axes": "CYX", "Channel": {"Name": list(names)}}
    tifffile.imwrite(path, GREY[: len(names)], photometric="minisblack", metadata=facts)
    return path


@pytest.mark.parametrize(
    ("wanted", "number"),
    [("DAPI", 0), ("gfp", 1), (" mCherry ", 2), ("2", 2), (1, 1), (None, None)],
)
def test_a_channel_by_name_or_number(tmp_path: Path, wanted: object, number: int | None) -> None:
    image = read_image(named("DAPI", "GFP", "mCherry", path=tmp_path / "a.ome.tif"), channel=wanted)
    assert image.channel == number
    assert image.notices == ()


def test_the_channel_of_nuclei_goes_by_name(tmp_path: Path) -> None:
    path = named("DAPI", "GFP", path=tmp_path / "a.ome.tif")
    image = read_image(path, channel="GFP", nuclei="dapi")
    assert (image.channel, image.nuclei) == (1, 0)
    with pytest.raises(InputError, match="0 DAPI, 1 GFP, of which one other must show the cells"):
        read_image(path, channel="dapi", nuclei="DAPI")


def test_an_unknown_name_lists_the_names(tmp_path: Path) -> None:
    path = named("DAPI", "GFP", path=tmp_path / "a.ome.tif")
    with pytest.raises(InputError, match=r"'Cy5' was asked for.*the channels 0 DAPI, 1 GFP"):
        read_image(path, channel="Cy5")
    with pytest.raises(InputError, match="channels 0 to 2 without names"):
        open_image(GREY, "CYX", channel="DAPI")
    twice = named("GFP", "GFP", path=tmp_path / "b.ome.tif")
    with pytest.raises(InputError, match="Several channels are called so"):
        read_image(twice, channel="GFP")


def test_a_number_that_is_a_name_is_the_name_and_is_told(tmp_path: Path) -> None:
    path = named("1", "2", "488", path=tmp_path / "a.ome.tif")
    image = read_image(path, channel="1")
    assert image.channel == 0
    assert "taken as the name" in image.notices[0]
    assert read_image(path, channel="0").channel == 0
    assert read_image(path, channel="488").channel == 2


def test_labels_of_slices_name_the_channels_of_an_imagej_stack(tmp_path: Path) -> None:
    data = np.stack([GREY, GREY])[:, :2]  # ZCYX
    for labels, names in (
        (["DAPI", "GFP"] * 2, ("DAPI", "GFP")),
        (["c:1/2 z:1/2", "c:2/2 z:1/2", "c:1/2 z:2/2", "c:2/2 z:2/2"], ()),
        (["a", "a"] * 2, ()),
    ):
        facts = {"axes": "ZCYX", "Labels": labels}
        tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=facts)
        assert read_image(tmp_path / "a.tif").channel_names == names


def test_three_grey_samples_are_no_colours(tmp_path: Path) -> None:
    kind = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [0, 0]}
    tifffile.imwrite(tmp_path / "a.tif", TISSUE, **kind)
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.channel_names) == ("YXC", ())


# ---- stains ------------------------------------------------------------------------------------


def test_colour_images_offer_their_stains() -> None:
    colours = ("Red", "Green", "Blue")
    assert open_image(TISSUE).choices == (*colours, *STAINS)
    opaque = np.dstack([TISSUE, TISSUE[..., :1]])
    assert open_image(opaque).choices == (*colours, "Opacity", *STAINS)
    assert open_image(opaque, channel="eosin").channel == 5
    assert Image(opaque, "YXC", opacity=False).choices == (*colours, "Opacity", *STAINS)
    assert open_image(TISSUE.astype(np.float32)).choices == ("", "", "")
    assert open_image(GREY, "CYX").choices == ("", "", "")


@pytest.mark.parametrize("name", ["Haematoxylin", "hematoxylin", "EOSIN"])
def test_a_stain_is_what_colour_deconvolution_gives(name: str) -> None:
    image = open_image(TISSUE, channel=name)
    number = 1 if name == "EOSIN" else 0
    np.testing.assert_allclose(image.read((), WHOLE)[0], rgb2hed(TISSUE)[..., number], rtol=1e-6)
    assert image.read((), WHOLE).dtype == np.float32
    assert image.used_channels(1) == 1


def test_a_stain_beside_the_average() -> None:
    image = open_image(TISSUE, nuclei="Haematoxylin")
    grey, stain = image.read((), WHOLE, 2, nuclei=True)
    np.testing.assert_allclose(grey, TISSUE.mean(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(stain, rgb2hed(TISSUE)[..., 0], rtol=1e-5)


@pytest.mark.parametrize("planar", [False, True])
def test_a_part_of_a_lazy_tiled_image_has_the_stains_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planar: bool
) -> None:
    monkeypatch.setattr(tiff_images, "LAZY_BYTES", 0)
    data = np.moveaxis(TISSUE, -1, 0) if planar else TISSUE
    plan = "separate" if planar else "contig"
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="rgb", planarconfig=plan, tile=(64, 64),
        compression="zlib",
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif", channel="Haematoxylin")
    assert not isinstance(image.data, np.ndarray)
    assert image.axes == ("CYX" if planar else "YXC")
    whole, part = image.read((), WHOLE), image.read((), Box((50, 33), (101, 149)))
    np.testing.assert_array_equal(part, whole[:, 50:101, 33:149])
    np.testing.assert_allclose(whole[0], rgb2hed(TISSUE)[..., 0], rtol=1e-5)
