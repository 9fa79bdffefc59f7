"""What microscopes, Fiji and other programs write: each kind of file, made here, with its truth."""

import itertools
import json
from pathlib import Path

import imageio.v3
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.errors import InputError
from napari_unet.image import Box, Image, Spacing
from napari_unet.io.formats import tiff_images
from napari_unet.io.images import read_image, scenes_in
from napari_unet.io.ome_zarr import LabelPyramid
from napari_unet.io.tiff import save_labels
from napari_unet.io.units import in_one_unit
from tests.file_sets import GREY, OME, companion, movie, positions

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 255, (60, 70), dtype=np.uint8)
KIND = {"t": "time", "c": "channel"}
LENGTHS = {"t": 2, "c": 2, "z": 3, "y": 40, "x": 50}
SIZES = {"t": 1.5, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
WANTED = {axis.upper(): Spacing(SIZES[axis], unit) for axis, unit in UNITS.items()}


def axis(name: str, unit: str | None = None, kind: str | None = None) -> dict[str, str]:
    described = {"name": name, "type": kind or KIND.get(name, "space")}
    return {**described, **({"unit": unit} if unit else {})}


def scale(*values: float) -> dict[str, object]:
    return {"type": "scale", "scale": list(values)}


def write_zarr(
    path: Path,
    data: np.ndarray,
    image: dict[str, object],
    changes: list[object] | None = None,
    version: str = "0.4",
) -> Path:
    """Write an OME-Zarr folder as other programs do."""
    newest = version == "0.5"
    group = zarr.open_group(path, mode="w", zarr_format=3 if newest else 2)
    group.create_array("0", data=data, chunks=data.shape)
    dataset = {"path": "0"} | ({} if changes is None else {"coordinateTransformations": changes})
    described = {**image, "datasets": [dataset]} | ({} if newest else {"version": version})
    if newest:
        group.attrs["ome"] = {"version": version, "multiscales": [described]}
    else:
        group.attrs["multiscales"] = [described]
    return path


def save_labels_of(image: Image, path: Path, labels: np.ndarray) -> Path:
    return save_labels(path, labels, pixel_size=image.spacing, axes=image.leading_axes + "YX")


@pytest.fixture(params=[tiff_images.LAZY_BYTES, 0], ids=["whole", "lazy"])
def lazy(request, monkeypatch):
    monkeypatch.setattr(tiff_images, "LAZY_BYTES", request.param)
    return request.param == 0


# ---- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    "order", ["".join(p) for p in itertools.permutations("zyx")] + ["tczyx", "xyczt"]
)
def test_axes_of_an_ome_zarr_go_by_name(tmp_path, order, version):
    data = np.arange(np.prod([LENGTHS[a] for a in order]), dtype=np.uint16)
    data = data.reshape([LENGTHS[a] for a in order])
    axes = [axis(a, UNITS.get(a)) for a in order]
    path = write_zarr(
        tmp_path / "a.zarr", data, {"axes": axes}, [scale(*(SIZES[a] for a in order))], version
    )
    image = read_image(path)
    assert image.axes == order.upper()
    assert image.spacing == {a.upper(): WANTED[a.upper()] for a in order if a != "c"}
    assert image.shape == (40, 50)
    assert image.pixel_size == (0.5, 0.25)


def test_names_of_axes_in_words_and_by_kind(tmp_path):
    axes = [axis("frame", "second", "time"), axis("dye", None, "channel"), axis("depth", "um"),
            axis("row", "um"), axis("column", "um")]  # fmt: skip
    path = write_zarr(tmp_path / "a.zarr", np.zeros((2, 3, 4, 5, 6), "u1"), {"axes": axes})
    assert read_image(path).axes == "TCZYX"


def test_the_scale_of_an_image_multiplies_that_of_its_levels(tmp_path):
    axes = [axis("y", "micrometer"), axis("x", "micrometer")]
    image = {"axes": axes, "coordinateTransformations": [scale(0.25, 0.5)]}
    move = {"type": "translation", "translation": [4.0, 8.0]}
    path = write_zarr(tmp_path / "a.zarr", GREY, image, [scale(2.0, 1.0), move])
    found = read_image(path).spacing
    assert found == {"Y": Spacing(0.5, "micrometer", 1.0), "X": Spacing(0.5, "micrometer", 4.0)}


def test_units_belong_to_axes(tmp_path):
    axes = [axis("z", "millimeter"), axis("y", "micrometer"), axis("x", "nanometer")]
    path = write_zarr(tmp_path / "a.zarr", GREY[None], {"axes": axes}, [scale(0.002, 0.25, 250.0)])
    image = read_image(path)
    assert image.label_sizes == pytest.approx((2.0, 0.25, 0.25))
    assert {one.unit for one in image.label_spacing} == {"micrometer"}


def test_what_is_unknown_stays_unknown(tmp_path):
    axes = [axis("y"), axis("x")]
    plain = read_image(write_zarr(tmp_path / "a.zarr", GREY, {"axes": axes}, [scale(1.0, 1.0)]))
    assert (plain.pixel_size, plain.unit, dict(plain.spacing)) == (None, "pixel", {})
    relative = read_image(write_zarr(tmp_path / "b.zarr", GREY, {"axes": axes}, [scale(1.0, 0.5)]))
    assert (relative.pixel_size, relative.unit) == ((1.0, 0.5), "pixel")
    named = {"axes": [axis("y", "micrometer"), axis("x", "micrometer")]}
    assert read_image(write_zarr(tmp_path / "c.zarr", GREY, named)).pixel_size is None
    stored = [{"type": "scale", "path": "elsewhere"}]
    image = read_image(write_zarr(tmp_path / "d.zarr", GREY, named, stored))
    assert image.pixel_size is None
    assert "unknown" in image.notices[0]


def test_lengths_without_a_common_unit_give_no_area():
    spacing = in_one_unit({"Y": Spacing(0.5, "µm"), "X": Spacing(3.0, "stage steps")})
    assert Image(GREY, "YX", spacing=spacing).pixel_size is None


@pytest.mark.parametrize("kind", ["a_labels.tif", "a_labels.ome.tif", "a.zarr"])
@pytest.mark.parametrize("axes", ["TZCYX", "XYTZ", "CZYX", "YX"])
def test_spacings_go_from_the_image_into_its_labels(tmp_path, kind, axes):
    spacing = {
        "T": Spacing(1.5, "second"),
        "Z": Spacing(2.0, "micrometer", -4.0),
        "Y": Spacing(0.5, "micrometer", 10.0),
        "X": Spacing(0.25, "micrometer", 20.0),
    }
    image = Image(np.zeros([LENGTHS[a.lower()] for a in axes], "u1"), axes, spacing=spacing)
    if kind.endswith(".zarr"):
        LabelPyramid.create_for(image, tmp_path / kind, (64, 64))
    else:
        save_labels_of(image, tmp_path / kind, np.ones(image.labels_shape, np.uint32))
    again = read_image(tmp_path / kind)
    assert again.axes == image.leading_axes + "YX"
    for one, wanted in zip(again.label_spacing, image.label_spacing, strict=True):
        assert one.unit == wanted.unit
        assert one.size == pytest.approx(wanted.size)
        if not kind.endswith(".ome.tif"):  # there it is the place of the stage
            assert one.offset == pytest.approx(wanted.offset)


def test_what_fiji_and_ome_readers_see(tmp_path):
    places = {"Y": Spacing(0.5, "micrometer", 10.0), "X": Spacing(0.25, "micrometer", 20.0)}
    spacing = {"T": Spacing(1.5, "second"), "Z": Spacing(2.0, "micrometer"), **places}
    image = Image(np.zeros((2, 3, 40, 50), "u1"), "TZYX", spacing=spacing)
    labels = np.ones(image.labels_shape, np.uint32)
    with tifffile.TiffFile(save_labels_of(image, tmp_path / "a.tif", labels)) as tif:
        facts = tif.imagej_metadata
    assert [facts[n] for n in ("spacing", "finterval", "unit")] == [2.0, 1.5, "micron"]
    assert [facts[n] for n in ("xorigin", "yorigin")] == [-80, -20]
    with tifffile.TiffFile(save_labels_of(image, tmp_path / "a.ome.tif", labels)) as tif:
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeZ"], pixels["TimeIncrement"]) == (2.0, 1.5)
    assert {plane["PositionX"] for plane in pixels["Plane"]} == {20.0}


def test_smaller_copies_begin_where_the_finest_level_does(tmp_path):
    spacing = {a: Spacing(0.5, "micrometer", 10.0) for a in "YX"}
    image = Image(np.zeros((600, 1100), "u1"), "YX", spacing=spacing)
    LabelPyramid.create_for(image, tmp_path / "a.zarr", (512, 512))
    (found,) = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())["multiscales"]
    moves = [one["coordinateTransformations"][1]["translation"] for one in found["datasets"]]
    assert moves == [[10.0, 10.0]] * len(found["datasets"])
    assert len(moves) > 1


@pytest.mark.parametrize("text", ["0,25", "nan", "-1", "wide"])
def test_a_size_that_is_no_number_is_unknown_and_told(tmp_path, text):
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="70" SizeY="60" '
        f'SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="{text}" PhysicalSizeY="0.5">'
        "<TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, description=xml, metadata=None)
    image = read_image(tmp_path / "a.ome.tif")
    assert image.pixel_size is None
    assert f"PhysicalSizeX = '{text}'" in image.notices[0]
    np.testing.assert_array_equal(image.data, GREY)


# ---- channels ----------------------------------------------------------------------------------


def samples(kinds: list[int], dtype: str = "u2") -> dict[str, object]:
    return {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": kinds}


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_four_stains_are_four_channels_wherever_they_lie(tmp_path, lazy, dtype):
    stains = RANDOM.integers(0, 200, (4, 60, 70)).astype(dtype)
    tifffile.imwrite(tmp_path / "last.tif", np.moveaxis(stains, 0, -1), **samples([0, 0, 0]))
    tifffile.imwrite(
        tmp_path / "first.tif", stains, photometric="minisblack", metadata={"axes": "CYX"}
    )
    box = Box((3, 4), (30, 40))
    first, last = (read_image(tmp_path / f"{name}.tif") for name in ("first", "last"))
    np.testing.assert_array_equal(first.read((), box), last.read((), box))
    np.testing.assert_array_equal(first.read((), box, 4), last.read((), box, 4))


def test_four_stains_in_an_array_are_no_opacity_unless_they_are_bytes():
    stains = np.full((8, 9, 4), 9, np.uint16)
    stains[..., 3] = 900
    box = Box((0, 0), (8, 9))
    assert Image(stains, "YXC").read((), box)[0, 0, 0] > 200
    assert Image(stains, "YXC", opacity=True).read((), box)[0, 0, 0] == 9
    assert Image(stains.astype("u1"), "YXC", opacity=False).used_channels(4) == 4


def test_channels_have_their_names(tmp_path):
    stains, names = np.stack([GREY, GREY]), ("DAPI", "GFP")
    facts = {"axes": "CYX", "Channel": {"Name": list(names)}}
    tifffile.imwrite(tmp_path / "a.ome.tif", stains, photometric="minisblack", metadata=facts)
    assert read_image(tmp_path / "a.ome.tif").channel_names == names
    path = write_zarr(tmp_path / "a.zarr", stains, {"axes": ["c", "y", "x"]}, version="0.3")
    assert read_image(path).channel_names == ()
    zarr.open_group(path, mode="a").attrs["omero"] = {"channels": [{"label": n} for n in names]}
    assert read_image(path).channel_names == names
    tifffile.imwrite(tmp_path / "rgb.tif", np.dstack([BYTES] * 3), photometric="rgb")
    assert read_image(tmp_path / "rgb.tif").channel_names == ("Red", "Green", "Blue")
    assert read_image(tmp_path / "rgb.tif", axes="ZYX").channel_names == ()


def test_opacity_is_no_channel(tmp_path, lazy):
    colours = RANDOM.integers(0, 255, (60, 70, 3), dtype=np.uint8)
    rgba = np.dstack([colours, np.full((60, 70), 255, np.uint8)])
    tifffile.imwrite(tmp_path / "rgba.tif", rgba, photometric="rgb", extrasamples=[2])
    tifffile.imwrite(tmp_path / "grey.tif", rgba[..., 2:], **samples([2]))
    tifffile.imwrite(tmp_path / "packed.tif", rgba, photometric="rgb", extrasamples=[1],
                     compression="zlib", rowsperstrip=8)  # fmt: skip
    for name in ("rgba", "packed"):
        image = read_image(tmp_path / f"{name}.tif")
        assert (image.axes, image.channels) == ("YXC", 3)
        np.testing.assert_array_equal(np.asarray(image.data[5:50, :, 1:]), colours[5:50, :, 1:])
        np.testing.assert_array_equal(
            image.read((), Box((1, 2), (9, 30)), 3), np.moveaxis(colours[1:9, 2:30], -1, 0)
        )
    grey = read_image(tmp_path / "grey.tif")
    assert grey.axes == "YX"
    np.testing.assert_array_equal(np.asarray(grey.data[...]), colours[..., 2])
    imageio.v3.imwrite(tmp_path / "a.png", rgba)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").data, colours)


def test_the_colours_of_a_palette_are_looked_up(tmp_path, lazy):
    palette = RANDOM.integers(0, 256, (3, 256), dtype=np.uint16) * 257
    colours = (palette >> 8).astype(np.uint8).T[BYTES]
    tifffile.imwrite(tmp_path / "a.tif", BYTES, photometric="palette", colormap=palette)
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.data.shape) == ("YXC", (60, 70, 3))
    box = Box((3, 4), (30, 40))
    np.testing.assert_array_equal(image.read((), box, 3), np.moveaxis(colours[box.slices], -1, 0))
    labels = read_image(tmp_path / "a.tif", colours=False)
    np.testing.assert_array_equal(np.asarray(labels.data[...]), BYTES)


def test_a_table_that_fiji_shows_values_in_is_no_palette(tmp_path):
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    tifffile.imwrite(tmp_path / "a.tif", BYTES, imagej=True, colormap=green)
    tags = {"photometric": "palette", "colormap": green, "description": "ImageJ=1.53t\n"}
    tifffile.imwrite(tmp_path / "b.tif", BYTES, metadata=None, **tags)
    for name in "ab":
        image = read_image(tmp_path / f"{name}.tif")
        assert image.axes == "YX"
        np.testing.assert_array_equal(image.data, BYTES)


@pytest.mark.parametrize("compression", ["lzw", "jpeg", "zstd", "packbits", "jpeg2000"])
def test_compressions_have_their_decoders(tmp_path, lazy, compression):
    smooth = np.add.outer(np.arange(96), np.arange(112)).astype(np.uint8)
    colours = np.dstack([smooth, smooth, smooth])
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", compression=compression)
    found = np.asarray(read_image(tmp_path / "a.tif").data[...]).astype(int)
    assert np.abs(found - colours).max() <= (4 if "jpeg" in compression else 0)


# ---- several images ----------------------------------------------------------------------------


def test_every_position_of_a_file_is_an_image_of_its_own(tmp_path, lazy):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        for i, name in enumerate(("well/1", "well/1", "other")):
            size = {"PhysicalSizeX": 0.25 + i, "PhysicalSizeY": 0.25 + i, "Name": name}
            tif.write(GREY[: 50 + i] + i, metadata={"axes": "YX", **size})
    scenes = scenes_in(tmp_path / "a.ome.tif")
    assert [scene.name for scene in scenes] == ["well/1_0", "well/1_1", "other"]
    assert [scene.stem for scene in scenes] == ["a_well_1_0", "a_well_1_1", "a_other"]
    for i, scene in enumerate(scenes):
        for wanted in (scene.name, str(i)):
            image = read_image(tmp_path / "a.ome.tif", scene=wanted)
            np.testing.assert_array_equal(np.asarray(image.data[...]), GREY[: 50 + i] + i)
            assert image.pixel_size == (0.25 + i, 0.25 + i)
            assert image.notices == ()
    first = read_image(tmp_path / "a.ome.tif")
    assert "3 images: well/1_0, well/1_1, other" in first.notices[0]
    with pytest.raises(InputError, match=r"'third'.*3 images"):
        read_image(tmp_path / "a.ome.tif", scene="third")


def test_a_thumbnail_is_not_the_image(tmp_path, lazy):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(GREY[::4, ::4], subfiletype=1, metadata=None)
        tif.write(GREY, metadata=None)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.asarray(image.data[...]), GREY)
    assert "left out" in image.notices[0]
    with tifffile.TiffWriter(tmp_path / "unmarked.tif") as tif:
        tif.write(GREY, metadata=None)
        tif.write(GREY[::5, ::5], metadata=None)
        tif.write(GREY[:20, :50], metadata=None)  # of other proportions: another image
    assert [scene.index for scene in scenes_in(tmp_path / "unmarked.tif")] == [0, 2]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(GREY[::2, ::2], metadata={"axes": "YX", "Name": "Thumbnail"})
        tif.write(GREY, metadata={"axes": "YX", "Name": "cells"})
    assert read_image(tmp_path / "a.ome.tif").shape == GREY.shape
    tifffile.imwrite(tmp_path / "b.tif", GREY, subfiletype=1)  # all that there is
    assert read_image(tmp_path / "b.tif").notices == ()


def test_a_movie_in_several_files_is_one_image(tmp_path, lazy):
    files = movie(tmp_path)
    found = [scenes_in(file) for file in files]
    assert {len(scenes) for scenes in found} == {1}
    assert len({scene.key for scenes in found for scene in scenes}) == 1
    image = read_image(files[1])
    assert image.axes == "TYX"
    np.testing.assert_array_equal(np.asarray(image.data[...]), np.stack([GREY, GREY + 1, GREY + 2]))


def test_planes_of_a_file_that_is_not_there_are_told(tmp_path):
    files = movie(tmp_path)
    files[2].unlink()
    image = read_image(files[0])
    assert "1 of its 3 planes" in image.notices[0]
    assert not np.asarray(image.data[2]).any()


def test_positions_in_files_of_their_own_are_found_from_each(tmp_path, lazy):
    files = positions(tmp_path)
    assert [scene.stem for scene in scenes_in(files[0])] == ["run_Pos0", "run_Pos1", "run_Pos2"]
    keys = {scene.key for file in files for scene in scenes_in(file)}
    assert len(keys) == 3
    for i in (1, 2):
        image = read_image(files[i])
        np.testing.assert_array_equal(np.asarray(image.data[...]), GREY + i)
        assert (image.pixel_size, image.notices) == ((0.5, 0.5), ())
    files[0].unlink()
    alone = read_image(files[1])
    np.testing.assert_array_equal(np.asarray(alone.data[...]), GREY + 1)
    assert "run_Pos0.ome.tif, which is not beside it" in alone.notices[0]
    assert alone.pixel_size is None


def test_a_file_that_another_describes_has_its_size(tmp_path):
    for i, file in enumerate(companion(tmp_path)):
        image = read_image(file)
        np.testing.assert_array_equal(image.data, GREY + i)
        assert (image.axes, image.pixel_size) == ("YX", (0.5, 0.5))
        assert "m.companion.ome describes it" in image.notices[0]


def test_a_damaged_description_leaves_the_pixels(tmp_path):
    text = OME.format(own="x", inside="<Image>")
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, description=text, metadata=None)
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, GREY)
    assert "cannot be read" in image.notices[0]


def test_images_in_a_zarr_folder_each_have_a_name(tmp_path):
    axes = {"axes": [axis("y", "micrometer"), axis("x", "micrometer")]}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for i in (0, 1, 10, 2):
        write_zarr(tmp_path / "a.zarr" / str(i), GREY + i, axes, [scale(0.5, 0.5)])
    assert [scene.name for scene in scenes_in(tmp_path / "a.zarr")] == ["0", "1", "2", "10"]
    assert (read_image(tmp_path / "a.zarr", scene="10").data[:] == GREY + 10).all()
    assert scenes_in(tmp_path / "a.zarr" / "1")[0].name is None


def test_fields_of_a_plate_each_have_a_name(tmp_path):
    axes = {"axes": [axis("y", "micrometer"), axis("x", "micrometer")]}
    plate = zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}]}
    for i, well in enumerate(("A/1", "B/2")):
        group = zarr.open_group(tmp_path / "p.zarr" / well, mode="w", zarr_format=2)
        group.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
        for field in "01":
            write_zarr(tmp_path / "p.zarr" / well / field, GREY + i, axes)
    scenes = scenes_in(tmp_path / "p.zarr")
    assert [scene.stem for scene in scenes] == ["p_A_1_0", "p_A_1_1", "p_B_2_0", "p_B_2_1"]
    assert (read_image(tmp_path / "p.zarr", scene="B/2/1").data[:] == GREY + 1).all()


# ---- old versions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "described", "axes"),
    [
        ("0.1", {}, "TCZYX"),
        ("0.2", {}, "TCZYX"),
        ("0.3", {"axes": ["t", "c", "z", "y", "x"]}, "TCZYX"),
        ("0.3", {"axes": ["z", "t", "c", "y", "x"]}, "ZTCYX"),
    ],
)
def test_old_versions_of_ome_zarr(tmp_path, version, described, axes):
    data = np.zeros((1, 2, 3, 40, 50), np.uint16)
    image = read_image(write_zarr(tmp_path / "a.zarr", data, described, version=version))
    assert (image.axes, image.pixel_size, image.unit) == (axes, None, "pixel")


def test_a_version_that_is_not_known_is_a_sentence(tmp_path):
    path = write_zarr(tmp_path / "a.zarr", GREY, {}, version="7.1")
    with pytest.raises(InputError, match=r"version 7\.1.*0\.1 to 0\.5.*Convert it"):
        read_image(path)
