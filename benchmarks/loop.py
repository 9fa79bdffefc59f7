"""Pictures of the loop in a real window: before, strokes, curve, after.

    python -m benchmarks.loop                           stained tissue: docs/screenshots/loop.png
    python -m benchmarks.loop --kind membranes          writes docs/screenshots/loop-membranes.png
    python -m benchmarks.loop --kind all                all four, one after another

Membranes, phase contrast and bacteria are made up, from seeds that no model was trained on, so
their true cells are known. Of the tissue they are nuclei found by a threshold of the haematoxylin
stain, as a person would see them. Painted are cells that the model finds badly. Without a screen
it starts a virtual one (xvfb-run). What it prints are remarks on one image, not a measurement.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.matching import match
from benchmarks.common.tables import ROOT
from benchmarks.responsiveness import SCREEN, needs_screen
from napari_unet.training.synthetic import (
    BENCHMARK_SEEDS,
    SIDE,
    MadeUp,
    made_up_cells,
    made_up_rods,
)

FOLDER = ROOT / "docs" / "screenshots"
TISSUE = "tissue"
MADE_UP: dict[str, Callable[[], MadeUp]] = {
    "membranes": lambda: made_up_cells(BENCHMARK_SEEDS + 116),
    "phase": lambda: made_up_cells(BENCHMARK_SEEDS + 166),
    "bacteria": lambda: made_up_rods(BENCHMARK_SEEDS + 56, SIDE),
}
PAINTED = {TISSUE: 24}  # cells
FEW = 10  # of all other kinds
RIGHT = 0.7  # intersection over union of a cell that nobody would correct
FAR = 6  # pixels from all cells, where background is painted
SECONDS = 150.0  # enough on a slow computer too
WAIT = 600.0  # seconds that anything may take
SEED = 20261122
WINDOW = 1280, 800  # pixels
SMALLER = ((2 / 3, 128), (2 / 3, 64), (0.6, 64), (0.5, 64))  # share of the window, and colours
LARGEST = 250_000  # bytes of a picture


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


def strokes(
    cells: NDArray[np.integer[Any]], found: NDArray[np.integer[Any]], number: int
) -> tuple[NDArray[np.integer[Any]], NDArray[np.bool_]]:
    """Choose what is painted.

    Parameters
    ----------
    cells, found : ndarray of int
        ``(Y, X)``, what a person sees, and what the model found.
    number : int
        Cells to paint.

    Returns
    -------
    painted : ndarray of int
        ``(Y, X)``; whole cells of a usual size, first of all those that were found badly.
    background : ndarray of bool
        ``(Y, X)``; strokes far from all cells.
    """
    from scipy import ndimage

    areas = np.bincount(cells.ravel())
    middle = np.median(areas[1:][areas[1:] > 0])
    rim = np.unique(np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]]))
    usual = np.flatnonzero((areas > middle / 2) & (areas < 2 * middle))
    usual = np.random.default_rng(SEED).permutation(np.setdiff1d(usual, [0, *rim]))
    good = np.array([is_found(cells == i, found, RIGHT) for i in usual])
    chosen = usual[np.argsort(good, kind="stable")][:number]
    far = ndimage.distance_transform_edt(cells == 0) > FAR
    rows = np.arange(cells.shape[0])[:, None] % 48 < 8
    return np.where(np.isin(cells, chosen), cells, 0), far & rows


def is_found(cell: NDArray[np.bool_], found: NDArray[np.integer[Any]], least: float) -> bool:
    """Whether a cell's intersection over union with one found object is above `least`."""
    overlaps = match(cell, found).iou
    return bool(overlaps.size and overlaps.max() > least)


def open_kind(kind: str, viewer: Any) -> NDArray[np.integer[Any]]:
    """Open the image of a kind; return its cells, ``(Y, X)``."""
    from benchmarks.common.window import PLUGIN

    if kind == TISSUE:
        viewer.open_sample(PLUGIN, "tissue")
        return nuclei_of(np.asarray(viewer.layers[0].data))
    made = MADE_UP[kind]()
    viewer.add_image(np.rint(made.image * 255).astype(np.uint8), name=kind)
    return made.labels


def pictures(kind: str, target: Path) -> None:
    """Do what a person does, and take a picture after each step."""
    import napari

    from benchmarks.common.window import PANEL, PLUGIN, _until

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    cells = open_kind(kind, viewer)
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    _until(lambda: False, 1.0)
    viewer.reset_view()

    taken: list[NDArray[np.uint8]] = []

    def picture() -> None:
        _until(lambda: False, 0.6)
        taken.append(viewer.window.screenshot(canvas_only=False, flash=False)[..., :3])

    _until(lambda: not panel.advice.running, WAIT)  # the panel chooses a model by itself
    panel.segment.segment.native.click()
    _until(lambda: not panel.session.runs.busy, WAIT)
    picture()
    result = panel.session.results.current
    before, model = np.array(result.layer.data), panel.session.intent.model
    painted, background = strokes(cells, before, PAINTED.get(kind, FEW))
    _paint(panel, result, painted, background)
    _until(lambda: False, 3.0)  # the panel counts what was corrected
    picture()
    form = panel.retrain.form
    form.time.value = SECONDS
    form.retrain.native.click()
    _until(lambda: not panel.retrain.running or seconds_of(form.curve) > 0.9 * SECONDS, WAIT)
    picture()
    _until(lambda: not panel.session.runs.busy, WAIT)
    _until(lambda: False, 1.0)  # a better model segments at once
    _until(lambda: not panel.session.runs.busy, WAIT)
    picture()
    print(f"{kind}, {model}: {form.outcome}")
    after = np.asarray(panel.session.results.current.layer.data)
    print(remark(np.where(painted > 0, 0, cells), before, after))
    viewer.close()
    _save(taken, target)


def seconds_of(curve: Any) -> float:
    """Seconds of the newest point of the curve, 0 without one."""
    return max((seconds for seconds, _ in [*curve.losses, *curve.scores]), default=0.0)


def remark(cells: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> str:
    """Say how many of the cells that nobody painted are found, before and after."""
    hits = [int((match(cells, found).iou > 0.5).sum()) for found in (before, after)]
    number = len(np.unique(cells[cells > 0]))
    return f"Of {number} cells that were not painted, {hits[0]} were found, then {hits[1]}."


def _save(taken: list[NDArray[np.uint8]], target: Path) -> None:
    """Put the pictures together, two by two and smaller, with as many colours as fit."""
    from PIL import Image
    from skimage.transform import rescale

    for share, colours in SMALLER:
        small = [rescale(one, share, channel_axis=-1, anti_aliasing=True) for one in taken]
        sheet = np.concatenate([np.concatenate(small[:2], 1), np.concatenate(small[2:], 1)])
        picture = Image.fromarray((sheet * 255).astype(np.uint8))
        few = picture.quantize(colours, kmeans=1, dither=Image.Dither.NONE)
        few.save(target, optimize=True)
        if target.stat().st_size <= LARGEST:
            break
    print(f"wrote {target}, {target.stat().st_size} bytes")


def _paint(panel: Any, result: Any, cells: NDArray[Any], background: NDArray[np.bool_]) -> None:
    """Paint through the layers, as the brushes do; every cell gets a new number."""
    layer = result.layer
    first = int(layer.data.max()) + 1
    for number, cell in enumerate(np.unique(cells[cells > 0])):
        layer.data_setitem(np.nonzero(cells == cell), first + number)
    if background.any():
        result.correcting.marks.brush_background(on=True)
        marks = result.correcting.marks.layer()
        marks.data_setitem(np.nonzero(background), 1)
    panel.session.viewer.layers.selection.active = layer


def main() -> int:
    """Start a screen if there is none; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = (TISSUE, *MADE_UP)
    parser.add_argument("--kind", choices=(*kinds, "all"), default=TISSUE)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    options = parser.parse_args()
    chosen = kinds if options.kind == "all" else (options.kind,)
    folder = options.folder.resolve()
    if needs_screen():  # a window of its own for each: a model made before must not be chosen
        return max(_on_virtual_screen(kind, folder) for kind in chosen)
    for kind in chosen:
        pictures(kind, folder / ("loop.png" if kind == TISSUE else f"loop-{kind}.png"))
    return 0


def _on_virtual_screen(kind: str, folder: Path) -> int:
    """Take the picture with settings and models of its own; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-loop-") as home:
        folders = {f"XDG_{n}_HOME": str(Path(home, n)) for n in ("CONFIG", "CACHE", "DATA")}
        environment = {**os.environ, **folders, "NAPARI_CONFIG": str(Path(home, "n.yaml"))}
        command = [*SCREEN, sys.executable, "-m", "benchmarks.loop"]
        command += ["--kind", kind, "--folder", str(folder)]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
