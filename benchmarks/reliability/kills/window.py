"""The process that is killed: a real napari window in which a script works without end.

``python -m benchmarks.reliability.kills.window KIND SEED FILE``; only ``restoring`` ends by itself.
What it tells is in `painter`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.reliability.kills.by_hand import Window, cells, wait_until
from benchmarks.reliability.kills.meanwhile import Exporter, Linker, PutBack, Saver, Trainer
from benchmarks.reliability.kills.painter import Painter, encode, tell

TRAINING = 5.0, 30.0  # seconds of one retraining: it ends before the kill, or hardly
ENOUGH = 6  # strokes before the first retraining


def _paint_on(painter: Painter, ready: Callable[[], bool]) -> None:
    """Paint until all is ready to be killed, tell so, and go on without end."""
    while not ready():
        painter.paint()
    tell("armed")
    while True:
        painter.paint()


def paint(seed: int) -> None:
    """Paint, and nothing else."""
    window = Window()
    window.segment()
    painter = Painter(window, seed, runs=False, between=lambda: None)
    _paint_on(painter, lambda: painter.count > 0)


def paint_and_save(seed: int, path: Path) -> None:
    """Save to the same file again and again meanwhile."""
    window = Window()
    window.segment()
    saver = Saver(window, path)
    painter = Painter(window, seed, runs=False, between=saver)
    _paint_on(painter, lambda: saver.saved > 0)


def paint_and_retrain(seed: int) -> None:
    """Retrain again and again meanwhile."""
    window = Window()
    window.segment()
    trainer = Trainer(window, TRAINING[seed // 6 % 2])
    painter = Painter(window, seed, runs=True, between=trainer)
    painter._background()
    while painter.count < ENOUGH:
        painter.paint()
    trainer.on = True
    trainer()
    # every other time, not before it learns
    _paint_on(painter, lambda: not seed // 12 % 2 or bool(trainer.steps))


def paint_and_export(seed: int, path: Path) -> None:
    """Export tables and outlines meanwhile."""
    window = Window()
    window.segment()
    exporter = Exporter(window, path.parent)
    painter = Painter(window, seed, runs=False, between=exporter)
    _paint_on(painter, lambda: exporter.done > 0)


def stack() -> np.ndarray:
    """Return three planes, each a little beside the one before."""
    return np.stack([np.roll(cells(), 2 * number, 0) for number in range(3)])


def paint_and_link(seed: int, path: Path) -> None:
    """Let the planes of a stack be linked, and save, meanwhile."""
    window = Window(stack())
    window.segment()
    saver = Saver(window, path)
    painter = Painter(window, seed, runs=True, between=Linker(window, saver))
    _paint_on(painter, lambda: saver.saved > 0)


def paint_and_put_back(seed: int) -> None:
    """Paint on a part of a large image and put it back again and again."""
    from napari_unet.plugin.layers.layers import visible_box
    from napari_unet.plugin.layers.region import region_of
    from napari_unet.plugin.result import incremental
    from napari_unet.plugin.result.slide_result import slide_result
    from napari_unet.plugin.session.session import WHOLE

    incremental.LARGE = 500 * 500  # so that a small image is kept in a folder, as a slide is
    pixels = np.tile(cells(), (3, 3))
    window = Window([pixels, pixels[::2, ::2]])
    panel, camera = window.panel, window.viewer.scene.camera
    panel.form.where.value = WHOLE
    window.segment()
    whole = slide_result(window.viewer, window.image)
    if whole is None:
        raise RuntimeError("the image is no large one")
    camera.center, camera.zoom = (400.0, 400.0), 2.5
    seen = panel.session.opened(window.image)
    wait_until(lambda: visible_box(window.viewer, window.image, seen).size < 300**2, "no zoom")
    window.click(panel.large.edit)
    window.wait()
    wait_until(lambda: panel.session.results.current is not None, f"no part: {panel.sentence}")
    box = region_of(panel.form.image.value).box
    window.origin, camera.center, camera.zoom = box.start, box.centre, 1.0
    result = window.panel.session.results.current
    put_back = PutBack(window, result, whole.incremental.output, box)
    painter = Painter(window, seed, runs=True, between=put_back)
    _paint_on(painter, lambda: put_back.done > 0)


def restore(seed: int, path: Path) -> None:
    """Take the offer of the panel, tell what is painted, save the labels, and leave."""
    window = Window(stack() if seed else None)
    panel = window.panel
    wait_until(lambda: panel.restoring.visible, "nothing is offered to be restored")
    tell("does", panel.restoring.offer_text.text)
    window.click(panel.restoring.restore)
    wait_until(lambda: "are restored" in panel.sentence, "it is not restored")
    result = panel.session.results.current
    tell("painted", 0, encode(result.painted()))
    tell("saving", 1, encode(result.layer.data))
    panel.saving.save_to(path)
    window.wait()
    tell("saved", 1)
    panel.close_down()
    window.viewer.close()


def main(kind: str, seed: int, path: Path) -> None:
    """Do what a kind stands for."""
    match kind:
        case "painting":
            paint(seed)
        case "saving":
            paint_and_save(seed, path)
        case "training":
            paint_and_retrain(seed)
        case "exporting":
            paint_and_export(seed, path)
        case "linking":
            paint_and_link(seed, path)
        case "putting":
            paint_and_put_back(seed)
        case "restoring":
            restore(seed, path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
