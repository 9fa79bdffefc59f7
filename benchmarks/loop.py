"""Pictures of the loop in a real window: before, strokes, curve, after; nothing is measured.

    python -m benchmarks.loop                           writes docs/screenshots/loop.png

On stained tissue, which the bundled model segments badly. The strokes are nuclei found by a
threshold of the haematoxylin stain, as a person would see them. Without a screen it starts a
virtual one (xvfb-run).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.tables import ROOT
from benchmarks.responsiveness import SCREEN, needs_screen

TARGET = ROOT / "docs" / "screenshots" / "loop.png"
PAINTED = 24  # nuclei
SECONDS = 60.0
SEED = 20261122


def nuclei_of(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Nuclei of a stained section ``(Y, X, 3)``, ``(Y, X)``, by threshold and watershed."""
    from scipy import ndimage
    from skimage.color import rgb2hed
    from skimage.filters import gaussian, threshold_otsu
    from skimage.segmentation import watershed

    stain = gaussian(rgb2hed(image)[..., 0], 1.5)
    mask = ndimage.binary_opening(stain > threshold_otsu(stain), iterations=2)
    depth = gaussian(ndimage.distance_transform_edt(mask), 1.5)
    tops, _ = ndimage.label((ndimage.maximum_filter(depth, 9) == depth) & mask)
    return np.asarray(watershed(-depth, tops, mask=mask), np.int32)


def strokes(image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Whole nuclei of a usual size, and strokes of background far from all."""
    labels = nuclei_of(image)
    areas = np.bincount(labels.ravel())
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    usual = [i for i in np.flatnonzero((areas > 120) & (areas < 500)) if i and i not in rim]
    chosen = np.random.default_rng(SEED).choice(usual, PAINTED, replace=False)
    from scipy import ndimage

    far = ndimage.distance_transform_edt(labels == 0) > 6
    rows = np.arange(labels.shape[0])[:, None] % 48 < 8
    return np.where(np.isin(labels, chosen), labels, 0), far & rows


def pictures(target: Path) -> None:
    """Do what a person does, and take a picture after each step."""
    import napari

    from benchmarks.common.window import PANEL, PLUGIN, _until

    viewer = napari.Viewer()
    viewer.window.resize(1500, 900)
    viewer.open_sample(PLUGIN, "tissue")
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    _until(lambda: False, 1.0)
    viewer.reset_view()

    taken: list[NDArray[np.uint8]] = []

    def picture() -> None:
        _until(lambda: False, 0.6)
        taken.append(viewer.window.screenshot(canvas_only=False, flash=False)[..., :3])

    panel.segment.segment.native.click()
    _until(lambda: not panel.session.runs.busy, 120)
    picture()
    result = panel.session.results.current
    _paint(panel, result, *strokes(np.asarray(viewer.layers[0].data)))
    picture()
    panel.retrain.form.time.value = SECONDS
    panel.retrain.form.retrain.native.click()
    _until(lambda: False, 0.7 * SECONDS)
    picture()
    _until(lambda: not panel.session.runs.busy, 300)
    _until(lambda: not panel.session.runs.busy, 60)
    picture()
    print(panel.sentence)
    viewer.close()
    _save(taken, target)


def _save(taken: list[NDArray[np.uint8]], target: Path) -> None:
    """Put the pictures together, two by two, each at two thirds of its size."""
    from skimage.io import imsave
    from skimage.transform import rescale

    small = [rescale(one, 2 / 3, channel_axis=-1, anti_aliasing=True) for one in taken]
    sheet = np.concatenate([np.concatenate(small[:2], 1), np.concatenate(small[2:], 1)])
    imsave(target, (sheet * 255).astype(np.uint8), check_contrast=False)


def _paint(panel: Any, result: Any, cells: NDArray[Any], background: NDArray[np.bool_]) -> None:
    """Paint through the layers, as the brushes do; every cell gets a new number."""
    layer = result.layer
    first = int(layer.data.max()) + 1
    for number, cell in enumerate(np.unique(cells[cells > 0])):
        layer.data_setitem(np.nonzero(cells == cell), first + number)
    result.correcting.marks.brush_background(on=True)
    marks = result.correcting.marks.layer()
    marks.data_setitem(np.nonzero(background), 1)
    panel.session.viewer.layers.selection.active = layer


def main() -> int:
    """Start a screen if there is none; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", type=Path, default=TARGET, help="the picture to write")
    target = parser.parse_args().target.resolve()
    if needs_screen():
        with tempfile.TemporaryDirectory(prefix="napari-unet-loop-") as home:
            folders = {f"XDG_{n}_HOME": str(Path(home, n)) for n in ("CONFIG", "CACHE", "DATA")}
            environment = {**os.environ, **folders, "NAPARI_CONFIG": str(Path(home, "n.yaml"))}
            command = [*SCREEN, sys.executable, "-m", "benchmarks.loop"]
            command += ["--target", str(target)]
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    pictures(target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
