"""ND2, CZI and LIF: through the libraries' documented objects, and real files where one is made.

The libraries are an extra. Where it is not installed, the tests with files are left out.
"""

import struct
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_unet.cli.main import app
from napari_unet.cli.targets import find_targets
from napari_unet.errors import InputError
from napari_unet.image import Box, Spacing
from napari_unet.io.formats import microscopes
from napari_unet.io.images import read_image, scenes_in

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 4000, (2, 2, 3, 2, 60, 70), dtype=np.uint16)  # scene, T, Z, C, Y, X
WANTED = {
    "Z": Spacing(2.0, "micrometer"),
    "Y": Spacing(0.5, "micrometer"),
    "X": Spacing(0.25, "micrometer"),
}
PARTS = [
    (slice(None),) * 5,
    (1, slice(0, 2), 0, slice(5, 9), slice(1, 60)),
    (0, 2, slice(None), slice(5, 9), slice(None)),
    (0, 1, 1, slice(3, 40, 2), 7),
]


def spacings(image: Any) -> dict[str, Any]:
    return {a: pytest.approx(s.size) for a, s in image.spacing.items() if s.unit == "micrometer"}


@pytest.mark.parametrize("suffix", [".nd2", ".czi", ".lif"])
def test_without_the_extra_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr(microscopes, "import_module", absent)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(InputError, match=r'pip install "\.\[microscopes\]"'):
        read_image(path)
    result = CliRunner().invoke(app, ["segment", str(tmp_path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output.count("Error:") == 1


# ---- ND2: what `nd2.ND2File` documents ---------------------------------------------------------

Voxel = namedtuple("Voxel", "x y z")


class ND2File:
    """The attributes of `nd2.ND2File` that are used: two positions, each TZCYX."""

    sizes = {"T": 2, "P": 2, "Z": 3, "C": 2, "Y": 60, "X": 70}  # noqa: RUF012
    dtype = np.dtype(np.uint16)
    depth_known = True

    def __init__(self, path: Path) -> None:
        channel = SimpleNamespace(
            channel=SimpleNamespace(name="DAPI"),
            volume=SimpleNamespace(axesCalibrated=(True, True, self.depth_known)),
        )
        self.metadata = SimpleNamespace(channels=[channel, channel])
        points = [SimpleNamespace(name=None), SimpleNamespace(name=None)]
        time = SimpleNamespace(periodMs=1500.0)
        self.experiment = [
            SimpleNamespace(type="TimeLoop", parameters=time),
            SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points)),
        ]

    def __enter__(self) -> "ND2File":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def voxel_size(self) -> Voxel:
        return Voxel(0.25, 0.5, 2.0)

    def read_frame(self, number: int) -> np.ndarray:
        t, p, z = np.unravel_index(number, (2, 2, 3))
        return PIXELS[p, t, z]


@pytest.mark.parametrize("known", [True, False])
def test_positions_planes_and_sizes_of_nd2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(ND2File, "depth_known", known)
    found = SimpleNamespace(ND2File=ND2File)
    monkeypatch.setattr(microscopes, "import_module", lambda _: found)
    (tmp_path / "a.nd2").write_bytes(b"")
    assert [one.stem for one in scenes_in(tmp_path / "a.nd2")] == ["a_P0", "a_P1"]
    for number in (0, 1):
        image = read_image(tmp_path / "a.nd2", scene=str(number))
        assert (image.axes, image.channel_names) == ("TZCYX", ("DAPI", "DAPI"))
        assert image.spacing["T"] == Spacing(1.5, "second")
        assert spacings(image) == {a: s.size for a, s in WANTED.items() if known or a != "Z"}
        for part in PARTS:
            np.testing.assert_array_equal(image.data[part], PIXELS[number][part])
    assert image.read((1, 2), Box((3, 4), (9, 20)), 2).shape == (2, 6, 16)


# ---- real files --------------------------------------------------------------------------------


@pytest.fixture
def czi(tmp_path: Path) -> Path:
    """Two scenes of TZCYX, as Zeiss' own library writes them."""
    library = pytest.importorskip("pylibCZIrw.czi")
    with library.create_czi(str(tmp_path / "a.czi")) as file:
        for scene, t, z, c in np.ndindex(PIXELS.shape[:4]):
            file.write(
                PIXELS[scene, t, z, c][..., None], plane={"C": c, "Z": z, "T": t}, scene=scene,
                location=(200 * scene, 0),
            )  # fmt: skip
        file.write_metadata(
            "a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=0.25e-6, scale_y=0.5e-6, scale_z=2e-6
        )
    return tmp_path / "a.czi"


def test_scenes_planes_and_sizes_of_czi(czi: Path) -> None:
    assert [one.stem for one in scenes_in(czi)] == ["a_S0", "a_S1"]
    for number in (0, 1):
        image = read_image(czi, scene=f"S{number}", channel="gfp")
        assert (image.axes, image.channel_names, image.channel) == ("TZCYX", ("DAPI", "GFP"), 1)
        assert spacings(image) == {a: s.size for a, s in WANTED.items()}
        for part in PARTS:
            np.testing.assert_array_equal(image.data[part], PIXELS[number][part])


def test_colours_of_czi(tmp_path: Path) -> None:
    library = pytest.importorskip("pylibCZIrw.czi")
    colours = RANDOM.integers(0, 255, (60, 70, 3), dtype=np.uint8)
    with library.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(np.ascontiguousarray(colours[..., ::-1]))  # blue, green, red
    image = read_image(tmp_path / "a.czi")
    assert (image.axes, image.channel_names) == ("YXC", ("Red", "Green", "Blue"))
    assert image.choices[-2:] == ("Haematoxylin", "Eosin")
    np.testing.assert_array_equal(image.data[5:30, 2:50], colours[5:30, 2:50])


def write_lif(path: Path, data: np.ndarray, axes: str, lengths: dict[str, float]) -> None:
    """Write a file as Leica describes it: a header in XML, then the pixels of each image."""
    numbers = {"X": 1, "Y": 2, "Z": 3, "T": 4}
    dimensions, channels = "", ""
    for axis, size, step in zip(axes, data.shape, data.strides, strict=True):
        if axis == "C":
            channels = "".join(
                '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" Min="0" Max="1" '
                'NameOfMeasuredQuantity="" Unit="" LUTName="Green" IsLUTInverted="0" BitInc="0" '
                f'BytesInc="{i * step}"/>'
                for i in range(size)
            )
            continue
        dimensions = (
            f'<DimensionDescription DimID="{numbers[axis]}" NumberOfElements="{size}" Origin="0" '
            f'Length="{lengths[axis]}" Unit="{"s" if axis == "T" else "m"}" BitInc="0" '
            f'BytesInc="{step}"/>'
        ) + dimensions
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="root"><Children>'
        '<Element Name="series"><Data><Image><ImageDescription>'
        f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription>"
        f'</Image></Data><Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_1"/></Element>'
        "</Children></Element></LMSDataContainerHeader>"
    )
    text, name = xml.encode("utf-16-le"), "MemBlock_1".encode("utf-16-le")
    header = struct.pack("<IIBI", 0x70, 5 + len(text), 0x2A, len(xml)) + text
    block = struct.pack("<IIBQBI", 0x70, 14 + len(name), 0x2A, data.nbytes, 0x2A, len(name) // 2)
    path.write_bytes(header + block + name + data.tobytes())


def test_planes_and_sizes_of_lif(tmp_path: Path) -> None:
    pytest.importorskip("liffile")
    lengths = {"T": 1.5, "Z": 4e-6, "Y": 0.5e-6 * 59, "X": 0.25e-6 * 69}
    write_lif(tmp_path / "a.lif", PIXELS[0], "TZCYX", lengths)
    image = read_image(tmp_path / "a.lif")
    assert image.axes == "TZCYX"
    assert image.spacing["T"] == Spacing(1.5, "second")
    assert spacings(image) == {a: s.size for a, s in WANTED.items()}
    for part in PARTS:
        np.testing.assert_array_equal(image.data[part], PIXELS[0][part])


def test_upright_planes_of_lif_are_told(tmp_path: Path) -> None:
    pytest.importorskip("liffile")
    write_lif(tmp_path / "a.lif", PIXELS[0, 0, 0], "CZX", {"Z": 59e-6, "X": 69e-6})
    image = read_image(tmp_path / "a.lif")
    assert image.axes == "CYX"
    assert "planes lie along Z and X" in image.notices[0]


def test_files_of_microscopes_in_a_folder(tmp_path: Path, czi: Path) -> None:
    targets, complete = find_targets([tmp_path], tmp_path / "out", None)
    assert complete
    assert [one.path.name for one in targets] == ["a_S0_labels.tif", "a_S1_labels.tif"]
