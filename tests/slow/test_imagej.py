"""ROIs opened by a real ImageJ: Debian's package `imagej`, without a window."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_unet import save_labels
from napari_unet.io.exports import save_rois
from tests.strategies import blob_labels

JAR = Path("/usr/share/java/ij.jar")
MACRO = """
setBatchMode(true);
open("{image}");
roiManager("open", "{rois}");
text = "";
for (i = 0; i < roiManager("count"); i++) {{
    roiManager("select", i);
    Stack.getPosition(channel, slice, frame);
    getStatistics(area, mean, min, max);
    text += Roi.getName + " " + area + " " + mean + " " + min + " " + slice + " " + frame + "\\n";
}}
File.saveString(text, "{output}");
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (JAR.is_file() and shutil.which("xvfb-run")), reason="needs Debian's imagej and xvfb"
    ),
]


def opened(folder: Path, labels: np.ndarray, axes: str) -> dict[str, list[float]]:
    """Give name, area, mean and lowest grey value, slice and frame, of each ROI in ImageJ."""
    image, rois = folder / "labels.tif", folder / "rois.zip"
    output, macro = folder / "found.txt", folder / "look.ijm"
    save_labels(image, labels, axes=axes)
    save_rois(rois, labels, axes)
    macro.write_text(MACRO.format(image=image, rois=rois, output=output), encoding="utf-8")
    command = ["xvfb-run", "-a", "java", "-jar", str(JAR), "-ijpath", str(folder), "-batch"]
    subprocess.run([*command, str(macro)], check=True, timeout=120, capture_output=True)
    rows = [line.split() for line in output.read_text(encoding="utf-8").splitlines()]
    return {name: [float(value) for value in values] for name, *values in rows}


def test_rois_have_the_areas_of_the_labels(tmp_path: Path) -> None:
    labels = blob_labels(5, (300, 340), largest=40)
    labels[2:14, 2:14], labels[6:9, 6:9] = 900, 0
    labels[100:106, 100:106] = labels[110:113, 110:113] = 901
    found = opened(tmp_path, labels, "YX")
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    assert set(found) == set(map(str, ids))
    for label, count in zip(ids.tolist(), counts.tolist(), strict=True):
        area, mean, lowest, *_ = found[str(label)]
        assert area == pytest.approx(count, rel=0.02)
        assert (mean, lowest) == (label, label)  # it lies on its object, and on nothing else


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX"])
def test_rois_show_their_plane(tmp_path: Path, axes: str) -> None:
    labels = np.zeros((2, 3, 30, 30), np.uint16)
    for number, plane in enumerate(np.ndindex(2, 3)):
        labels[(*plane, slice(4, 12), slice(5, 5 + 2 * number + 2))] = number + 1
    stack = labels if axes == "TZYX" else labels[1]
    found = opened(tmp_path, stack, axes)
    assert len(found) == len(np.unique(stack)) - 1
    for name, (_, mean, _, z, t) in found.items():
        *planes, label = name.split("-")
        assert mean == int(label)
        at = {"Z": 1, "T": 1} | {one[0]: int(one[1:]) for one in planes}
        assert (z, t) == (at["Z"], at["T"])
