"""OME-TIFF sets of several files, as microscopes write them."""

from pathlib import Path

import numpy as np
import tifffile

GREY = np.random.default_rng(0).integers(0, 4000, (60, 70), dtype=np.uint16)
OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns='
    '"http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">{inside}</OME>'
)
PIXELS = (
    '<Image ID="Image:{i}" Name="Pos{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYCZT" '
    'Type="uint16" SizeX="70" SizeY="60" SizeZ="1" SizeC="1" SizeT="{n}" PhysicalSizeX="0.5" '
    'PhysicalSizeY="0.5"><Channel ID="Channel:{i}:0" SamplesPerPixel="1"/>{data}</Pixels></Image>'
)
DATA = (
    '<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{uuid}</UUID>'
    "</TiffData>"
)


def write_parts(folder: Path, names: list[str], descriptions: list[str]) -> list[Path]:
    """Write one plane into each file, of different lengths before it."""
    paths = [folder / name for name in names]
    for i, (path, text) in enumerate(zip(paths, descriptions, strict=True)):
        tifffile.imwrite(path, GREY + i, description=text, metadata=None)
    return paths


def movie(folder: Path) -> list[Path]:
    """A movie of three files, each of which describes all of them."""
    names = [f"t{i}.ome.tif" for i in range(3)]
    data = "".join(DATA.format(t=i, name=name, uuid=f"u{i}") for i, name in enumerate(names))
    inside = PIXELS.format(i=0, n=3, data=data)
    return write_parts(folder, names, [OME.format(own=f"u{i}", inside=inside) for i in range(3)])


def positions(folder: Path) -> list[Path]:
    """Three positions, of which the first file describes all."""
    names = [f"run_Pos{i}.ome.tif" for i in range(3)]
    data = [DATA.format(t=0, name=name, uuid=f"u{i}") for i, name in enumerate(names)]
    inside = "".join(PIXELS.format(i=i, n=1, data=one) for i, one in enumerate(data))
    part = f'<BinaryOnly MetadataFile="{names[0]}" UUID="urn:uuid:u0"/>'
    texts = [OME.format(own="u0", inside=inside)]
    texts += [OME.format(own=f"u{i}", inside=part) for i in (1, 2)]
    return write_parts(folder, names, texts)


def companion(folder: Path) -> list[Path]:
    """A movie of three files, and a fourth that describes it and holds no planes."""
    names = [f"t{i}.ome.tif" for i in range(3)]
    data = "".join(DATA.format(t=i, name=name, uuid=f"u{i}") for i, name in enumerate(names))
    inside = PIXELS.format(i=0, n=3, data=data)
    (folder / "m.companion.ome").write_text(OME.format(own="m", inside=inside), encoding="utf-8")
    part = '<BinaryOnly MetadataFile="m.companion.ome" UUID="urn:uuid:m"/>'
    return write_parts(folder, names, [OME.format(own=f"u{i}", inside=part) for i in range(3)])
