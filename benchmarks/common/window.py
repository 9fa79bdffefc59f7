"""One measurement in a real napari window; `benchmarks.responsiveness` starts it as a process.

Each function measures in the running interpreter and returns seconds; a new process makes a cold
start cold. The Qt event loop runs as it does for a person.
"""

import gc
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from benchmarks.common.event_loop import Strokes, delays, late_stacks, moving, ticks
from benchmarks.common.slides import pyramid
from napari_unet.image import Box
from napari_unet.labels.painted import UNLABELLED, take_whole
from napari_unet.plugin.layers.layers import visible_box
from napari_unet.plugin.result.slide_result import slide_result
from napari_unet.plugin.session.session import VIEW
from napari_unet.plugin.synthetic_nuclei import nuclei_window

PLUGIN, PANEL = "napari-unet-interactive", "Segment, retrain"
SIDE = 512  # pixels of the image of a cold start
LARGE, SPARSE = "large", 32  # the sample, and of which pixels its labels are looked at
CANCELLED = 2048  # pixels of the image whose segmentation is cancelled
RETRAINED = 1024  # pixels of the image that a model is retrained on
CORNER = 512  # pixels of its painted corner; strokes are painted outside of it
WARM = 15.0  # seconds in which the engine can load the network before Segment is pressed
IDLE = 10.0  # seconds of the control
FIRST = 20  # cycles after which nothing should grow any more
LIMIT = 1800.0  # seconds that anything may take
SEED = 20261122

Samples = dict[str, list[float]]


def imports() -> Samples:
    """Import the panel's module beside a napari window, then make and dock the panel."""
    viewer = napari.Viewer()
    start = time.perf_counter()
    import napari_unet.plugin.segment_panel  # noqa: F401

    imported = time.perf_counter()
    _open_panel(viewer)
    docked = time.perf_counter()
    viewer.close()
    return {"import": [imported - start], "open": [docked - imported]}


def cold(*, warm: bool) -> Samples:
    """Time from opening the panel, or with a warm engine from the click, to the first labels."""
    viewer = napari.Viewer()
    viewer.add_image(nuclei(SIDE), name="nuclei")
    _until(lambda: False, 1.0)  # the window is drawn
    start = time.perf_counter()
    panel = _open_panel(viewer)
    if warm:
        _until(lambda: False, WARM)
        start = time.perf_counter()
    _click(panel)
    _until(lambda: _shown(viewer) or _idle(panel), LIMIT)
    seconds = time.perf_counter() - start
    _check(panel, found=_shown(viewer))
    _until(lambda: _idle(panel), LIMIT)
    viewer.close()
    return {"warm" if warm else "at once": [seconds]}


def cancels(number: int, *, side: int = CANCELLED) -> Samples:
    """Time from the click on Cancel to the end of the job, at random moments of a run."""
    viewer, panel = _with_image(side)
    start = time.perf_counter()
    _click(panel)
    _until(lambda: _idle(panel), LIMIT)
    whole = time.perf_counter() - start
    _check(panel, found=_shown(viewer))
    moments, seconds = np.random.default_rng(SEED), list[float]()
    while len(seconds) < number:
        _click(panel)
        _until(lambda: _idle(panel), moments.uniform(0.02, 0.6) * whole)
        if _idle(panel):
            continue
        start = time.perf_counter()
        _click(panel)
        _until(
            lambda: _idle(panel) and panel.segment.segment.text == "Segment",
            LIMIT,
            poll=1,
        )
        seconds.append(time.perf_counter() - start)
    viewer.close()
    return {"cancel": seconds}


def lag(side: int, *, profile: bool) -> Samples:
    """How late a timer's ticks come while nothing happens and while an image is segmented."""
    viewer, panel = _with_image(side)
    _until(lambda: False, WARM)
    with ticks() as idle:
        _until(lambda: False, IDLE)
    with ticks() as busy, late_stacks(busy, report=profile):
        _click(panel)
        _until(lambda: _idle(panel), LIMIT)
    _check(panel, found=_shown(viewer))
    viewer.close()
    return {"idle": delays(idle), f"{side}": delays(busy)}


def sample(seconds: float, *, profile: bool) -> Samples:
    """Open the large sample, segment it as it is, and note its first labels and late ticks."""
    viewer = napari.Viewer()
    viewer.window.resize(1500, 900)
    panel = _open_panel(viewer)
    _until(lambda: False, WARM)
    start = time.perf_counter()
    viewer.open_sample(PLUGIN, LARGE)
    _until(lambda: True, 1.0)  # it is drawn
    drawn = time.perf_counter() - start
    _until(lambda: False, WARM)
    opened = {layer.name for layer in viewer.layers}

    def labels() -> Any:
        return next((layer for layer in viewer.layers if layer.name not in opened), None)

    def shown() -> bool:
        return labels() is not None and bool(labels().data[::SPARSE, ::SPARSE].any())

    start = time.perf_counter()
    with ticks() as busy, late_stacks(busy, report=profile):
        _click(panel)
        _until(lambda: shown() or _idle(panel), LIMIT)
        first = time.perf_counter() - start
        _until(lambda: _idle(panel), seconds)
    _check(panel, found=shown())
    if not _idle(panel):
        _click(panel)
    _until(lambda: _idle(panel), LIMIT)
    viewer.close()
    return {"drawn": [drawn], "first": [first], "sample": delays(busy)}


def slide(path: str, levels: int, seconds: float, picture: str, *, profile: bool) -> Samples:
    """How late ticks come while labels of a large image stream in, also while the view is moved."""
    viewer, panel = _with_slide(path, levels)
    with ticks() as busy, late_stacks(busy, report=profile):
        _click(panel)
        _until(lambda: _idle(panel), seconds)
    with ticks() as both, moving(viewer):
        _until(lambda: _idle(panel), seconds / 2)
    if picture:
        viewer.reset_view()
        _until(lambda: False, 3.0)
        viewer.screenshot(picture, canvas_only=False)
    start = time.perf_counter()
    if not _idle(panel):
        _click(panel)
    _until(lambda: _idle(panel), LIMIT)
    stopped = time.perf_counter() - start
    result = slide_result(panel.session.viewer, viewer.layers[0])
    _check(panel, found=result is not None)
    start, objects = time.perf_counter(), result.incremental.objects
    _click(panel)
    _until(lambda: result.incremental.objects > objects or _idle(panel), LIMIT)
    ready = time.perf_counter() - start
    _click(panel)
    _until(lambda: _idle(panel), LIMIT)
    with ticks() as moved, moving(viewer):
        _until(lambda: False, seconds / 2)
    viewer.close()
    lags = {"slide": delays(busy), "both": delays(both), "moved": delays(moved)}
    return {**lags, "stopped": [stopped], "ready": [ready]}


def view(path: str, levels: int) -> Samples:
    """Time from the click to the labels of what is in view, each pixel of it on the screen."""
    viewer, panel = _with_slide(path, levels)
    viewer.scene.camera.zoom = 1.0
    panel.form.where.value = VIEW
    _until(lambda: False, 1.0)
    layer = viewer.layers[0]
    area = math.prod(visible_box(viewer, layer, panel.session.opened(layer)).shape) / 1e6
    start = time.perf_counter()
    _click(panel)
    _until(lambda: _shown(viewer) and _idle(panel), LIMIT)
    seconds = time.perf_counter() - start
    viewer.close()
    return {"view": [seconds], "megapixels": [area]}


def _with_slide(path: str, levels: int) -> tuple[napari.Viewer, Any]:
    viewer = napari.Viewer()
    viewer.window.resize(1500, 900)
    viewer.add_image(pyramid(Path(path), levels), name="slide", multiscale=True)
    panel = _open_panel(viewer)
    _until(lambda: False, WARM)
    panel.form.diameter.value = 27
    return viewer, panel


def cycles(number: int, *, side: int = RETRAINED) -> Samples:
    """What is open after a few and after many runs that were cancelled, and redraws of a layer."""
    viewer, panel = _with_image(side)
    _click(panel)
    _until(lambda: _idle(panel), LIMIT)
    _check(panel, found=_shown(viewer))
    moments, layer = np.random.default_rng(SEED), panel.session.results.current.layer
    found: Samples = {}
    for name, turn in (("own", lambda: layer.refresh()), ("cancelled", lambda: _click(panel))):
        for cycle in range(number + FIRST):
            if cycle in (FIRST, number + FIRST - 1):
                for what, count in _open_things().items():
                    found.setdefault(f"{name} {what}", []).append(count)
            turn()
            _until(
                lambda: _idle(panel),
                0.02 if _idle(panel) else moments.uniform(0.02, 0.5),
            )
            if not _idle(panel):
                _click(panel)
            _until(
                lambda: _idle(panel) and panel.segment.segment.text == "Segment",
                LIMIT,
                poll=1,
            )
    viewer.close()
    return found


def _open_things() -> dict[str, float]:
    """Count what this process holds, after rubbish is gone."""
    _until(lambda: False, 1.0)
    gc.collect()
    process = psutil.Process()
    return {
        "threads": process.num_threads(),
        "child processes": len(process.children(recursive=True)),
        "open files": process.num_fds(),
        "widgets": len(QApplication.allWidgets()),
        "memory, MB": process.memory_info().rss / 2**20,
    }


def retraining(seconds: float, *, profile: bool) -> Samples:
    """How late ticks come while strokes are painted, without a run and while a model is trained."""
    viewer, panel = _with_image(RETRAINED)
    panel.session.take_corrections(panel.form.image.value, _painted_corner())
    layer = panel.session.results.current.layer
    strokes = Strokes(viewer, layer, Box((20, CORNER + 20), (RETRAINED - 20, RETRAINED - 20)))
    _until(lambda: False, WARM)
    with ticks() as alone, strokes.painting():
        _until(lambda: False, IDLE)
    panel.retrain.form.time.value = seconds
    before, done = np.count_nonzero(layer.data), strokes.done
    with ticks() as busy, late_stacks(busy, report=profile), strokes.painting():
        panel.retrain.form.retrain.native.click()
        _until(lambda: not panel.retrain.running, LIMIT)
    if (
        not panel.retrain.form.outcome
        or strokes.done == done
        or np.count_nonzero(layer.data) <= before
    ):
        raise RuntimeError(f"nothing was trained, or no stroke was painted: {panel.sentence}")
    _until(lambda: _idle(panel), LIMIT)  # a better model segments at once
    viewer.close()
    return {"painting": delays(alone), "retraining": delays(busy)}


def _painted_corner() -> NDArray[np.uint32]:
    """Everything in one corner as a person would paint it; objects that go on are left out."""
    _, truth = nuclei_window((0, 0), (RETRAINED, RETRAINED), RETRAINED)
    corner = np.zeros((RETRAINED, RETRAINED), bool)
    corner[:CORNER, :CORNER] = True
    cut = np.setdiff1d(np.asarray(truth)[~corner], [0])
    painted = take_whole(np.asarray(truth))
    painted[~corner | np.isin(painted, cut)] = UNLABELLED
    return painted


def nuclei(side: int) -> NDArray[Any]:
    """Return synthetic nuclei, ``(Y, X)`` uint16."""
    image, _ = nuclei_window((0, 0), (side, side), side)
    return np.asarray(image)


def _open_panel(viewer: napari.Viewer) -> Any:
    return viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)[1]


def _with_image(side: int) -> tuple[napari.Viewer, Any]:
    viewer = napari.Viewer()
    viewer.window.resize(1500, 900)
    viewer.add_image(nuclei(side), name="nuclei")
    panel = _open_panel(viewer)
    _until(lambda: False, 1.0)
    return viewer, panel


def _click(panel: Any) -> None:
    panel.segment.segment.native.click()


def _shown(viewer: napari.Viewer) -> bool:
    layers = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels)]
    return any(bool(layer.data.any()) for layer in layers)


def _idle(panel: Any) -> bool:
    return not panel.session.runs.busy


def _check(panel: Any, *, found: bool) -> None:
    """A run that failed or found nothing must not look fast."""
    if not found:
        raise RuntimeError(f"the panel shows no objects: {panel.sentence}")


def _until(condition: Callable[[], bool], seconds: float, *, poll: int = 10) -> None:
    """Run the event loop until something holds, at most for some time; `poll` in ms."""
    loop, timer = QEventLoop(), QTimer()
    end = time.perf_counter() + seconds

    def look() -> None:
        if condition() or time.perf_counter() > end:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(poll)
    loop.exec()
    timer.stop()


def main() -> None:
    """Measure what the first argument names, with JSON arguments; print JSON."""
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    measures: dict[str, Callable[..., Samples]] = {
        "view": view,
        "imports": imports, "cold": cold, "cancels": cancels, "lag": lag,
        "retraining": retraining, "sample": sample, "slide": slide, "cycles": cycles,
    }  # fmt: skip
    print(json.dumps(measures[name](**arguments)))


if __name__ == "__main__":
    main()
