"""The table in docs/files.md: every cell is a file that is made here and read again."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio.v3
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.image import Spacing
from napari_unet.io.images import read_image
from tests.file_sets import movie

TABLE = Path(__file__).resolve().parents[2] / "docs" / "files.md"
LENGTHS = {"T": 2, "C": 2, "Z": 3, "Y": 40, "X": 50, "I": 3}
KINDS = {"T": "time", "C": "channel"}
SPACING = {
    "T": Spacing(1.5, "second"),
    "Z": Spacing(2.0, "micrometer"),
    "Y": Spacing(0.5, "micrometer"),
    "X": Spacing(0.25, "micrometer"),
}
PLACES = {"Z": -4.0, "Y": 10.0, "X": 20.0}
OME = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25, "TimeIncrement": 1.5}


def pixels(order: str) -> np.ndarray:
    """Smooth enough for JPEG, and another value along every axis."""
    shape = [3 if axis == "C" and order.endswith("C") else LENGTHS[axis] for axis in order]
    return sum(np.indices(shape)).astype(np.uint8)


def plain(path: Path, data: np.ndarray, order: str) -> None:
    tifffile.imwrite(
        path, data, photometric="rgb" if order.endswith("C") else "minisblack", metadata=None,
        resolution=(1e4 / 0.25, 1e4 / 0.5), resolutionunit="CENTIMETER",
    )  # fmt: skip


def imagej(path: Path, data: np.ndarray, order: str) -> None:
    facts = {"axes": order.replace("YXC", "YXS"), "unit": "micron", "spacing": 2.0,
             "finterval": 1.5, "xorigin": -80.0, "yorigin": -20.0, "zorigin": 2.0}  # fmt: skip
    tifffile.imwrite(path, data, imagej=True, resolution=(4.0, 2.0), metadata=facts)


def ome(path: Path, data: np.ndarray, order: str) -> None:
    metadata = {"axes": order.replace("YXC", "YXS"), **OME}
    kind = "rgb" if order.endswith("C") else "minisblack"
    tifffile.imwrite(path, data, ome=True, photometric=kind, metadata=metadata)


def ome_set(path: Path, data: np.ndarray, order: str) -> None:
    movie(path.parent)[0].rename(path)


def newest_zarr(path: Path, data: np.ndarray, order: str) -> None:
    described = [{**_dataset(order), "axes": _axes(order)}]
    group = _written(path, data, 3)
    group.attrs["ome"] = {"version": "0.5", "multiscales": described}


def named_zarr(path: Path, data: np.ndarray, order: str) -> None:
    described = [{"version": "0.4", "axes": _axes(order), **_dataset(order)}]
    _written(path, data, 2).attrs["multiscales"] = described


def lettered_zarr(path: Path, data: np.ndarray, order: str) -> None:
    described = {"version": "0.3", "axes": list(order.lower()), "datasets": [{"path": "0"}]}
    _written(path, data, 2).attrs["multiscales"] = [described]


def first_zarr(path: Path, data: np.ndarray, order: str) -> None:
    described = {"version": "0.1", "datasets": [{"path": "0"}]}
    _written(path, data, 2).attrs["multiscales"] = [described]


def array_zarr(path: Path, data: np.ndarray, order: str) -> None:
    zarr.save_array(path, data)


def picture(path: Path, data: np.ndarray, order: str) -> None:
    imageio.v3.imwrite(path, data)


def _written(path: Path, data: np.ndarray, version: int) -> zarr.Group:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("0", data=data)
    return group


def _axes(order: str) -> list[dict[str, str]]:
    units = {axis: {"unit": spacing.unit} for axis, spacing in SPACING.items()}
    return [{"name": a.lower(), "type": KINDS.get(a, "space"), **units.get(a, {})} for a in order]


def _dataset(order: str) -> dict[str, object]:
    sizes = [SPACING[axis].size if axis in SPACING else 1.0 for axis in order]
    places = [PLACES.get(axis, 0.0) for axis in order]
    changes = [{"type": "scale", "scale": sizes}, {"type": "translation", "translation": places}]
    return {"datasets": [{"path": "0", "coordinateTransformations": changes}]}


@dataclass(frozen=True)
class Format:
    """A row of the table."""

    suffix: str
    write: Callable[[Path, np.ndarray, str], None]
    orders: str
    sizes: str
    places: str
    reader: str

    @property
    def cells(self) -> list[str]:
        return [self.orders, self.sizes, self.places, self.reader]


ANY = "YX, ZYX, CYX, TYX, CZYX, ZCYX, TZYX, TCYX, TZCYX, TCZYX"
TURNED = f"{ANY}, XY, YXZ, XYZ, YXC, ZTYX, XYCZT"
ROWS = {
    "TIFF": Format(".tif", plain, "YX, IYX, YXC", "Y, X", "–", "tifffile"),
    "ImageJ TIFF": Format(
        ".tif", imagej, "YX, ZYX, CYX, TYX, ZCYX, TZYX, TCYX, TZCYX, YXC, ZYXC", "T, Z, Y, X",
        "Z, Y, X", "tifffile",
    ),
    "OME-TIFF": Format(".ome.tif", ome, f"{ANY}, ZTYX, CTZYX, YXC", "T, Z, Y, X", "–", "tifffile"),
    "OME-TIFF, several files": Format(".ome.tif", ome_set, "TYX", "Y, X", "–", "tifffile"),
    "OME-Zarr 0.5": Format(".zarr", newest_zarr, TURNED, "T, Z, Y, X", "Z, Y, X", "zarr"),
    "OME-Zarr 0.4": Format(".zarr", named_zarr, TURNED, "T, Z, Y, X", "Z, Y, X", "zarr"),
    "OME-Zarr 0.3": Format(".zarr", lettered_zarr, TURNED, "–", "–", "zarr"),
    "OME-Zarr 0.1, 0.2": Format(".zarr", first_zarr, "TCZYX", "–", "–", "zarr"),
    "zarr array": Format(".zarr", array_zarr, "YX, ZYX, TZYX, YXC", "–", "–", "zarr"),
    "PNG": Format(".png", picture, "YX, YXC", "–", "–", "imageio"),
    "JPEG": Format(".jpg", picture, "YX, YXC", "–", "–", "imageio"),
    "BMP": Format(".bmp", picture, "YX, YXC", "–", "–", "imageio"),
}  # fmt: skip


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Libraries that files were opened with."""
    found: set[str] = set()

    def spy(owner: object, name: str, library: str) -> None:
        original = getattr(owner, name)

        def noting(*args: object, **options: object) -> object:
            found.add(library)
            return original(*args, **options)

        monkeypatch.setattr(owner, name, noting)

    spy(tifffile.TiffFile, "__init__", "tifffile")
    spy(zarr, "open", "zarr")
    spy(imageio.v3, "imread", "imageio")
    return found


@pytest.mark.parametrize(
    ("name", "order"), [(name, one) for name, row in ROWS.items() for one in row.orders.split(", ")]
)
def test_cell(tmp_path: Path, used: set[str], name: str, order: str) -> None:
    row = ROWS[name]
    path, data = tmp_path / f"a{row.suffix}", pixels(order)
    row.write(path, data, order)
    used.clear()
    image = read_image(path)
    assert used == {row.reader}
    assert image.axes == order
    if row.write is not ome_set:
        error = np.abs(np.asarray(image.data[...]).astype(int) - data).max()
        assert error <= (5 if row.suffix == ".jpg" else 0)
    known = row.sizes.split(", ")
    for axis in "TZYX":
        found = image.spacing.get(axis, Spacing())
        wanted = SPACING[axis] if axis in known and axis in order else Spacing()
        if row.write is ome_set and axis in "YX":
            wanted = Spacing(0.5, "micrometer")
        assert found.unit == wanted.unit
        assert found.size == (None if wanted.size is None else pytest.approx(wanted.size))
        placed = axis in row.places.split(", ") and axis in order
        assert found.offset == pytest.approx(PLACES[axis] if placed else 0.0)


def test_the_table_says_what_is_tested() -> None:
    lines = re.findall(r"^\| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    told = {row[0]: row[1:] for row in cells if row[0] in ROWS}
    assert told == {name: row.cells for name, row in ROWS.items()}
