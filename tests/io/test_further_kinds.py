"""Files of kinds that others write seldom: each is made here, with its truth."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.image import Box, Spacing
from napari_unet.io.formats import tiff_images
from napari_unet.io.images import read_image, scenes_in
from tests.io.test_file_kinds import axis, scale, write_zarr

RANDOM = np.random.default_rng(0)
LENGTHS = {"T": 2, "C": 2, "Z": 3, "Y": 40, "X": 50}
UNREAD = "in a form that is not read"
YX = {"axes": [axis("y", "micrometer"), axis("x", "micrometer")]}


def pixels(order: str, dtype: str = "u2") -> np.ndarray:
    return RANDOM.integers(0, 200, [LENGTHS[a] for a in order]).astype(dtype)


@pytest.fixture(params=[tiff_images.LAZY_BYTES, 0], ids=["whole", "lazy"])
def lazy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_images, "LAZY_BYTES", request.param)


# ---- types and layouts of TIFF -----------------------------------------------------------------


@pytest.mark.usefixtures("lazy")
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["i2", "u4", "i4", "f4", "f8"])
def test_types_and_byte_orders(tmp_path: Path, kind: str, order: str) -> None:
    data = pixels("ZYX", order + kind) - np.array(70, kind)
    options: dict[str, Any] = {"byteorder": order, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "ZYX"}, **options)
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(np.asarray(image.data[...]), data)
    read = image.read((1,), Box((3, 4), (20, 30)))
    assert read.dtype.isnative
    np.testing.assert_array_equal(read[0], data[1, 3:20, 4:30])


@pytest.mark.usefixtures("lazy")
@pytest.mark.parametrize("where", ["YXC", "CYX", "ZYXC", "ZCYX"])
def test_layouts_of_colours(tmp_path: Path, where: str) -> None:
    data = RANDOM.integers(0, 255, [{**LENGTHS, "C": 3}[a] for a in where], dtype=np.uint8)
    plan = "contig" if where.endswith("C") else "separate"
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig=plan)
    image = read_image(tmp_path / "a.tif", channel="green")
    assert image.axes.replace("Q", "Z") == where
    plane = (1,) * len(image.leading_axes)
    green = np.take(data, 1, where.index("C"))
    np.testing.assert_array_equal(image.read(plane, Box((3, 4), (9, 30)))[0],
                                  green[(*plane, slice(3, 9), slice(4, 30))])  # fmt: skip


@pytest.mark.usefixtures("lazy")
def test_a_hyperstack_of_one_directory(tmp_path: Path) -> None:
    """ImageJ writes stacks above 4 GB so: one directory, and all planes in one piece."""
    path, data = tmp_path / "a.tif", pixels("TZCYX")
    facts = {"axes": "TZCYX", "unit": "micron", "spacing": 2.0, "finterval": 1.5}
    tifffile.imwrite(path, data, imagej=True, resolution=(4, 2), metadata=facts)
    with tifffile.TiffFile(path) as tif:
        offset, order = tif.pages.first.offset, tif.byteorder
    raw = bytearray(path.read_bytes())
    (count,) = struct.unpack_from(f"{order}H", raw, offset)
    struct.pack_into(f"{order}I", raw, offset + 2 + 12 * count, 0)
    path.write_bytes(raw)
    image = read_image(path)
    assert image.axes == "TZCYX"
    assert image.spacing["Z"] == Spacing(2.0, "micrometer")
    np.testing.assert_array_equal(np.asarray(image.data[...]), data)


def test_levels_of_a_pyramid_that_are_not_marked_are_no_images(tmp_path: Path) -> None:
    data = RANDOM.integers(0, 200, (301, 450), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for step in (1, 2, 4):
            tif.write(data[::step, ::step], tile=(64, 64))
    (scene,) = scenes_in(tmp_path / "a.tif")
    assert len(scene.notices) == 2
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, data)
    with tifffile.TiffWriter(tmp_path / "b.tif") as tif:
        for part in (data, data[:200, :300]):
            tif.write(part, tile=(64, 64))
    assert len(scenes_in(tmp_path / "b.tif")) == 2


def test_dots_per_inch_are_no_size_of_pixels(tmp_path: Path) -> None:
    for facts in ({}, {"unit": "inch"}):
        tifffile.imwrite(tmp_path / "a.tif", pixels("YX"), imagej=True, resolution=(300, 300),
                         resolutionunit="INCH", metadata=facts)  # fmt: skip
        image = read_image(tmp_path / "a.tif")
        assert (image.pixel_size is None) == (not facts)


# ---- OME-Zarr ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "around", "wanted"),
    [
        ([scale(2, 2), {"type": "translation", "translation": [1, 2]}],
         [scale(0.25, 0.5), {"type": "translation", "translation": [10, 20]}],
         [(0.5, 10.25), (1.0, 21.0)]),
        ([{"type": "affine", "affine": [[0.5, 0, 3], [0, 0.25, 4]]}], [], [(0.5, 3), (0.25, 4)]),
        ([{"type": "sequence", "transformations": [
            scale(0.5, 0.25), {"type": "translation", "translation": [3, 4]}]}],
         [scale(2, 2)], [(1.0, 6), (0.5, 8)]),
        ([scale(0.5, 0.25)], [{"type": "identity"}], [(0.5, 0), (0.25, 0)]),
    ],
)  # fmt: skip
def test_transformations_of_level_and_image(
    tmp_path: Path, level: list[object], around: list[object], wanted: list[tuple[float, float]]
) -> None:
    image = {**YX, "coordinateTransformations": around}
    found = read_image(write_zarr(tmp_path / "a.zarr", pixels("YX"), image, level))
    assert found.notices == ()
    spacing = [found.spacing[axis] for axis in "YX"]
    assert [one.unit for one in spacing] == ["micrometer"] * 2
    assert [(one.size, one.offset) for one in spacing] == [pytest.approx(one) for one in wanted]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "affine", "affine": [[0.5, 0.1, 3], [0.1, 0.25, 4]]},
        {"type": "rotation", "rotation": [[0, 1], [1, 0]]},
        {"type": "scale", "scale": [None, 0.5]},
        {"type": "scale", "scale": [1.0, 0.5, 0.5]},
        {"type": "sequence"},
    ],
)
def test_a_transformation_that_is_not_read_makes_the_size_unknown(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = write_zarr(tmp_path / "a.zarr", pixels("YX"), YX, [scale(0.5, 0.25), change])
    image = read_image(path)
    assert image.pixel_size is None
    assert UNREAD in image.notices[0]


def test_an_array_with_names_of_its_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=pixels("TCZYX"), dimension_names=list("tczyx"), zarr_format=3)
    assert read_image(path).axes == "TCZYX"
    array = zarr.create_array(tmp_path / "b.zarr", data=pixels("CYX"), zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = ["channel", "y", "x"]
    assert read_image(tmp_path / "b.zarr").axes == "CYX"
    array.attrs["_ARRAY_DIMENSIONS"] = ["c", "lat", "lon"]
    assert read_image(tmp_path / "b.zarr").axes == "ZYX"  # a guess, as without names


def test_a_level_that_is_given_itself_has_axes_and_its_size(tmp_path: Path) -> None:
    data = pixels("CYX")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    datasets = []
    for level, step in enumerate((1, 2)):
        group.create_array(str(level), data=data[:, ::step, ::step])
        changes = [scale(1.0, 0.5 * step, 0.25 * step)]
        datasets.append({"path": str(level), "coordinateTransformations": changes})
    axes = [axis("c"), axis("y", "micrometer"), axis("x", "micrometer")]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    image = read_image(tmp_path / "a.zarr" / "1")
    assert (image.axes, image.shape, image.pixel_size) == ("CYX", (20, 25), (1.0, 0.5))


def test_wells_that_are_not_there_are_left_out_and_told(tmp_path: Path) -> None:
    wells = [{"path": path} for path in ("A/1", "B/1", "C/1")]
    group = zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=2)
    group.attrs["plate"] = {"wells": wells}
    for well, fields in (("A/1", "01"), ("B/1", "0")):
        images = [{"path": field} for field in fields]
        group.create_group(well).attrs["well"] = {"images": images}
        write_zarr(tmp_path / "p.zarr" / well / "0", pixels("YX"), YX)
    found = scenes_in(tmp_path / "p.zarr")
    assert [scene.stem for scene in found] == ["p_A_1_0", "p_B_1_0"]
    image = read_image(tmp_path / "p.zarr", scene="B/1/0")
    assert "A/1/1, C/1" in image.notices[0]
    assert "first was read" in read_image(tmp_path / "p.zarr").notices[-1]


def test_series_of_a_converted_file_come_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    group.create_group("OME").attrs["series"] = ["1", "0"]
    for name in "01":
        write_zarr(path / name, pixels("YX") + int(name) * 1000, YX)
    assert [scene.name for scene in scenes_in(path)] == ["1", "0"]
    assert read_image(path, scene="1").data[:].min() >= 1000


def test_labels_inside_an_image_are_not_the_image(tmp_path: Path) -> None:
    data = pixels("YX")
    path = write_zarr(tmp_path / "a.zarr", data, YX)
    zarr.open_group(path / "labels", mode="w", zarr_format=2).attrs["labels"] = ["cells"]
    write_zarr(path / "labels" / "cells", pixels("YX", "u4"), YX)
    (scene,) = scenes_in(path)
    assert scene.stem == "a"
    np.testing.assert_array_equal(read_image(path).data[:], data)


def test_colours_of_a_converted_slide(tmp_path: Path) -> None:
    stains = RANDOM.integers(0, 255, (3, 40, 50), dtype=np.uint8)
    axes = {"axes": ["c", "y", "x"]}
    path = write_zarr(tmp_path / "a.zarr", stains, axes, version="0.3")
    shown = ["FF0000", "00FF00", "0000FF"]
    for label, names in (
        ("Channel {}", ("Red", "Green", "Blue")), ("{}", ("Red", "Green", "Blue")),
        ("Dye{}a", ("Dye0a", "Dye1a", "Dye2a")),
    ):  # fmt: skip
        channels = [{"label": label.format(i), "color": c} for i, c in enumerate(shown)]
        zarr.open_group(path, mode="a").attrs["omero"] = {"channels": channels}
        image = read_image(path)
        assert image.channel_names == names
        assert ("Haematoxylin" in image.choices) == (names[0] == "Red")
