"""Small whole files of every kind that is read, always the same, from which damaged ones are made.

A file is its content, or the contents of the files of a folder by their names.
"""

import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.image import Box, Spacing

RANDOM_UUID = re.compile(rb"urn:uuid:[0-9a-f-]{36}")
SAME_UUID = b"urn:uuid:00000000-0000-0000-0000-000000000000"
MOMENT = 1.7e9  # seconds since 1970
IDENTITY = "ab" * 16
MICRON = Spacing(0.5, "micrometer", 1.0)


@dataclass(frozen=True, slots=True)
class Whole:
    """A file as it should be.

    Attributes
    ----------
    kind : str
        ``tiff``, ``png``, ``zarr``, ``model`` or ``journal``.
    name : str
        Of the file or folder.
    parts : dict of str to bytes
        Content by the path in the folder; of a file the path is empty.
    """

    kind: str
    name: str
    parts: dict[str, bytes]


def grey(*shape: int, dtype: str = "u2") -> NDArray[Any]:
    """Return random values."""
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def whole_files() -> list[Whole]:
    """Return all of them; the same on every computer with the same libraries."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-seeds-") as folder:
        place = Path(folder)
        files = [*_tiffs(place), *_pictures(), *_zarrs(place), *_models(place)]
    return [*files, *_journals()]


def _tiffs(folder: Path) -> Iterator[Whole]:
    for name, data, options in _written():
        stream = io.BytesIO()
        tifffile.imwrite(stream, data, **options)
        yield Whole("tiff", name, {"": RANDOM_UUID.sub(SAME_UUID, stream.getvalue())})
    for name, content in _labels(folder):
        yield Whole("tiff", name, {"": RANDOM_UUID.sub(SAME_UUID, content)})
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as tif:  # a pyramid, as scanners write it
        options = {"tile": (16, 16), "compression": "zlib"}
        tif.write(grey(64, 64), subifds=1, **options)
        tif.write(grey(32, 32), subfiletype=1, **options)
        tif.write(grey(20, 24))  # another series
    yield Whole("tiff", "pyramid.tif", {"": stream.getvalue()})


def _written() -> list[tuple[str, NDArray[Any], dict[str, Any]]]:
    stack = {"axes": "TCYX", "Channel": {"Name": ["a", "b"]}, "PhysicalSizeX": 0.5}
    palette = np.random.default_rng(1).integers(0, 2**16, (3, 256)).astype("u2")
    return [
        ("grey.tif", grey(24, 31, dtype="u1"), {}),
        ("plain.tif", grey(9, 7), {"metadata": None, "byteorder": ">"}),
        ("decimal.tif", grey(20, 20, dtype="f4"), {"compression": "zlib", "predictor": 3}),
        ("lzw.tif", grey(3, 30, 30), {"compression": "lzw", "predictor": 2, "rowsperstrip": 7,
                                         "photometric": "rgb", "planarconfig": "separate"}),
        ("zstd.tif", grey(33, 40), {"compression": "zstd", "tile": (16, 16)}),
        ("jpeg.tif", grey(32, 32, 3, dtype="u1"), {"compression": "jpeg", "photometric": "rgb"}),
        ("packed.tif", grey(20, 30, dtype="u1"), {"compression": "packbits"}),
        ("bits.tif", grey(17, 19) > 100, {}),
        ("rgba.tif", grey(8, 9, 4, dtype="u1"), {"extrasamples": ["unassalpha"],
                                                 "photometric": "rgb"}),
        ("apart.tif", grey(3, 8, 9, dtype="u1"), {"planarconfig": "separate",
                                                  "photometric": "rgb"}),
        ("palette.tif", grey(8, 9, dtype="u1"), {"photometric": "palette", "colormap": palette}),
        ("big.tif", grey(2, 8, 9), {"bigtiff": True}),
        ("stack.ome.tif", grey(2, 2, 9, 8), {"metadata": stack}),
        ("imagej.tif", grey(2, 3, 9, 8), {"imagej": True, "metadata": {"axes": "ZCYX",
                                           "spacing": 2.0, "unit": "um"},
                                          "resolution": (2.0, 2.0)}),
    ]  # fmt: skip


def _labels(folder: Path) -> Iterator[tuple[str, bytes]]:
    from napari_unet.io.tiff import save_labels

    record = {"model": "nuclei", "settings": {"diameter": 20}}
    for name in ("labels.ome.tif", "labels.tif"):
        path = save_labels(folder / name, grey(2, 12, 14), pixel_size={"X": MICRON, "Y": MICRON},
                           description=record)  # fmt: skip
        yield name, path.read_bytes()


def _pictures() -> Iterator[Whole]:
    import imageio.v3

    shapes = {"grey": (20, 21), "rgb": (20, 21, 3), "rgba": (20, 21, 4)}
    for name, shape in shapes.items():
        content = imageio.v3.imwrite("<bytes>", grey(*shape, dtype="u1"), extension=".png")
        yield Whole("png", f"{name}.png", {"": content})
    content = imageio.v3.imwrite("<bytes>", grey(20, 21), extension=".png")
    yield Whole("png", "grey16.png", {"": content})
    for suffix in (".jpg", ".bmp"):
        content = imageio.v3.imwrite("<bytes>", grey(20, 21, 3, dtype="u1"), extension=suffix)
        yield Whole("png", f"rgb{suffix}", {"": content})


def _zarrs(folder: Path) -> Iterator[Whole]:
    import zarr

    from napari_unet.io.ome_zarr import LabelPyramid

    for version in ("0.4", "0.5"):
        path = folder / f"labels{version[-1]}.zarr"
        spacing = [Spacing(), MICRON, MICRON]
        pyramid = LabelPyramid.create(
            path, (2, 40, 40), (32, 32), axes="ZYX", spacing=spacing, version=version
        )
        pyramid.write((0,), Box((0, 0), (32, 32)), grey(32, 32, dtype="u4"))
        pyramid.note({"model": "nuclei"})
        yield _folder(path)
    for number in (2, 3):
        zarr.save_array(folder / f"plain{number}.zarr", grey(20, 30), zarr_format=number)
        yield _folder(folder / f"plain{number}.zarr")
    plate = zarr.open_group(folder / "plate.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}], "version": "0.4"}
    well = plate.create_group("A/1")
    well.attrs["well"] = {"images": [{"path": "0"}], "version": "0.4"}
    field = well.create_group("0")
    field.create_array("0", data=grey(2, 12, 12), chunks=(1, 12, 12))
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    level = {"path": "0", "coordinateTransformations": scale}
    field.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    field.attrs["omero"] = {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP"}]}
    yield _folder(folder / "plate.zarr")


def _folder(path: Path) -> Whole:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return Whole("zarr", path.name, {str(f.relative_to(path)): f.read_bytes() for f in files})


def _models(folder: Path) -> Iterator[Whole]:
    import torch

    from napari_unet.models.card import ModelCard
    from napari_unet.models.weights import save_model
    from napari_unet.network.spec import UNetSpec
    from napari_unet.network.unet import UNet

    specs = {
        "objects": UNetSpec(base_filters=1, depth=1),
        "classes": UNetSpec(in_channels=3, classes=2, distance=False, base_filters=1, depth=1,
                            direct=True),
    }  # fmt: skip
    for name, spec in specs.items():
        torch.manual_seed(0)
        fields: dict[str, Any] = {"taught_diameters": (10.0, 20.0), "parent": "nuclei"}
        if name == "classes":
            fields |= {"kind": "classes", "class_names": ("background", "nerve")}
        report = {"accepted": True, "seconds": 5.0, "parent": {"ap": 0.5}, "model": {"ap": 0.6}}
        card = ModelCard(name=name, spec=spec, report=report, scores={"AP": 0.7}, **fields)
        path = save_model(folder / f"{name}.safetensors", UNet(spec), card)
        yield Whole("model", path.name, {"": path.read_bytes()})


def _journals() -> Iterator[Whole]:
    from napari_unet.journal.records import (
        JournalHeader,
        Kind,
        encode_note,
        encode_record,
        encode_stroke,
    )

    random = np.random.default_rng(0)
    for shape, axes in (((40, 50), "YX"), ((3, 40, 50), "ZYX")):
        header = JournalHeader(IDENTITY, shape, axes, "cells", "/data/cells.tif", "nuclei",
                               "labels", created=MOMENT, pid=1, token="0" * 16)  # fmt: skip
        content = 2 * encode_record(Kind.HEADER, 0, MOMENT, header.encode())
        for number in range(1, 5):
            box = Box((number, number), (number + 8, number + 9))
            after = random.integers(0, 3, box.shape).astype("u4")
            payload = encode_stroke((0,) * (len(shape) - 2), box, None, after)
            content += encode_record(Kind.STROKE, number, MOMENT + number, payload or b"")
        classes = {"event": "classes", "0": "background", "1": "nerve"}
        for fields in (classes, {"event": "saved", "path": "/data/labels.tif"}):
            content += encode_record(Kind.NOTE, 4, MOMENT + 5, encode_note(fields))
        yield Whole("journal", f"{IDENTITY}-20231114T221320-1-{len(shape)}.journal", {"": content})
