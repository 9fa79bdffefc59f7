"""Image files of every kind, their axes and pixel size, and files that are none."""

import contextlib

import imageio.v3
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.errors import InputError
from napari_unet.image import Box, Spacing
from napari_unet.io.formats import tiff_images
from napari_unet.io.formats.tiff_images import image_axes
from napari_unet.io.images import image_files, read_image
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.tiff import save_labels

GREY = np.random.default_rng(0).integers(0, 4000, (60, 70), dtype=np.uint16)
COLOUR = np.random.default_rng(0).integers(0, 255, (60, 70, 3), dtype=np.uint8)
SUB = {"photometric": "minisblack"}
TIFFS = {
    "plain": (GREY, {}, "YX"),
    "big-endian": (GREY, {"byteorder": ">"}, "YX"),
    "tiled": (GREY, {"tile": (16, 16), "compression": "zlib"}, "YX"),
    "strips": (np.stack([GREY] * 3), {"rowsperstrip": 7, "compression": "zlib", **SUB}, "QYX"),
    "imagej": (np.stack([GREY] * 3), {"imagej": True, "metadata": {"axes": "ZYX"}}, "ZYX"),
    "ome": (np.stack([GREY] * 2), {"ome": True, "metadata": {"axes": "CYX"}, **SUB}, "CYX"),
    "colour": (COLOUR, {"photometric": "rgb"}, "YXC"),
    "planar": (np.moveaxis(COLOUR, -1, 0), {"photometric": "rgb", "planarconfig": 2}, "CYX"),
    "colour stack": (np.stack([COLOUR] * 2), {"photometric": "rgb", "ome": True,
                     "metadata": {"axes": "CYXS"}}, "KYXC"),
    "float": (GREY.astype("f4"), {}, "YX"),
    "bool": (GREY > 99, {}, "YX"),
}  # fmt: skip


@pytest.fixture(params=[tiff_images.LAZY_BYTES, 0], ids=["whole", "lazy"])
def lazy(request, monkeypatch):
    monkeypatch.setattr(tiff_images, "LAZY_BYTES", request.param)
    return request.param == 0


@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs(tmp_path, lazy, kind):
    data, options, axes = TIFFS[kind]
    tifffile.imwrite(tmp_path / "an image.tif", data, **options)
    image = read_image(tmp_path / "an image.tif")
    assert image.axes == axes
    assert image.name == "an image"
    assert image.data.shape == data.shape
    assert isinstance(image.data, np.ndarray) is (not lazy or isinstance(image.data, np.memmap))
    np.testing.assert_array_equal(np.asarray(image.data[..., 3:9]), data[..., 3:9])
    assert image.read(next(iter(image.planes())), Box((1, 2), (9, 12))).shape == (1, 8, 10)


@pytest.mark.parametrize(
    ("options", "size", "unit"),
    [
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.3, "PhysicalSizeY": 0.2}},
         (0.2, 0.3), "micrometer"),
        ({"ome": True, "metadata": {"PhysicalSizeX": 300, "PhysicalSizeXUnit": "nm",
          "PhysicalSizeY": 0.2, "PhysicalSizeYUnit": "µm"}}, (0.2, 0.3), "micrometer"),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "\\u00B5m"}},
         (0.5, 0.25), "micrometer"),
        ({"imagej": True}, None, "pixel"),
        ({"resolution": (2e4, 4e4), "resolutionunit": "CENTIMETER"}, (0.25, 0.5), "micrometer"),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None, "pixel"),
        ({"resolution": (118, 118), "resolutionunit": "CENTIMETER"}, None, "pixel"),
        ({}, None, "pixel"),
    ],
)  # fmt: skip
def test_pixel_size(tmp_path, options, size, unit):
    tifffile.imwrite(tmp_path / "a.tif", GREY, **options)
    image = read_image(tmp_path / "a.tif")
    assert image.pixel_size == (None if size is None else pytest.approx(size, rel=1e-9))
    assert image.unit == unit


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"ome": True, "metadata": {"axes": "TZYX", "PhysicalSizeX": 0.3, "PhysicalSizeZ": 2.0,
          "TimeIncrement": 1500.0, "TimeIncrementUnit": "ms"}}, {"Z": 2.0, "T": 1.5}),
        ({"ome": True, "metadata": {"axes": "TZYX", "PhysicalSizeX": 0.3}}, {}),
        ({"imagej": True, "resolution": (4, 4),
          "metadata": {"axes": "TZYX", "unit": "um", "spacing": 2.0, "finterval": 1.5}},
         {"Z": 2.0, "T": 1.5}),
        ({"imagej": True, "metadata": {"axes": "TZYX", "spacing": 2.0}}, {}),
    ],
)  # fmt: skip
def test_steps_from_plane_to_plane(tmp_path, options, steps):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 40, 50), np.uint8), **options)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TZYX"
    assert {axis: image.spacing[axis].size for axis in "ZT" if axis in image.spacing} == steps
    assert read_image(tmp_path / "a.tif", axes="QZYX").label_sizes[0] is None


def test_an_ome_zarr_says_its_steps_and_what_is_unknown(tmp_path):
    spacing = Spacing(1.5, "second"), Spacing(), *[Spacing(0.5, "micrometer", 3.0)] * 2
    LabelPyramid.create(tmp_path / "a.zarr", (2, 3, 64, 64), (64, 64), axes="TZYX", spacing=spacing)
    image = read_image(tmp_path / "a.zarr")
    assert image.label_spacing == spacing
    group = zarr.open_group(tmp_path / "a.zarr", mode="a", zarr_format=2)
    scales = group.attrs["multiscales"]
    scales[0]["coordinateTransformations"] = [{"type": "scale", "scale": [2.0, 1.0, 1.0, 1.0]}]
    group.attrs["multiscales"] = scales
    assert read_image(tmp_path / "a.zarr").spacing["T"].size == 3.0


def test_pyramid_gives_the_finest_level(tmp_path, lazy):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        options = {"tile": (16, 16), "compression": "zlib"}
        tif.write(GREY, subifds=1, **options)
        tif.write(GREY[::2, ::2], subfiletype=1, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").data[:, 0:70], GREY)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".PNG"])
def test_pictures(tmp_path, suffix):
    path = tmp_path / f"日本{suffix}"
    imageio.v3.imwrite(path, COLOUR)
    image = read_image(path, channel=1)
    assert (image.axes, image.data.shape, image.channel) == ("YXC", (60, 70, 3), 1)


def test_sixteen_bit_and_transparent_png(tmp_path):
    imageio.v3.imwrite(tmp_path / "a.png", GREY)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").data, GREY)
    imageio.v3.imwrite(tmp_path / "b.png", COLOUR[..., :2], extension=".png", mode="LA")
    assert read_image(tmp_path / "b.png").axes == "YX"


def test_axes_can_be_given(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY] * 3), **SUB)
    assert read_image(tmp_path / "a.tif", axes="CYX").channels == 3
    with pytest.raises(InputError, match=r"a\.tif.*ZCYX"):
        read_image(tmp_path / "a.tif", axes="ZCYX")


@pytest.mark.parametrize(
    ("given", "wanted"), [("YXS", "YXC"), ("QQYX", "QKYX"), ("TCYXS", "TKYXC"), ("SYX", "CYX")]
)
def test_letters_of_axes(given, wanted):
    assert image_axes(given) == wanted


def test_damaged_and_foreign_files(tmp_path):
    tifffile.imwrite(tmp_path / "good.tif", GREY)
    whole = (tmp_path / "good.tif").read_bytes()
    contents = {
        "cut.tif": whole[:-500],
        "head.tif": whole[:30],
        "empty.tif": b"",
        "text.tif": b"not an image at all",
        "text.png": b"not an image at all",
        "huge.tif": whole.replace(b"\x3c\x00", b"\xff\xff", 2).replace(b"\x46\x00", b"\xff\xff", 2),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in [*contents, "missing.tif", "a.docx", "."]:
        with pytest.raises(InputError) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_mutated_tiffs_raise_only_input_errors(tmp_path):
    save_labels(tmp_path / "a.tif", GREY)
    content = (tmp_path / "a.tif").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, 700, 4):
            damaged[-place] = rng.integers(256)
        (tmp_path / "b.tif").write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_image(tmp_path / "b.tif")


def test_folders_are_expanded(tmp_path):
    for name in (
        "b.tif",
        "a.PNG",
        "c.ome.tif",
        "b_labels.tif",
        "c_labels.ome.tif",
        ".h.tif",
        "n.txt",
    ):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    found = image_files([tmp_path / "c.ome.tif", str(tmp_path)])
    assert [p.name for p in found] == ["c.ome.tif", "a.PNG", "b.tif"]
    with pytest.raises(InputError, match="no images"):
        image_files([tmp_path / "inner"])
    with pytest.raises(InputError, match="does not exist"):
        image_files([tmp_path / "missing.tif"])
